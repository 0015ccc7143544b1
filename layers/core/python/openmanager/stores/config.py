"""What people set and rounds read: om:config, a hash of JSON documents; Postgres holds the truth (stores.documents).

rules, silences, maintenance, dependencies   as openmanager.alerts describes them
muted                                        rule -> why its predictions earn no page at present
request|{server}|{rule}                      an acknowledgement that the next round carries out
firing|{shard}                               a shard's active alerts, for the others' grouping
"""

from collections.abc import Mapping, Sequence
from typing import Any

from openmanager.stores.outbox import TARGETS
from openmanager.stores.redis import Command, connect, pairs

CONFIG = "om:config"


def read() -> dict[str, str]:
    """All documents."""
    return pairs(connect().call("HGETALL", CONFIG, repeatable=True))


def published() -> bool:
    """Whether Redis has settings and targets at all."""
    found: int = connect().call("EXISTS", CONFIG, TARGETS, repeatable=True)
    return found == 2


def publish(documents: Mapping[str, str], drop: Sequence[str] = ()) -> None:
    """Set documents and drop others, for the next round to find."""
    commands: list[Command] = []
    if documents:
        commands.append(("HSET", CONFIG, *(part for item in documents.items() for part in item)))
    if drop:
        commands.append(("HDEL", CONFIG, *drop))
    if commands:
        connect().run(*commands, repeatable=True)


def ask(server: str, rule: str, wish: Any) -> None:
    """Leave a request for the next round; the last one counts."""
    publish({f"request|{server}|{rule}": wish})
