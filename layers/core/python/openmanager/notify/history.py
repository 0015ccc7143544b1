"""What the archive does for notifications: outcomes to Postgres, old ones dropped, targets published where lost."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.errors import InvalidInput
from openmanager.notify.targets import dump, read_stored
from openmanager.stores import outbox

log = logging.getLogger(__name__)

_BATCH = 500
_DAY_MS = 86_400_000
# Somebody has had a week to look at what failed; the history keeps it.
_PARKED_MS = 7 * _DAY_MS
_KEPT_S = 90 * 86_400


def archive_outcomes(now_ms: int) -> int:
    """Move the outcomes of attempts to Postgres; how many. Raises StoreUnavailable with nothing lost.

    Also lets go of parked entries after a week, and of history after 90 days.
    """
    # Only the archive pays for Postgres' driver, not the tick.
    from openmanager.stores import notifications

    moved = 0
    while rows := outbox.outcomes(_BATCH):
        notifications.store_outcomes(rows)
        outbox.delete_outcomes([place for place, _ in rows])
        moved += len(rows)
        if len(rows) < _BATCH:
            break
    if moved:
        notifications.delete_outcomes_before(now_ms / 1000 - _KEPT_S)
    failed = outbox.failed()
    outbox.delete_failed([key for key, text in failed.items() if json.loads(text)["failed"] < now_ms - _PARKED_MS])
    return moved


def republish_targets() -> bool:
    """Publish the targets again if Redis has other ones than Postgres, or none. Raises StoreUnavailable."""
    from openmanager.stores import notifications

    published = []

    def publish(bodies: Sequence[Mapping[str, Any]]) -> None:
        text = published_text(bodies)
        if outbox.read_targets() != text:
            outbox.publish_targets(text)
            published.append(text)

    notifications.publish_targets(publish)
    return bool(published)


def published_text(bodies: Sequence[Mapping[str, Any]]) -> str:
    """The targets' JSON as rounds and deliveries read it; one that does not read is left out, and logged."""
    found = []
    for body in bodies:
        try:
            found.append(read_stored(body))
        except InvalidInput as error:
            log.error("target %s: %s", body.get("id"), error)
    return dump(found)
