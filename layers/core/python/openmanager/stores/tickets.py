"""Tickets for streams: om:ticket|{sha256 of the ticket} -> whose it is, for 30 seconds or one use."""

from hashlib import sha256
from secrets import token_urlsafe

from openmanager.stores.redis import connect

LIFE_S = 30


def issue(holder: str) -> str:
    """A new ticket of 256 random bits. Only its hash is stored. Raises StoreUnavailable."""
    ticket = token_urlsafe(32)
    connect().call("SET", _key(ticket), holder, "EX", LIFE_S, repeatable=True)
    return ticket


def redeem(ticket: str) -> str | None:
    """Whose ticket it was, once; None if it is used, too old or never was. Raises StoreUnavailable."""
    holder: str | None = connect().call("GETDEL", _key(ticket))
    return holder


def _key(ticket: str) -> str:
    return "om:ticket|" + sha256(ticket.encode()).hexdigest()
