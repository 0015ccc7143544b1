"""Since when samples wait for a round: how whoever stores them notices that none is committed any more.

om:awaited   an instant (s): when samples were first stored after the last commit of a round, of whichever shard, which
             deletes it. While rounds are as they should be it is never much older than a minute.

Whoever stores a push sets and reads it in the one command that this is anyway, and remembers it. An idle fleet stores
nothing, so that its first sample after a week begins to wait, and has not waited for a week.
"""

from openmanager.stores.redis import connect

KEY = "om:awaited"

_since: int | None = None


def remember(text: str | None) -> None:
    """Take what stands in Redis; what does not read is nothing."""
    global _since
    _since = int(text) if text and text.isdecimal() else None


def waited_s(now_s: float) -> float:
    """For how long samples wait, as this process heard last; 0 where none do."""
    return 0.0 if _since is None else max(0.0, now_s - _since)


def read() -> None:
    """Hear it anew. Raises StoreUnavailable."""
    remember(connect().call("GET", KEY, repeatable=True))
