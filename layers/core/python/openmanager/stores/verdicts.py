"""Verdicts in Postgres: written once by the archive, asked for their anomalies, kept whole as what was said then.

A fleet's verdicts are the most of what Postgres holds, so that they are packed: a row has what is asked of many at once
as JSON (`verdict`: the anomaly in full where the minute was anomalous, else only that it was not) and the whole verdict
as `body`, for whoever asks what was said (`unpack`). Rows that an older version wrote are whole in `verdict`.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from openmanager.stores.blocks import mark
from openmanager.stores.partitions import PREDICTIONS, day_of, ensure
from openmanager.stores.postgres import connect, instant

# The first octet of a body says how the rest is packed. 1: raw DEFLATE (RFC 1951) of JSON with `_COMMON_1` before it.
_FORMAT = b"\x01"
# What verdicts have in common, the most frequent last. Every body of format 1 needs it as it is, to the letter.
_COMMON_1 = (
    b'"load_1m","load_5m","load_15m","memory_used","disk_queue","disk_reads","disk_read_bytes","disk_service_time",'
    b'"disk_busy","disk_writes","disk_wait","disk_write_bytes","network_receive_bytes","network_transmit_bytes",'
    b'"network_receive_packets","network_transmit_packets","tcp_time_wait","tcp_established","models":["rebuilding":'
    b'{"level":"offline","silent_s":{"level":"warning","anomaly":"limit":80{"level":"critical","metric":'
    b'"cpu_utilization","value":100.0,"limit":90}"outcome":"resets""outcome":"at_limit""outcome":"crosses","skilled":'
    b'true,"earliest_s":0,"latest_s":null,"likely_s":null,"coverage":0.8,"grid_s":60"method":"theil_sen""method":'
    b'"seasonal""method":"damped""method":"level""method":"lstm","skilled":true'
    b'{"server":"web-01","minute":1764003600,"status":"healthy","reasons":[],"silence":{"silent_s":40,"allowed_s":180,'
    b'"score":0.22},"anomaly":{"score":6.5,"threshold":19.7,"p_value":0.4,"anomalous":false,"contributions":'
    b'{"load_15m":0.2},"code":[0.1,0.0]},"failure":{"probability":0.05,"horizon_minutes":30},"forecasts":'
    b'{"cpu_utilization":{"path":[50.0,50.0,50.0],"low":[40.0,40.0],"high":[60.0,60.0],"method":"last","skilled":false},'
    b'"memory_used_effective":{"path":[],"low":[],"high":[],"method":"last","skilled":false},"filesystem_utilization":'
    b'{"path":[],"low":[],"high":[],"method":"last","skilled":false},"swap_utilization":{"path":[0.0,0.0],"low":'
    b'[0.0,0.0],"high":[0.0,0.0],"method":"last","skilled":false},"load_5m":{"path":[],"low":[],"high":[],"method":'
    b'"last","skilled":false}},"exhaustion":{"memory_used_effective":{"outcome":"not_within_horizon","skilled":false},'
    b'"filesystem_utilization":{"outcome":"not_within_horizon","skilled":false},"swap_utilization":{"outcome":'
    b'"not_within_horizon","skilled":false}},"risk":{"probability":0.05,"parts":{"failure":0.05}},"confidence":0.1,'
    b'"missing":{"history_minutes":179,"window_minutes":30,"metrics":["memory_used","disk_queue","disk_service_time",'
    b'"disk_busy","disk_wait","tcp_time_wait"]},"values":{"cpu_utilization":50.0,"memory_used_effective":6.8,'
    b'"filesystem_utilization":37.0,"swap_utilization":0.0,"load_5m":1.44}}'
)


def pack(verdict: Mapping[str, Any]) -> bytes:
    """A verdict as a row's body."""
    text = json.dumps(verdict, separators=(",", ":"), allow_nan=False).encode()
    packed = zlib.compressobj(wbits=-zlib.MAX_WBITS, zdict=_COMMON_1)
    return _FORMAT + packed.compress(text) + packed.flush()


def unpack(body: bytes) -> dict[str, Any]:
    """What `pack` made this of. Raises ValueError for what is none of its."""
    if body[:1] != _FORMAT:
        raise ValueError(f"a verdict's body begins with {body[:1]!r}, which no version wrote")
    packed = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=_COMMON_1)
    try:
        verdict: dict[str, Any] = json.loads(packed.decompress(body[1:]))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"a verdict's body does not read: {error}") from error
    return verdict


def store(verdicts: Iterable[tuple[str, int, Mapping[str, Any]]]) -> None:
    """(server, minute in s, verdict) each; a verdict once written is never rewritten."""
    rows = sorted(verdicts, key=lambda row: row[:2])

    def work(c: psycopg.Connection) -> None:
        with c.transaction(), c.cursor() as cursor:
            mark(cursor, {(server, day_of(minute * 1000)) for server, minute, _ in rows})
            ensure(cursor, ((PREDICTIONS, day_of(minute * 1000)) for _, minute, _ in rows))
            cursor.execute(
                "INSERT INTO predictions (server, minute, verdict, body)"
                " SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::jsonb[], %s::bytea[])"
                " ON CONFLICT (server, minute) DO NOTHING",
                (
                    [server for server, _, _ in rows],
                    [instant(minute) for _, minute, _ in rows],
                    [Jsonb({"anomaly": _asked(verdict["anomaly"])}) for _, _, verdict in rows],
                    [pack(verdict) for _, _, verdict in rows],
                ),
            )

    if rows:
        connect().run(work)


def _asked(anomaly: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return anomaly if anomaly is None or anomaly["anomalous"] else {"anomalous": False}


def anomalous(server: str, start_s: float, stop_s: float, limit: int) -> list[dict[str, Any]]:
    """The anomalies of a server's anomalous minutes in [start, stop), newest first, each with its `minute` (s)."""
    rows = connect().run(
        lambda c: c.execute(
            "SELECT extract(epoch FROM minute)::bigint, verdict->'anomaly' FROM predictions"
            " WHERE server = %s AND minute >= %s AND minute < %s AND verdict->'anomaly'->>'anomalous' = 'true'"
            " ORDER BY minute DESC LIMIT %s",
            (server, instant(start_s), instant(stop_s), limit),
        ).fetchall()
    )
    return [{"minute": minute} | found for minute, found in rows]
