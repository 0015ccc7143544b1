"""Outside MCP servers called through the sidecar: the official npm ones and ours by the same table, then odd ones."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openmanager.errors import (
    Disabled,
    Forbidden,
    InvalidSettings,
    NotFound,
    ServerFailed,
    ServerTimedOut,
    TooManyRequests,
)
from openmanager.security.roles import Identity
from openmanager.sidecar import invoke, service
from openmanager.sidecar.answer import Result

from infra.local.stack import Upstash
from tests.sidecar import ODD, PACKAGES, gone, npm_missing, sidecar

OPERATOR = Identity("ops", "operator")
FILES = {"directory_tree", "get_file_info", "list_allowed_directories", "list_directory", "list_directory_with_sizes"}
FILES |= {"read_file", "read_multiple_files", "read_text_file", "search_files"}
ADA = {"name": "Ada", "entityType": "person", "observations": ["is on call"]}


@pytest.fixture(params=["npm", "bundled"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "npm" and (reason := npm_missing()):
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that may be read, with something outside of it and a link to that."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "deep").mkdir(parents=True)
    outside.mkdir()
    (inside / "hello.md").write_text("one\ntwo\nthree\n")
    (inside / "deep" / "more.md").write_text("안녕하세요")
    (inside / "large.txt").write_text("x" * 200_000)
    (outside / "secret.txt").write_text("a secret")
    (inside / "way-out").symlink_to(outside / "secret.txt")
    return inside


@pytest.fixture
def official(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stores_env: dict[str, str]
) -> Iterator[str]:
    """Both official servers as the shipped file names them, over a folder and a memory of this test."""
    servers = {
        "filesystem": {"command": "npx", "args": ["@modelcontextprotocol/server-filesystem", str(folder)]},
        "memory": {
            "command": "npx",
            "args": ["@modelcontextprotocol/server-memory"],
            "env": {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")},
        },
        "web-search": {"command": "npx", "args": ["x"], "disabled": True},
    }
    packages = PACKAGES if kind == "npm" else tmp_path / "none"
    env = {"OPENMANAGER_MCP_PACKAGES": str(packages), "OPENMANAGER_RUNBOOKS": str(tmp_path / "no-runbooks")}
    with sidecar(monkeypatch, tmp_path, servers, **env):
        yield kind


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stores_env: dict[str, str]) -> Iterator[Path]:
    """A server that does what servers should not, in several settings."""
    servers = {
        "odd": {**ODD, "env": {"TOKEN": "${ODD_TOKEN}"}, "maxOutputBytes": 5000},
        "reading": {**ODD, "readerTools": ["end", "end_once", "sleep"], "timeoutSeconds": 20},
        "hasty": {**ODD, "timeoutSeconds": 0.5, "maxCalls": 1},
        "failing": {"command": ODD["command"], "args": [*ODD["args"], "--fail"], "env": {"TOKEN": "hush-hush-hush"}},
        "absent": {"command": "/no/such/program"},
        "unset": {"command": "x", "args": ["${NO_SUCH_VARIABLE}"]},
        "nowhere": {"url": "http://127.0.0.1:9/mcp", "headers": {"Authorization": "Bearer hush-hush-hush"}},
    }
    with sidecar(monkeypatch, tmp_path, servers, ODD_TOKEN="very-secret-token"):
        yield tmp_path


def ask(tool: str, server: str = "filesystem", **arguments: Any) -> Result:
    return invoke.call(server, tool, arguments, OPERATOR)


def pid(server: str) -> int:
    found = service.sidecar().connections[server].pid
    assert found is not None
    return found


def test_the_list_says_how_each_server_is_run_and_starts_none(official: str) -> None:
    listed = {server["name"]: server for server in service.servers()}
    assert [(s["name"], s["state"]) for s in listed.values()] == [
        ("filesystem", "idle"),
        ("memory", "idle"),
        ("web-search", "disabled"),
    ]
    assert listed["filesystem"]["kind"] == listed["memory"]["kind"] == official
    assert listed["memory"]["version"] == ("2026.8.31" if official == "npm" else None)
    ask("list_allowed_directories")
    assert {s["name"]: s["state"] for s in service.servers()}["filesystem"] == "connected"


def test_tools_are_listed_with_who_may_call_them(official: str) -> None:
    told = invoke.tools()
    assert told.failed == {}
    roles = {(tool.server, tool.name): tool.roles for tool in told.tools}
    assert {name for server, name in roles if server == "filesystem"} == FILES
    assert len([name for server, name in roles if server == "memory"]) == 9
    assert roles["filesystem", "read_text_file"] == roles["memory", "read_graph"] == service.READERS
    assert roles["memory", "create_entities"] == service.OPERATORS
    for tool in told.tools:
        assert tool.input_schema["type"] == "object"
        assert 0 < len(tool.description) <= 500


def test_files_are_read(official: str, folder: Path) -> None:
    assert ask("read_text_file", path="hello.md").text == "one\ntwo\nthree\n"
    assert ask("read_text_file", path=str(folder / "hello.md"), head=1).text.strip() == "one"
    assert ask("read_text_file", path="hello.md", tail=2).text.strip().endswith("three")
    assert ask("read_text_file", path="deep/more.md").structured == {"content": "안녕하세요"}
    many = ask("read_multiple_files", paths=["hello.md", "no.md"])
    assert "three" in many.text
    assert "no.md: Error - " in many.text
    assert set(ask("list_directory", path=".").text.split("\n")) == {
        "[FILE] hello.md",
        "[FILE] large.txt",
        "[FILE] way-out",
        "[DIR] deep",
    }
    assert "195.31 KB" in ask("list_directory_with_sizes", path=".", sortBy="size").text
    tree = json.loads(ask("directory_tree", path=str(folder), excludePatterns=["large.txt", "way-out"]).text)
    assert sorted(tree, key=lambda node: str(node["name"])) == [
        {"name": "deep", "type": "directory", "children": [{"name": "more.md", "type": "file"}]},
        {"name": "hello.md", "type": "file"},
    ]
    found = ask("search_files", path=str(folder), pattern="**/*.md").text.split("\n")
    assert sorted(found) == [str(folder / "deep/more.md"), str(folder / "hello.md")]
    assert ask("search_files", path=str(folder), pattern="*.txt").text == str(folder / "large.txt")
    assert "size: 14" in ask("get_file_info", path="hello.md").text
    assert str(folder) in ask("list_allowed_directories").text


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        ("read_text_file", "/etc/passwd"),
        ("read_text_file", "../outside/secret.txt"),
        ("read_text_file", "deep/../../outside/secret.txt"),
        ("read_text_file", "way-out"),
        ("list_directory", ".."),
        ("directory_tree", "/"),
        ("search_files", "/etc"),
        ("get_file_info", "/etc/passwd"),
    ],
)
def test_what_leads_out_of_the_folder_is_refused(official: str, tool: str, path: str) -> None:
    more = {"pattern": "**"} if tool == "search_files" else {}
    answer = ask(tool, path=path, **more)
    assert answer.is_error
    assert "denied" in answer.text.lower()
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_what_a_tool_refuses_is_an_answer(official: str) -> None:
    assert ask("read_text_file", path="no-such-file.md").is_error
    assert ask("read_text_file").is_error
    assert ask("read_text_file", path=["hello.md"]).is_error
    assert ask("add_observations", "memory", observations=[{"entityName": "Nobody", "contents": ["x"]}]).is_error


def test_an_answer_that_is_too_long_is_cut_and_says_so(official: str) -> None:
    answer = ask("read_text_file", path="large.txt")
    assert answer.cut
    assert answer.text.endswith("\n[cut here: the answer has 200000 bytes, of which 65536 are shown]")
    assert len(answer.text) < 65_700
    assert answer.structured is None


def test_only_reading_tools_of_files_can_be_called(official: str, folder: Path) -> None:
    for tool in ("write_file", "edit_file", "move_file", "create_directory", "no_such_tool"):
        with pytest.raises(NotFound, match=f"filesystem has no tool '{tool}'"):
            ask(tool, path=str(folder / "new.txt"), content="x")
    assert not (folder / "new.txt").exists()


def test_the_memory_remembers_and_forgets(official: str) -> None:
    grace = {"name": "Grace", "entityType": "person", "observations": []}
    relation = {"from": "Ada", "to": "Grace", "relationType": "relieves"}
    assert ask("create_entities", "memory", entities=[ADA, grace]).structured == {"entities": [ADA, grace]}
    assert ask("create_entities", "memory", entities=[ADA]).structured == {"entities": []}
    assert ask("create_relations", "memory", relations=[relation]).structured == {"relations": [relation]}
    added = ask("add_observations", "memory", observations=[{"entityName": "Ada", "contents": ["is on call", "근무"]}])
    assert added.structured == {"results": [{"entityName": "Ada", "addedObservations": ["근무"]}]}
    both = {"entities": [ADA | {"observations": ["is on call", "근무"]}], "relations": [relation]}
    assert ask("search_nodes", "memory", query="근무").structured == both
    assert ask("open_nodes", "memory", names=["Ada"]).structured == both
    ask("delete_observations", "memory", deletions=[{"entityName": "Ada", "observations": ["근무"]}])
    ask("delete_relations", "memory", relations=[relation])
    assert ask("read_graph", "memory").structured == {"entities": [ADA, grace], "relations": []}
    assert ask("delete_entities", "memory", entityNames=["Ada"]).text == "Entities deleted successfully"
    # By the text, too, which is what models read.
    assert json.loads(ask("read_graph", "memory").text) == {"entities": [grace], "relations": []}


def test_who_only_reads_reads(official: str) -> None:
    assert invoke.call("filesystem", "read_text_file", {"path": "hello.md"}).text.startswith("one")
    assert invoke.call("memory", "read_graph", {}).structured == {"entities": [], "relations": []}
    with pytest.raises(Forbidden, match="memory/create_entities is for the roles operator, admin; yours is viewer"):
        invoke.call("memory", "create_entities", {"entities": [ADA]})


def test_what_is_disabled_or_unknown_says_so(official: str) -> None:
    with pytest.raises(Disabled, match="web-search"):
        invoke.call("web-search", "search", {})
    with pytest.raises(NotFound, match="no MCP server 'nobody'"):
        invoke.call("nobody", "search", {})


@pytest.mark.parametrize("kind", ["npm"], indirect=True)
def test_an_official_server_that_crashes_is_started_again(official: str) -> None:
    ask("list_directory", path=".")
    first = pid("filesystem")
    os.kill(first, signal.SIGKILL)
    assert ask("read_text_file", path="hello.md").text.startswith("one")
    assert pid("filesystem") != first


@pytest.mark.parametrize("kind", ["npm"], indirect=True)
def test_an_official_server_that_hangs_is_given_up_and_replaced(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["@modelcontextprotocol/server-filesystem", str(folder)]
    # Time enough for node to start on a busy machine; it is spent once, by the call that hangs.
    servers = {"filesystem": {"command": "npx", "args": args, "timeoutSeconds": 8}}
    with sidecar(monkeypatch, tmp_path, servers, OPENMANAGER_MCP_PACKAGES=str(PACKAGES)):
        ask("list_directory", path=".")
        hanging = pid("filesystem")
        os.kill(hanging, signal.SIGSTOP)
        with pytest.raises(ServerTimedOut, match="filesystem: no answer to list_directory within 8 s"):
            ask("list_directory", path=str(folder))
        assert gone(hanging)
        assert "hello.md" in ask("list_directory", path=str(folder)).text


@pytest.mark.parametrize("kind", ["npm"], indirect=True)
def test_no_child_is_left_behind(official: str) -> None:
    ask("list_directory", path=".")
    ask("read_graph", "memory")
    children = [pid("filesystem"), pid("memory")]
    service.close()
    assert all(map(gone, children))


@pytest.mark.parametrize("kind", ["bundled"], indirect=True)
def test_a_memory_whose_store_is_away_is_a_failed_server(official: str, upstash: Upstash) -> None:
    ask("create_entities", "memory", entities=[ADA])
    with upstash.away(), pytest.raises(ServerFailed, match=r"^memory: Redis does not answer$"):
        ask("read_graph", "memory")
    assert ask("read_text_file", path="hello.md").text


@pytest.mark.parametrize("kind", ["bundled"], indirect=True)
def test_our_memory_loses_nothing_when_many_write_at_once_and_is_bounded(official: str) -> None:
    # One client of Redis for all of them.
    ask("read_graph", "memory")
    names = [f"entity {i}" for i in range(4)]
    failed: list[Exception] = []

    def remember(name: str) -> None:
        try:
            ask("create_entities", "memory", entities=[ADA | {"name": name}])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=remember, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    graph = ask("read_graph", "memory").structured
    assert sorted(entity["name"] for entity in graph["entities"]) == names
    full = ADA | {"name": "full", "observations": [f"{i:4}" * 1024 for i in range(80)]}
    answer = ask("create_entities", "memory", entities=[full])
    assert answer.is_error
    assert "forget something first" in answer.text
    assert ask("open_nodes", "memory", names=["full"]).structured == {"entities": [], "relations": []}


@pytest.mark.parametrize("kind", ["bundled"], indirect=True)
def test_our_files_are_no_pipes_and_not_more_than_is_read_at_once(official: str, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert ask("read_text_file", path="pipe").is_error
    (folder / "loop").symlink_to(folder / "loop")
    assert ask("read_text_file", path="loop").is_error
    assert ask("read_text_file", path="a" * 4000).is_error
    with (folder / "huge.log").open("wb") as file:
        file.truncate(3 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe last line\n")
    assert ask("read_text_file", path="huge.log", tail=1).text == "the last line\n"
    assert ask("read_text_file", path="huge.log").cut


def test_the_shipped_settings_serve_the_runbooks_where_there_is_no_workspace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.setenv("OPENMANAGER_MCP_PACKAGES", str(tmp_path))
    service.close()
    try:
        index = invoke.call("filesystem", "read_text_file", {"path": "index.md"}).text
        topics = [line.removeprefix("- ").partition(":")[0] for line in index.splitlines() if line.startswith("- ")]
        assert len(topics) == 5
        for topic in topics:
            for name in (f"{topic}.md", f"{topic}.ko.md"):
                assert len(invoke.call("filesystem", "read_text_file", {"path": name}).text) > 500
        (note,) = [server["notice"] for server in service.servers() if server["name"] == "filesystem"]
        assert "no such folder here" in note or Path("/workspace").is_dir()
    finally:
        service.close()


def test_a_child_knows_its_own_environment_and_nothing_of_ours(odd: Path, stores_env: dict[str, str]) -> None:
    known = json.loads(invoke.call("reading", "environment", {}, OPERATOR).text)
    assert not known.keys() & (stores_env.keys() | {"ODD_TOKEN", "TOKEN", "OPENMANAGER_MCP_SETTINGS"})
    assert "PATH" in known
    # What it was given it may be made to tell, but not by us.
    told = invoke.call("odd", "environment", {}, OPERATOR).text
    assert json.loads(told)["TOKEN"] == "***"


def test_a_crash_names_the_server_and_how_it_ended_without_secrets(odd: Path) -> None:
    with pytest.raises(ServerFailed) as caught:
        ask("end", "odd")
    assert str(caught.value).startswith("odd: ended while it was asked: ended with status 3; it wrote: giving up")
    assert "very-secret-token" not in str(caught.value)
    assert ask("echo", "odd", a=1).text == '{"a": 1}'


def test_a_tool_that_reads_is_called_again_once_and_no_more(odd: Path) -> None:
    assert json.loads(ask("end_once", "reading", mark=str(odd / "mark")).text)
    with pytest.raises(ServerFailed, match="reading: ended while it was asked"):
        ask("end", "reading")


def test_a_tool_that_may_do_something_is_not_called_twice(odd: Path) -> None:
    with pytest.raises(ServerFailed, match="odd: ended while it was asked"):
        ask("end_once", "odd", mark=str(odd / "mark"))
    assert (odd / "mark").exists()


def test_a_server_that_does_not_start_says_why_without_secrets(odd: Path) -> None:
    with pytest.raises(ServerFailed) as caught:
        ask("echo", "failing")
    assert "failing: did not start" in str(caught.value)
    assert "no access with ***" in str(caught.value)
    with pytest.raises(ServerFailed, match="absent: did not start: /no/such/program: No such file"):
        ask("echo", "absent")
    with pytest.raises(ServerFailed, match=r"unset: mcpServers.unset.args\[0\]: the variable NO_SUCH_VARIABLE"):
        ask("echo", "unset")
    with pytest.raises(ServerFailed, match="nowhere: did not start: ConnectError"):
        ask("echo", "nowhere")
    told = invoke.tools()
    # On a busy machine the hasty one may not have started in time.
    assert told.failed.keys() - {"hasty"} == {"failing", "absent", "unset", "nowhere"}
    assert {tool.server for tool in told.tools} - {"hasty"} == {"odd", "reading"}
    states = {server["name"]: server["state"] for server in service.servers()}
    assert states["failing"] == states["unset"] == "failed"
    assert "hush-hush-hush" not in json.dumps([told.failed, service.servers()])


def test_a_call_that_takes_too_long_is_given_up(odd: Path) -> None:
    with pytest.raises(ServerTimedOut, match=r"hasty: no answer to sleep within 0.5 s"):
        ask("sleep", "hasty", seconds=60)


def test_no_more_calls_at_once_than_allowed(odd: Path) -> None:
    connection = service.sidecar().connections["hasty"]
    connection._running = 1
    with pytest.raises(TooManyRequests, match="hasty: 1 calls are going on"):
        ask("echo", "hasty")


def test_a_long_line_is_cut_and_an_endless_one_ends_its_server(odd: Path) -> None:
    shouted = ask("shout", "odd", times=50000, sign="가")
    assert shouted.cut
    assert shouted.text.startswith("가가")
    assert "has 150000 bytes, of which 5000 are shown" in shouted.text
    with pytest.raises(ServerFailed, match="said more than 8 MiB at once"):
        ask("shout", "odd", times=9 << 20)
    assert ask("echo", "odd").text == "{}"


def test_what_is_no_answer_is_a_failure_and_what_is_no_text_is_named(odd: Path) -> None:
    with pytest.raises(ServerFailed, match="odd: its answer is out of form"):
        ask("nonsense", "odd")
    assert ask("odd_content", "odd").text == "[image/png: not shown]\na picture"
    assert ask("echo", "odd", error=1).is_error


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with sidecar(monkeypatch, tmp_path, {"it": {"command": 7}}):
        with pytest.raises(InvalidSettings, match=r"mcp_settings.json: mcpServers.it.command: must be a text"):
            service.servers()
        (tmp_path / "mcp_settings.json").write_text("{")
        with pytest.raises(InvalidSettings, match=r"mcp_settings.json: is no JSON"):
            service.servers()
        (tmp_path / "mcp_settings.json").unlink()
        with pytest.raises(InvalidSettings, match=r"OPENMANAGER_MCP_SETTINGS: mcp_settings.json: No such file"):
            service.servers()
