"""What came through: what was promised and is not there, what is there twice, and what was not promised and why."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from openmanager.alerts.rules import parse_rules
from openmanager.audit import Broken, Head, verify
from openmanager.stores import audit, config, history
from openmanager.stores.verdicts import unpack
from openmanager.watch.alerting import Desk
from openmanager.watch.config import Config

from tests.endurance.people import People, ask
from tests.endurance.readers import Reader, places
from tests.endurance.senders import Key, Ledger
from tests.endurance.stack import World
from tests.endurance.trouble import Receivers

TARGETS = ("steady", "shaky")
Minute = tuple[str, int]
# Rules that can be judged again from what the record keeps of a minute.
_REPLAYED = ("cpu", "memory", "offline")
LOST_BY_REDIS = "Redis is the only place of what is not archived yet, and it lost its disk"


@dataclass(frozen=True)
class Row:
    """A line of the table; `lost` and `doubled` are promised to be nought, `excused` is not, and `why`."""

    what: str
    expected: int
    found: int
    lost: int = 0
    doubled: int = 0
    excused: int = 0
    why: str = ""
    # Examples of what is not as promised.
    named: Sequence[object] = ()

    @property
    def kept(self) -> bool:
        return not self.lost and not self.doubled


@dataclass
class Loss:
    """What Postgres had as Redis was about to lose its data, and when (monotonic seconds, minute of the clock)."""

    at_s: float
    minute: int
    samples: set[Key] = field(default_factory=set)
    verdicts: set[Minute] = field(default_factory=set)


def about_to_lose(world: World, ledgers: Mapping[str, Ledger]) -> Loss:
    """What is safe now."""
    loss = Loss(float("inf"), int(world.now() // 60))
    for server, ledger in ledgers.items():
        wanted = dict(ledger.acknowledged)
        cold = _cold(server, wanted)
        loss.samples |= {key for key in wanted if key in cold}
    loss.verdicts = set(verdicts(world))
    return loss


def _cold(server: str, wanted: Mapping[Key, float]) -> set[Key]:
    if not wanted:
        return set()
    times = [at for _, at, _ in wanted]
    found: set[Key] = set()
    for samples in history.read_blocks(server, min(times), max(times)):
        for at, row in zip(samples.times.tolist(), samples.values, strict=True):
            found |= {(server, at, name) for name, value in zip(samples.series, row, strict=True) if value == value}
    return found


def samples(world: World, ledgers: Mapping[str, Ledger], loss: Loss | None) -> Row:
    """Every value that was acknowledged, by the API, with its value; an instant that comes twice is doubled."""
    sent = acknowledged = found = doubled = excused = 0
    lost: list[Key] = []
    for server, ledger in ledgers.items():
        sent += len(ledger.sent)
        acknowledged += len(ledger.acknowledged)
        if not ledger.acknowledged:
            continue
        stored, twice = _by_api(world, server, [at for _, at, _ in ledger.acknowledged])
        doubled += twice
        for key, value in ledger.acknowledged.items():
            if stored.get(key) == value:
                found += 1
            elif loss and ledger.at[key] < loss.at_s and key not in loss.samples:
                excused += 1
            else:
                lost.append(key)
    why = LOST_BY_REDIS if excused else ""
    return Row(f"samples ({sent:,} sent)", acknowledged, found, len(lost), doubled, excused, why, lost)


def _by_api(world: World, server: str, times: Sequence[int]) -> tuple[dict[Key, float], int]:
    """(what GET /api/servers/{id}/samples has of a server, how many instants came twice)."""
    found: dict[Key, float] = {}
    came: Counter[int] = Counter()
    span = f"from={min(times) / 1000 - 1}&to={max(times) / 1000 + 1}"
    cursor: str | None = ""
    while cursor is not None:
        status, page = ask(
            world, "GET", f"/api/servers/{server}/samples?{span}" + (f"&cursor={cursor}" if cursor else "")
        )
        if status == 404:
            break
        if status != 200:
            raise RuntimeError(f"samples of {server}: {status} {page}")
        came.update(page["times"])
        for at, row in zip(page["times"], page["values"], strict=True):
            found |= {(server, at, name): v for name, v in zip(page["series"], row, strict=True) if v is not None}
        cursor = page["next"]
    return found, sum(count - 1 for count in came.values())


def verdicts(world: World) -> Iterable[Minute]:
    """(server, minute) of the record."""
    with world.sql() as connection:
        rows = connection.execute("SELECT server, extract(epoch FROM minute)::bigint / 60 FROM predictions").fetchall()
    return [(str(server), int(minute)) for server, minute in rows]


def judged(world: World, ledgers: Mapping[str, Ledger], last: int, loss: Loss | None, readers: Sequence[Reader]) -> Row:
    """Every minute of every server from its first acknowledged sample to `last`; said twice is doubled."""
    found = set(verdicts(world))
    expected = 0
    lost: list[Minute] = []
    excused: list[Minute] = []
    for server, ledger in ledgers.items():
        order = sorted(ledger.at, key=lambda key: ledger.at[key])
        if not order:
            continue
        wanted = {(server, minute) for minute in range(order[0][1] // 60_000, last + 1)}
        expected += len(wanted)
        missing = sorted(wanted - found)
        anew = next((key[1] // 60_000 for key in order if loss and ledger.at[key] > loss.at_s), None)
        for one in missing:
            free = loss is not None and one not in loss.verdicts and (anew is None or one[1] < anew)
            (excused if free else lost).append(one)
    said: Counter[Minute] = Counter()
    heard: dict[str, dict[str, object]] = {}
    for reader in readers:
        for name, cursor, data in reader.heard.events:
            if name == "prediction":
                heard[cursor.split("_")[1]] = data
    for data in heard.values():
        servers = data["servers"]
        assert isinstance(servers, dict)
        said.update((server, int(str(data["minute"]))) for server in servers)
    # A round that lost its memory judges anew; what was recorded stays.
    doubled = 0 if loss else sum(count - 1 for count in said.values())
    why = LOST_BY_REDIS if excused else ""
    return Row("verdicts", expected, expected - len(lost) - len(excused), len(lost), doubled, len(excused), why, lost)


def happened(world: World, loss: Loss | None) -> Row:
    """What the record of verdicts says must have happened to alerts of CPU and silence, against their history."""
    if loss:
        return Row("alerts that began or ended, by the record", 0, 0, why="the rules in force were lost with Redis")
    ruled = [rule for rule in parse_rules(json.loads(config.read()["rules"])) if rule.id in _REPLAYED]
    with world.sql() as connection:
        rows = connection.execute(
            "SELECT server, extract(epoch FROM minute)::bigint / 60, body FROM predictions ORDER BY 1, 2"
        ).fetchall()
        found = {
            (str(server), str(rule), str(what), int(minute))
            for server, rule, what, minute in connection.execute(
                "SELECT server, rule, what, extract(epoch FROM at)::bigint / 60 FROM alert_transitions"
                " WHERE what IN ('firing', 'resolved') AND rule = ANY(%s)",
                (list(_REPLAYED),),
            ).fetchall()
        }
    expected = set()
    desks: dict[str, Desk] = {}
    for server, minute, body in rows:
        verdict = unpack(bytes(body))
        desk = desks.setdefault(server, Desk(Config(tuple(ruled)), {}))
        for one in desk.minute(int(minute), [verdict], [verdict["values"]], [""]):
            if one.what in ("firing", "resolved"):
                expected.add((server, one.alert.rule, one.what, one.minute))
    lost, extra = sorted(expected - found), sorted(found - expected)
    return Row(
        "alerts that began or ended, by the record", len(expected), len(expected & found), len(lost), len(extra),
        named=[*lost, *extra],
    )  # fmt: skip


def notices(world: World, receivers: Receivers, loss: Loss | None) -> list[Row]:
    """Every transition that people are told of, at each target; told twice is the same event under another key."""
    with world.sql() as connection:
        rows = connection.execute(
            "SELECT alert, notice, (body->>'tellings')::int, extract(epoch FROM at)::bigint / 60"
            " FROM alert_transitions WHERE notice <> ''"
        ).fetchall()
    expected: dict[str, int] = {}
    events: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for alert, notice, tellings, minute in rows:
        for target in TARGETS:
            key = f"{alert}|{notice}|{tellings}|{target}"
            expected[key] = minute
            if notice in ("firing", "resolved") and key in receivers.taken:
                events[alert, notice, target].add(key)
    missing = [key for key in expected if key not in receivers.taken]
    free = [key for key in missing if loss is not None and expected[key] <= loss.minute + 1]
    lost = [key for key in missing if key not in free]
    doubled = sum(len(keys) - 1 for keys in events.values())
    found = len(expected) - len(missing)
    again = sum(count - 1 for count in receivers.came.values())
    table = [
        Row(
            f"notices ({again:,} sent again, by the same key)", len(expected), found, len(lost), doubled, len(free),
            LOST_BY_REDIS if free else "", lost,
        )
    ]  # fmt: skip
    strange = [key for key in receivers.taken if key not in expected]
    untold = [] if loss else strange
    why = "their record was lost with Redis" if loss and strange else ""
    found = len(receivers.taken) - len(strange)
    table.append(
        Row(
            "notices with a record",
            len(receivers.taken),
            found,
            len(untold),
            0,
            len(strange) - len(untold),
            why,
            untold,
        )
    )
    return table


def audited(world: World, people: People) -> list[Row]:
    """Every change that was answered with 2xx; and the chain of the whole log."""
    with world.sql() as connection:
        rows: Counter[tuple[str, str]] = Counter()
        for action, target in connection.execute("SELECT action, target FROM audit_log").fetchall():
            rows[action, target] += 1
    lost = [one for one, count in people.done.items() if rows[one] < count]
    doubled = [one for one in people.asked if rows[one] > people.asked[one]]
    missing = sum(people.done[one] - rows[one] for one in lost)
    expected = people.done.total()
    table = [
        Row(
            "audit rows of settings", expected, expected - missing, missing,
            sum(rows[one] - people.asked[one] for one in doubled), named=[*lost, *doubled],
        )
    ]  # fmt: skip
    log = (world.folder.path / "logs" / "gateway.log").read_text(errors="replace")
    logged = log.count("not in the audit log")
    kept = sum(rows[one] for one in people.acknowledged)
    expected = people.acknowledged.total()
    gone = max(0, expected - kept)
    excused = min(gone, logged)
    why = "recorded after the fact: while Postgres is away the row is in the log of the function" if excused else ""
    table.append(Row("audit rows of acknowledgements", expected, min(kept, expected), gone - excused, 0, excused, why))
    table.append(_chain())
    return table


def _chain() -> Row:
    rows: list[str] = []
    after: int | None = 0
    while after is not None:
        page = audit.read(after, 1000)
        rows += [json.dumps(row) for row in page]
        after = page[-1]["seq"] if page else None
    try:
        head: Head = verify(rows)
    except Broken as broken:
        return Row("rows of the audit log's chain", len(rows), 0, len(rows), named=[str(broken)])
    return Row("rows of the audit log's chain", len(rows), head.seq)


def followed(world: World, readers: Sequence[Reader], alerts: Sequence[str]) -> list[Row]:
    """By reader, events that it should have heard of: those of alerts by the stream, of verdicts by all readers."""
    table = []
    for reader in readers:
        wanted = {"alert": list(alerts), "prediction": places(readers, "prediction")}
        topics = {"alert": "alerts", "prediction": "predictions"}
        missed = [
            (name, one)
            for name, there in wanted.items()
            if topics[name] in reader.topics
            for one in reader.heard.missed(name, there)
        ]
        events = [name for name, _, _ in reader.heard.events if name in ("alert", "prediction")]
        repeated = reader.heard.repeated()
        what = f"feed of {reader.name} ({reader.heard.gaps} gaps told)"
        gave_up = len(reader.failed)
        table.append(
            Row(
                what, len(events) - repeated + len(missed), len(events) - repeated, len(missed) + gave_up, repeated,
                named=[*missed, *reader.failed],
            )
        )  # fmt: skip
    return table


def alert_places(world: World) -> list[str]:
    """The places of the alert events that the feed still holds."""
    entries = world.redis_command("XRANGE", "om:feed", "-", "+")
    return [place for place, flat in entries if dict(zip(flat[::2], flat[1::2], strict=True))["event"] == "alert"]


def reachable(world: World) -> bool:
    """Whether Postgres answers at all."""
    try:
        with world.sql() as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
