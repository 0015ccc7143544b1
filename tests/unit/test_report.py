"""An incident's report without stores: hostile names, very many events, and the same words in both languages."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.alerts.machine import Alert, Transition
from openmanager.oncall.report.compose import Facts, compose
from openmanager.oncall.report.markdown import code, markdown
from openmanager.oncall.report.words import SENTENCES, WORDS
from openmanager.oncall.standing import shown
from openmanager.watch.outcome import recorded

FIRST = 29_000_000
HOSTILE = [
    "<script>alert(1)</script>", "[x](https://evil.example)", "![x](https://evil.example/p.png)", "`", "``", "a`b``c",
    "# heading", "x\n\n# heading\n", "https://evil.example", "a@evil.example", "**bold**", "| a | b |", "&lt;b&gt;",
    "\u202egnp.exe", "\u2028# x", "1. x", "- x", "\\", "a\\`b", " ", "", "x" * 2_000, "\ud800",
]  # fmt: skip


def incident(names: list[str], events: int = 1) -> dict[str, Any]:
    alerts = [
        Alert(name or "-", name or "-", "firing", "warning", FIRST, FIRST, fired=FIRST, by=name, note=name,
              suppressed=name, incident="i")
        for name in names
    ]  # fmt: skip
    happened = [
        recorded(Transition("acknowledged" if i % 2 else "firing", FIRST + i, alert))
        for i in range(events)
        for alert in alerts
    ]
    told = [{**event, "alert": shown(event["alert"], None)} for event in happened]
    members = [shown(alert.as_dict(), None) for alert in alerts]
    root = {"server": members[0]["server"], "rule": members[0]["rule"]}
    return {"id": names[0], "open": False, "root": root, "began": FIRST * 60, "servers": [m["server"] for m in members],
            "alerts": members, "events": told}  # fmt: skip


def facts(names: list[str], events: int = 2) -> Facts:
    fleet = {name: {"role": name, "status": name, "minute": FIRST * 60} for name in names}
    waiting = [
        {"at": 1.0, "server": name, "rule": name, "event": "firing", "target": name, "tries": 1, "outcome": "waiting",
         "status": None}
        for name in names
    ]  # fmt: skip
    return Facts(incident(names, events), fleet, {name: (name + "x",) for name in names}, waiting=waiting)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_hostile_names_become_no_part_of_the_markdown(language: str) -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="an independent reader of Markdown is not installed")
    names = [name for name in HOSTILE if name.strip()]
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(markdown(compose(facts(names)), language))
    inner = [t for token in tokens for t in (token.children or [])]
    assert sum(t.type == "heading_open" for t in tokens) == 9
    assert not {t.type for t in tokens} & {"html_block", "fence", "code_block", "table_open", "ordered_list_open"}
    assert {t.type for t in inner} == {"text", "code_inline"}
    # Nobody's words are outside of spans.
    outside = " ".join(t.content for t in inner if t.type == "text")
    assert not any(word in outside for word in ("evil", "script", "bold", "heading", "gnp", "&"))


@given(st.text(max_size=60))
def test_a_text_in_a_span_ends_where_the_span_ends(text: str) -> None:
    span = code(text)
    assert "\n" not in span
    if span != "–":
        markdown_it = pytest.importorskip("markdown_it", reason="an independent reader of Markdown is not installed")
        (paragraph,) = [t for t in markdown_it.MarkdownIt("commonmark").parse(f"x {span} y") if t.children]
        assert [t.type for t in paragraph.children] == ["text", "code_inline", "text"]


def test_of_very_many_events_the_first_and_the_last_are_told() -> None:
    report = compose(facts(["web-01"], events=1_000))
    at = [(r["at"] - FIRST * 60) // 60 for r in report["timeline"]["rows"]]
    assert at == [*range(200), *range(800, 1_000)]
    assert {"what": "timeline", "count": 600} in report["not_in_the_data"]
    assert "600 entries in the middle" in markdown(report, "en")


def test_both_languages_have_the_same_sentences_with_the_same_holes() -> None:
    def holes(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert {k: holes(v) for k, v in SENTENCES["en"].items()} == {k: holes(v) for k, v in SENTENCES["ko"].items()}
    assert WORDS["en"].keys() == WORDS["ko"].keys()
