"""What tools answer is bounded, pages lose nothing, and what others wrote stays in its quotes. Pure."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidInput, InvalidSettings
from openmanager.mcp import listed, prompts
from openmanager.mcp.answer import page, quoted
from openmanager.mcp.stdio import find, headers
from openmanager.tools.table import TOOLS


def key(item: Any) -> list[Any]:
    return [item["rank"], item["id"]]


ITEMS = st.lists(
    st.fixed_dictionaries({"rank": st.integers(0, 3), "id": st.text(max_size=8), "more": st.text(max_size=300)}),
    unique_by=lambda item: item["id"],
    max_size=30,
)


@given(ITEMS, st.integers(1, 7))
def test_pages_together_are_the_whole_list_in_order(items: list[dict[str, Any]], limit: int) -> None:
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        rows, cursor = page(items, key, dict, limit, cursor)
        assert len(rows) <= limit
        assert len(json.dumps(rows)) < 4_000 * limit
        seen += rows
        if cursor is None:
            break
    assert seen == sorted(items, key=key)


def test_what_comes_and_goes_between_two_pages_moves_no_other_row() -> None:
    items = [{"rank": 0, "id": name, "more": ""} for name in "bdfh"]
    first, cursor = page(items, key, dict, 2, None)
    changed = [{"rank": 0, "id": name, "more": ""} for name in "adegh"]
    second, _ = page(changed, key, dict, 9, cursor)
    assert ["".join(row["id"] for row in rows) for rows in (first, second)] == ["bd", "egh"]


@pytest.mark.parametrize("cursor", ["x", "e30", "W1tbW1tbW10", "🙂", "WyJhIiwxXQ", "=" * 5])
def test_a_cursor_that_is_none_of_ours_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor: is none of ours"):
        page([{"rank": 0, "id": "a", "more": ""}], key, dict, 2, cursor)


@given(st.text(max_size=500))
def test_what_others_wrote_stays_on_one_line_in_quotes(text: str) -> None:
    said = quoted(text)
    assert "\n" not in said
    assert json.loads(said) in (text, text[:160] + "…")


def test_every_tool_is_described_by_schemas_that_refuse_what_they_do_not_know() -> None:
    assert 0 < len(listed.TOOLS) <= 12
    for tool in listed.TOOLS:
        assert tool.description.isascii()
        assert tool.input_schema["additionalProperties"] is False
        for name, shape in tool.takes.items():
            assert {"type", "enum"} & shape.keys(), (tool.name, name)
        with pytest.raises(InvalidInput, match="surprise"):
            tool.read({name: _some(tool.takes[name]) for name in tool.needs} | {"surprise": 1})


def _some(shape: Any) -> Any:
    if shape.get("type") == "array":
        return [_some(shape["items"])]
    return 1 if shape.get("type") == "integer" else shape.get("enum", ["web-01"])[0]


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        ("query_metrics", {"server": 5, "metrics": ["cpu_utilization"]}, "server"),
        ("query_metrics", {"server": "a", "metrics": ["gpu"]}, "metrics.0"),
        ("query_metrics", {"server": "a", "metrics": []}, "metrics"),
        ("query_metrics", {"server": "a", "metrics": ["load_5m"] * 5}, "metrics"),
        ("query_metrics", {"server": "a", "metrics": ["load_5m"], "points": 1e9}, "points"),
        ("query_metrics", {"server": "a"}, "arguments"),
        ("find_servers", {"limit": 0}, "limit"),
        ("find_servers", {"text": "x" * 201}, "text"),
        ("silence", {"minutes": True}, "minutes"),
        ("silence", {"minutes": 5, "servers": "web-01"}, "servers"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_argument_s_name(tool: str, arguments: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        listed.BY_NAME[tool].read(arguments)
    assert refused.value.field == field
    assert len(str(refused.value)) < 300


def test_tools_that_only_read_have_routes_that_only_read() -> None:
    acting = {tool.name for tool in listed.TOOLS if tool.acts}
    # A replay is a POST, for it costs, and leaves nothing behind.
    assert acting | {"replay"} == {name for name, tool in TOOLS.items() if tool.method != "GET"}


def test_a_prompt_puts_arguments_in_quotes_and_wants_all_of_them() -> None:
    explain = prompts.BY_NAME["explain_server"]
    assert 'the server "a\\nb {x} \\"". Call' in explain.filled({"server": 'a\nb {x} "'})
    with pytest.raises(InvalidInput, match="server: is missing"):
        explain.filled({})
    with pytest.raises(InvalidInput, match="more"):
        explain.filled({"server": "a", "more": "b"})


def test_headers_repeat_what_a_message_of_the_newer_protocol_says() -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    said = {"method": "resources/read", "params": {"uri": "openmanager://servers/가", "_meta": meta}}
    assert headers(said, "2025-11-25")["MCP-Protocol-Version"] == "2026-07-28"
    assert headers(said, "")["Mcp-Method"] == "resources/read"
    assert headers(said, "")["Mcp-Name"].startswith("=?base64?")
    tool = {"method": "tools/call", "params": {"name": "silence", "_meta": meta}}
    assert headers(tool, "")["Mcp-Name"] == "silence"


@pytest.mark.parametrize(
    "message", [[], 5, None, {"params": 5}, {"params": {"_meta": 1}}, {"method": ["x"], "params": {"_meta": {}}}]
)
def test_headers_of_what_is_no_message_are_those_of_the_older_protocol(message: Any) -> None:
    assert "Mcp-Method" not in headers(message, "2025-11-25")
    assert headers(message, "2025-11-25")["MCP-Protocol-Version"] == "2025-11-25"
    assert "MCP-Protocol-Version" not in headers(message, "")


def test_an_installation_is_found_by_the_environment_else_by_the_data_folder(tmp_path: Path) -> None:
    there = {"OPENMANAGER_URL": "https://ops.example/", "OPENMANAGER_TOKEN": "om_x"}
    assert find(there, tmp_path) == ("https://ops.example", "om_x")
    with pytest.raises(InvalidSettings, match="make run"):
        find({}, tmp_path)
    (tmp_path / "credentials.json").write_text(json.dumps({"url": "http://127.0.0.1:8000", "token": "t"}))
    assert find({}, tmp_path) == ("http://127.0.0.1:8000", "t")
    # With less than the administrator's rights, if that is wanted.
    assert find({"OPENMANAGER_TOKEN": "om_x"}, tmp_path) == ("http://127.0.0.1:8000", "om_x")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"OPENMANAGER_URL": "https://ops.example"}, "OPENMANAGER_TOKEN"),
        ({"OPENMANAGER_URL": "ops.example", "OPENMANAGER_TOKEN": "x"}, "OPENMANAGER_URL"),
        ({"OPENMANAGER_URL": "https://ops.example", "OPENMANAGER_TOKEN": "a\nb"}, "OPENMANAGER_TOKEN"),
    ],
)
def test_what_cannot_be_used_is_named(env: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=said):
        find(env, tmp_path)
