"""Recorded servers pushed through the ordinary ingest door, as if their recording ended now.

    python -m infra.local.replay --url http://127.0.0.1:8000 --token KEY infra/local/recordings/host.csv

The past of a server goes in one request, so that all of it is judged in order. With --follow the first --last minutes
are the past, and the rest of the recording then happens live.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from openmanager.cli.exits import USAGE

from infra.local.process import say
from infra.local.recordings.formats import MAX_ROWS, Recording, Unusable, choose, cut, read, rows_of, stretch

TIMEOUT_S = 60.0


def document(recording: Recording) -> dict[str, Any]:
    """A recording as our JSON."""
    samples = []
    for i, moment in enumerate(recording.times):
        sample: dict[str, Any] = {"time": round(float(moment), 3)}
        for group, columns in (("metrics", recording.gauges), ("counters", recording.counters)):
            values = {key: round(float(v[i]), 3) for key, v in columns.items() if not np.isnan(v[i])}
            if values:
                sample[group] = values
        samples.append(sample)
    return {"server": recording.server, **recording.attributes, "samples": samples}


def post(url: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the door answers. Raises Unusable."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url.rstrip('/')}/api/ingest", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            answer: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as fault:
        with fault:
            raise Unusable(f"{url} answered {fault.code}: {fault.read(500).decode(errors='replace')}") from None
    except (OSError, ValueError) as fault:
        raise Unusable(f"{url}: {getattr(fault, 'reason', fault)}") from None
    return answer


def send_past(url: str, token: str, past: Recording, end_s: float, progress: str) -> None:
    """Push a recording so that its last row is at `end_s`; say how it went."""
    answer = post(url, token, document(_shifted(past, past, end_s)))
    rejected = answer.get("rejected") or []
    note = f", {len(rejected)} rejected, first: {rejected[0]}" if rejected else ""
    say(f"{progress} {past.server}: {len(past)} rows, {answer.get('accepted')} values taken{note}")


def _shifted(recording: Recording, past: Recording, end_s: float) -> Recording:
    """The recording moved in time so that the end of its past (without one, its own beginning) is at `end_s`."""
    if not len(recording):
        return recording
    anchor = past.times[-1] if len(past) else recording.times[0]
    return replace(recording, times=recording.times - anchor + end_s)


def live(recordings: Sequence[Recording]) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """(when to push, what) until the longest recording is over; rows of the same second go together."""
    rows = sorted((round(float(t)), i, j) for i, r in enumerate(recordings) for j, t in enumerate(r.times))
    for moment, together in groupby(rows, key=lambda row: row[0]):
        yield moment, [document(rows_of(recordings[i], slice(j, j + 1))) for _, i, j in together]


def follow(url: str, token: str, recordings: Sequence[Recording]) -> None:
    """Push rows as their time comes. What could not be delivered goes with the next rows."""
    waiting: list[dict[str, Any]] = []
    for moment, servers in live(recordings):
        time.sleep(max(0.0, moment - time.time()))
        waiting = [*waiting, *servers][-MAX_ROWS:]
        clock = datetime.fromtimestamp(moment).strftime("%H:%M:%S")
        try:
            answer = post(url, token, {"servers": waiting})
        except Unusable as fault:
            say(f"{clock} not delivered, will go with the next rows: {fault}")
            continue
        waiting = []
        say(f"{clock} {len(servers)} rows, {answer.get('accepted')} values taken")
    say("the recordings are over")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".csv or .npz")
    parser.add_argument("--url", required=True, help="address of OpenManager")
    parser.add_argument("--token", required=True, help="API key")
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """How files are replayed, read by `run`."""
    add = parser.add_argument
    add("--servers", default="", metavar="A,B", help="only these of the recorded servers")
    add("--last", type=float, default=300, metavar="MINUTES", help="how much past to send (300)")
    add("--start", type=float, metavar="MINUTE", help="where the past begins; else at the end, with --follow at 0")
    add("--interval", type=float, metavar="S", help="make each row last so many seconds; else as recorded")
    add("--follow", action="store_true", help="go on in real time with what comes after the past")
    add("--speed", choices=["past", "live"], default="past", help="live: no past, everything in real time")


def main(argv: Sequence[str] | None = None) -> int:
    """Replay; 0 when everything was taken."""
    return run(arguments().parse_args(argv))


def run(chosen: argparse.Namespace) -> int:
    """Replay `files` to `url` with `token`; the exit code."""
    if not 1 <= chosen.last <= 7 * 1440:
        say("--last: must be 1 to 10080 minutes (a week)")
        return USAGE
    if chosen.interval is not None and not 1 <= chosen.interval <= 3600:
        say("--interval: must be 1 to 3600 seconds")
        return USAGE
    try:
        replay(chosen)
    except Unusable as fault:
        say(f"replay: {fault}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def replay(chosen: argparse.Namespace) -> None:
    """Read, cut, push. Raises Unusable."""
    following = chosen.follow or chosen.speed == "live"
    past_s = 0.0 if chosen.speed == "live" else chosen.last * 60
    start_s = None if chosen.start is None else chosen.start * 60
    recordings = choose([recording for path in chosen.files for recording in read(path)], chosen.servers)
    if chosen.interval:
        recordings = [stretch(recording, chosen.interval) for recording in recordings]
    cuts = [cut(recording, start_s, past_s, following) for recording in recordings]
    now = time.time()
    for i, (past, _) in enumerate(cuts, 1):
        if len(past):
            send_past(chosen.url, chosen.token, past, now, f"[{i}/{len(cuts)}]")
    if following:
        follow(chosen.url, chosen.token, [_shifted(rest, past, now) for past, rest in cuts])


if __name__ == "__main__":
    sys.exit(main())
