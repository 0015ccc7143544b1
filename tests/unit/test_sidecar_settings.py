"""mcp_settings.json: what is read, how mistakes are named, and how a server is then run."""

import json
from pathlib import Path
from typing import Any

import pytest
from openmanager.errors import InvalidSettings
from openmanager.sidecar.settings import Server, hide, read
from openmanager.sidecar.way import FILESYSTEM, MEMORY, TESTED, Place, choose

from infra.openapi import ROOT


def one(variables: dict[str, str] | None = None, **entry: Any) -> Server:
    (server,) = read({"mcpServers": {"it": entry}}, variables or {})
    return server


def place(folder: Path, **more: Any) -> Place:
    (folder / "runbooks").mkdir(exist_ok=True)
    return Place(folder / "node_modules", folder / "runbooks", more.pop("downloads", False), more)


def install(folder: Path, package: str, program: str = "dist/index.js") -> Path:
    home = folder / "node_modules" / package
    home.mkdir(parents=True)
    (home / "package.json").write_text(json.dumps({"version": "9.9.9", "bin": {"it": program}}))
    node = folder / "bin" / "node"
    node.parent.mkdir()
    node.touch(0o755)
    return home / program


def test_the_shipped_file_has_two_servers_and_one_that_is_disabled() -> None:
    servers = read(json.loads((ROOT / "mcp_settings.json").read_text()), {})
    assert [(s.name, s.command, s.disabled) for s in servers] == [
        ("filesystem", "npx", False),
        ("memory", "npx", False),
        ("web-search", "npx", True),
    ]
    assert servers[0].args == (FILESYSTEM, "/workspace")
    assert servers[0].env == {}


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ([], "mcpServers.it: must be an object"),
        ({}, "mcpServers.it: needs either `command` or `url`"),
        ({"command": "a", "url": "https://b"}, "mcpServers.it: needs either"),
        ({"command": 7}, "mcpServers.it.command: must be a text"),
        ({"command": "a", "args": "b"}, "mcpServers.it.args: must be a list"),
        ({"command": "a", "args": ["b", 7]}, "mcpServers.it.args[1]: must be a text"),
        ({"command": "a", "args": ["\0"]}, "mcpServers.it.args[0]: must be a text"),
        ({"command": "a", "env": {"B": 7}}, "mcpServers.it.env.B: must be a text"),
        ({"command": "a", "headers": {}}, "mcpServers.it.headers: does not go with `command`"),
        ({"url": "https://a", "args": []}, "mcpServers.it.args: does not go with `url`"),
        ({"url": "file:///etc/passwd"}, "mcpServers.it.url: must begin with"),
        ({"url": "https://a", "type": "sse"}, "mcpServers.it.type: 'sse' is none of"),
        ({"command": "a", "disabled": "yes"}, "mcpServers.it.disabled: must be true or false"),
        ({"command": "a", "allowedtools": []}, "mcpServers.it.allowedtools: is no setting"),
        ({"command": "a", "allowedTools": [7]}, "mcpServers.it.allowedTools[0]: must be a text"),
        ({"command": "a", "timeoutSeconds": 26}, "mcpServers.it.timeoutSeconds: must be a number from 0.1 to 25"),
        ({"command": "a", "timeoutSeconds": True}, "mcpServers.it.timeoutSeconds: must be a number"),
        ({"command": "a", "maxOutputBytes": 1}, "mcpServers.it.maxOutputBytes: must be a number from 1000"),
        ({"command": "a", "maxCalls": 0}, "mcpServers.it.maxCalls: must be a number from 1"),
    ],
)
def test_a_mistake_is_named_by_its_key(entry: Any, key: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read({"mcpServers": {"it": entry}}, {})
    assert str(caught.value).startswith(key)


@pytest.mark.parametrize("document", [[], {}, {"mcpServers": []}, {"mcpServers": {"a/b": {"command": "c"}}}])
def test_a_file_of_another_shape_is_refused(document: Any) -> None:
    with pytest.raises(InvalidSettings):
        read(document, {})


def test_variables_are_put_in_their_places() -> None:
    env = {"HOME": "/root", "TOKEN": "s3cret-token", "EMPTY": ""}
    server = one(env, command="${HOME}/it", args=["--at=${WHERE:-here}", "${EMPTY:-none}"], env={"T": "x ${TOKEN}"})
    assert (server.command, server.args, server.env) == ("/root/it", ("--at=here", "none"), {"T": "x s3cret-token"})
    assert server.problem == ""


def test_a_variable_that_is_not_set_is_named_and_is_a_problem_of_its_server_only() -> None:
    entry = {"command": "a", "args": ["b", "${NO_SUCH}"]}
    first, second, third = read(
        {"mcpServers": {"one": entry, "two": {"command": "a"}, "three": entry | {"disabled": True}}}, {}
    )
    assert first.problem == "mcpServers.one.args[1]: the variable NO_SUCH is not set"
    assert (second.problem, third.problem) == ("", "")


def test_what_comes_from_variables_env_and_headers_is_hidden() -> None:
    env = {"KEY": "abcdef123456"}
    server = one(env, url="https://${KEY}.example.org/mcp", headers={"Authorization": "Bearer topsecret99"})
    said = hide("https://abcdef123456.example.org/mcp refused topsecret99", server.secrets)
    assert "abcdef123456" not in said
    assert "topsecret99" not in said


def test_what_is_a_key_by_its_name_is_told_from_what_is_not() -> None:
    env = {"WHERE": "/srv/workspace", "GIT_TOKEN": "abcdef123456"}
    server = one(
        env, command="a", args=["${WHERE}", "--t=${GIT_TOKEN}"], env={"API_KEY": "k" * 9, "REGION": "eu-central-1"}
    )
    assert set(server.keys) == {"abcdef123456", "k" * 9}
    assert {"/srv/workspace", "eu-central-1", "--t=abcdef123456"} <= set(server.secrets)


def test_an_official_server_that_is_not_installed_is_ours(tmp_path: Path) -> None:
    server = one(command="npx", args=[FILESYSTEM, "/no-such-workspace"])
    way = choose(server, place(tmp_path, PATH="/usr/bin:/bin"))
    assert (way.kind, way.folders) == ("bundled", (tmp_path / "runbooks",))
    assert "not installed" in way.note
    assert "/no-such-workspace: no such folder here" in way.note
    assert way.allowed is not None
    assert "write_file" not in way.allowed


def test_an_installed_one_is_run_by_node_with_the_runbooks_first_and_folders_that_exist(tmp_path: Path) -> None:
    program = install(tmp_path, FILESYSTEM)
    server = one(command="npx", args=["-y", f"{FILESYSTEM}@1.2.3", str(tmp_path), "/no-such-workspace"])
    way = choose(server, place(tmp_path, PATH=str(tmp_path / "bin")))
    assert (way.kind, way.version, way.command) == ("npm", "9.9.9", str(tmp_path / "bin/node"))
    assert way.args == (str(program), str(tmp_path / "runbooks"), str(tmp_path))


def test_npx_fetches_nothing_unless_it_may_and_then_the_version_that_is_tested(tmp_path: Path) -> None:
    memory = one(command="npx", args=[MEMORY])
    other = one(command="npx", args=["some-server", "--flag"])
    assert choose(memory, place(tmp_path, PATH="")).kind == "bundled"
    assert choose(other, place(tmp_path, PATH="")).args == ("--no-install", "--offline", "some-server", "--flag")
    assert choose(memory, place(tmp_path, PATH="", downloads=True)).args == ("--yes", f"{MEMORY}@{TESTED}")
    # The file's own word counts as well.
    said = one(command="npx", args=["-y", f"{MEMORY}@1.0.0"])
    assert choose(said, place(tmp_path, PATH="")).args == ("--yes", f"{MEMORY}@1.0.0")


def test_the_tested_version_is_the_one_of_the_tests_own_packages() -> None:
    pinned = json.loads((ROOT / "tests/outside/package.json").read_text())["dependencies"]
    assert pinned == {FILESYSTEM: TESTED, MEMORY: TESTED}
    lock = (ROOT / "tests/outside/package-lock.json").read_text()
    assert '"resolved"' not in lock


def test_tools_are_allowed_and_read_as_the_file_says(tmp_path: Path) -> None:
    here = place(tmp_path, PATH="")
    memory = choose(one(command="npx", args=[MEMORY]), here)
    assert (memory.allowed, memory.readers) == (None, ("open_nodes", "read_graph", "search_nodes"))
    narrowed = choose(one(command="npx", args=[MEMORY], allowedTools=["read_graph"], readerTools=[]), here)
    assert (narrowed.allowed, narrowed.readers) == (("read_graph",), ())
    # Of what we do not know nothing is for who only reads.
    assert choose(one(command="a"), here).readers == ()
    assert choose(one(url="https://a"), here).readers == ()


def test_the_npm_memory_keeps_its_file_with_our_data(tmp_path: Path) -> None:
    install(tmp_path, MEMORY)
    here = place(tmp_path, PATH=str(tmp_path / "bin"), OPENMANAGER_DATA="/data")
    assert choose(one(command="npx", args=[MEMORY]), here).env == {"MEMORY_FILE_PATH": "/data/mcp-memory.jsonl"}
    named = one(command="npx", args=[MEMORY], env={"MEMORY_FILE_PATH": "/mine"})
    assert choose(named, here).env == {"MEMORY_FILE_PATH": "/mine"}
