"""How far a reader has come: a place in each of the three streams, as one opaque id of its events. Pure."""

from dataclasses import replace

from openmanager.errors import InvalidInput
from openmanager.stores.feed import ID, Part, place
from openmanager.values import frozen

# As JSON Schema; nothing is as good as no cursor at all.
SCHEMA = {"type": "string", "pattern": f"^({ID.pattern}_{ID.pattern}_{ID.pattern})?$"}


@frozen
class Cursor:
    """Everything up to these places was told."""

    feed: str
    said: str
    live: str

    def __str__(self) -> str:
        return f"{self.feed}_{self.said}_{self.live}"

    @classmethod
    def read(cls, text: str, field: str) -> "Cursor":
        """A cursor as readers send it back. Raises InvalidInput."""
        parts = text.split("_")
        if len(parts) != 3 or not all(ID.fullmatch(part) for part in parts):
            raise InvalidInput(field, "is no id of this feed")
        return cls(*parts)

    def reaches(self, other: "Cursor") -> bool:
        """Whether what came after `other` came after this, too, in each stream."""
        return (
            place(self.feed) <= place(other.feed)
            and place(self.said) <= place(other.said)
            and place(self.live) <= place(other.live)
        )

    def age_ms(self, before: "Cursor", now_ms: float) -> float | None:
        """How long ago the newest event or verdict since an earlier cursor was committed; None if there is none.

        A place in a stream begins with the instant at which Redis took the entry.
        """
        news = [there for here, there in ((before.feed, self.feed), (before.said, self.said)) if here != there]
        return now_ms - max(place(there)[0] for there in news) if news else None

    def lower(self, other: "Cursor") -> "Cursor":
        """In each stream the earlier place of the two."""
        return replace(
            self,
            feed=min(self.feed, other.feed, key=place),
            said=min(self.said, other.said, key=place),
            live=min(self.live, other.live, key=place),
        )


def lost(after: str, part: Part) -> bool:
    """Whether entries that came after a place may be no longer held."""
    return part.trimmed and place(after) < place(part.oldest)
