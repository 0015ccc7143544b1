"""Each function of serverless.yml has a role of its own (infra/cloud/roles.yml), with what it uses and nothing else."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from infra.openapi import ROOT

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
SET_ASIDE = ("sqs:SendMessage", "ScheduleDeadLetters.Arn")
# What a function uses beside its log and its settings. Redis and Postgres are reached with secrets of their own.
BESIDE_LOGS = {
    # Lambda takes the function's role to set aside what failed.
    "tick": {("sqs:SendMessage", "RoundsQueue.Arn"), SET_ASIDE},
    "archive": {SET_ASIDE},
    "cron": {("sqs:SendMessage", "RoundsQueue.Arn")},
    "assistant": {("lambda:InvokeFunction", "McpLambdaFunction.Arn")},
    # What Lambda's poller of the queue does with the function's role.
    "predict": {
        ("sqs:ReceiveMessage", "RoundsQueue.Arn"),
        ("sqs:DeleteMessage", "RoundsQueue.Arn"),
        ("sqs:GetQueueAttributes", "RoundsQueue.Arn"),
    },
}
# Of the role that the schedules take to start functions.
STARTS = {
    ("lambda:InvokeFunction", "TickLambdaFunction.Arn"),
    ("lambda:InvokeFunction", "ArchiveLambdaFunction.Arn"),
}
# Whose settings are more than everybody's: (function, group of parameters).
DATABASE = {
    "ingest", "servers", "demo", "cron", "archive", "alerts", "incidents", "audit", "auth", "access", "assistant",
    "mcp", "record", "replay", "rules", "silences", "notifications",
}  # fmt: skip
GROUPS = {
    "database": DATABASE,
    # Who tells people; ingest where no round comes (openmanager.watch.deadman).
    "encryption": {"tick", "predict", "cron", "notifications", "ingest"},
    "cron": {"cron"},
    "model": {"assistant"},
}
# It serves files, and has no use for a secret.
WITHOUT = {"dashboard"}
PARAMETERS = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"


class Tagless(yaml.SafeLoader):
    """Reads !Ref, !Sub and !GetAtt as the text behind them."""


Tagless.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def document() -> Any:
    whole = yaml.load((ROOT / "serverless.yml").read_text(), Tagless)
    whole["resources"] = yaml.load((ROOT / "infra/cloud/roles.yml").read_text(), Tagless)
    return whole


def reads(document: Any, name: str) -> list[str]:
    """The paths of parameters that a function is told to read, with our variables in full."""
    told = document["functions"][name].get("environment", {}).get("OPENMANAGER_PARAMETERS")
    text = document["provider"]["environment"]["OPENMANAGER_PARAMETERS"] if told is None else told
    while "${self:custom." in text:
        text = re.sub(r"\$\{self:custom\.(\w+)\}", lambda found: document["custom"][found[1]], text)
    return [path for path in text.split(",") if path]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def roles(document: Any) -> dict[str, Any]:
    found = document["resources"]["Resources"].items()
    return {name: entry["Properties"] for name, entry in found if entry["Type"] == "AWS::IAM::Role"}


def statements(role: Any) -> Iterator[Any]:
    for policy in role.get("Policies", []):
        yield from listed(policy["PolicyDocument"]["Statement"])


def grants(role: Any) -> set[tuple[str, str]]:
    return {(a, r) for s in statements(role) for a in listed(s["Action"]) for r in listed(s["Resource"])}


def too_wide(document: Any) -> list[str]:
    """Every place of a role where more is granted than can be read there. There are no exceptions."""
    found = []
    for name, role in roles(document).items():
        if role.get("ManagedPolicyArns"):
            found.append(f"{name}: a managed policy grants what somebody else decides")
        for statement in [*statements(role), *listed(role["AssumeRolePolicyDocument"]["Statement"])]:
            found += [f"{name}: {key}" for key in statement if key.startswith("Not")]
            found += [f"{name}: {key}: {v}" for key, value in statement.items() for v in texts(value) if "*" in v]
    return found


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


def test_nothing_is_granted_by_an_asterisk(document: Any) -> None:
    assert too_wide(document) == []


@pytest.mark.parametrize(
    "more",
    [
        {"Effect": "Allow", "Action": "sqs:*", "Resource": "RoundsQueue.Arn"},
        {"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": ["*"]},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::Sub": "arn:aws:s3:::bucket/*"}},
        {"Effect": "Allow", "NotAction": "iam:PassRole", "Resource": "RoundsQueue.Arn"},
    ],
)
def test_an_asterisk_or_all_but_would_be_found(document: Any, more: Any) -> None:
    changed = copy.deepcopy(document)
    roles(changed)["IngestRole"]["Policies"][0]["PolicyDocument"]["Statement"].append(more)
    assert too_wide(changed) != []


def test_every_function_has_a_role_of_its_own_and_no_other_is_there(document: Any) -> None:
    assert "iam" not in document["provider"]
    taken = {name: function["role"] for name, function in document["functions"].items()}
    assert taken == {name: f"{name.capitalize()}Role" for name in taken}
    assert set(roles(document)) == {*taken.values(), "SchedulerRole"}
    assert not [r for r in document["resources"]["Resources"].values() if "Policy" in r["Type"]]


def test_a_role_grants_what_its_function_uses_and_writes_to_that_function_s_log_only(document: Any) -> None:
    for name in document["functions"]:
        log = {(action, f"{name.capitalize()}LogGroup.Arn") for action in LOGS}
        groups = [] if name in WITHOUT else ["common", *(group for group, names in GROUPS.items() if name in names)]
        parameters = {
            ("ssm:GetParametersByPath", f"{PARAMETERS}${{self:custom.parameters}}/{group}") for group in groups
        }
        granted = grants(roles(document)[f"{name.capitalize()}Role"])
        assert granted == log | parameters | BESIDE_LOGS.get(name, set()), name
        assert reads(document, name) == [f"/openmanager/${{sls:stage}}/{group}" for group in groups], name
    assert grants(roles(document)["SchedulerRole"]) == {*STARTS, SET_ASIDE}


def test_what_is_used_is_what_the_functions_are_told_of(document: Any) -> None:
    senders = {name for name, f in document["functions"].items() if "OPENMANAGER_QUEUE_URL" in f.get("environment", {})}
    askers = {
        name for name, f in document["functions"].items() if "OPENMANAGER_MCP_FUNCTION" in f.get("environment", {})
    }
    assert askers == {
        name for name, more in BESIDE_LOGS.items() if ("lambda:InvokeFunction", "McpLambdaFunction.Arn") in more
    }
    events = {name: f.get("events", []) for name, f in document["functions"].items()}
    workers = {name for name, theirs in events.items() if any("sqs" in event for event in theirs)}
    scheduled = {name for name, theirs in events.items() if any("schedule" in event for event in theirs)}
    assert senders == {name for name, more in BESIDE_LOGS.items() if ("sqs:SendMessage", "RoundsQueue.Arn") in more}
    assert workers == {name for name, more in BESIDE_LOGS.items() if ("sqs:ReceiveMessage", "RoundsQueue.Arn") in more}
    assert {f"{name.capitalize()}LambdaFunction.Arn" for name in scheduled} == {place for _, place in STARTS}
    assert scheduled == {name for name, more in BESIDE_LOGS.items() if SET_ASIDE in more}
    for name in scheduled:
        assert [e["schedule"]["roleArn"] for e in events[name]] == ["SchedulerRole.Arn"]
        assert document["functions"][name]["destinations"]["onFailure"]["arn"] == "ScheduleDeadLetters.Arn"


def test_a_role_can_be_taken_by_the_service_that_needs_it_only(document: Any) -> None:
    for name, role in roles(document).items():
        service = "scheduler.amazonaws.com" if name == "SchedulerRole" else "lambda.amazonaws.com"
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert (trust["Principal"], trust["Action"]) == ({"Service": service}, "sts:AssumeRole")
