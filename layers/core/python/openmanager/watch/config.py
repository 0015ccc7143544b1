"""What people have set, as the round reads it, and what other shards say of their servers."""

import json
import logging
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from openmanager.alerts import incidents, quiet, rules
from openmanager.alerts.incidents import Member
from openmanager.alerts.rules import Rule
from openmanager.errors import InvalidInput
from openmanager.settings import settings
from openmanager.values import frozen, known_fields

log = logging.getLogger(__name__)


@frozen
class Config:
    """What people have set, as the round reads it: rules, quiet times, the graph of roles; and what others found out.

    `muted` says why a predictive rule earns no page at present, `quality` the skill of our predictions (the ledger's
    words; only the first shard speaks of quality); `elsewhere` are the active alerts
    of other shards, `own` those of this one as last written; `requests` the acknowledgements that wait, as they were
    written, by `server|rule`. `shard` is the one whose round it is, None of none; the first one speaks of ourselves.
    `silent` is, by shard, the minute since which nothing comes from its servers, 0 where something does.
    """

    rules: tuple[Rule, ...] = rules.DEFAULTS
    silences: tuple[quiet.Silence, ...] = ()
    maintenance: tuple[quiet.Maintenance, ...] = ()
    graph: incidents.Graph = field(default_factory=lambda: incidents.DEFAULT_GRAPH)
    muted: Mapping[str, str] = field(default_factory=dict)
    quality: Mapping[str, float] | None = None
    elsewhere: tuple[Member, ...] = ()
    own: list[dict[str, Any]] = field(default_factory=list)
    requests: Mapping[str, str] = field(default_factory=dict)
    shard: int | None = None
    silent: Mapping[int, int] = field(default_factory=dict)


REQUEST, FIRING, SILENT = "request|", "firing|", "silent|"


def read_config(fields: Mapping[str, str], shard: int) -> Config:
    """The configuration from its hash (stores.config). A part that does not read is logged and as if not set.

    What shards left that are no more (there are fewer now) explains nothing.
    """
    others = {f"{FIRING}{other}" for other in range(settings().shards)} - {f"{FIRING}{shard}"}

    def part(name: str, read: Any, default: Any) -> Any:
        if name not in fields:
            return default
        try:
            return read(json.loads(fields[name]))
        except (ValueError, TypeError, KeyError, AttributeError, InvalidInput) as error:
            log.error("configuration %s: %s", name, error)
            return default

    elsewhere: list[Member] = []
    for name in sorted(others & fields.keys()):
        elsewhere += part(name, lambda items: [Member(**known_fields(Member, item)) for item in items], [])
    requests = {name.removeprefix(REQUEST): text for name, text in fields.items() if name.startswith(REQUEST)}
    return Config(
        part("rules", rules.parse_rules, rules.DEFAULTS),
        part("silences", lambda items: tuple(quiet.parse_silence(i, i["start"]) for i in items), ()),
        part("maintenance", lambda items: tuple(quiet.parse_maintenance(i) for i in items), ()),
        part("dependencies", incidents.parse_graph, incidents.DEFAULT_GRAPH),
        part("muted", dict, {}),
        part("quality", dict, None) if shard == 0 else None,
        tuple(elsewhere),
        part(f"{FIRING}{shard}", list, []),
        requests,
        shard,
        {each: part(f"{SILENT}{each}", int, 0) for each in range(settings().shards) if f"{SILENT}{each}" in fields},
    )
