"""Settles the ledger as verdicts are archived, and says which predictive rules earn their keep."""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.alerts.rules import DEFAULTS, PREDICTIVE
from openmanager.catalog import DEMO_PREFIX
from openmanager.ledger.record import earns, record
from openmanager.ledger.scores import Cells, Errors
from openmanager.ledger.track import FAILURE, Settled, Track
from openmanager.stores import config
from openmanager.stores import ledger as stored

# Over which past a rule must have earned its keep.
_PAST_S = 28 * 86_400
# A server without verdicts for this long is no longer watched (watch.round.FORGET_MIN); rounds that are late are less.
_GONE_S = 2 * 86_400

log = logging.getLogger(__name__)


def settle(verdicts: Sequence[tuple[str, int, Any]]) -> None:
    """Take in archived verdicts (server, minute in s, verdict); what was taken in before changes nothing.

    One that cannot be taken in, such as one of an older release, is logged and passed over.
    """
    by_server: dict[str, list[Any]] = defaultdict(list)
    for server, _, said in sorted(verdicts, key=lambda v: v[:2]):
        by_server[server].append(said)

    def work(server: str, track: dict[str, Any] | None) -> stored.Row:
        now, settled = _track(server, track), Settled()
        for said in by_server[server]:
            try:
                now.take(said, settled)
            except Exception:
                log.exception("a verdict on %s is passed over", server)
        return _row(server, now.as_dict(), settled)

    stored.settle(by_server, work, _add)


def end_gone(now_ms: int) -> None:
    """End what is on of servers that are no longer watched, and forget them."""

    def work(server: str, track: dict[str, Any] | None) -> stored.Row:
        now, settled = _track(server, track), Settled()
        if now.minute * 60 >= before_s:
            # It came back just now.
            return _row(server, now.as_dict(), settled)
        now.end(settled)
        return _row(server, {}, settled)

    before_s = now_ms // 1000 - _GONE_S
    if gone := stored.silent_since(before_s // 60):
        stored.settle(gone, work, _add)
        stored.forget_ended()


def _track(server: str, item: Mapping[str, Any] | None) -> Track:
    """A server's track; one that does not read begins anew."""
    try:
        return Track.of(item) if item else Track()
    except (TypeError, ValueError, IndexError, AttributeError):
        log.exception("the track of %s begins anew", server)
        return Track()


def _row(server: str, track: dict[str, Any], settled: Settled) -> stored.Row:
    return stored.Row(
        server,
        track,
        [
            (e.model, e.began, e.ended, e.outcome, None if e.lead_min is None else e.lead_min * 60, e.incident)
            for e in settled.episodes
        ],
        [(i.began, i.ended, i.kind, i.announced) for i in settled.incidents],
        settled.sums(),
    )


def _add(what: str, standing: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    if what == FAILURE:
        cells = Cells(**standing)
        cells.merge(Cells(**more))
        return cells.as_dict()
    errors = Errors(**standing)
    errors.merge(Errors(**more))
    return errors.as_dict()


def delete_before(at_s: float) -> None:
    """Let go of what began before an instant."""
    stored.delete_before(at_s)


def mute(now_ms: int) -> None:
    """Publish which predictive rules do not earn their pages at present, and how good the models are.

    The demo fleet, which goes wrong on purpose, has no say in it.
    """
    now_s = now_ms / 1000
    span = (now_s - _PAST_S, now_s, None, DEMO_PREFIX)
    whole = record(stored.episodes(*span), stored.incidents(*span), stored.sums(*span))
    rules = json.loads(config.read().get("rules", "null")) or [rule.as_dict() for rule in DEFAULTS]
    muted = {r["id"]: why for r in rules if r["kind"] in PREDICTIVE and (why := earns(whole, r["kind"]))}
    quality = {model: score for model, score in whole["quality"].items() if score is not None}
    config.publish({"muted": json.dumps(muted), "quality": json.dumps(quality)})
