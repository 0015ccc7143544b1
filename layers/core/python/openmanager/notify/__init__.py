"""Tells people: targets, texts, channels and the outbox between the round and them.

Uses the stores and the ground floor. `Notice`, `route` and `targets.parse` are pure; Postgres is reached for only by
what the archive calls, and by `notify.manage`, which is the API's.
"""

from openmanager.notify.delivery import DeliveryReport, deliver
from openmanager.notify.history import archive_outcomes, republish_targets
from openmanager.notify.notice import Notice, read_notice
from openmanager.notify.routing import route
from openmanager.notify.targets import Target, published

__all__ = [
    "DeliveryReport",
    "Notice",
    "Target",
    "archive_outcomes",
    "deliver",
    "published",
    "read_notice",
    "republish_targets",
    "route",
]
