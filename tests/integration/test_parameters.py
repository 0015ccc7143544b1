"""Settings from the Parameter Store: against moto's, and against a server that answers what AWS does on a bad day."""

import json
import ssl
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from openmanager import parameters
from openmanager.errors import InvalidSettings
from openmanager.settings import settings

from tests import sqs
from tests.receivers import CERTIFICATE, Answer, Received, Receiver, running
from tests.receivers import tls as receivers_tls

STAGE = "/openmanager/dev"
KEY = "a-key-of-some-length-0123456789"
DATABASE = "postgresql://om:hidden@db.example.com/om"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with sqs.endpoint() as url:
        yield url


@pytest.fixture
def store(aws: str) -> Iterator[Any]:
    """The client of an empty store."""
    client = boto3.client(
        "ssm", endpoint_url=aws, region_name=sqs.REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )
    yield client
    pages = list(client.get_paginator("get_parameters_by_path").paginate(Path="/", Recursive=True))
    for parameter in (found for page in pages for found in page["Parameters"]):
        client.delete_parameter(Name=parameter["Name"])


def put(store: Any, variable: str, value: str, kind: str = "SecureString") -> None:
    store.put_parameter(Name=parameters.name_of("dev", variable), Value=value, Type=kind)


def environment(url: str, *groups: str, **more: str) -> dict[str, str]:
    return {
        "OPENMANAGER_PARAMETERS": ",".join(f"{STAGE}/{group}" for group in groups or ("common",)),
        "AWS_REGION": sqs.REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "the-hidden-secret",
        "AWS_SESSION_TOKEN": "the-hidden-token",
        **more,
    }


def test_a_secret_is_read_as_it_was_before_it_was_encrypted(store: Any, aws: str) -> None:
    put(store, "OPENMANAGER_API_KEY", KEY)
    put(store, "OPENMANAGER_ORIGINS", "https://ops.example.com", "String")
    assert parameters.read(environment(aws)) == {
        "OPENMANAGER_API_KEY": KEY,
        "OPENMANAGER_ORIGINS": "https://ops.example.com",
    }


def test_more_than_one_answer_holds_is_read_as_a_whole(store: Any, aws: str) -> None:
    wanted = {f"OPENMANAGER_{n}": str(n) for n in range(23)}
    for variable, value in wanted.items():
        put(store, variable, value)
    assert parameters.read(environment(aws)) == wanted


def test_a_group_stands_beside_the_others_and_is_read_by_whom_it_is_named_to(store: Any, aws: str) -> None:
    put(store, "OPENMANAGER_API_KEY", KEY)
    put(store, "DATABASE_URL", DATABASE)
    assert parameters.name_of("dev", "DATABASE_URL") == f"{STAGE}/database/DATABASE_URL"
    assert parameters.read(environment(aws)) == {"OPENMANAGER_API_KEY": KEY}
    # A group without anything, as of those who seal nothing, is no mistake.
    assert parameters.read(environment(aws, "common", "encryption", "database")) == {
        "OPENMANAGER_API_KEY": KEY,
        "DATABASE_URL": DATABASE,
    }


def test_no_group_stands_below_another_for_who_reads_a_path_may_read_all_below_it() -> None:
    variables = ("OPENMANAGER_API_KEY", "DATABASE_URL", "OPENMANAGER_ENCRYPTION_KEYS", "OPENMANAGER_MODEL_KEY")
    paths = {parameters.name_of("dev", variable).rpartition("/")[0] for variable in variables}
    assert len(paths) == 4
    assert not [(a, b) for a in paths for b in paths if a != b and b.startswith(a)]


def test_settings_are_those_of_the_store_and_the_environment_is_nearer(
    store: Any, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "OPENMANAGER_API_KEY", KEY)
    put(store, "OPENMANAGER_SHARDS", "7")
    put(store, "OPENMANAGER_REQUEST_LIMIT", "50")
    # What a template sets to nothing is not set.
    here = {"OPENMANAGER_SHARDS": "3", "OPENMANAGER_API_KEY": "", "OPENMANAGER_STAGE": "dev"}
    for name, value in environment(aws, **here).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        assert (settings().api_key, settings().shards, settings().request_limit) == (KEY, 3, 50)
        put_again = "another-key-of-some-length-0123"
        store.put_parameter(Name=parameters.name_of("dev", "OPENMANAGER_API_KEY"), Value=put_again, Overwrite=True)
        assert settings().api_key == KEY
        settings.cache_clear()
        assert settings().api_key == put_again
    finally:
        settings.cache_clear()


def test_nothing_at_all_is_taken_for_another_stage_or_region(store: Any, aws: str) -> None:
    put(store, "OPENMANAGER_API_KEY", KEY)
    elsewhere = environment(aws, OPENMANAGER_PARAMETERS="/openmanager/prod/common/, /openmanager/prod/database")
    with pytest.raises(InvalidSettings) as raised:
        parameters.read(elsewhere)
    assert str(raised.value) == (
        "OPENMANAGER_PARAMETERS: nothing stands below /openmanager/prod/common, /openmanager/prod/database"
        " in eu-central-1"
    )


@pytest.fixture
def server() -> Iterator[Receiver]:
    with running(Receiver()) as receiver:
        yield receiver


def said(status: int, kind: str, **more: str) -> Answer:
    return Answer(status, {}, json.dumps({"__type": kind, **more}).encode())


def found(**variables: str) -> Answer:
    listed = [{"Name": f"{STAGE}/common/{name}", "Value": value} for name, value in variables.items()]
    return Answer(200, {}, json.dumps({"Parameters": listed}).encode())


def test_the_request_is_the_one_that_aws_documents(server: Receiver) -> None:
    server.answers = lambda _: found(A="1")
    parameters.read(environment(server.url))
    (request,) = server.received
    assert request.headers["X-Amz-Target"] == "AmazonSSM.GetParametersByPath"
    assert request.headers["Content-Type"] == "application/x-amz-json-1.1"
    assert request.headers["X-Amz-Security-Token"] == "the-hidden-token"
    assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert request.json() == {"Path": f"{STAGE}/common", "WithDecryption": True, "MaxResults": 10}


@pytest.mark.parametrize("kind", ["ThrottlingException", "com.amazonaws#InternalServerError", None])
def test_what_passes_is_asked_again(server: Receiver, kind: str | None) -> None:
    bad = said(400, kind) if kind else Answer(503, {}, b"<html>")
    server.answers = lambda _: bad if len(server.received) < 2 else found(A="1")
    assert parameters.read(environment(server.url)) == {"A": "1"}
    assert len(server.received) == 3


def test_a_connection_that_breaks_once_is_opened_anew(server: Receiver) -> None:
    server.answers = lambda _: found(A="1") if server.received else Answer(cut=True)
    assert parameters.read(environment(server.url)) == {"A": "1"}


def test_it_speaks_tls_with_whom_it_trusts_and_with_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    trusting.check_hostname = False
    with running(Receiver(receivers_tls())) as server:
        server.answers = lambda _: found(A="1")
        env = environment(server.url.replace("http:", "https:"))
        with pytest.raises(InvalidSettings, match="CERTIFICATE_VERIFY_FAILED"):
            parameters.read(env)
        assert server.received == []
        monkeypatch.setattr("openmanager.tls.context", lambda: trusting)
        assert parameters.read(env) == {"A": "1"}


def test_a_refusal_is_told_with_the_path_and_asked_for_once(server: Receiver) -> None:
    why = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: ssm:GetParametersByPath"
    server.answers = lambda _: said(400, "AccessDeniedException", Message=why)
    with pytest.raises(InvalidSettings) as raised:
        parameters.read(environment(server.url))
    assert str(raised.value) == (f"OPENMANAGER_PARAMETERS: {STAGE}/common cannot be read: AccessDeniedException: {why}")
    assert len(server.received) == 1


class Clock:
    """A second later each time that it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def test_what_never_ends_ends_with_the_limit(server: Receiver) -> None:
    server.answers = lambda _: said(400, "ThrottlingException", message="Rate exceeded")
    with pytest.raises(InvalidSettings, match=r"(Rate exceeded|took longer than 3 s)$"):
        parameters.read(environment(server.url), Clock())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(cut=True), "cannot be read: .+"),
        (Answer(200, {}, b"<html>"), "cannot be read: HTTP 200"),
        (Answer(404, {}, b"{}"), "cannot be read: HTTP 404"),
    ],
)
def test_an_answer_that_is_none_is_told(server: Receiver, answer: Answer, reason: str) -> None:
    server.answers = lambda _: answer
    with pytest.raises(InvalidSettings, match=f"{STAGE}/common {reason}"):
        parameters.read(environment(server.url))


@pytest.mark.parametrize(
    ("without", "reason"),
    [("AWS_REGION", "AWS_REGION is not set"), ("AWS_ACCESS_KEY_ID", "there are no credentials of AWS here")],
)
def test_what_is_missing_here_is_told(server: Receiver, without: str, reason: str) -> None:
    env = environment(server.url)
    del env[without]
    with pytest.raises(InvalidSettings, match=f"^OPENMANAGER_PARAMETERS: {STAGE}/common cannot be read: {reason}$"):
        parameters.read(env)
    assert server.received == []


def test_started_from_a_snapshot_it_asks_the_platform_for_credentials(server: Receiver) -> None:
    given = {"AccessKeyId": "ASIAFRESH", "SecretAccessKey": "fresh", "Token": "fresh-token"}

    def answer(request: Received) -> Answer:
        return Answer(200, {}, json.dumps(given).encode()) if request.path == "/credentials?x=1" else found(A="1")

    server.answers = answer
    env = environment(server.url, AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{server.url}/credentials?x=1")
    env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "for-the-asking"
    del env["AWS_ACCESS_KEY_ID"]
    assert parameters.read(env) == {"A": "1"}
    asked, signed = server.received
    assert asked.headers["Authorization"] == "for-the-asking"
    assert "Credential=ASIAFRESH/" in signed.headers["Authorization"]
    assert signed.headers["X-Amz-Security-Token"] == "fresh-token"


@pytest.mark.parametrize("bad", [Answer(403, {}, b"no"), Answer(cut=True)])
def test_no_error_tells_a_secret(server: Receiver, bad: Answer) -> None:
    server.answers = lambda _: bad
    with pytest.raises(InvalidSettings) as raised:
        parameters.read(environment(server.url))
    assert "hidden" not in str(raised.value)
    assert raised.value.__cause__ is None
