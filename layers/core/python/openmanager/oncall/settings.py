"""Rules, silences, maintenance windows and the graph of roles: kept in Postgres, published to the rounds."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from openmanager.alerts import incidents, quiet, rules
from openmanager.errors import Full, InvalidInput, NotFound
from openmanager.stores import config, documents
from openmanager.whole import whole

_GRAPH = "graph"
_MOST_OCTETS = 1 << 20


def effective_rules(changes: documents.Documents) -> list[rules.Rule]:
    """The default rules with what people changed of them, and theirs."""
    own = {identity: rules.parse_rule(body) for identity, body in changes.items()}
    defaults = {rule.id: rule for rule in rules.DEFAULTS}
    return list((defaults | own).values())


def list_rules() -> list[dict[str, Any]]:
    """All rules in force or switched off.

    `builtin` says that it came with us and may be restored, `default` that nobody changed it.
    """
    changes = documents.read("rule")
    builtin = {rule.id for rule in rules.DEFAULTS}
    return [
        rule.as_dict() | {"builtin": rule.id in builtin, "default": rule.id not in changes}
        for rule in effective_rules(changes)
    ]


def put_rule(identity: str, item: Any, by: str) -> dict[str, Any]:
    """Make or replace a rule. A field left out is the default rule's, if there is one. Raises InvalidInput, Full."""
    if not isinstance(item, dict):
        raise InvalidInput("rule", "must be an object")
    if item.get("id", identity) != identity:
        raise InvalidInput("id", "is not that of the address")
    base = next((rule.as_dict() for rule in rules.DEFAULTS if rule.id == identity), {})
    rule = rules.parse_rule(base | item | {"id": identity})

    def check(after: documents.Documents) -> None:
        if len(effective_rules(after)) > rules.MAX_RULES:
            raise Full(f"there are {rules.MAX_RULES} already")
        _check_size(after)

    documents.change("rule", identity, rule.as_dict(), by, check, _publish)
    return rule.as_dict() | {"default": False}


def delete_rule(identity: str, by: str) -> None:
    """Forget a rule of ours, or what was changed of a default one. Raises NotFound."""
    if documents.change("rule", identity, None, by, lambda _: None, _publish) is None:
        raise NotFound(f"rule {identity!r} is not there, or is a default one as it came: switch it off instead")


def list_silences() -> list[dict[str, Any]]:
    """Silences that have not ended."""
    return [body for body in documents.read("silence").values() if body["end"] > time.time()]


def add_silence(item: Any, by: str) -> dict[str, Any]:
    """Begin a silence; `minutes` may stand in the place of `end`. Raises InvalidInput, Full."""
    now = int(time.time())
    if isinstance(item, dict) and "minutes" in item and "end" not in item:
        minutes, longest = whole(item["minutes"]), quiet.LONGEST_SILENCE_S // 60
        if minutes is None or not 1 <= minutes <= longest:
            raise InvalidInput("minutes", f"{str(item['minutes'])[:64]!r} is not a whole number from 1 to {longest}")
        begin = whole(item.get("start", now))
        # What the start may be is said where it is read.
        item = {k: v for k, v in item.items() if k != "minutes"} | {"end": (begin or 0) + 60 * minutes}
    for name in quiet.SET_BY_US:
        if isinstance(item, dict) and name in item:
            raise InvalidInput(name, "is set here, not by you")
    body = {**item, "id": secrets.token_hex(6), "by": by} if isinstance(item, dict) else item
    silence = quiet.parse_silence(body, now)
    documents.change("silence", silence.id, silence.as_dict(), by, _few, _publish)
    return silence.as_dict()


def end_silence(identity: str, by: str) -> None:
    """End a silence now. Raises NotFound."""
    if documents.change("silence", identity, None, by, lambda _: None, _publish) is None:
        raise NotFound(f"silence {identity!r} is not there")


def list_maintenance() -> list[dict[str, Any]]:
    """All maintenance windows."""
    return list(documents.read("maintenance").values())


def put_maintenance(identity: str, item: Any, by: str) -> dict[str, Any]:
    """Make or replace a maintenance window. Raises InvalidInput, Full."""
    if isinstance(item, dict) and item.get("id", identity) != identity:
        raise InvalidInput("id", "is not that of the address")
    window = quiet.parse_maintenance({**item, "id": identity} if isinstance(item, dict) else item)
    documents.change("maintenance", identity, window.as_dict(), by, _few, _publish)
    return window.as_dict()


def delete_maintenance(identity: str, by: str) -> None:
    """Forget a maintenance window. Raises NotFound."""
    if documents.change("maintenance", identity, None, by, lambda _: None, _publish) is None:
        raise NotFound(f"maintenance window {identity!r} is not there")


def dependencies() -> dict[str, list[str]]:
    """Role -> the roles it depends on."""
    found = documents.read("dependencies").get(_GRAPH)
    return {role: list(needs) for role, needs in (found or incidents.DEFAULT_GRAPH).items()}


def put_dependencies(item: Any, by: str) -> dict[str, list[str]]:
    """Replace the graph of roles. Raises InvalidInput."""
    graph = {role: list(needs) for role, needs in incidents.parse_graph(item).items()}
    documents.change("dependencies", _GRAPH, graph, by, lambda _: None, _publish)
    return graph


def republish() -> None:
    """Publish everything again: Redis may have lost it, a silence ended, a release brought other default rules.

    Raises StoreUnavailable.
    """
    documents.publish(_publish)


def forget_silences(before_s: float) -> None:
    """Let go of silences that ended before an instant. Raises StoreUnavailable."""
    documents.delete_ended("silence", before_s)


def _few(after: documents.Documents) -> None:
    if sum(body.get("end", time.time() + 1) > time.time() for body in after.values()) > quiet.MAX_ITEMS:
        raise Full(f"there are {quiet.MAX_ITEMS} already")
    _check_size(after)


def _check_size(after: documents.Documents) -> None:
    """Raises Full where all of a kind together are too much for each round to read."""
    if sum(len(json.dumps(body)) for body in after.values()) > _MOST_OCTETS:
        raise Full(f"all of its kind together would be over {_MOST_OCTETS} octets; name fewer servers")


def _publish(read: Callable[[str], documents.Documents]) -> None:
    now = time.time()
    found: dict[str, Any] = {
        "rules": [rule.as_dict() for rule in effective_rules(read("rule"))],
        "silences": [body for body in read("silence").values() if body["end"] > now],
        "maintenance": list(read("maintenance").values()),
        "dependencies": read("dependencies").get(_GRAPH) or incidents.DEFAULT_GRAPH,
    }
    config.publish({key: json.dumps(value) for key, value in found.items()})
