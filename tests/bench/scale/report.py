"""The tables: what was measured at each size, each server's share of it beside that of a smaller fleet, and how far
it goes on.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.commands import reference, stores
from tests.bench.output import say
from tests.bench.scale.model import Setup, Units, breaks_at, first, limits, needs
from tests.bench.scale.simulate import HELD_MIN, VERDICTS_HELD_MIN, Simulation

SIZES = (100, 1_000, 10_000)
# Of larger fleets so many shards as hold these: in ten minutes there is no time for more.
MOST = 2_500
BEYOND = (10_000, 30_000, 100_000, 300_000)
_REFERENCE_SERVERS = 1_000
_DAY_MIN, _SEGMENTS_A_DAY = 1440, 144

Told = Mapping[str, Any]


def main(sizes: Sequence[int] = SIZES, most: int = MOST) -> None:
    """Simulate fleets of these sizes, of larger ones than `most` only some shards; then the arithmetic."""
    say("Half an hour of fleets through the real functions, a process a job, stores on this machine")
    say("  ms a server are of the processor: of a push, of a round of every shard, of a run of the archive")
    say(
        "  servers  cmds/push  push ms  push CPU ms  round s  round ms/server  closing  cmds/shard  round MB"
        "  archive s  archive ms/server  cmds  MB  reference ms"
    )
    rows: list[Told] = []
    with stores() as redis, tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(redis, Path(folder))
        for servers in sizes:
            unit_ms = reference(_REFERENCE_SERVERS) / _REFERENCE_SERVERS * 1000
            rows.append({"reference_ms": unit_ms, **simulation.run(servers, most)})
            say(_measured(rows[-1]))
    say(
        "  a closing round judges the coarse grids as well, every fifth minute; the reference: 20 values as zipped JSON"
        " there and back"
    )
    _shares(rows)
    _answers(rows)
    beyond(units_of(rows[-1]), rows[-1]["simulated"])


def _measured(row: Told) -> str:
    n, push, ordinary = row["simulated"], row["push"]["measured"], row["round"]["ordinary"]
    moved = row["archive"]["measured"]
    whole = row["some"] == row["shards"]
    return (
        f"{row['servers']:9,}{push['commands']:11.2f}{push['ms']:9.1f}{push['cpu_ms']:13.2f}"
        f"{ordinary['ms'] / 1000:9.1f}{ordinary['cpu_ms'] / n:17.2f}{_closing_ms(row):9.2f}"
        f"{ordinary['commands'] / row['some']:12.1f}{row['round']['peak_mb']:10.0f}"
        f"{moved['ms'] / 1000:11.1f}{moved['cpu_ms'] / n:19.2f}{moved['commands']:6.0f}"
        f"{row['archive']['peak_mb']:4.0f}{row['reference_ms']:14.3f}"
        + ("" if whole else f"  {row['some']} of {row['shards']} shards, {n:,} servers; the others are empty")
    )


def _closing_ms(row: Told) -> float:
    kinds = row["round"]
    cpu_ms: float = kinds.get("closing", kinds["ordinary"])["cpu_ms"]
    return cpu_ms / row["simulated"]


def held_bytes(row: Told, *, strangers: bool) -> float:
    """Octets of Redis for a server at the fullest: what stays, frames until they are archived, verdicts likewise.

    With `strangers` each push meets a process that does not know the server, and brings its baseline.
    """
    frame: float = row["strange_frame_bytes" if strangers else "frame_bytes"]
    total: float = (
        row["record_bytes"] + row["latest_bytes"] + HELD_MIN * frame + VERDICTS_HELD_MIN * row["verdict_bytes"]
    )
    return total


def postgres_bytes(row: Told) -> dict[str, float]:
    """Octets for a server and day before the day is closed, by table: blocks, and verdicts minute by minute."""
    sizes, n = row["postgres"], row["simulated"]
    verdicts = row["archive"]["report"]["verdicts"]
    return {
        "blocks": sizes["blocks"] / n * _SEGMENTS_A_DAY,
        "predictions": sizes["predictions"] / verdicts * _DAY_MIN,
    }


def _per_server(row: Told) -> dict[str, float]:
    """What of one server should be the same however many there are."""
    n, unit = row["simulated"], row["reference_ms"]
    return {
        "push CPU / reference": row["push"]["measured"]["cpu_ms"] / unit,
        "round CPU / reference": row["round"]["ordinary"]["cpu_ms"] / n / unit,
        "closing round CPU / reference": _closing_ms(row) / unit,
        "round octets": row["round"]["ordinary"]["redis_bytes"] / n,
        "peak MB of a round": row["round"]["peak_mb"],
        "Redis octets": held_bytes(row, strangers=False),
        "Redis octets, strangers": held_bytes(row, strangers=True),
        "archive CPU / reference": row["archive"]["measured"]["cpu_ms"] / n / unit,
        "peak MB of the archive": row["archive"]["peak_mb"],
        **{f"Postgres octets a day, {name}": size for name, size in postgres_bytes(row).items()},
        **{f"{name} CPU / reference": a["measured"]["cpu_ms"] / n / unit for name, a in row["asked"].items()},
    }


def _shares(rows: Sequence[Told]) -> None:
    say()
    base = next((row for row in rows if row["servers"] >= _REFERENCE_SERVERS), rows[0])
    say(f"For each server (peaks: of a process), and times that of {base['servers']:,} servers; flat is 1.00")
    say(f"  {'':34}" + "".join(f"{row['servers']:>20,}" for row in rows))
    flat = _per_server(base)
    told = [_per_server(row) for row in rows]
    for name, of_base in flat.items():
        shown = "".join(
            f"{row[name]:12,.{0 if row[name] >= 100 else 2}f} ×{row[name] / of_base:5.2f}"
            if name in row
            else f"{'–':>20}"
            for row in told
        )
        say(f"  {name:34}{shown}")


def _answers(rows: Sequence[Told]) -> None:
    say()
    say("Answers, of a process that has answered nothing before; Lambda hands over 6 MB (payload)")
    say("  servers  what                    s  cmds      octets      zipped     payload   MB")
    for row in rows:
        for name, told in row["asked"].items():
            fits = "" if told["status"] == 200 else f"  {told['status']}: it says that it is too large"
            say(
                f"{row['servers']:9,}  {name:16}{told['measured']['ms'] / 1000:9.2f}{told['measured']['commands']:6.0f}"
                f"{told['body']:12,}{told['zipped']:12,}{told['payload']:12,}{told['peak_mb']:5.0f}{fits}"
            )


def units_of(row: Told) -> Units:
    """The model's units, from one size that was simulated whole."""
    n, push, rounds, asked = row["simulated"], row["push"]["measured"], row["round"], row["asked"]
    ordinary, shards = rounds["ordinary"], row["some"]
    closing = rounds.get("closing", ordinary)
    listed, snapshot, metrics = asked["list, gzip"], asked["snapshot, gzip"], asked["metrics, gzip"]
    idle_mb = asked["alerts, gzip"]["peak_mb"]
    return Units(
        push_cpu_ms=push["cpu_ms"],
        push_commands=push["commands"],
        round_cpu_ms=ordinary["cpu_ms"] / n,
        closing_cpu_ms=closing["cpu_ms"] / n,
        round_commands=ordinary["commands"] / shards,
        round_bytes=max(ordinary["redis_bytes"], closing["redis_bytes"]) / n,
        archive_cpu_ms=row["archive"]["measured"]["cpu_ms"] / n,
        archive_commands=row["archive"]["measured"]["commands"] / shards,
        held_bytes=held_bytes(row, strangers=True),
        list_cpu_ms=listed["measured"]["cpu_ms"] / n,
        # As JSON within JSON, which escapes every quote; what was too large to be sent is told in its place.
        list_bytes=1.12 * listed["body"] / n,
        list_zipped_bytes=listed["payload"] / n,
        snapshot_cpu_ms=snapshot["measured"]["cpu_ms"] / n,
        snapshot_zipped_bytes=snapshot["payload"] / n,
        metrics_cpu_ms=metrics["measured"]["cpu_ms"] / n,
        metrics_zipped_bytes=metrics["payload"] / n,
        list_kb=max(0.0, listed["peak_mb"] - idle_mb) / n * 1000,
        idle_mb=idle_mb,
    )


def beyond(units: Units, servers: int, setup: Setup | None = None) -> None:
    """What fleets need of each limit, as shares of it, and which gives way first."""
    setup = setup or Setup()
    say()
    say(
        f"Beyond, by the units of {servers:,} servers: a push every {setup.interval_s} s,"
        f" {setup.servers_a_shard} servers a shard, memory as in serverless.yml;"
        " shares of each limit (docs/scale.md), and the largest fleet within"
    )
    say(f"  {'':72}" + "".join(f"{n:>10,}" for n in BEYOND) + "     within")
    used = [needs(n, units, setup) for n in BEYOND]
    for name, limit in limits().items():
        at = breaks_at(name, units, setup)
        shown = "".join(f"{told[name] / limit.most:10.0%}" for told in used)
        say(f"  {limit.what:72}{shown}{'any' if at is None else f'{at:,}':>11}")
    say("  what gives way, the first first:")
    for at, name in first(units, setup):
        if at <= BEYOND[-1]:
            say(f"    {at:9,}  {limits()[name].what}: {limits()[name].turn}")
