"""Our MCP server as others' clients find it: the SDKs of both eras, the Inspector, a conformance suite; and its weight.

Over HTTP behind the local gateway, and over standard input and output.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from openmanager.settings import settings

from infra.local.process import listen
from infra.local.stack import Upstash
from infra.openapi import ROOT
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS, api_key
from tests.integration.test_mcp_server import use_everything
from tests.live import PATIENCE_S
from tests.mcp_fleet import CALLS, MODES, call, client, fill, send

CLIENTS = Path(__file__).resolve().parents[1] / "mcp_clients"
PROGRAMS = CLIENTS / "node_modules/.bin"
OLDER = ROOT / ".venv-mcp-clients/bin/python"
# Of the conformance suite what needs no tools of its own making; the rest calls `test_…` tools, or asks for what we do
# not offer (subscriptions, logging, completion).
SCENARIOS = ("server-initialize", "ping", "tools-list", "resources-list", "prompts-list", "dns-rebinding-protection")
MOST_LISTED, MOST_ANSWERED = 3_000, 2_000
# What holds where no tokenizer is. By o200k_base the list has 4 octets a token and answers, of digits mostly, 1.6 to 4;
# the heaviest has 1,200 tokens.
MOST_LISTED_OCTETS, MOST_ANSWERED_OCTETS = 11_500, 5_000

needs_clients = pytest.mark.skipif(
    shutil.which("node") is None or not PROGRAMS.is_dir(),
    reason="no node, or no clients for it: make mcp-clients",
)
needs_older = pytest.mark.skipif(
    not OLDER.exists(), reason="the SDK of the older protocol is not here: make mcp-clients"
)


@pytest.fixture
def fleet(stores_env: dict[str, str], empty_redis: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A judged fleet of 200 with alerts, a past and a record."""
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    settings.cache_clear()
    fill(empty_redis)
    yield
    settings.cache_clear()


@contextmanager
def serving(factory: str = "infra.gateway:app") -> Iterator[str]:
    """The gateway in a process of its own, as the local stack starts it: its address."""
    with listen("127.0.0.1", 0) as listener:
        os.set_inheritable(listener.fileno(), True)
        argv = [sys.executable, "-m", "infra.local.serve", factory, str(listener.fileno())]
        env = os.environ | {"OPENMANAGER_SERVICE": str(ROOT / "serverless.yml"), "PYTHONPATH": PATHS}
        with subprocess.Popen(argv, env=env, cwd=ROOT, pass_fds=(listener.fileno(),)) as process:
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                process.terminate()


PATHS = os.pathsep.join((str(ROOT), str(ROOT / "layers/core/python")))


@pytest.fixture
def url(fleet: None) -> Iterator[str]:
    with serving() as address:
        yield address


def right(found: dict[str, Any]) -> bool:
    return all(not found[name].is_error and found[name].structured_content["as_of"] for name in CALLS)


def test_the_sdk_s_client_uses_everything_over_http_in_both_eras(url: str) -> None:
    for mode in MODES:
        assert right(asyncio.run(use_everything(client(f"{url}/mcp", API_KEY, mode))))


def bridge(url: str, token: str) -> StdioServerParameters:
    env = {"PYTHONPATH": PATHS, "OPENMANAGER_URL": url, "OPENMANAGER_TOKEN": token}
    return StdioServerParameters(command=sys.executable, args=["-m", "openmanager", "mcp"], env=env)


def test_the_sdk_s_client_uses_everything_over_standard_input_and_output_in_both_eras(url: str) -> None:
    for mode in MODES:
        assert right(asyncio.run(use_everything(Client(bridge(url, API_KEY), mode=mode))))


def test_over_standard_input_the_role_is_the_credential_s(url: str) -> None:
    async def refused() -> Any:
        async with Client(bridge(url, api_key("viewer"))) as session:
            return await session.call_tool("silence", CALLS["silence"])

    result = asyncio.run(refused())
    assert result.is_error
    assert "for the roles operator, admin; yours is viewer" in result.content[0].text


def talk(env: dict[str, str], lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openmanager", "mcp"],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": PATHS, **env},
    )


def test_standard_output_has_messages_and_nothing_else(url: str) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    messages = [
        {"jsonrpc": "2.0", "id": "가", "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "no/such"},
    ]
    lines = [*(json.dumps(m, ensure_ascii=False) for m in messages), "", "not JSON", "[]", json.dumps("x" * 300_000)]
    done = talk({"OPENMANAGER_URL": url, "OPENMANAGER_TOKEN": API_KEY}, "\n".join(lines))
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert all(message["jsonrpc"] == "2.0" for message in said)
    by_id = {message.get("id"): message for message in said}
    assert by_id["가"]["result"]["protocolVersion"] == "2025-11-25"
    assert len(by_id[2]["result"]["tools"]) == len(CALLS)
    assert by_id[3]["error"]["code"] == -32601
    # The two that are no messages, and the one that is too large.
    assert len(said) == 6
    assert "HTTP 413" in done.stderr


def test_what_keeps_the_bridge_from_working_is_said_on_standard_error(url: str, tmp_path: Path) -> None:
    nowhere = talk({"OPENMANAGER_URL": "http://127.0.0.1:9", "OPENMANAGER_TOKEN": "x"}, "")
    wrong = talk({"OPENMANAGER_URL": url, "OPENMANAGER_TOKEN": "letmein"}, "")
    agent = talk({"OPENMANAGER_URL": url, "OPENMANAGER_TOKEN": api_key("agent")}, "")
    nothing = talk({"OPENMANAGER_DATA": str(tmp_path)}, "")
    assert [done.returncode for done in (nowhere, wrong, agent, nothing)] == [1, 1, 1, 1]
    assert [done.stdout for done in (nowhere, wrong, agent, nothing)] == [""] * 4
    assert "mcp: nothing answers at http://127.0.0.1:9" in nowhere.stderr
    assert "does not take this credential" in wrong.stderr
    assert "yours is agent" in agent.stderr
    assert "make run" in nothing.stderr
    assert "Traceback" not in nowhere.stderr + wrong.stderr + agent.stderr + nothing.stderr


@needs_older
@pytest.mark.interop
def test_the_last_sdk_of_the_older_protocol_lists_and_calls_every_tool(url: str) -> None:
    done = subprocess.run(
        [OLDER, CLIENTS / "older.py", f"{url}/mcp"],
        input=json.dumps(CALLS),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={"PATH": os.environ["PATH"], "OPENMANAGER_TOKEN": API_KEY},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"] == "2025-11-25"
    assert sorted(found["tools"]) == sorted(CALLS)
    assert found["called"] == {name: [False, True] for name in CALLS}
    assert found["read"] > 100
    assert len(found["prompts"]) == 3


def inspect(*argv: str) -> Any:
    program = str(PROGRAMS / "mcp-inspector")
    done = subprocess.run(
        [program, "--cli", *argv], capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=CLIENTS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def named(tool: str) -> list[str]:
    """How its command line is told to call a tool."""
    arguments = CALLS[tool].items()
    given = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in arguments]
    return ["--method", "tools/call", "--tool-name", tool, *(["--tool-arg", *given] if given else [])]


@needs_clients
@pytest.mark.interop
def test_the_inspector_lists_and_calls_every_tool_over_http(fleet: None) -> None:
    # Its command line of this version sends no headers of ours.
    with serving("tests.mcp_fleet:with_key") as address:
        there = [f"{address}/mcp", "--transport", "http"]
        assert {tool["name"] for tool in inspect(*there, "--method", "tools/list")["tools"]} == CALLS.keys()
        for tool in CALLS:
            result = inspect(*there, *named(tool))
            assert not result.get("isError"), (tool, result)
            assert result["structuredContent"]["as_of"]
        assert len(inspect(*there, "--method", "prompts/list")["prompts"]) == 3
        assert len(inspect(*there, "--method", "resources/templates/list")["resourceTemplates"]) == 3


@needs_clients
@pytest.mark.interop
def test_the_inspector_lists_and_calls_over_standard_input_and_output(url: str) -> None:
    env = {"PYTHONPATH": PATHS, "OPENMANAGER_URL": url, "OPENMANAGER_TOKEN": API_KEY}
    there = [part for name, value in env.items() for part in ("-e", f"{name}={value}")]
    there += [sys.executable, "-m", "openmanager", "mcp"]
    assert len(inspect(*there, "--method", "tools/list")["tools"]) == len(CALLS)
    assert inspect(*there, *named("query_metrics"))["structuredContent"]["series"]["cpu_utilization"]["unit"] == "%"


@needs_clients
@pytest.mark.interop
def test_the_conformance_suite_passes_what_applies(fleet: None) -> None:
    with serving("tests.mcp_fleet:with_key") as address:
        for scenario in SCENARIOS:
            argv = [str(PROGRAMS / "conformance"), "server", "--url", f"{address}/mcp", "--scenario", scenario]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
            assert done.returncode == 0, done.stdout
            assert ", 0 failed, 0 warnings" in done.stdout


def weighed() -> dict[str, str]:
    """The list of tools and each tool's default answer, as they are sent."""
    tools = send("tools/list").json()["result"]["tools"]
    texts = {"the list": json.dumps(tools, ensure_ascii=False, separators=(",", ":"))}
    for name, arguments in CALLS.items():
        result = call(name, arguments)
        data = json.dumps(result["structuredContent"], ensure_ascii=False, separators=(",", ":"))
        texts |= {f"{name} as text": result["content"][0]["text"], f"{name} as data": data}
    return texts


def test_the_list_and_default_answers_are_light_in_octets(fleet: None) -> None:
    for name, text in weighed().items():
        most = MOST_LISTED_OCTETS if name == "the list" else MOST_ANSWERED_OCTETS
        assert len(text.encode()) <= most, name


@needs_clients
def test_the_list_and_default_answers_are_light_in_tokens(fleet: None, record_property: Any) -> None:
    texts = weighed()
    done = subprocess.run(
        ["node", CLIENTS / "count.cjs"], input=json.dumps([*texts.values()]), capture_output=True, text=True, check=True
    )
    tokens = dict(zip(texts, json.loads(done.stdout), strict=True))
    heaviest = {form: max((n, name) for name, n in tokens.items() if name.endswith(form)) for form in ("text", "data")}
    record_property("told", f"MCP, tokens by o200k_base: the list {tokens['the list']}, heaviest answers {heaviest}")
    assert tokens.pop("the list") <= MOST_LISTED
    assert {name: n for name, n in tokens.items() if n > MOST_ANSWERED} == {}
    # Some clients hand both forms on.
    assert max(tokens[f"{name} as text"] + tokens[f"{name} as data"] for name in CALLS) <= MOST_ANSWERED
