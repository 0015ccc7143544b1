"""What of a push its sender may write."""

from collections.abc import Sequence
from dataclasses import replace

from openmanager.security.roles import Identity
from openmanager.sources.limits import Parsed, Rejection


def own(parsed: Parsed, sender: Identity) -> Parsed:
    """The same without servers that are none of the sender's, each of which is rejected by name."""
    foreign = [push for push in parsed.pushes if not sender.may_write(push.server)]
    if not foreign:
        return parsed
    lost = [push.samples.count for push in foreign]
    rejected: Sequence[Rejection] = [
        Rejection(push.server, f"is none of the servers that {sender.name!r} may write", count)
        for push, count in zip(foreign, lost, strict=True)
    ]
    kept = [push for push in parsed.pushes if sender.may_write(push.server)]
    accepted = max(0, parsed.accepted - sum(lost)) if kept else 0
    return replace(parsed, pushes=kept, accepted=accepted, rejected=[*rejected, *parsed.rejected])
