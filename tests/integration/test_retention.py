"""Fifteen months of a small fleet through the archive: at every age exactly what its table says, and charts of all."""

import json
from collections import Counter
from datetime import date

import numpy as np
from openmanager import archive
from openmanager.audit import verify
from openmanager.stores import alerts, audit, ledger, partitions
from openmanager.stores.partitions import DAY_MS, day_ms, day_of
from openmanager.stores.redis import connect
from openmanager.telemetry.samples import MINUTE_MS, Samples

from tests.integration.test_history import FIRST, HOUR_MS, chart, keep, rows, settled, table
from tests.integration.test_ledger import verdict

DAYS = 456
# By their age at the end, days that all have samples: the newest, and those about to go and just gone of each table.
DENSE = {*range(12), *range(28, 40), *range(88, 96), *range(393, 400)}
# Between them every so many days have, and so often the archive runs.
COARSE = 12
SERVERS = ("web-01", "db-01")
# An hour of each day has a sample a minute, all others one every six hours.
BUSY_MS = 9 * HOUR_MS
# Those that a kept day, today or the next partition needs: however long it runs, they do not become more.
MOST_PARTITIONS = {"blocks": 9, "predictions": 7, "rollups_1m": 7, "rollups_5m": 6, "rollups_1h": 4}
NOTICES_DAYS = 90
HISTORY_DAYS = 396


def lived() -> list[int]:
    """The days on which something comes, counted from the first."""
    return [day for day in range(DAYS) if DAYS - 1 - day in DENSE or day % COARSE == 0]


def samples(day: int) -> Samples:
    """A day's."""
    start = FIRST + day * DAY_MS
    coarse = table(start, start + DAY_MS, 6 * HOUR_MS)
    busy = table(start + BUSY_MS, start + BUSY_MS + HOUR_MS, MINUTE_MS)
    times = np.concatenate((coarse.times[:2], busy.times, coarse.times[2:]))
    values = np.concatenate((coarse.values[:2], busy.values, coarse.values[2:]))
    return Samples(coarse.series, times, values, np.zeros(len(times), np.bool_))


def happens(day: int) -> None:
    """What rounds and deliveries leave in Redis on a day, and what somebody does."""
    at_ms = FIRST + day * DAY_MS + BUSY_MS
    minute = at_ms // MINUTE_MS
    said = [verdict(minute + i, "offline" if 3 <= i < 9 else "healthy", 0.9 if i < 3 else 0.05) for i in range(60)]
    alert = {"server": "web-01", "rule": "offline", "since": minute, "incident": f"web-01|{minute}"}
    transition = {"id": f"web-01|{minute}", "at": at_ms / 1000, "what": "firing", "notice": "firing", "alert": alert}
    connect().run(
        ("HSET", "om:0:verdicts", *(part for s, at, v in said for part in (f"{s}|{at}", json.dumps(v)))),
        ("HSET", "om:0:transitions", transition["id"], json.dumps(transition)),
        ("XADD", "om:notices", "*", "outcome", json.dumps({"at_ms": at_ms, "target": "ops", "outcome": "delivered"})),
    )
    audit.record("rule.put", f"day {day}")


def held(url: str, statement: str) -> set[date]:
    """The days that a statement gives instants of."""
    return {at.date() if hasattr(at, "date") else at for (at,) in rows(url, statement)}


def expected(known: set[date], table_of: partitions.Partitioned, now_ms: int) -> set[date]:
    """What a table has of these days: whole partitions go, so what stays reaches back to the start of one."""
    first = table_of.start(day_of(table_of.kept_from_ms(now_ms)))
    return {day for day in known if day >= first}


def parts(url: str) -> list[tuple[str, str]]:
    """(table, partition) of all."""
    return rows(url, "SELECT inhparent::regclass::text, inhrelid::regclass::text FROM pg_inherits")


def look(url: str, known: set[date], now_ms: int, before: set[str]) -> None:
    """Each table has of what came what it should have at this age, and nothing else; `before` are partitions that were
    there before anything came."""
    assert held(url, "SELECT segment FROM blocks") == expected(known, partitions.BLOCKS, now_ms)
    assert held(url, "SELECT minute FROM predictions") == expected(known, partitions.PREDICTIONS, now_ms)
    for level, table_of in partitions.ROLLUPS.items():
        days = f"SELECT day FROM rollups_{level} GROUP BY day HAVING count(*) = {len(SERVERS)}"
        assert held(url, days) == expected(known, table_of, now_ms), level
    assert held(url, "SELECT day FROM rollups_1d") == known

    def since(keep_days: int) -> set[date]:
        return {day for day in known if day_ms(day) + BUSY_MS >= now_ms - keep_days * DAY_MS}

    for at, name in (("at", "alert_transitions"), ("began", "ledger_incidents"), ("began", "ledger_episodes")):
        # The newest warnings are settled once their horizon has passed, by the verdicts of a later day.
        assert held(url, f"SELECT {at} FROM {name}") | {max(known)} == since(HISTORY_DAYS), name
    assert held(url, "SELECT at FROM notification_outcomes") == since(NOTICES_DAYS)
    weeks = held(url, "SELECT week FROM ledger_sums")
    assert min(weeks) >= day_of(now_ms - (HISTORY_DAYS + 7) * DAY_MS)
    assert rows(url, "SELECT count(*) FROM audit_log") == [(len(known),)]
    assert rows(url, "SELECT count(*) FROM days_due") == [(0,)]
    there = Counter(table for table, name in parts(url) if name not in before)
    assert {name: n for name, n in there.items() if name in MOST_PARTITIONS and n > MOST_PARTITIONS[name]} == {}


def test_fifteen_months_keep_at_each_age_what_the_table_says_and_answer_every_range(
    stores_env: dict[str, str],
) -> None:
    url, known, now_ms = stores_env["DATABASE_URL"], set[date](), 0
    before = {name for _, name in parts(url)}
    for day in lived():
        for server in SERVERS:
            keep(server, samples(day))
        happens(day)
        known.add(day_of(FIRST + day * DAY_MS))
        if day % COARSE == 0 or day >= DAYS - 3:
            now_ms = settled(day + 1)
            archive.run(now_ms)
            look(url, known, now_ms, before)
    assert_charts(now_ms)
    kept = [day for day in known if day_ms(day) + BUSY_MS >= now_ms - HISTORY_DAYS * DAY_MS]
    (offline,) = alerts.statistics(FIRST / 1000, now_ms / 1000)
    assert (offline["rule"], offline["fired"]) == ("offline", len(kept))
    assert len(ledger.incidents(FIRST / 1000, now_ms / 1000)) == len(kept)
    assert verify(json.dumps(row) for row in audit.read(0, 1000)).seq == len(known)


def assert_charts(now_ms: int) -> None:
    """The busy hour of days of every age: as fine as its age allows, and no hole in it."""
    newest = FIRST + (DAYS - 1) * DAY_MS
    for age, asked_s, resolution, step_s in (
        (1, 20, "raw", 20),
        (6, 20, "raw", 20),
        (1, 60, "1m", 60),
        (29, 60, "1m", 60),
        (33, 60, "5m", 300),
        (89, 60, "5m", 300),
        (93, 60, "1h", 3600),
        (394, 60, "1h", 3600),
        (398, 60, "1d", 86_400),
        (DAYS - 1, 60, "1d", 86_400),
    ):
        start = newest - age * DAY_MS + BUSY_MS
        for server in SERVERS:
            found = chart(server, start, start + HOUR_MS, asked_s, now_ms)
            assert (found["resolution"], found["step"]) == (resolution, step_s), age
            values = found["metrics"]["cpu_utilization"]
            # Samples come a minute apart.
            there = values[:: 60 // step_s] if step_s < 60 else values
            assert len(there) == max(1, HOUR_MS // 1000 // max(step_s, 60))
            assert None not in there, age
    for months, resolution in ((1, "1h"), (3, "1h"), (13, "1d"), (15, "1d")):
        whole = chart("web-01", now_ms - months * 30 * DAY_MS, now_ms, None, now_ms)
        assert whole["resolution"] == resolution
        answered = zip(whole["times"], whole["metrics"]["cpu_utilization"], strict=True)
        every = {day_of(FIRST + day * DAY_MS) for day in lived()}
        assert {day_of(at * 1000) for at, value in answered if value is not None} == {
            day for day in every if day_ms(day) + DAY_MS > whole["from"] * 1000
        }
