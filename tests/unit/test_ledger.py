"""Every warning and every incident is settled once, and as it deserves."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.ledger.scores import Cells, summary
from openmanager.ledger.track import Settled, Track

FIRST = 29_400_000


def verdict(i: int, status: str = "healthy", warns: bool = False, p: float = 0.1) -> dict[str, Any]:
    return {
        "minute": (FIRST + i) * 60,
        "status": status,
        "anomaly": {"anomalous": warns},
        "failure": {"probability": p},
        "exhaustion": {},
    }


def settle(said: list[dict[str, Any]], resumed: bool = False) -> tuple[Track, Settled]:
    track, settled = Track(), Settled()
    for one in said:
        track.take(one, settled)
        if resumed:
            track = Track.of(track.as_dict())
    return track, settled


def anomaly(settled: Settled) -> list[tuple[str, int | None]]:
    return [(e.outcome, e.lead_min) for e in settled.episodes if e.model == "anomaly"]


def test_a_warning_before_an_incident_is_a_hit_with_its_lead() -> None:
    said = [verdict(i, "offline" if 20 <= i < 30 else "healthy", 5 <= i < 9) for i in range(40)]
    _, settled = settle(said)
    assert anomaly(settled) == [("hit", 15)]
    (incident,) = settled.incidents
    assert (incident.began - FIRST, incident.ended - FIRST, incident.kind) == (20, 30, "offline")
    assert incident.announced == {"anomaly": 15}


def test_a_warning_that_nothing_follows_is_a_false_alarm_once_its_horizon_has_passed() -> None:
    said = [verdict(i, warns=i in (5, 12)) for i in range(60)]
    assert anomaly(settle(said[:42])[1]) == []
    assert anomaly(settle(said)[1]) == [("false alarm", None)]
    # Longer than a quarter of an hour apart: two.
    assert len(anomaly(settle([verdict(i, warns=i in (5, 25)) for i in range(80)])[1])) == 2


def test_an_incident_that_nobody_announced_is_a_miss_and_what_is_said_in_it_does_not_count() -> None:
    said = [verdict(i, "offline" if 20 <= i < 30 else "healthy", 22 <= i < 40) for i in range(100)]
    _, settled = settle(said)
    assert settled.incidents[0].announced == {}
    assert anomaly(settled) == []


def test_critical_is_an_incident_after_five_minutes_and_begins_with_the_first() -> None:
    said = [verdict(i, "critical" if 10 <= i < 14 else "healthy") for i in range(30)]
    assert settle(said)[1].incidents == []
    said = [verdict(i, "critical" if 10 <= i < 15 else "healthy", i == 12) for i in range(30)]
    _, settled = settle(said)
    assert (settled.incidents[0].began - FIRST, settled.incidents[0].ended - FIRST) == (10, 15)
    assert anomaly(settled) == [("during", None)]


def test_probabilities_are_scored_by_what_came_within_half_an_hour() -> None:
    said = [verdict(i, "offline" if 60 <= i < 70 else "healthy", p=0.8 if i >= 30 else 0.2) for i in range(120)]
    _, settled = settle(said)
    cells = Cells()
    for week in settled.cells.values():
        cells.merge(week)
    # 30 before it, 10 of it; what lies less than the horizon and the time to know an incident back is still open.
    assert sum(cells.true) == 40
    assert sum(cells.count) == 120 - 35
    assert cells.true[8] == 40
    answer = summary(cells)
    assert answer
    assert answer["prevalence"] == pytest.approx(40 / 85, abs=1e-4)
    assert answer["brier"] == pytest.approx((30 * 0.04 + 40 * 0.04 + 15 * 0.64) / 85, abs=1e-4)
    assert summary(Cells()) is None


STATUSES = st.sampled_from(["healthy", "healthy", "warning", "critical", "offline", "unknown"])
MINUTES = st.lists(st.tuples(STATUSES, st.booleans(), st.floats(0, 1)), max_size=200)


@given(MINUTES, st.integers(0, 200))
def test_any_life_is_settled_once_however_it_is_cut(minutes: list[tuple[str, bool, float]], cut: int) -> None:
    said = [verdict(i, *m) for i, m in enumerate(minutes)]
    track, settled = settle(said)
    again, resumed = settle(said[:cut] + said[max(0, cut - 20) :], resumed=True)
    assert (track, settled) == (again, resumed)
    for episode in settled.episodes:
        assert episode.began <= episode.ended
        assert (episode.outcome == "hit") == (episode.lead_min is not None)
        assert episode.lead_min is None or episode.lead_min > 0
    incidents = sorted((i.began, i.ended) for i in settled.incidents)
    assert all(a[1] <= b[0] for a, b in pairwise(incidents))
    counted = sum(sum(c.count) for c in settled.cells.values())
    assert counted + len(track.ahead) == len(minutes)
