"""Which targets a notice goes to. Pure."""

import json
from collections.abc import Iterable

from openmanager.notify.notice import SEVERITIES, Notice
from openmanager.notify.targets import Target

# These tell of the end, or the care, of what was told before: they go to whoever was told.
_AFTERWARDS = ("resolved", "acknowledged")


def route(notice: Notice, targets: Iterable[Target]) -> dict[str, str]:
    """The fields of the outbox: idempotency key -> the entry's JSON, one for each target that is to be told."""
    return {
        f"{notice.id}|{target.id}": json.dumps(
            {"notice": notice.as_dict(), "target": target.id, "tries": 0, "due": 0},
            separators=(",", ":"),
            allow_nan=False,
        )
        for target in targets
        if wants(target, notice)
    }


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
