"""What people may set of alerts, and what is refused by name."""

import json
from typing import Any

import pytest
from openmanager.alerts.incidents import parse_graph
from openmanager.alerts.quiet import parse_maintenance, parse_silence
from openmanager.alerts.rules import parse_rule
from openmanager.errors import InvalidInput
from openmanager.watch.book import Book

RULE = {"id": "hot", "kind": "threshold", "metric": "cpu_utilization", "warning": 80}
NOW = 1_764_000_000
SILENCE = {"id": "s", "by": "kim", "end": NOW + 60, "reason": "load test"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ('{"warning": NaN}', "warning"),
        ('{"critical": 1e999}', "critical"),
        ('{"critical": 70}', "critical"),
        ('{"servers": ["web\\u0000"]}', "servers"),
        ('{"roles": ["\\ud800"]}', "roles"),
        ('{"metric": "nothing"}', "metric"),
    ],
)
def test_a_rule_that_cannot_be_kept_or_compared_is_refused(change: str, field: str) -> None:
    assert parse_rule(RULE).warning == 80
    with pytest.raises(InvalidInput) as refused:
        parse_rule(RULE | json.loads(change))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"reason": "\0"}, "reason"),
        ({"end": NOW}, "end"),
        ({"end": NOW + 31 * 86_400}, "end"),
        ({"rules": "cpu"}, "rules"),
    ],
)
def test_a_silence_that_cannot_be_kept_or_never_ends_is_refused(change: dict[str, Any], field: str) -> None:
    assert parse_silence(SILENCE, NOW).covers("web-01", "", "cpu", NOW + 59)
    with pytest.raises(InvalidInput) as refused:
        parse_silence(SILENCE | change, NOW)
    assert refused.value.field == field


def test_roles_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(InvalidInput):
        parse_graph({"web": ["\udc00"]})


def test_a_window_keeps_the_clock_of_the_wall_and_may_begin_the_day_before() -> None:
    window = parse_maintenance({"id": "w", "days": ["sat"], "at": "23:00", "minutes": 240, "timezone": "Europe/Berlin"})
    # Saturday 2026-10-24, 23:00 in Berlin is 21:00 UTC; at 3 in the night clocks go back by an hour.
    begin = 1_792_875_600
    inside = [window.covers("web-01", "", begin + 60 * minute) for minute in (-1, 0, 120, 239, 240)]
    assert inside == [False, True, True, True, False]
    # A week later the same clock is an hour later in UTC.
    assert not window.covers("web-01", "", begin + 7 * 86_400)
    assert window.covers("web-01", "", begin + 7 * 86_400 + 3600)


def test_a_page_counts_towards_the_budget_for_a_week() -> None:
    book = Book({}, {"failure": [1000, 5000], "anomaly": [1000]})
    book.forget_pages(1000 + 7 * 1440)
    assert book.paged == {"failure": [5000]}
    book.forget_pages(5000 + 7 * 1440)
    assert book.text() == ""
