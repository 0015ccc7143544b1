"""The template created on an emulator of AWS, as far as that knows its types: it skips others without a word."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests import osls
from tests.osls import Packed

STACK = "openmanager-prod"
# What moto 5.2 does not know as parts of a stack.
REFUSED = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Url",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::Scheduler::Schedule",
}


class Account:
    """Clients of the emulator."""

    def __init__(self, url: str) -> None:
        self._url = url

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self._url, region_name="eu-central-1", **keys)


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    if not osls.PYTHON.exists():
        pytest.skip("the emulator is not installed (make infrastructure)")
    with osls.emulator() as url:
        yield Account(url)


def understood(value: Any, packed: Packed) -> Any:
    """The same, with a text in place of what a type that the emulator does not know would say of itself."""
    if isinstance(value, dict):
        for name in (value.get("Fn::GetAtt") or [""])[:1]:
            if name in packed.resources and packed.resources[name]["Type"] in REFUSED:
                return f"https://{name}.example.com/"
        return {key: understood(inner, packed) for key, inner in value.items()}
    return [understood(inner, packed) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def created(account: Account, prod: Packed) -> dict[str, str]:
    """The names of the resources that there are now, and what the emulator calls them."""
    formation, store = account.client("cloudformation"), account.client("s3")
    formation.create_stack(StackName=STACK, TemplateBody=json.dumps(prod.bucket))
    found = formation.describe_stack_resource(StackName=STACK, LogicalResourceId="ServerlessDeploymentBucket")
    bucket = found["StackResourceDetail"]["PhysicalResourceId"]
    nothing = io.BytesIO()
    with zipfile.ZipFile(nothing, "w") as archive:
        archive.writestr("empty", "")
    for properties in [*prod.of("AWS::Lambda::Function").values(), *prod.of("AWS::Lambda::LayerVersion").values()]:
        code = properties.get("Code") or properties["Content"]
        store.put_object(Bucket=bucket, Key=code["S3Key"], Body=nothing.getvalue())
    template = json.dumps(understood(prod.template, prod))
    formation.update_stack(StackName=STACK, TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"])
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=STACK)
    listed = [resource for page in pages for resource in page["StackResourceSummaries"]]
    # Some are listed without any name.
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in listed if r["LogicalResourceId"]}


def test_everything_is_created_but_the_types_that_it_does_not_know(created: dict[str, str], prod: Packed) -> None:
    assert {r["Type"] for name, r in prod.resources.items() if name not in created} == REFUSED
    assert {prod.resources[name]["Type"] for name in created} & REFUSED == set()


def test_functions_are_as_they_are_to_be(account: Account, created: dict[str, str], prod: Packed) -> None:
    wanted = prod.of("AWS::Lambda::Function")
    found = {
        function["FunctionName"]: function
        for page in account.client("lambda").get_paginator("list_functions").paginate()
        for function in page["Functions"]
    }
    assert set(found) == {properties["FunctionName"] for properties in wanted.values()}
    roles = {r["Arn"] for p in account.client("iam").get_paginator("list_roles").paginate() for r in p["Roles"]}
    for name, properties in wanted.items():
        there = found[properties["FunctionName"]]
        # It takes neither architecture nor layers from a stack.
        for key in ("Runtime", "Handler", "MemorySize", "Timeout"):
            assert there[key] == properties[key], (name, key)
        assert there["Role"] in roles
    assert len(account.client("lambda").list_layers()["Layers"]) == len(osls.LAYERS)


def test_the_worker_is_fed_and_poison_goes_aside(account: Account, created: dict[str, str]) -> None:
    (mapping,) = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["FunctionArn"].endswith(":openmanager-prod-predict")
    assert mapping["EventSourceArn"].endswith(created["RoundsQueue"].rpartition("/")[2])
    asked = {"QueueUrl": created["RoundsQueue"], "AttributeNames": ["All"]}
    redrive = json.loads(account.client("sqs").get_queue_attributes(**asked)["Attributes"]["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(created["RoundsDeadLetters"].rpartition("/")[2])
    assert int(redrive["maxReceiveCount"]) == 3
