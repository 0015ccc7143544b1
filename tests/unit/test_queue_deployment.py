"""The queue of rounds as serverless.yml deploys it gives its worker what the worker counts on."""

import yaml

from infra.openapi import ROOT
from infra.serverless import read_service

SERVERLESS = ROOT / "serverless.yml"


class Tagless(yaml.SafeLoader):
    """Reads !Ref and !GetAtt as the name behind them."""


Tagless.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def test_the_queue_outlasts_its_worker_and_sets_poison_aside() -> None:
    document = yaml.load(SERVERLESS.read_text(), Tagless)
    resources = yaml.load((ROOT / "infra/cloud/queues.yml").read_text(), Tagless)["Resources"]
    waiting = resources["RoundsQueue"]["Properties"]
    worker = next(f for f in read_service(SERVERLESS).functions if f.name == "predict")
    assert waiting["VisibilityTimeout"] >= 6 * worker.timeout_s
    assert waiting["RedrivePolicy"] == {"deadLetterTargetArn": "RoundsDeadLetters.Arn", "maxReceiveCount": 3}
    (event,) = document["functions"]["predict"]["events"]
    assert event["sqs"]["functionResponseType"] == "ReportBatchItemFailures"
    assert 2 <= event["sqs"]["maximumConcurrency"] <= 1000
    assert "RoundsQueue" in document["functions"]["tick"]["environment"]["OPENMANAGER_QUEUE_URL"]
