"""A memory in Redis: the tools of @modelcontextprotocol/server-memory, shared by all that run at once.

om:mcp:memory   hash: `graph`, JSON as graph.stored writes it, and `version`, a number that every change counts up
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from openmanager.errors import Full, StoreUnavailable
from openmanager.sidecar.servers.graph import Graph
from openmanager.sidecar.servers.tool import Said, Tool
from openmanager.stores.redis import connect

KEY = "om:mcp:memory"
# The whole of it is read for each call, and should not cost more than a server's past.
MOST_BYTES = 256 << 10
_TRIES = 8

# A write that another one overtook changes nothing. KEYS: the memory. ARGV: the version it was read at, the graph.
_REPLACE = """
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1] + 1, 'graph', ARGV[2])
return 1
"""

_NAME = {"type": "string", "minLength": 1, "maxLength": 256}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 4096}
_MANY = 100


def _list_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "maxItems": _MANY}


def _object_of(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_ENTITY = _object_of(name=_NAME, entityType=_NAME, observations=_list_of(_TEXT))
_RELATION = _object_of(**{"from": _NAME, "to": _NAME, "relationType": _NAME})


def tools() -> Mapping[str, Tool]:
    """The tools, by the names of the official server."""
    return {
        "create_entities": _writes(
            "Remember entities, each with a type and what was observed of it.",
            {"entities": _list_of(_ENTITY)},
            lambda graph, asked: {"entities": graph.create_entities(asked["entities"])},
        ),
        "create_relations": _writes(
            "Remember relations between entities, in active voice.",
            {"relations": _list_of(_RELATION)},
            lambda graph, asked: {"relations": graph.create_relations(asked["relations"])},
        ),
        "add_observations": _writes(
            "Remember what was observed of entities that are known.",
            {"observations": _list_of(_object_of(entityName=_NAME, contents=_list_of(_TEXT)))},
            lambda graph, asked: {"results": graph.add_observations(asked["observations"])},
        ),
        "delete_entities": _forgets("Entities", "entityNames", _list_of(_NAME), Graph.delete_entities),
        "delete_observations": _forgets(
            "Observations",
            "deletions",
            _list_of(_object_of(entityName=_NAME, observations=_list_of(_TEXT))),
            Graph.delete_observations,
        ),
        "delete_relations": _forgets("Relations", "relations", _list_of(_RELATION), Graph.delete_relations),
        "read_graph": Tool("Everything that is remembered.", lambda _: _said(_read()[1].stored())),
        "search_nodes": Tool(
            "Entities with a text in name, type or observations, and their relations.",
            lambda asked: _said(_read()[1].search(asked["query"])),
            {"query": _NAME},
        ),
        "open_nodes": Tool(
            "Entities by name, and their relations.",
            lambda asked: _said(_read()[1].open(asked["names"])),
            {"names": _list_of(_NAME)},
        ),
    }


def _writes(
    description: str, arguments: Mapping[str, Any], change: Callable[[Graph, Mapping[str, Any]], dict[str, Any]]
) -> Tool:
    return Tool(description, lambda asked: _changed(asked, change), arguments, reads=False)


def _forgets(what: str, which: str, schema: dict[str, Any], forget: Callable[[Graph, Any], None]) -> Tool:
    def change(graph: Graph, asked: Mapping[str, Any]) -> dict[str, Any]:
        forget(graph, asked[which])
        return {"success": True, "message": f"{what} deleted successfully"}

    return _writes(f"Forget {what.lower()}.", {which: schema}, change)


def _changed(asked: Mapping[str, Any], change: Callable[[Graph, Mapping[str, Any]], dict[str, Any]]) -> Said:
    """Change the memory as it is, however often others change it meanwhile. Raises Full and StoreUnavailable."""
    for _ in range(_TRIES):
        version, graph = _read()
        result = change(graph, asked)
        text = json.dumps(graph.stored(), separators=(",", ":"))
        if len(text) > MOST_BYTES:
            raise Full(f"the memory holds {MOST_BYTES >> 10} KiB, and this would be more; forget something first")
        if connect().call("EVAL", _REPLACE, 1, KEY, version, text) == 1:
            return _said(result)
    raise StoreUnavailable("the memory is being written by others just now")


def _read() -> tuple[str, Graph]:
    """(version, graph)."""
    version, text = connect().call("HMGET", KEY, "version", "graph", repeatable=True)
    return (version, Graph.of(json.loads(text))) if text else ("0", Graph())


def _said(value: dict[str, Any]) -> Said:
    # As the official server writes it: a list of its own where there is but one.
    only = next(iter(value.values())) if len(value) == 1 else value
    shown = value["message"] if "message" in value else json.dumps(only, indent=2, ensure_ascii=False)
    return Said(shown, value)
