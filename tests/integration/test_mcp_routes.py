"""/api/mcp…: who may call which outside tool, what is recorded, how failures are told, and calls by other functions."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openmanager import errors, tracing
from openmanager.security.roles import USER_ROLES, Identity
from openmanager.settings import settings
from openmanager.sidecar import invoke as outside
from openmanager.stores import audit

from functions.mcp.handler import handler
from infra.openapi import ROOT
from tests.credentials import JWT_KEYS, api_key
from tests.events import Context, Reply, invoke
from tests.outside import odd
from tests.packaging.artifacts import Artifacts, declared
from tests.packaging.function import LambdaFunction
from tests.receivers import Answer, Received, Receiver, running
from tests.sidecar import ODD, gone, sidecar

MEMORY = {"command": "npx", "args": ["@modelcontextprotocol/server-memory"]}
# The receiver closes each connection.
CLOSES = {"Connection": "close"}
KIND = {**CLOSES, "Content-Type": "application/json"}
ADA = {"name": "Ada", "entityType": "person", "observations": []}


class Remote:
    """An MCP server at an address, which forgets its sessions when it is told to."""

    def __init__(self) -> None:
        self.session = 1
        self.headers: list[dict[str, str]] = []

    def __call__(self, request: Received) -> Answer:
        message, sent = json.loads(request.body), {name.lower(): value for name, value in request.headers.items()}
        self.headers.append(sent)
        if message["method"] == "server/discover":
            return Answer(400, CLOSES)
        if message["method"] != "initialize" and sent.get("mcp-session-id") != str(self.session):
            return Answer(404, CLOSES)
        if "id" not in message:
            return Answer(202, CLOSES, b"")
        result = odd.answer(message["method"], message.get("params", {}))
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        return Answer(200, {**KIND, "Mcp-Session-Id": str(self.session)}, body)


@pytest.fixture
def remote() -> Iterator[tuple[Remote, str]]:
    with running(Receiver()) as receiver:
        receiver.answers = Remote()
        yield receiver.answers, f"http://127.0.0.1:{receiver.server_port}/mcp"


@pytest.fixture
def servers(
    stores_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: tuple[Remote, str]
) -> Iterator[None]:
    named = {
        "memory": MEMORY,
        "odd": {**ODD, "readerTools": ["echo"]},
        "hasty": {**ODD, "timeoutSeconds": 1},
        "staying": {"command": ODD["command"], "args": [*ODD["args"], "--stay"]},
        "off": {**ODD, "disabled": True},
        "failing": {"command": ODD["command"], "args": [*ODD["args"], "--fail"], "env": {"TOKEN": "${ITS_TOKEN}"}},
        "remote": {"url": f"{remote[1]}?key=in-the-address", "headers": {"Authorization": "Bearer ${ITS_TOKEN}"}},
    }
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    env = {"ITS_TOKEN": "secret-of-the-remote", "OPENMANAGER_MCP_PACKAGES": str(tmp_path)}
    with sidecar(monkeypatch, tmp_path, named, **env):
        yield


def get(path: str, role: str = "admin") -> Any:
    reply = invoke(handler, "GET", path, key=api_key(role))
    assert reply.status == 200, reply.body
    return reply.json()


def call(path: str, role: str = "operator", document: Any = None, **arguments: Any) -> Reply:
    body = json.dumps({"arguments": arguments} if document is None else document).encode()
    return invoke(handler, "POST", f"/api/mcp/tools/{path}", key=api_key(role), body=body)


def test_a_tool_is_called(servers: None) -> None:
    assert call("odd/echo", "viewer", a=[1, "둘"]).json() == {
        "server": "odd",
        "tool": "echo",
        "text": json.dumps({"a": [1, "둘"]}),
        "structured": None,
        "is_error": False,
        "cut": False,
    }
    assert call("memory/create_entities", entities=[ADA]).json()["structured"] == {"entities": [ADA]}


@pytest.mark.parametrize("role", USER_ROLES)
def test_what_reads_is_for_readers_and_the_rest_for_operators(role: str, servers: None) -> None:
    operates = role in ("operator", "admin")
    assert call("memory/read_graph", role).status == call("odd/echo", role).status == 200
    assert call("memory/create_entities", role, entities=[ADA]).status == (200 if operates else 403)
    assert call("odd/environment", role).status == (200 if operates else 403)
    listed = {(tool["server"], tool["name"]): tool["roles"] for tool in get("/api/mcp/tools", role)["tools"]}
    assert (role in listed["memory", "create_entities"], role in listed["memory", "read_graph"]) == (operates, True)


def test_what_does_something_is_in_the_audit_log_and_what_reads_is_not(servers: None) -> None:
    call("memory/read_graph")
    call("memory/create_entities", entities=[ADA])
    call("odd/end")
    rows = [row for row in audit.read(0, 100) if row["action"] == "mcp.call"]
    assert [(row["target"], row["address"]) for row in rows] == [
        ("memory/create_entities", "192.0.2.1"),
        ("odd/end", "192.0.2.1"),
    ]
    assert all(row["actor"].startswith("operator") and row["after"] for row in rows)


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("nobody/echo", 404, "no MCP server 'nobody'"),
        ("odd/nothing", 404, "odd has no tool 'nothing'"),
        ("off/echo", 409, "off: is disabled"),
        ("odd/end", 502, "odd: ended while it was asked: ended with status 3"),
        ("failing/echo", 502, "failing: did not start"),
        ("hasty/sleep", 504, "hasty: no answer to sleep within 1 s"),
    ],
)
def test_a_failure_says_which_server_and_why(path: str, status: int, detail: str, servers: None) -> None:
    reply = call(path, seconds=30)
    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"].startswith(detail)
    assert "secret-of-the-remote" not in reply.body.decode()


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "body"),
        ({"arguments": []}, "arguments"),
        ({"path": "x"}, "path"),
        ({"arguments": {"a": "\ud800"}}, "arguments"),
    ],
)
def test_a_call_of_another_shape_is_refused(document: Any, field: str, servers: None) -> None:
    reply = call("odd/echo", document=document)
    assert (reply.status, reply.json()["field"]) == (400, field)


def test_the_list_hides_secrets_from_all_and_reasons_from_viewers(servers: None) -> None:
    assert "failing" in get("/api/mcp/tools")["failed"]
    for role in USER_ROLES:
        listed = {server["name"]: server for server in get("/api/mcp/servers", role)["servers"]}
        assert list(listed) == ["memory", "odd", "hasty", "staying", "off", "failing", "remote"]
        assert listed["failing"]["state"] == "failed"
        assert ("reason" in listed["failing"]) == (role != "viewer")
        assert "secret-of-the-remote" not in json.dumps(listed)
        assert not {"command", "args", "env", "url", "headers"} & listed["odd"].keys()
    assert "no access with ***" in get("/api/mcp/servers")["servers"][5]["reason"]


def test_a_remote_server_gets_its_headers_and_may_forget_a_session(
    servers: None, remote: tuple[Remote, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    assert call("remote/echo", a=1).json()["text"] == '{"a": 1}'
    peer = remote[0]
    assert {sent["authorization"] for sent in peer.headers} == {"Bearer secret-of-the-remote"}
    peer.session = 2
    # A tool that may do something is not called a second time by us; the next call has a session again.
    assert call("remote/echo", a=1).status == 502
    assert call("remote/echo", a=2).json()["text"] == '{"a": 2}'
    assert caplog.records
    assert "secret-of-the-remote" not in caplog.text
    assert "key=in-the-address" not in caplog.text


def test_a_remote_server_hears_to_which_trace_each_call_belongs(servers: None, remote: tuple[Remote, str]) -> None:
    ids = ["a" * 32, "b" * 32]
    for trace_id in ids:
        headers = {"traceparent": f"00-{trace_id}-{'1' * 16}-01"}
        path = "/api/mcp/tools/remote/echo"
        body = json.dumps({"arguments": {}}).encode()
        assert invoke(handler, "POST", path, key=api_key("operator"), headers=headers, body=body).status == 200
    told = [sent["traceparent"].split("-") for sent in remote[0].headers]
    # The connection is the first caller's, the calls on it are their own.
    assert (told[0][1], told[-1][1]) == tuple(ids)
    assert {trace_id for _, trace_id, _, _ in told} == set(ids)
    assert len({span for _, _, span, _ in told} - {"1" * 16}) == len(told)


def test_a_gateway_that_is_stopped_leaves_no_child_behind(
    servers: None, stores_env: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = [sys.executable, "-m", "infra.local.serve", "tests.sidecar:app", str(listener.fileno())]
        path = os.pathsep.join((str(ROOT), str(ROOT / "layers/core/python")))
        process = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": path}, pass_fds=[listener.fileno()])
        try:
            request = urllib.request.Request(
                f"http://127.0.0.1:{listener.getsockname()[1]}/api/mcp/tools/staying/pid",
                b"{}",
                {"Authorization": f"Bearer {stores_env['OPENMANAGER_API_KEY']}"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                child = int(json.load(answer)["text"])
            assert not gone(child)
        finally:
            process.terminate()
            assert process.wait(30) == 0
    assert gone(child)


def test_as_it_is_packaged_it_finds_its_settings_and_runbooks_and_stays_warm(
    lambda_artifacts: Artifacts, tmp_path: Path
) -> None:
    asked = {"mcp": "call", "server": "filesystem", "tool": "read_text_file", "name": "x", "role": "viewer"}
    env, log = {"OPENMANAGER_API_KEY": "k" * 32}, tmp_path / "log"
    with LambdaFunction(lambda_artifacts, "mcp", declared()["mcp"], env, log) as function:
        for _ in range(2):
            answer = function({**asked, "arguments": {"path": "server-silent.ko.md"}, "address": ""}).payload
            assert answer["result"]["text"].startswith("# 서버 무응답\n")
    assert log.read_text() == ""


def test_another_function_asks_by_an_event(servers: None) -> None:
    asked = {"mcp": "call", "server": "odd", "tool": "echo", "arguments": {"a": 1}, "name": "x", "role": "viewer"}
    assert handler({**asked, "address": ""}, Context())["result"]["text"] == '{"a": 1}'
    refused = handler({**asked, "tool": "environment", "address": ""}, Context())
    assert refused["error"]["type"] == "Forbidden"
    assert "odd" in {tool["server"] for tool in handler({"mcp": "tools"}, Context())["result"]["tools"]}


@pytest.fixture(params=["in process", "by Lambda"])
def way(request: pytest.FixtureRequest, servers: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """As a function asks where all share a process, and as it does on AWS: by boto3, over HTTP."""
    if request.param == "in process":
        yield "in process"
        return

    def invoked(one: Received) -> Answer:
        assert one.path == "/2015-03-31/functions/the-mcp-function/invocations"
        return Answer(200, CLOSES, json.dumps(handler(json.loads(one.body), Context())).encode())

    with running(Receiver()) as lambdas:
        lambdas.answers = invoked
        for name, value in {
            "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{lambdas.server_port}",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "OPENMANAGER_MCP_FUNCTION": "the-mcp-function",
        }.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        outside.connect.cache_clear()
        yield "by Lambda"
        assert lambdas.received
        outside.connect().close()
        outside.connect.cache_clear()


def test_what_another_function_asks_stays_in_its_trace(way: str, remote: tuple[Remote, str]) -> None:
    with tracing.within(tracing.Trace("c" * 32, "1" * 16)):
        assert outside.call("remote", "echo", {}, Identity("x", "operator")).text == "{}"
    told = [sent["traceparent"].split("-") for sent in remote[0].headers]
    assert {trace_id for _, trace_id, _, _ in told} == {"c" * 32}
    assert "1" * 16 not in {span for _, _, span, _ in told}


def test_functions_call_and_list_tools_the_same_way_everywhere(way: str) -> None:
    assert outside.call("odd", "echo", {"a": 1}).text == '{"a": 1}'
    told = outside.tools()
    # On a busy machine the hasty one may not have started in time.
    assert told.failed.keys() - {"hasty"} == {"failing"}
    (tool,) = [tool for tool in told.tools if (tool.server, tool.name) == ("odd", "echo")]
    assert tool.roles == ("viewer", "operator", "admin", "auditor")


@pytest.mark.parametrize(
    ("server", "tool", "error"),
    [
        ("nobody", "echo", errors.NotFound),
        ("off", "echo", errors.Disabled),
        ("odd", "environment", errors.Forbidden),
        ("failing", "echo", errors.Forbidden),
    ],
)
def test_a_function_hears_of_errors_the_same_way_everywhere(
    server: str, tool: str, error: type[Exception], way: str
) -> None:
    with pytest.raises(error, match=server):
        outside.call(server, tool, {})


def test_failures_keep_their_kind_on_the_way(way: str) -> None:
    operator = Identity("ops", "operator")
    with pytest.raises(errors.ServerFailed, match="failing: did not start"):
        outside.call("failing", "echo", {}, operator)
    with pytest.raises(errors.ServerTimedOut, match="hasty"):
        outside.call("hasty", "sleep", {"seconds": 9}, operator)


def test_a_function_that_cannot_be_invoked_is_a_failed_server(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = iter(
        [Answer(500, CLOSES), Answer(200, {**CLOSES, "X-Amz-Function-Error": "Unhandled"}, b'{"errorMessage": "boom"}')]
    )
    with running(Receiver()) as lambdas:
        lambdas.answers = lambda _: next(broken)
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{lambdas.server_port}")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("OPENMANAGER_MCP_FUNCTION", "it")
        settings.cache_clear()
        outside.connect.cache_clear()
        with pytest.raises(errors.ServerFailed, match="the mcp function: ClientError"):
            outside.call("odd", "echo", {})
        with pytest.raises(errors.ServerFailed, match="ended without an answer"):
            outside.call("odd", "echo", {})
        outside.connect().close()
        outside.connect.cache_clear()
