"""Who acts, and from which address: told once a request by whoever let the caller in, read where a change is recorded.

It belongs to the request's own context, so requests that are served at once do not see each other's.
"""

from contextvars import ContextVar

from openmanager.values import frozen


@frozen
class Actor:
    """A caller's name and network address; the address is empty for what we do ourselves."""

    name: str
    address: str


NOBODY = Actor("openmanager", "")
_actor: ContextVar[Actor] = ContextVar("openmanager_actor", default=NOBODY)


def begin(name: str, address: str) -> None:
    """From here on this context acts in somebody's name."""
    _actor.set(Actor(name, address))


def actor() -> Actor:
    """Who acts in this context; OpenManager itself where nobody was let in."""
    return _actor.get()
