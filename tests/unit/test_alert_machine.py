"""The life of an alert, under any sequence of minutes: nothing lost, nothing told twice."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openmanager.alerts.machine import (
    NODATA_AFTER_MIN,
    Alert,
    Condition,
    Transition,
    acknowledge,
    step,
    unacknowledge,
)
from openmanager.alerts.rules import Rule

FIRST = 29_000_000
RULE = Rule("cpu", "threshold", "cpu_utilization", 80, 90, 65, 75, for_min=2, keep_firing_min=5, repeat_min=60)
QUIET = Condition()
BAND = Condition(held="warning", value=70)
WARNING = Condition("warning", "warning", value=85)
EASED = Condition("warning", "warning", value=72)
NEAR = Condition("warning", "critical", value=78)
CRITICAL = Condition("critical", "critical", value=95)
UNKNOWN = Condition(unknown=True)
CONDITIONS = st.sampled_from([QUIET, BAND, WARNING, NEAR, CRITICAL, UNKNOWN])
RULES = st.builds(
    lambda for_min, keep, repeat, escalate: replace(
        RULE, for_min=for_min, keep_firing_min=keep, repeat_min=repeat, escalate_min=escalate
    ),
    st.integers(0, 4),
    st.integers(0, 6),
    st.sampled_from([0, 3, 10]),
    st.sampled_from([0, 4]),
)


def live(rule: Rule, minutes: list[Condition], suppressed: dict[int, str] | None = None) -> list[Transition]:
    alert: Alert | None = None
    happened: list[Transition] = []
    for i, condition in enumerate(minutes):
        alert, now = step(rule, "web-01", alert, condition, FIRST + i, (suppressed or {}).get(i, ""))
        happened += now
    return happened


def names(happened: list[Transition]) -> list[str]:
    return [t.what for t in happened]


def notices(happened: list[Transition]) -> list[str]:
    return [t.notice for t in happened if t.notice]


@pytest.mark.parametrize("low", [QUIET, BAND])
def test_a_value_that_flaps_fires_once_and_resolves_once(low: Condition) -> None:
    flapping = [WARNING] * 3 + [low, WARNING, low, low, WARNING] * 20
    happened = live(RULE, flapping + [QUIET] * 6)
    assert notices(happened).count("firing") == 1
    assert notices(happened).count("resolved") == 1
    assert notices(happened)[-1] == "resolved"
    assert set(notices(happened)) <= {"firing", "repeated", "resolved"}


def test_a_condition_must_hold_before_anybody_is_told() -> None:
    assert names(live(RULE, [WARNING, WARNING, QUIET])) == ["pending", "cleared"]
    happened = live(RULE, [WARNING, WARNING, WARNING])
    assert names(happened) == ["pending", "firing"]
    assert happened[-1].minute == FIRST + 2
    # In the band below the level a pending alert is none.
    assert names(live(RULE, [WARNING, BAND, WARNING])) == ["pending", "cleared", "pending"]


def test_worse_is_told_at_once_and_better_after_a_while() -> None:
    happened = live(RULE, [WARNING] * 3 + [CRITICAL] + [NEAR] * 10 + [EASED] * 6)
    assert names(happened) == ["pending", "firing", "worsened", "eased"]
    assert notices(happened) == ["firing", "escalated"]
    assert happened[-1].minute == FIRST + 14 + 5
    assert happened[-1].alert.severity == "warning"


def test_reminders_and_one_escalation_go_on_until_somebody_takes_care() -> None:
    rule = replace(RULE, repeat_min=10, escalate_min=15)
    happened = live(rule, [WARNING] * 60)
    told = [(t.notice, t.minute - FIRST) for t in happened if t.notice]
    assert told == [
        ("firing", 2),
        ("repeated", 12),
        ("escalated", 17),
        ("repeated", 27),
        ("repeated", 37),
        ("repeated", 47),
        ("repeated", 57),
    ]
    alert, _ = step(rule, "web-01", happened[1].alert, WARNING, FIRST + 3)
    assert alert
    taken, (transition,) = acknowledge(replace(alert, told=FIRST + 2), "kim", "on it", FIRST + 3)
    assert (transition.notice, taken.state, taken.by) == ("acknowledged", "acknowledged", "kim")
    assert acknowledge(taken, "lee", "", FIRST + 4) == (taken, [])
    after: Alert | None = taken
    for i in range(4, 60):
        after, now = step(rule, "web-01", after, WARNING, FIRST + i)
        assert now == []
    worse, now = step(rule, "web-01", after, CRITICAL, FIRST + 60)
    assert worse
    assert (notices(now), worse.state, worse.acknowledged) == (["escalated"], "firing", 0)


def test_acknowledging_lasts_through_a_short_recovery_and_a_gap() -> None:
    alert = live(RULE, [WARNING] * 3)[-1].alert
    taken, _ = acknowledge(alert, "kim", "", FIRST + 3)
    now: Alert | None = taken
    states = []
    gap = [UNKNOWN] * (NODATA_AFTER_MIN + 1)
    for i, condition in enumerate([QUIET, WARNING, *gap, QUIET, WARNING]):
        now, _ = step(RULE, "web-01", now, condition, FIRST + 4 + i)
        assert now
        states.append(now.state)
    assert states == ["recovering", *["acknowledged"] * (1 + NODATA_AFTER_MIN), "nodata", "recovering", "acknowledged"]
    free, (transition,) = unacknowledge(now or alert, FIRST + 20)
    assert (free.state, free.by, transition.what) == ("firing", "", "unacknowledged")


def test_a_suppressed_alert_is_told_when_the_suppression_ends_and_not_before() -> None:
    hidden = dict.fromkeys(range(20), "silence s1")
    happened = live(RULE, [WARNING] * 30, hidden)
    assert [(t.notice, t.minute - FIRST) for t in happened if t.notice] == [("firing", 20)]
    # Over before that: nobody ever hears of it.
    assert notices(live(RULE, [WARNING] * 5 + [QUIET] * 20, hidden)) == []
    # Told before it was silenced, resolved while it is: nobody hears of the end.
    assert notices(live(RULE, [WARNING] * 5 + [QUIET] * 10, dict.fromkeys(range(4, 20), "silence s1"))) == ["firing"]


def test_without_data_an_alert_waits_and_goes_on_as_it_was() -> None:
    happened = live(RULE, [WARNING] * 3 + [UNKNOWN] * 5 + [WARNING] * 3)
    assert names(happened) == ["pending", "firing", "nodata", "data"]
    assert happened[2].minute == FIRST + 3 + NODATA_AFTER_MIN
    assert happened[3].alert.state == "firing"
    assert names(live(RULE, [WARNING] + [UNKNOWN] * 5)) == ["pending", "cleared"]


@settings(max_examples=400)
@given(RULES, st.lists(CONDITIONS, max_size=80), st.dictionaries(st.integers(0, 79), st.just("silence"), max_size=20))
def test_any_sequence_gives_well_formed_lives(rule: Rule, minutes: list[Condition], hidden: dict[int, str]) -> None:
    happened = live(rule, minutes, hidden)
    assert max(Counter(t.id for t in happened).values(), default=1) == 1
    lives: dict[str, list[Transition]] = {}
    for t in happened:
        lives.setdefault(t.alert.id, []).append(t)
    for i, life in enumerate(lives.values()):
        what = names(life)
        assert what[0] == "pending"
        assert what.count("firing") <= 1
        ended = [w for w in what if w in ("resolved", "cleared")]
        # Every life ends but the last one, which may go on.
        assert len(ended) == 1 or (not ended and i == len(lives) - 1)
        assert not ended or what[-1] == ended[0]
        assert ("cleared" in what) <= ("firing" not in what)
        assert ("resolved" in what) <= ("firing" in what)
        told = notices(life)
        assert told.count("firing") <= 1
        assert told.count("resolved") <= 1
        assert not told or told[0] == "firing"
        assert [t.alert.tellings for t in life if t.notice] == list(range(1, len(told) + 1))
        assert all(not t.alert.suppressed for t in life if t.notice)


@settings(max_examples=200)
@given(RULES, st.lists(CONDITIONS, max_size=60), st.integers(0, 60))
def test_a_life_depends_on_what_was_and_not_on_when_it_is_computed(
    rule: Rule, minutes: list[Condition], cut: int
) -> None:
    alert: Alert | None = None
    for i, condition in enumerate(minutes):
        if i == cut and alert:
            # As it comes back from the store.
            alert = Alert(**alert.as_dict())
        again = step(rule, "web-01", alert, condition, FIRST + i)
        assert again == step(rule, "web-01", alert, condition, FIRST + i)
        alert = again[0]
