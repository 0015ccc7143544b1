"""What the assistant remembers of a conversation, for as long as somebody may still follow up, in Redis.

om:session|{hash of caller and name}   JSON of what the last question was about
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from openmanager.stores.redis import connect

LIFE_S = 900
# Three servers' names at their longest, and the rest of a question.
_MOST_OCTETS = 640


def read(caller: str, name: str) -> dict[str, Any]:
    """What a caller's conversation of this name was about, empty if there is none. Raises StoreUnavailable."""
    text: str | None = connect().call("GET", _key(caller, name), repeatable=True)
    return dict(json.loads(text)) if text else {}


def write(caller: str, name: str, about: Mapping[str, Any]) -> None:
    """Keep it for another while; what is too long to keep is forgotten. Raises StoreUnavailable."""
    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False)
    kept = text if len(text.encode()) <= _MOST_OCTETS else "{}"
    connect().call("SET", _key(caller, name), kept, "EX", LIFE_S, repeatable=True)


def _key(caller: str, name: str) -> str:
    # Of both together, so that nobody's name for a conversation opens somebody else's.
    return "om:session|" + sha256(json.dumps([caller, name]).encode()).hexdigest()
