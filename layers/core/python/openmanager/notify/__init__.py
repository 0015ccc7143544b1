"""Tells people: targets, texts, channels and the outbox between the round and them.

Uses the stores and the ground floor. `Notice`, `route` and `targets.parse` are pure; Postgres is reached for only by
what the API and the archive call.
"""

from openmanager.notify.notice import Notice, read_notice
from openmanager.notify.routing import route
from openmanager.notify.targets import Target

__all__ = ["Notice", "Target", "read_notice", "route"]
