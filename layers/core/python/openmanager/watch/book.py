"""What is remembered of one server's alerts from round to round."""

import json
import logging
from dataclasses import field

from openmanager.alerts.machine import Alert
from openmanager.values import known_fields, mutable

_WEEK_MIN = 7 * 1440

log = logging.getLogger(__name__)


@mutable
class Book:
    """What is remembered of one server's alerts: the open ones by rule, and when predictive rules paged this week."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    paged: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "Book":
        """A book from its text; one that does not read is empty, as if nothing were open."""
        try:
            found = json.loads(text)
            return cls({a["rule"]: Alert(**known_fields(Alert, a)) for a in found["alerts"]}, found["paged"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("alerts that do not read: %s", error)
            return cls()

    def forget_pages(self, minute: int) -> None:
        """Let go of pages that no longer count towards a week's budget."""
        if self.paged:
            recent = {rule: [m for m in pages if m > minute - _WEEK_MIN] for rule, pages in self.paged.items()}
            self.paged = {rule: pages for rule, pages in recent.items() if pages}

    def text(self) -> str:
        """The book as text, empty if there is nothing to remember."""
        if not self.alerts and not self.paged:
            return ""
        return json.dumps({"alerts": [a.as_dict() for a in self.alerts.values()], "paged": self.paged})
