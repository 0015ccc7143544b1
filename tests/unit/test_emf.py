"""The line of metrics, held against CloudWatch's embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openmanager.notify import DeliveryReport
from openmanager.settings import settings
from openmanager.watch import emf
from openmanager.watch.round import Report

from functions.cron.handler import handler as cron
from functions.predict.handler import handler as predict
from functions.tick.handler import handler as tick
from tests.events import Context, invoke

ENDED_S = 1_764_000_100.25
UNITS = (
    "Seconds|Microseconds|Milliseconds|Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits"
    "|Terabits|Percent|Count|(Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|Terabits"
    "|Count)/Second|None"
)


@pytest.fixture
def on_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "openmanager-test-tick")
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    # What would become a dimension more, and so ten metrics more.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "somebody-elses")
    settings.cache_clear()
    yield
    settings.cache_clear()


def check(line: str) -> dict[str, Any]:
    """The rules of the specification's schema; what the line says."""
    document: dict[str, Any] = json.loads(line)
    about = document["_aws"]
    assert about.keys() == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(about["Timestamp"], int)
    assert about["Timestamp"] > 1_700_000_000_000
    for directive in about["CloudWatchMetrics"]:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 1024
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            for name in dimensions:
                assert re.fullmatch(r"[^:].{0,249}", name)
                # The targets of references are members of the root.
                assert isinstance(document[name], str)
                assert 1 <= len(document[name]) <= 1024
        assert len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert metric.keys() <= {"Name", "Unit", "StorageResolution"}
            assert 1 <= len(metric["Name"]) <= 1024
            assert re.fullmatch(UNITS, metric["Unit"])
            assert metric.get("StorageResolution", 60) in (1, 60)
            values = document[metric["Name"]]
            assert len(values) <= 100
            assert all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return document


def test_a_round_is_ten_metrics_with_one_dimension(on_lambda: None, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(
        1_764_000_000, verdicts=25, servers=12, damaged=3, carried_over=[4, 7], anomalies=5, warnings=2, offline=1
    )
    report.newest_ms = int((ENDED_S - 42.5) * 1000)
    emf.write(report, ENDED_S - 1.5, ENDED_S, DeliveryReport(waiting=6, failed=1))
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    told = check(said.out)
    (directive,) = told["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("OpenManager", [["stage"]])
    # The eleventh would cost $0.30 a month.
    assert len(directive["Metrics"]) == 10
    assert {name: value for name, value in told.items() if name != "_aws"} == {
        "stage": "local",
        "ServersJudged": [12],
        "ServersOffline": [1],
        "Anomalies": [5],
        "FailureWarnings": [2],
        "NoticesWaiting": [6],
        "NoticesFailed": [1],
        "RoundMilliseconds": [1500],
        "VerdictAgeSeconds": [42.5],
        "CarriedOver": [2],
        "DamagedFrames": [3],
    }


def test_what_is_not_known_is_left_out(on_lambda: None, capsys: pytest.CaptureFixture[str]) -> None:
    emf.write(Report(1_764_000_000), ENDED_S, ENDED_S)
    told = check(capsys.readouterr().out)
    assert not {"NoticesWaiting", "NoticesFailed", "VerdictAgeSeconds"} & told.keys()
    assert len(told["_aws"]["CloudWatchMetrics"][0]["Metrics"]) == 7


def test_a_tick_that_left_its_minute_to_another_says_nothing(
    on_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    emf.write(Report(1_764_000_000, held=True), ENDED_S, ENDED_S, DeliveryReport())
    assert capsys.readouterr().out == ""


def test_outside_of_lambda_nothing_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    emf.write(Report(1_764_000_000), ENDED_S, ENDED_S, DeliveryReport())
    assert capsys.readouterr().out == ""


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [check(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]


def test_every_way_to_a_round_writes_its_line(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "openmanager-test-tick")
    minute = tick({}, Context())["minute"] // 60
    (told,) = lines(capsys)
    assert told["NoticesWaiting"] == [0]
    body = json.dumps({"shard": 0, "minute": minute})
    assert predict({"Records": [{"body": body, "messageId": "1"}]}, Context()) == {"batchItemFailures": []}
    (told,) = lines(capsys)
    # Notices are the tick's to count, or they counted twice.
    assert "NoticesWaiting" not in told
    monkeypatch.setattr("openmanager.watch.rounds.newest_closed_minute", lambda _: minute + 1)
    assert not invoke(cron, "POST", "/api/tick", key=stores_env["OPENMANAGER_API_KEY"]).json()["held"]
    assert len(lines(capsys)) == 1
