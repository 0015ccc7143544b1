"""Settles the ledger as verdicts are archived, and says which predictive rules earn their keep."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from openmanager.alerts.rules import DEFAULTS, PREDICTIVE
from openmanager.ledger.record import earns, record
from openmanager.ledger.scores import Cells, Errors
from openmanager.ledger.track import Settled, Track
from openmanager.stores import config
from openmanager.stores import ledger as stored

FAILURE = "failure"
# Over which past a rule must have earned its keep.
_PAST_S = 28 * 86_400


def settle(verdicts: Sequence[tuple[str, int, Any]]) -> None:
    """Take in archived verdicts (server, minute in s, verdict); what was taken in before changes nothing."""
    by_server: dict[str, list[Any]] = defaultdict(list)
    for server, _, said in sorted(verdicts, key=lambda v: v[:2]):
        by_server[server].append(said)

    def work(server: str, track: dict[str, Any] | None) -> stored.Row:
        now, settled = Track.of(track) if track else Track(), Settled()
        for said in by_server[server]:
            now.take(said, settled)
        return _row(server, now, settled)

    stored.settle(by_server, work, _add)


def _row(server: str, track: Track, settled: Settled) -> stored.Row:
    sums: dict[tuple[Any, str], dict[str, Any]] = {
        (_day(week), FAILURE): cells.as_dict() for week, cells in settled.cells.items()
    }
    for (week, metric, method), errors in settled.forecasts.items():
        sums[_day(week), f"{metric}|{method}"] = errors.as_dict()
    return stored.Row(
        server,
        track.as_dict(),
        [
            (e.model, e.began, e.ended, e.outcome, None if e.lead_min is None else e.lead_min * 60, e.incident)
            for e in settled.episodes
        ],
        [(i.began, i.ended, i.kind, i.announced) for i in settled.incidents],
        sums,
    )


def _day(minute: int) -> Any:
    return datetime.fromtimestamp(minute * 60, UTC).date()


def _add(what: str, standing: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    if what == FAILURE:
        cells = Cells(**standing)
        cells.merge(Cells(**more))
        return cells.as_dict()
    errors = Errors(**standing)
    errors.merge(Errors(**more))
    return errors.as_dict()


def mute(now_ms: int) -> None:
    """Publish which predictive rules do not earn their pages at present, and how good the models are."""
    now_s = now_ms / 1000
    span = (now_s - _PAST_S, now_s)
    whole = record(stored.episodes(*span), stored.incidents(*span), stored.sums(*span))
    rules = json.loads(config.read().get("rules", "null")) or [rule.as_dict() for rule in DEFAULTS]
    muted = {r["id"]: why for r in rules if r["kind"] in PREDICTIVE and (why := earns(whole, r["kind"]))}
    quality = {model: score for model, score in whole["quality"].items() if score is not None}
    config.publish({"muted": json.dumps(muted), "quality": json.dumps(quality)})
