"""When an entry is tried again, in which order entries go, and what an answer means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidInput
from openmanager.notify.backoff import FIRST_S, GIVE_UP_MS, LONGEST_S, delay_s, next_try_ms
from openmanager.notify.entries import Entry, again, plan, read_entry, settled, unreadable
from openmanager.notify.http import Reply
from openmanager.notify.notice import EVENTS, Notice
from openmanager.notify.outcome import Outcome
from openmanager.notify.send import judge

NOW_MS = 1_764_000_000_000


@given(st.text(), st.integers(1, 10_000))
def test_the_delay_doubles_up_to_a_bound_less_up_to_a_half(key: str, tries: int) -> None:
    whole = min(LONGEST_S, FIRST_S * 2 ** min(tries - 1, 30))
    assert whole / 2 <= delay_s(key, tries) <= whole
    assert delay_s(key, tries) == delay_s(key, tries)


def test_what_failed_together_is_not_tried_together() -> None:
    assert len({delay_s(f"notice|{i}", 5) for i in range(100)}) == 100


@given(st.text(), st.integers(1, 500), st.integers(0, 2 * GIVE_UP_MS), st.none() | st.floats(0, 1e6))
def test_no_try_comes_before_the_receiver_allows_it_or_after_a_day(
    key: str, tries: int, age_ms: int, retry_after_s: float | None
) -> None:
    at = next_try_ms(key, tries, NOW_MS - age_ms, NOW_MS, retry_after_s)
    wanted = NOW_MS + 1000 * max(delay_s(key, tries), retry_after_s or 0)
    if at is None:
        assert wanted > NOW_MS - age_ms + GIVE_UP_MS - 1
    else:
        assert wanted - 1 <= at <= NOW_MS - age_ms + GIVE_UP_MS


@given(st.text(), st.lists(st.none() | st.floats(0, 7200), max_size=20))
def test_every_entry_ends_within_a_day_and_a_bounded_number_of_tries(key: str, asked: list[float | None]) -> None:
    now, tries = NOW_MS, 0
    while True:
        tries += 1
        at = next_try_ms(key, tries, NOW_MS, now, asked[tries - 1] if tries <= len(asked) else None)
        if at is None:
            break
        assert at > now
        now = at
    assert tries <= 2 * GIVE_UP_MS / 1000 / LONGEST_S + 10
    assert now <= NOW_MS + GIVE_UP_MS


def entry(name: str = "n", target: str = "ops", **more: Any) -> Entry:
    notice = {"event": "firing", "server": "web-01", "rule": "cpu", "severity": "warning", "since": 0, "at": 60}
    own = {k: more.pop(k) for k in list(more) if k in ("due", "tries", "hold", "first")}
    made = Notice(**{"id": name, "title": "", **notice, **more})
    return Entry(f"{name}|{target}", "", made, target, **own)


def names(planned: dict[str, list[Entry]], target: str = "ops") -> list[str]:
    return [e.notice.id for e in planned.get(target, [])]


def test_nothing_overtakes_an_earlier_notice_of_its_alert() -> None:
    firing = entry("f", tries=1, due=NOW_MS + 1)
    resolved = entry("r", event="resolved", at=120)
    other = entry("o", server="web-02", at=180)
    assert names(plan([resolved, other, firing], NOW_MS)) == ["o"]
    assert names(plan([resolved, other, firing], NOW_MS + 1)) == ["o", "f", "r"]


def test_notices_of_one_minute_go_in_the_order_that_makes_sense() -> None:
    assert names(plan([entry(e, event=e) for e in reversed(EVENTS)], NOW_MS)) == [
        "firing", "escalated", "repeated", "acknowledged", "resolved", "test",
    ]  # fmt: skip


def test_a_receiver_that_asked_for_patience_gets_nothing_and_others_do() -> None:
    waiting = [
        entry("a", tries=1, due=NOW_MS + 5, hold=NOW_MS + 5),
        entry("b", server="web-02"),
        entry("c", "other"),
    ]
    assert plan(waiting, NOW_MS).keys() == {"other"}
    assert names(plan(waiting, NOW_MS + 5)) == ["b", "a"]


@given(
    st.lists(
        st.builds(
            lambda i, target, server, event, at, due, tries, hold: entry(
                str(i), target, server=server, event=event, at=at, due=due, tries=tries, hold=hold
            ),
            st.integers(0, 10**9),
            st.sampled_from(["x", "y"]),
            st.sampled_from(["s", "t"]),
            st.sampled_from(EVENTS),
            st.integers(0, 3),
            st.integers(0, 10),
            st.integers(0, 3),
            st.sampled_from([0, 0, 0, 7]),
        ),
        max_size=20,
        unique_by=lambda e: e.key,
    ),
    st.integers(0, 12),
)
def test_a_plan_holds_each_due_entry_once_and_keeps_every_alerts_order(waiting: list[Entry], now_ms: int) -> None:
    planned = plan(waiting, now_ms)
    flat = [e for entries in planned.values() for e in entries]
    assert len({e.key for e in flat}) == len(flat)
    assert all(e.due <= now_ms for e in flat)
    for target in ("x", "y"):
        own = [e for e in waiting if e.target == target]
        held = any(e.hold > now_ms for e in own)
        for server in ("s", "t"):
            alert = sorted((e for e in own if e.notice.server == server), key=lambda e: e.notice.at)
            tried = [e for e in planned.get(target, []) if e.notice.server == server]
            assert [e.notice.at for e in tried] == [e.notice.at for e in alert[: len(tried)]]
            if alert and all(e.due <= now_ms for e in alert):
                assert len(tried) == (0 if held else len(alert))


def test_a_delivered_entry_leaves_and_a_failed_one_waits_or_is_parked() -> None:
    fresh = entry()
    gone = settled(fresh, Outcome("delivered", "answered 204", 204), NOW_MS)
    assert (gone.move, gone.new) == ("gone", "")
    assert json.loads(gone.outcome)["outcome"] == "delivered"

    stays = settled(fresh, Outcome("later", "answered 503", 503), NOW_MS)
    again_entry = read_entry(fresh.key, stays.new)
    assert (stays.move, again_entry.tries, again_entry.first, again_entry.hold) == ("stay", 1, NOW_MS, 0)
    assert again_entry.due == next_try_ms(fresh.key, 1, NOW_MS, NOW_MS, None)
    assert (again_entry.reason, again_entry.status) == ("answered 503", 503)

    asked = read_entry(fresh.key, settled(fresh, Outcome("later", "", 429, 600.0), NOW_MS).new)
    assert asked.due == asked.hold == NOW_MS + 600_000

    parked = settled(fresh, Outcome("refused", "answered 410", 410), NOW_MS)
    assert (parked.move, read_entry(fresh.key, parked.new).failed) == ("park", NOW_MS)
    given_up = settled(entry(tries=99, first=1), Outcome("later", "timeout"), NOW_MS)
    assert given_up.move == "park"

    fresh_again = read_entry(fresh.key, again(read_entry(fresh.key, parked.new)))
    assert (fresh_again.tries, fresh_again.due, fresh_again.first, fresh_again.failed) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"notice": {}}', '{"notice": null, "target": "x"}', "[" * 5000]
)
def test_an_entry_that_does_not_read_says_so_and_is_parked_with_its_text(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_entry("k|ops", text)
    aside = unreadable("k|ops", text, "why", NOW_MS)
    assert (aside.read, aside.move, json.loads(aside.new)["unreadable"]) == (text, "park", text)
    assert json.loads(aside.outcome)["target"] == "ops"


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "after"),
    [
        (200, {}, b"ok", "delivered", None),
        (204, {}, b"", "delivered", None),
        (301, {"location": "http://169.254.169.254/"}, b"", "refused", None),
        (307, {}, b"", "refused", None),
        (400, {}, b"invalid_payload", "refused", None),
        (404, {"retry-after": "5"}, b"", "refused", None),
        (408, {}, b"", "later", None),
        (425, {}, b"", "later", None),
        (429, {"retry-after": "7"}, b"", "later", 7.0),
        (429, {"retry-after": "0.3"}, b"", "later", 0.3),
        (429, {}, b'{"ok":false,"error_code":429,"parameters":{"retry_after":35}}', "later", 35.0),
        (429, {}, b'{"message":"You are being rate limited.","retry_after":64.57,"global":false}', "later", 64.57),
        (503, {"retry-after": "Mon, 24 Nov 2025 16:02:00 GMT"}, b"", "later", 120.0),
        (503, {"retry-after": "Mon, 24 Nov 2025 15:00:00 GMT"}, b"", "later", 0.0),
        (503, {"retry-after": "soon"}, b"", "later", None),
        (503, {"retry-after": "-5"}, b"", "later", None),
        (503, {"retry-after": "inf"}, b"", "later", None),
        (500, {}, b'{"retry_after": Infinity}', "later", None),
        (500, {}, b"<html>" + b"x" * 9000, "later", None),
    ],
)
def test_what_an_answer_means(
    status: int, headers: dict[str, str], body: bytes, kind: str, after: float | None
) -> None:
    outcome = judge(Reply(status, headers, body), 1_764_000_000.0)
    assert (outcome.kind, outcome.status, outcome.retry_after_s) == (kind, status, after)
    assert len(outcome.detail) < 300
