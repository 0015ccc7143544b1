"""Which targets a notice goes to. Pure."""

import json
from collections.abc import Iterable

from openmanager.notify.notice import SEVERITIES, Notice
from openmanager.notify.targets import Target

# Stands in the place of a target while it is unknown which there are: no target can be called so.
UNROUTED = "*"
# These tell of the end, or the care, of what was told before: they go to whoever was told.
_AFTERWARDS = ("resolved", "acknowledged")


def route(notice: Notice, targets: Iterable[Target] | None) -> dict[str, str]:
    """The fields of the outbox: idempotency key -> the entry's JSON, one for each target that is to be told.

    Where it is unknown which targets there are, None, it is one that waits until it can be routed.
    """
    if targets is None:
        return _field(notice, UNROUTED, reason="waits until it is known again which targets there are")
    return {k: v for target in targets if wants(target, notice) for k, v in _field(notice, target.id).items()}


def _field(notice: Notice, target: str, **more: str) -> dict[str, str]:
    item = {"notice": notice.as_dict(), "target": target, "tries": 0, "due": 0, **more}
    return {f"{notice.id}|{target}": json.dumps(item, separators=(",", ":"), allow_nan=False)}


def wants(target: Target, notice: Notice) -> bool:
    """Whether a target is told of a notice."""
    return (
        target.enabled
        and SEVERITIES.index(_severity(notice)) >= SEVERITIES.index(target.severity)
        and ("predictive" if notice.predictive else "measured") in target.classes
        and (not target.servers or notice.server in target.servers)
        and (not target.roles or notice.role in target.roles)
        and (target.resolved or notice.event != "resolved")
    )


def _severity(notice: Notice) -> str:
    worst = notice.facts.get("worst_severity")
    return worst if notice.event in _AFTERWARDS and worst in SEVERITIES else notice.severity
