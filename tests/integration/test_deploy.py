"""make deploy and make remove: everything is real but AWS, which is moto, and osls, which writes down its calls."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from infra.aws import Aws, AwsRefused, _refused
from infra.deploy import __main__ as deploy
from infra.deploy import remove, smoke, steps
from infra.deploy.failure import CannotDeploy
from infra.deploy.smoke import SERVER, Installation
from infra.doctor import cloud as checks
from infra.doctor.__main__ import main as doctor
from infra.doctor.examine import rest_of
from infra.doctor.place import Addresses, Place, this_machine
from infra.local.process import free_port
from tests import osls
from tests.cloud import Cloud, cloud, environment
from tests.live import LiveStack
from tests.sqs import REGION


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    if not osls.PYTHON.exists():
        pytest.skip("the emulator is not installed (make infrastructure)")
    with osls.emulator() as url:
        yield url


@pytest.fixture
def aws(emulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An empty AWS, with the credentials for it in the environment."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    it = cloud(tmp_path, emulator)
    for name, value in environment(it).items():
        monkeypatch.setenv(name, value)
    # What is built, and the log of what osls said.
    monkeypatch.setattr(steps, "CHECKOUT", tmp_path)
    monkeypatch.setattr(remove, "CHECKOUT", tmp_path)
    (tmp_path / "build/arm64").mkdir(parents=True)
    (tmp_path / "build/arm64/report.json").write_text("{}")
    return it


@pytest.fixture
def there(live_gateway: LiveStack) -> Place:
    """The stack of this machine, which stands for what was deployed."""
    return this_machine(live_gateway.data)


@pytest.fixture
def settings_file(there: Place, tmp_path: Path) -> Path:
    """The settings that a person has: the stores' addresses, and here the key of what runs."""
    names = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "DATABASE_URL", "OPENMANAGER_API_KEY")
    file = tmp_path / "settings.env"
    file.write_text("# of a test\n\n" + "".join(f"{name}={there.env[name]}\n" for name in names))
    return file


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*argv: str) -> tuple[int, str]:
        code = deploy.main(["--stage", "dev", "--packaged", *argv])
        return code, capsys.readouterr().out

    return call


Run = Callable[..., tuple[int, str]]


def stored(aws: Cloud) -> dict[str, str]:
    pages = aws.client("ssm").get_paginator("get_parameters_by_path")
    found = pages.paginate(Path="/", Recursive=True, WithDecryption=True)
    return {p["Name"]: p["Value"] for page in found for p in page["Parameters"]}


def test_a_first_deployment_goes_from_settings_to_answers(
    aws: Cloud, there: Place, settings_file: Path, run: Run
) -> None:
    aws.stack_of(
        {"HttpApiUrl": there.url, "LiveLambdaFunctionUrl": there.url + "/", "IngestLambdaFunctionUrl": there.url + "/"}
    )
    code, said = run("--settings", str(settings_file))
    assert code == 0, said
    ticks = [line.split()[1] for line in said.splitlines() if line.startswith("  ✓")]
    assert list(dict.fromkeys(ticks)) == [
        "programs", "account", "settings", "redis", "postgres", "clock", "schema", "package", "stack", "smoke",
    ]  # fmt: skip
    assert f"dashboard  {there.url}/\n" in said
    assert f"live feed  {there.url}/api/stream\n" in said
    assert f"pushes     {there.url} (" in said
    assert f"doctor     make doctor STAGE=dev REGION={REGION}" in said
    names = stored(aws)
    assert names["/openmanager/dev/common/UPSTASH_REDIS_REST_URL"] == there.env["UPSTASH_REDIS_REST_URL"]
    assert names["/openmanager/dev/database/DATABASE_URL"] == there.env["DATABASE_URL"]
    assert names["/openmanager/dev/encryption/OPENMANAGER_ENCRYPTION_KEYS"].startswith("k1:")
    kinds = aws.client("ssm").describe_parameters()["Parameters"]
    assert {parameter["Type"] for parameter in kinds} == {"SecureString"}
    # Neither the person's secrets nor those made here are shown, nor handed to osls.
    assert not [name for name, value in names.items() if value in said and "URL" not in name]
    (call,) = aws.calls()
    assert call["argv"][:5] == ["deploy", "--stage", "dev", "--region", REGION]
    assert {"--param=arch=arm64", "--param=shards=1"} < set(call["argv"])
    assert not [value for value in names.values() if value in " ".join(call["argv"])]
    assert not [name for name in call["env"] if name.startswith(("OPENMANAGER_", "UPSTASH_", "DATABASE_URL"))]


def test_the_same_again_writes_nothing_and_starts_functions_anew_only_for_new_settings(
    aws: Cloud, there: Place, settings_file: Path, run: Run
) -> None:
    aws.stack_of({"HttpApiUrl": there.url})
    run("--settings", str(settings_file))
    before = stored(aws)
    code, said = run()
    assert code == 0, said
    assert stored(aws) == before
    assert "written below" not in said
    aws.client("ssm").put_parameter(
        Name="/openmanager/dev/common/OPENMANAGER_REQUEST_LIMIT", Value="500", Type="SecureString"
    )
    run("--param", "warm=1", "--mail", "ops@example.com")
    as_of = [re.findall(r"--param=settings=(\w+)", " ".join(call["argv"]))[0] for call in aws.calls()]
    assert as_of[0] == as_of[1] != as_of[2]
    assert {"--param=warm=1", "--param=mail=ops@example.com"} < set(aws.calls()[-1]["argv"])


def test_the_first_administrator_is_made_once_and_their_password_is_kept_apart_from_what_functions_read(
    aws: Cloud, there: Place, live_gateway: LiveStack, settings_file: Path, run: Run
) -> None:
    aws.stack_of({"HttpApiUrl": there.url})
    # Somebody logs in here already, with a password that nobody at AWS knows.
    code, said = run("--settings", str(settings_file))
    assert code == 0, said
    assert "log in     admin; password: as you changed it" in said
    assert "/openmanager-first-login/dev" not in stored(aws)
    assert live_gateway.ask("/api/users/admin", "DELETE")[0] == 204
    code, said = run()
    assert code == 0, said
    assert "--name /openmanager-first-login/dev" in said
    login = {"user": "admin", "password": stored(aws)["/openmanager-first-login/dev"]}
    try:
        assert live_gateway.ask("/api/auth/token", "POST", json.dumps(login).encode())[0] == 200
        assert "--name /openmanager-first-login/dev" in run()[1]
    finally:
        # As it was: others log in with what the stack printed.
        kept = {"role": "admin", "password": live_gateway.credentials["password"]}
        live_gateway.ask("/api/users/admin", "DELETE")
        live_gateway.ask("/api/users/admin", "PUT", json.dumps(kept).encode())


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    aws: Cloud, there: Place, settings_file: Path, run: Run
) -> None:
    code, said = run("--settings", str(settings_file), "--dry-run")
    assert code == 0, said
    assert "would write /openmanager/dev/database/DATABASE_URL\n" in said
    assert "would write /openmanager/dev/cron/OPENMANAGER_CRON_SECRET (made)" in said
    assert "would run" in said
    assert stored(aws) == {}
    assert aws.calls() == []


def test_without_credentials_it_stops_and_says_where_they_go(
    aws: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(aws.folder))
    code, said = run()
    assert code == 1
    assert "✗ account   there are no AWS credentials\n    → set AWS_PROFILE, or" in said
    assert "Done so far: nothing was changed. The same command goes on from here." in said


def test_an_aws_that_cannot_be_reached_is_said(aws: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    code, said = run()
    assert code == 1
    assert "✗ account   AWS cannot be reached\n    → see that this machine is online, and that REGION" in said


def test_a_profile_that_is_not_there_is_said(aws: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    code, said = run()
    assert code == 1
    assert "✗ account   The config profile (nobody) could not be found" in said


def test_without_settings_it_stops_before_anything_is_changed(aws: Cloud, run: Run) -> None:
    code, said = run()
    assert code == 1
    assert "✗ settings  UPSTASH_REDIS_REST_URL: not set" in said
    assert "SETTINGS=<file>" in said
    assert stored(aws) == {}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("OPENMANAGER_API_KYE=x", "line 1: OPENMANAGER_API_KYE is no setting"),
        ("OPENMANAGER_STAGE=dev", "line 1: OPENMANAGER_STAGE is set by serverless.yml"),
        ("DATABASE_URL", "line 1: is not NAME=value"),
        ("DATABASE_URL=a\nexport DATABASE_URL='b'", "line 2: DATABASE_URL stands there twice"),
        (f"DATABASE_URL={'x' * 5000}", "line 1: DATABASE_URL is longer than 4096 octets"),
        ("UPSTASH_REDIS_REST_URL=redis://x", "Redis' own protocol, not the REST one"),
    ],
)
def test_a_mistake_in_the_file_of_settings_is_named_by_its_line(
    aws: Cloud, run: Run, tmp_path: Path, line: str, says: str
) -> None:
    file = tmp_path / "wrong.env"
    file.write_text(line)
    code, said = run("--settings", str(file))
    assert code == 1
    assert says in said
    assert stored(aws) == {}


def test_a_file_of_settings_that_is_not_there_is_named(aws: Cloud, run: Run, tmp_path: Path) -> None:
    code, said = run("--settings", str(tmp_path / "nowhere.env"))
    assert code == 1
    assert "nowhere.env cannot be read: " in said


def test_stores_that_do_not_answer_stop_it_before_anything_is_changed(
    aws: Cloud, settings_file: Path, run: Run
) -> None:
    good = settings_file.read_text()
    token = next(line for line in good.splitlines() if line.startswith("UPSTASH_REDIS_REST_TOKEN"))
    settings_file.write_text(good.replace(token, "UPSTASH_REDIS_REST_TOKEN=wrong"))
    code, said = run("--settings", str(settings_file))
    assert code == 1
    assert "✗ redis     Unauthorized\n    → UPSTASH_REDIS_REST_TOKEN belongs to another database" in said
    database = urlsplit(next(line for line in good.splitlines() if line.startswith("DATABASE_URL=")).partition("=")[2])
    settings_file.write_text(good.replace(f":{database.port}/", f":{free_port()}/"))
    code, said = run("--settings", str(settings_file))
    assert code == 1
    assert "✗ postgres  127.0.0.1 refuses connections" in said
    assert "Done so far: nothing was changed." in said
    assert stored(aws) == {}


def test_what_osls_says_is_kept_and_explained(aws: Cloud, settings_file: Path, run: Run) -> None:
    aws.fault("Stack:arn:aws:x is in ROLLBACK_COMPLETE state and can not be updated.")
    code, said = run("--settings", str(settings_file))
    assert code == 1
    assert "can not be updated" in (aws.folder / "build/deploy-dev.log").read_text()
    failed = said[said.index("✗ stack") :]
    assert "osls deploy ended with 1: an earlier first deployment failed half-way\n" in failed
    assert "→ make remove STAGE=dev, then deploy again (all of it: " in failed
    assert "Done so far: 7 settings written. The same command goes on from here." in failed


def test_after_a_failure_the_same_command_goes_on(aws: Cloud, there: Place, settings_file: Path, run: Run) -> None:
    aws.stack_of({"HttpApiUrl": there.url})
    aws.fault("UPDATE_IN_PROGRESS state")
    assert run("--settings", str(settings_file))[0] == 1
    made = stored(aws)["/openmanager/dev/common/OPENMANAGER_JWT_KEYS"]
    aws.heal()
    assert run()[0] == 0
    assert stored(aws)["/openmanager/dev/common/OPENMANAGER_JWT_KEYS"] == made


def test_a_stack_that_does_not_say_its_address_is_no_success(aws: Cloud, settings_file: Path, run: Run) -> None:
    aws.stack_of({"Other": "x"})
    code, said = run("--settings", str(settings_file))
    assert code == 1
    assert "openmanager-dev does not say where its HTTP API is" in said
    assert "openmanager-dev deployed" in said.splitlines()[-1]


def test_what_was_not_built_is_named(aws: Cloud, settings_file: Path, run: Run) -> None:
    code, said = run("--settings", str(settings_file), "--arch", "x86_64")
    assert code == 1
    assert "✗ package   nothing is built for x86_64\n    → make package ARCH=x86_64" in said


def test_an_osls_that_is_not_there_or_does_not_run_is_named(
    aws: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OSLS", "no-such-osls")
    code, said = run()
    assert code == 1
    assert "✗ programs  OSLS: there is no program no-such-osls" in said
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of order >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("OSLS", str(broken))
    code, said = run()
    assert code == 1
    assert "does not run: out of order" in said


@pytest.mark.parametrize(
    ("node", "says"),
    [(None, "node is not installed"), ("v18.20.1", "node is v18.20.1"), ("v20.11.0", "node is v20.11.0")],
)
def test_without_a_node_that_osls_takes_it_says_which(
    aws: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, node: str | None, says: str
) -> None:
    only = tmp_path / "only"
    only.mkdir()
    if node:
        (only / "node").write_text(f"#!/bin/sh\necho {node}\n")
        (only / "node").chmod(0o755)
    monkeypatch.delenv("OSLS")
    monkeypatch.setenv("PATH", str(only))
    code, said = run()
    assert code == 1
    assert says in said


def test_a_stage_needs_a_name_that_aws_takes(aws: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["--stage", "My Stage"]) == 1
    assert "'My Stage' is no name for a stage" in capsys.readouterr().out


def test_rights_that_are_missing_are_told_from_wrong_keys() -> None:
    def told(code: str, message: str = "") -> tuple[str, str]:
        error = _refused(ClientError({"Error": {"Code": code, "Message": message}}, "GetCallerIdentity"))
        assert isinstance(error, AwsRefused)
        return str(error), error.do

    assert told("InvalidClientTokenId")[0] == "AWS does not know the access key"
    assert told("ExpiredToken")[0] == "the session at AWS is over"
    assert "clock is off" in told("SignatureDoesNotMatch")[1]
    assert told("AccessDeniedException", "not for ssm")[0] == "these credentials may not do it: not for ssm"


def installation(there: Place, **changes: object) -> Installation:
    rest = rest_of(there)
    assert rest is not None
    at = Addresses(str(changes.pop("api", there.url)), str(changes.pop("live", "")), "")
    fields = {"at": at, "key": there.key, "redis": rest, "shards": 1, "patience_s": 0.0, **changes}
    return Installation(**fields)  # type: ignore[arg-type]


def test_the_smoke_test_leaves_no_server_and_no_user_behind(there: Place, live_gateway: LiveStack) -> None:
    it = installation(there)
    with closing(it.redis):
        assert len(list(smoke.smoke(it))) == 6
        keys = it.redis.run(["KEYS", "om:0:frames:*"]).results[0]
        fields = it.redis.run(*(["HKEYS", key] for key in keys)).results
    left = [name for names in fields for name in names if name.startswith(SERVER)]
    assert all(name.startswith(f"{SERVER}|baseline|") for name in left)
    assert SERVER not in live_gateway.ask("/api/servers")[1]
    assert SERVER not in live_gateway.ask("/api/users")[1]


def test_a_smoke_test_that_was_killed_does_not_stop_the_next(there: Place, live_gateway: LiveStack) -> None:
    live_gateway.ask(f"/api/users/{smoke.USER}", "PUT", b'{"role": "viewer"}')
    it = installation(there)
    with closing(it.redis):
        assert "a person logs in" in list(smoke.smoke(it))
    assert smoke.USER not in live_gateway.ask("/api/users")[1]


def failure_of(it: Installation) -> CannotDeploy:
    with closing(it.redis), pytest.raises(CannotDeploy) as caught:
        list(smoke.smoke(it))
    return caught.value


def test_a_smoke_test_says_which_door_does_not_open(there: Place) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    assert f"GET {away}/api/health answers ConnectError" in str(failure_of(installation(there, api=away)))
    refused = failure_of(installation(there, key="x" * 30))
    assert "no user can be made: /api/users/openmanager-smoke answers 401" in str(refused)
    assert "another OPENMANAGER_API_KEY" in refused.do
    live = failure_of(installation(there, live=away))
    assert f"{away}/api/stream breaks off: ConnectError" in str(live)


def test_what_starts_slowly_is_asked_again_for_a_while(there: Place) -> None:
    pauses: list[float] = []
    away = f"http://127.0.0.1:{free_port()}"
    failure_of(installation(there, api=away, patience_s=60.0, sleep=pauses.append))
    assert pauses == [1, 2, 4, 8, 16]


def test_the_doctor_looks_at_a_deployment(
    aws: Cloud, there: Place, settings_file: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.stack_of({"HttpApiUrl": there.url})
    run("--settings", str(settings_file))

    def found() -> dict[str, tuple[str, str]]:
        doctor(["--stage", "dev", "--json"])
        told = json.loads(capsys.readouterr().out)
        assert told["place"] == f"dev in {REGION}"
        return {finding["check"]: (finding["state"], finding["what"]) for finding in told["findings"]}

    states = found()
    assert states["stack"] == ("ok", f"openmanager-dev in {REGION} is CREATE_COMPLETE")
    assert states["api"][0] == states["schema"][0] == states["queues"][0] == "ok"
    resources = aws.client("cloudformation").list_stack_resources(StackName="openmanager-dev")
    urls = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources["StackResourceSummaries"]}
    aws.client("sqs").send_message(QueueUrl=urls["RoundsDeadLetters"], MessageBody="{}")
    assert found()["queues"] == ("failed", "RoundsDeadLetters holds 1 messages")


def test_a_queue_whose_messages_are_old_is_found(aws: Cloud) -> None:
    template = json.loads((aws.folder / "template").read_text())
    aws.client("cloudformation").create_stack(StackName="openmanager-dev", TemplateBody=json.dumps(template))
    resources = aws.client("cloudformation").list_stack_resources(StackName="openmanager-dev")
    urls = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources["StackResourceSummaries"]}
    aws.client("cloudwatch").put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": urls["RoundsQueue"].rpartition("/")[2]}],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=1),
                "Value": 420,
            }
        ],
    )
    (finding,) = checks.queues(Aws("dev", REGION))
    assert (finding.state, finding.what) == ("failed", "RoundsQueue: the oldest waits for 420 s")


def test_a_wrong_region_is_found_by_where_the_stack_is(aws: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    (nowhere,) = checks.stack(Aws("dev", REGION))
    assert nowhere.what == f"openmanager-dev is not deployed in {REGION}, nor in another region of this account"
    assert nowhere.do == "make deploy STAGE=dev"
    template = (aws.folder / "template").read_text()
    aws.client("cloudformation", "us-west-2").create_stack(StackName="openmanager-dev", TemplateBody=template)
    (elsewhere,) = checks.stack(Aws("dev", REGION))
    assert (elsewhere.state, elsewhere.what) == ("failed", f"openmanager-dev is not in {REGION} but in us-west-2")
    assert "REGION=us-west-2" in elsewhere.do
    assert remove.main(["--stage", "dev", "--yes"]) == 1
    assert "call this with REGION=us-west-2" in capsys.readouterr().out


def test_removing_asks_for_the_name_and_says_what_stays(
    aws: Cloud, there: Place, settings_file: Path, run: Run, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    aws.stack_of({"HttpApiUrl": there.url})
    run("--settings", str(settings_file))
    before = stored(aws)
    monkeypatch.setattr("sys.stdin", StringIO("prod\n"))
    assert remove.main(["--stage", "dev"]) == 1
    said = capsys.readouterr().out
    assert "Type dev to remove it: " in said
    assert "✗ that is not its name\n    → nothing was removed" in said
    assert Aws("dev", REGION).stack() is not None
    monkeypatch.setattr("sys.stdin", StringIO("dev\n"))
    assert remove.main(["--stage", "dev"]) == 0
    said = capsys.readouterr().out
    assert "stays   the settings below /openmanager/dev/ in the Parameter Store" in said
    assert "✓ openmanager-dev is removed" in said
    assert "delete-parameters" in said
    assert Aws("dev", REGION).stack() is None
    assert stored(aws) == before
    assert remove.main(["--stage", "dev", "--yes"]) == 1
    assert f"there is no stack openmanager-dev in {REGION}\n    → there is nothing to remove" in capsys.readouterr().out


def test_the_region_is_that_of_serverless_yml_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    text = (Path(__file__).parents[2] / "serverless.yml").read_text()
    assert f"region: ${{opt:region, '{deploy.region_of('')}'}}" in text
    assert deploy.region_of("us-east-1") == "us-east-1"
