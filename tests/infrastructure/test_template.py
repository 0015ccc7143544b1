"""What would be deployed, read as data: who may do what, what waits for what, and what happens to what fails."""

import importlib.util
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.serverless import Function, read_service
from tests import osls
from tests.live import CHECKOUT
from tests.osls import Packed

FUNCTIONS = {function.name: function for function in read_service(CHECKOUT / "serverless.yml").functions}
SCHEDULED = {name for name, function in FUNCTIONS.items() if function.every_minutes}
WEB = {name for name, function in FUNCTIONS.items() if function.routes}
FIRST_SCREEN = {"dashboard", "servers", "predictions", "stream", "alerts"}
RUNTIME = "python3.13"
# An HTTP API waits for so long: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
GATEWAY_S = 30
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_RESOURCES, MOST_BYTES = 500, 1_000_000
MOST_LAYERS = 5


def get_att(name: str, attribute: str = "Arn") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def logical(function: str) -> str:
    return f"{function.capitalize()}LambdaFunction"


def test_cfn_lint_has_nothing_to_say(packed: Packed) -> None:
    if not osls.PYTHON.exists():
        pytest.skip("cfn-lint is not installed (make infrastructure)")
    assert osls.lint(packed) == []


def test_osls_has_nothing_to_warn_of(packed: Packed) -> None:
    assert "Warning" not in packed.said
    assert "Error" not in packed.said


def test_no_secret_of_the_environment_is_in_anything_that_is_written(packed: Packed, service: Path) -> None:
    written = [*packed.folder.rglob("*"), *service.rglob("*")]
    texts = {path.name: path.read_text() for path in written if path.is_file() and path.suffix != ".zip"}
    assert {"cloudformation-template-update-stack.json", "serverless-state.json"} <= set(texts)
    assert [name for name, text in texts.items() if osls.MARKER in text] == []
    assert osls.MARKER not in packed.said


def test_no_variable_of_a_function_is_one_that_holds_a_secret(packed: Packed) -> None:
    for name, properties in packed.of("AWS::Lambda::Function").items():
        assert set(properties["Environment"]["Variables"]) & set(osls.SECRETS) == set(), name


def test_every_function_is_there_as_the_file_says(packed: Packed) -> None:
    assert set(packed.of("AWS::Lambda::Function")) == {logical(name) for name in FUNCTIONS}
    arch = packed.function("live")["Architectures"][0]
    assert packed.folder.name.endswith(arch)
    for name, function in FUNCTIONS.items():
        found = packed.function(name)
        assert (found["Runtime"], found["Architectures"]) == (RUNTIME, [arch]), name
        assert (found["Timeout"], found["MemorySize"]) == (function.timeout_s, function.memory_mb), name
        assert found["Role"] == get_att(f"{name.capitalize()}Role"), name
        assert found["Code"]["S3Key"].endswith(f"/{name}.zip"), name
        assert found["Handler"] == handler(function), name
        assert {"Ref": "CoreLambdaLayer"} in found["Layers"], name
        assert len(found["Layers"]) <= MOST_LAYERS


def test_what_may_read_the_database_s_address_has_its_driver(packed: Packed) -> None:
    for name in FUNCTIONS:
        found = packed.function(name)
        variables = found.get("Environment", {}).get("Variables", {})
        reads = "/database" in str(variables.get("OPENMANAGER_PARAMETERS", ""))
        assert ({"Ref": "PostgresLambdaLayer"} in found["Layers"]) is reads, name
        # What senders pack with, ingest alone reads.
        assert ({"Ref": "SendersLambdaLayer"} in found["Layers"]) is (name == "ingest"), name


def handler(function: Function) -> str:
    return f"functions/{function.name}/" + ("run.sh" if function.name == "live" else "handler.handler")


def test_every_layer_is_for_what_runs_it_and_used(packed: Packed) -> None:
    layers = packed.of("AWS::Lambda::LayerVersion")
    assert set(layers) == {f"{name.capitalize()}LambdaLayer" for name in osls.LAYERS}
    stage = packed.folder.name.partition("-")[0]
    assert {p["LayerName"] for p in layers.values()} == {f"openmanager-{stage}-{name}" for name in osls.LAYERS}
    for properties in layers.values():
        assert properties["CompatibleRuntimes"] == [RUNTIME]
        assert properties["CompatibleArchitectures"] == packed.function("live")["Architectures"]
    used = {
        layer["Ref"] for f in packed.of("AWS::Lambda::Function").values() for layer in f["Layers"] if "Ref" in layer
    }
    assert used == set(layers)


@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
def test_the_bytecode_in_the_artifacts_is_the_runtimes(arch: str) -> None:
    artifacts = sorted((CHECKOUT / "build" / arch).glob("*/*.zip"))
    if not artifacts:
        pytest.skip(f"nothing is built for {arch} (make package ARCH={arch})")
    # The number that Python 3.13 writes: Lib/importlib/_bootstrap_external.py there.
    magic = (3571).to_bytes(2, "little") + b"\r\n"
    if sys.version_info[:2] == (3, 13):
        assert magic == importlib.util.MAGIC_NUMBER
    for path in artifacts:
        with zipfile.ZipFile(path) as archive:
            compiled = [name for name in archive.namelist() if name.endswith(".pyc")]
            assert compiled, path
            for name in compiled:
                with archive.open(name) as file:
                    head = file.read(8)
                # Then whether it is looked for in the source: 1 is a hash that nobody checks.
                assert (head[:4], head[4:]) == (magic, (1).to_bytes(4, "little")), f"{path}: {name}"


def statements(packed: Packed) -> Iterator[tuple[str, Any]]:
    for name, properties in packed.of("AWS::IAM::Role").items():
        for policy in properties.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


def test_no_role_grants_more_than_it_names(packed: Packed) -> None:
    # There is no action here of which AWS knows no narrower resource than all.
    wide = [(name, s) for name, s in statements(packed) if "*" in json.dumps([s["Action"], s["Resource"]])]
    assert wide == []
    assert not [p for p in packed.of("AWS::IAM::Role").values() if p.get("ManagedPolicyArns")]
    assert set(packed.of("AWS::IAM::Role")) == {f"{name.capitalize()}Role" for name in (*FUNCTIONS, "scheduler")}
    kinds = {r["Type"] for r in packed.resources.values() if r["Type"].startswith("AWS::IAM::")}
    assert kinds == {"AWS::IAM::Role"}


def test_a_function_may_read_the_settings_that_it_is_told_to_read(packed: Packed) -> None:
    for name in FUNCTIONS:
        said = packed.function(name)["Environment"]["Variables"]["OPENMANAGER_PARAMETERS"]
        granted = [s["Resource"]["Fn::Sub"] for n, s in statements(packed) if n == f"{name.capitalize()}Role"
                   and s["Action"] == "ssm:GetParametersByPath"]  # fmt: skip
        arn = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"
        assert granted == [f"{arn}{path}" for path in said.split(",") if path], name


def test_only_the_live_stream_and_pushes_may_be_called_by_everybody_and_need_both_permissions(packed: Packed) -> None:
    permissions = packed.of("AWS::Lambda::Permission").values()
    everybody = [p for p in permissions if p["Principal"] == "*"]
    functions = [get_att(logical(name)) for name in ("ingest", "live")]
    assert sorted((str(p["FunctionName"]), p["Action"]) for p in everybody) == [
        (str(function), action)
        for function in functions
        for action in ("lambda:InvokeFunction", "lambda:InvokeFunctionUrl")
    ]
    # One for the URL's calls only, the other for calls by the URL only.
    assert {key for p in everybody for key in p} >= {"FunctionUrlAuthType", "InvokedViaFunctionUrl"}
    assert {json.dumps(p["Principal"]) for p in permissions} == {'"*"', '"apigateway.amazonaws.com"'}
    ingest, live = functions
    urls = packed.of("AWS::Lambda::Url").values()
    assert sorted(urls, key=lambda url: str(url["TargetFunctionArn"])) == [
        {"AuthType": "NONE", "TargetFunctionArn": ingest},
        {"AuthType": "NONE", "TargetFunctionArn": live, "InvokeMode": "RESPONSE_STREAM"},
    ]


def test_the_stream_runs_under_its_architecture_s_web_adapter_and_ends_before_lambda_ends_it(
    packed: Packed,
) -> None:
    live = packed.function("live")
    said, arch = live["Environment"]["Variables"], live["Architectures"][0]
    kind = {"arm64": "Arm64", "x86_64": "X86"}[arch]
    (adapter,) = [layer["Fn::Sub"] for layer in live["Layers"] if "Fn::Sub" in layer]
    assert adapter == f"arn:aws:lambda:${{AWS::Region}}:753240598075:layer:LambdaAdapterLayer{kind}:27"
    assert said["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
    assert said["AWS_LWA_INVOKE_MODE"] == "response_stream"
    assert said["AWS_LWA_PORT"] == said["PORT"]
    # And a reader that takes nothing is waited for, for a while.
    assert float(said["OPENMANAGER_STREAM_WINDOW_S"]) + 20 <= live["Timeout"]


def test_the_page_and_the_stream_know_each_other_s_address(packed: Packed) -> None:
    dashboard, live = (packed.function(name)["Environment"]["Variables"] for name in ("dashboard", "live"))
    assert dashboard["OPENMANAGER_LIVE_URL"] == get_att("LiveLambdaFunctionUrl", "FunctionUrl")
    own = {"Fn::Sub": "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"}
    assert live["OPENMANAGER_PAGE_ORIGIN"] == own


def test_every_route_is_there(packed: Packed) -> None:
    wanted = {f"{route.method} {route.path}" for function in FUNCTIONS.values() for route in function.routes}
    assert {route["RouteKey"] for route in packed.of("AWS::ApiGatewayV2::Route").values()} == wanted


def test_no_answer_is_late_for_the_gateway(packed: Packed) -> None:
    assert [name for name in WEB if packed.function(name)["Timeout"] >= GATEWAY_S] == []


def test_schedules_try_for_a_minute_and_then_set_aside(packed: Packed) -> None:
    schedules = packed.of("AWS::Scheduler::Schedule")
    assert {s["Target"]["Arn"]["Fn::GetAtt"][0] for s in schedules.values()} == {logical(name) for name in SCHEDULED}
    for schedule in schedules.values():
        target = schedule["Target"]
        assert target["RoleArn"] == get_att("SchedulerRole")
        assert target["RetryPolicy"] == {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60}
        assert target["DeadLetterConfig"] == {"Arn": get_att("ScheduleDeadLetters")}
        function = next(n for n in SCHEDULED if logical(n) == target["Arn"]["Fn::GetAtt"][0])
        (minutes,) = FUNCTIONS[function].every_minutes
        assert schedule["ScheduleExpression"] == f"rate({minutes} minute{'s' if minutes > 1 else ''})"
        assert schedule["State"] == "ENABLED"


def test_what_a_schedule_started_is_not_tried_again_by_lambda(packed: Packed) -> None:
    found = packed.of("AWS::Lambda::EventInvokeConfig").values()
    assert {config["FunctionName"]["Ref"] for config in found} == {logical(name) for name in SCHEDULED}
    for config in found:
        assert config["MaximumRetryAttempts"] == 0
        assert config["DestinationConfig"]["OnFailure"]["Destination"] == get_att("ScheduleDeadLetters")


def test_a_queue_outlasts_its_worker_and_fails_message_by_message(packed: Packed) -> None:
    queues = packed.of("AWS::SQS::Queue")
    mappings = packed.of("AWS::Lambda::EventSourceMapping").values()
    assert len(mappings) == 1
    for mapping in mappings:
        queue = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]
        worker = packed.of("AWS::Lambda::Function")[mapping["FunctionName"]["Fn::GetAtt"][0]]
        # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
        assert queue["VisibilityTimeout"] >= 6 * worker["Timeout"]
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        letters = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert queues[letters]["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_logs_are_kept_for_as_long_as_the_stage_says(packed: Packed) -> None:
    days = {"dev": 7, "prod": 90}[packed.folder.name.partition("-")[0]]
    groups = packed.of("AWS::Logs::LogGroup")
    assert len(groups) == len(FUNCTIONS)
    assert {group["RetentionInDays"] for group in groups.values()} == {days}


def alarm_on(packed: Packed, name: str) -> Any:
    alarm = packed.resources[name]
    assert alarm["Condition"] == "Alarmed"
    assert alarm["Properties"]["AlarmActions"] == [{"Ref": "Alarms"}]
    assert len(alarm["Properties"]["AlarmDescription"]) > 40
    return alarm["Properties"]


def test_somebody_is_told_of_dead_letters(packed: Packed) -> None:
    for name, queue in (("RoundsSetAside", "RoundsDeadLetters"), ("TurnsSetAside", "ScheduleDeadLetters")):
        alarm = alarm_on(packed, name)
        assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": get_att(queue, "QueueName")}]
        assert (alarm["MetricName"], alarm["Threshold"]) == ("ApproximateNumberOfMessagesVisible", 0)
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_somebody_is_told_when_no_tick_succeeds_for_five_minutes_and_none_starts_either(packed: Packed) -> None:
    alarm = alarm_on(packed, "TicksMissed")
    asked = {metric["Id"]: metric for metric in alarm["Metrics"]}
    assert asked["succeeded"]["Expression"] == "started - failed"
    for name, metric in (("started", "Invocations"), ("failed", "Errors")):
        stat = asked[name]["MetricStat"]
        assert (stat["Metric"]["MetricName"], stat["Stat"], stat["Period"]) == (metric, "Sum", 300)
        assert stat["Metric"]["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": logical("tick")}}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "LessThanThreshold")
    assert (alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (1, "breaching")


@pytest.mark.parametrize(("name", "function"), [("TicksFail", "tick"), ("ArchiveFails", "archive")])
def test_somebody_is_told_of_what_fails_again_and_again(packed: Packed, name: str, function: str) -> None:
    alarm = alarm_on(packed, name)
    assert alarm["MetricName"] == "Errors"
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": logical(function)}}]
    assert 1 < alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]


def test_a_stage_for_trying_things_out_alarms_nobody(packed: Packed) -> None:
    asked = packed.template["Parameters"]
    assert asked["AreThereAlarms"]["Default"] == {"dev": "off", "prod": "on"}[packed.folder.name.partition("-")[0]]
    assert asked["Mail"]["Default"] == "ops@example.com"
    assert packed.resources["AlarmsByMail"]["Condition"] == "Mailed"


def test_what_may_be_switched_on_is_as_sound(from_snapshots: Packed, kept_warm: Packed) -> None:
    if not osls.PYTHON.exists():
        pytest.skip("cfn-lint is not installed (make infrastructure)")
    assert osls.lint(from_snapshots) + osls.lint(kept_warm) == []
    assert "Error" not in from_snapshots.said + kept_warm.said


def test_it_is_far_from_the_limits_of_a_stack(packed: Packed) -> None:
    assert len(packed.resources) < MOST_RESOURCES
    assert len(json.dumps(packed.template)) < MOST_BYTES


def test_what_costs_more_is_off_by_default(packed: Packed) -> None:
    kinds = {r["Type"] for r in packed.resources.values()}
    assert kinds & {"AWS::Lambda::Version", "AWS::Lambda::Alias"} == set()
    assert not [p for p in packed.of("AWS::Lambda::Function").values() if "SnapStart" in p]


def targets(packed: Packed) -> Iterator[tuple[str, bool]]:
    """(function, whether the API calls an alias of it) of every integration."""
    for integration in packed.of("AWS::ApiGatewayV2::Integration").values():
        uri = integration["IntegrationUri"]
        called = uri["Fn::Join"][1][0] if "Fn::Join" in uri else uri
        yield called["Fn::GetAtt"][0], "Fn::Join" in uri


def test_with_snapshots_all_that_answers_http_starts_from_one(from_snapshots: Packed) -> None:
    started = {name for name, p in from_snapshots.of("AWS::Lambda::Function").items() if "SnapStart" in p}
    assert started == {logical(name) for name in WEB}
    assert dict(targets(from_snapshots)) == {logical(name): True for name in WEB}


def test_with_an_openid_provider_all_that_takes_its_tokens_can_read_them(from_snapshots: Packed) -> None:
    for name in (*WEB, "live"):
        assert {"Ref": "CryptoLambdaLayer"} in from_snapshots.function(name)["Layers"], name


def test_kept_warm_is_what_the_first_screen_asks(kept_warm: Packed) -> None:
    aliases = kept_warm.of("AWS::Lambda::Alias").values()
    assert {alias["FunctionName"]["Ref"] for alias in aliases} == {logical(name) for name in FIRST_SCREEN}
    assert {a["ProvisionedConcurrencyConfig"]["ProvisionedConcurrentExecutions"] for a in aliases} == {2}
    assert dict(targets(kept_warm)) == {logical(name): name in FIRST_SCREEN for name in WEB}
    assert kept_warm.function("servers")["MemorySize"] == 1024


def test_the_archive_comes_as_often_as_its_parameter_says(kept_warm: Packed) -> None:
    rates = {schedule["ScheduleExpression"] for schedule in kept_warm.of("AWS::Scheduler::Schedule").values()}
    assert rates == {"rate(1 minute)", "rate(60 minutes)"}
    assert kept_warm.function("live")["MemorySize"] == 256
