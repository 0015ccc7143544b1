"""What a check has found."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed", "skipped"]

SIGNS: dict[State, str] = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "-"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `do` is what to do about it; `skipped` says in `what` why nobody could look."""

    check: str
    state: State
    what: str
    do: str = ""


def worst(findings: Iterable[Finding]) -> Finding | None:
    """The first that failed, if any did."""
    return next((finding for finding in findings if finding.state == "failed"), None)
