"""Samples as they were sent, page by page, for export."""

import re
from contextlib import suppress
from typing import Any

import numpy as np

from openmanager.charts import hot as hot_samples
from openmanager.errors import DamagedFrame, InvalidInput, NotFound
from openmanager.stores import history
from openmanager.stores.latest import read_server_latest
from openmanager.stores.segments import BACKLOG, StoredFrame, read_server_frames, segments_between
from openmanager.telemetry.samples import LABEL_PREFIX, Samples, merge

MAX_CELLS = 10_000
# Milliseconds.
_CURSOR = "[0-9]{1,15}"
CURSOR = {"type": "string", "pattern": f"^{_CURSOR}$", "description": "`next` of the page before"}
# Cold samples are read by the day; a page ends where a day does.
_DAY_MS = 86_400_000


def page(server: str, start_s: float, stop_s: float, cursor: str | None, now_ms: int) -> dict[str, Any]:
    """The server's samples in [start, stop) from the cursor on, in order of time, hot and archived joined.

    A row an instant, a column a series of this page, null where absent; `late` are the instants that came late. `next`
    is the cursor of the next page, null after the last. Raises InvalidInput naming `cursor`, and NotFound for a server
    nothing is known of.
    """
    start_ms, stop_ms = round(start_s * 1000), round(stop_s * 1000)
    first_ms = start_ms if cursor is None else _position(cursor, start_ms, stop_ms)
    table, following = _rows(server, first_ms, stop_ms, now_ms)
    attributes = _attributes(server, now_ms)
    if attributes is None and not len(table):
        raise NotFound(f"server {server!r} has sent nothing")
    used = ~np.isnan(table.values).all(axis=0)
    values = table.values[:, used]
    return {
        "server": server,
        "attributes": _nested(attributes or {}),
        "series": [name for name, u in zip(table.series, used, strict=True) if u],
        "times": table.times.tolist(),
        "values": [[None if v != v else v for v in row] for row in values.tolist()],
        "late": table.times[table.late].tolist(),
        "next": None if following is None else str(following),
    }


def _position(cursor: str, start_ms: int, stop_ms: int) -> int:
    if not re.fullmatch(_CURSOR, cursor) or not start_ms <= int(cursor) < stop_ms:
        raise InvalidInput("cursor", f"{cursor[:64]!r} is not the `next` of a page of this span")
    return int(cursor)


def _rows(server: str, first_ms: int, stop_ms: int, now_ms: int) -> tuple[Samples, int | None]:
    """(the rows of the page that begins at `first_ms`, where the next one begins)."""
    # Hot before cold: what the archive moves in between is then seen twice, which `merge` undoes, and never missed.
    hot_tables = hot_samples.samples(server, first_ms, min(stop_ms, now_ms + _DAY_MS), now_ms)
    hot_times = np.concatenate([np.empty(0, np.int64), *(t.times for t in hot_tables)])
    while True:
        ahead = hot_times[(hot_times >= first_ms) & (hot_times < stop_ms)]
        starts = [int(ahead.min())] if len(ahead) else []
        block = history.next_block(server, first_ms, stop_ms)
        if block is not None:
            starts.append(max(block, first_ms))
        if not starts:
            return merge([]), None
        begin = min(starts)
        end = min((begin // _DAY_MS + 1) * _DAY_MS, stop_ms)
        table = merge([*hot_tables, *history.read_blocks(server, begin, end - 1)])
        table = table.rows((table.times >= begin) & (table.times < end))
        limit = max(1, MAX_CELLS // max(1, len(table.series)))
        if len(table) > limit:
            return table.rows(table.times < table.times[limit]), int(table.times[limit])
        if len(table) or end >= stop_ms:
            return table, end if end < stop_ms else None
        first_ms = end


def _attributes(server: str, now_ms: int) -> dict[str, str] | None:
    latest = read_server_latest(server)
    known: dict[str, str] | None = latest["attributes"] if latest else history.read_server(server)
    if known is not None:
        return known
    # Before the first round only the frames tell.
    told: dict[str, str] = {}
    for frame in sorted(read_server_frames(server, [*segments_between(now_ms, now_ms), BACKLOG]), key=_first_ms):
        with suppress(DamagedFrame):
            told.update(frame.read()[1])
    return told or None


def _first_ms(frame: StoredFrame) -> int:
    return frame.first_ms


def _nested(attributes: dict[str, str]) -> dict[str, Any]:
    """As our JSON takes them: labels apart."""
    plain: dict[str, Any] = {name: v for name, v in attributes.items() if not name.startswith(LABEL_PREFIX)}
    labels = {name.removeprefix(LABEL_PREFIX): v for name, v in attributes.items() if name.startswith(LABEL_PREFIX)}
    return plain | ({"labels": labels} if labels else {})
