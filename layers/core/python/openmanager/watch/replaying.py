"""A replay of what the stores hold of a server, or of a CSV that somebody sends."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from openmanager.alerts import rules
from openmanager.alerts.rules import parse_rules
from openmanager.charts import hot as hot_samples
from openmanager.errors import InvalidInput, NotFound
from openmanager.names import SERVER_ID, SERVER_ID_RULE
from openmanager.sources import table
from openmanager.spans import INSTANT, LATEST_S
from openmanager.stores import history
from openmanager.telemetry import windows
from openmanager.telemetry.samples import MINUTE_MS, merge
from openmanager.watch.config import Config, read_config
from openmanager.watch.replay import Past, Replayed, replay

# What an answer of an HTTP API has time for; longer pasts are for the command line.
MOST_MIN = 1440
# The minutes before it that teach the models what is usual.
PAST_MIN = 1440
_RULE = rules.SCHEMA | {"required": ["id", "kind"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "examples": [{"server": "web-01", "from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z"}],
    "properties": {
        "server": {"type": "string", "pattern": f"^{SERVER_ID.pattern}$"},
        "from": {"anyOf": [INSTANT, {"type": "integer", "minimum": 0, "maximum": LATEST_S}, {"type": "null"}]},
        "to": {"anyOf": [INSTANT, {"type": "integer", "minimum": 0, "maximum": LATEST_S}, {"type": "null"}]},
        "rules": {"type": ["array", "null"], "items": _RULE, "maxItems": rules.MAX_RULES},
    },
    "required": ["server"],
    "additionalProperties": False,
}
CSV: dict[str, Any] = {"type": "string", "description": "a column `time`, and columns named as metrics"}


def stored(server: str, start_s: float, stop_s: float, rules: Any, config: dict[str, str], now_ms: int) -> Replayed:
    """Replay [start, stop) of a server's stored samples; only what would have been said in it is returned.

    `rules` are a JSON list in the place of those in force (`config`), or None. Raises InvalidInput, NotFound.
    """
    if not SERVER_ID.fullmatch(server):
        raise InvalidInput("server", SERVER_ID_RULE)
    begin, end = int(start_s // 60), int(-(-stop_s // 60))
    if end - begin > MOST_MIN:
        raise InvalidInput("to", f"a replay of stored samples covers {MOST_MIN} minutes at most")
    first_ms, last_ms = (begin - PAST_MIN) * MINUTE_MS, end * MINUTE_MS
    cold = history.read_blocks(server, first_ms, last_ms)
    samples = merge([*hot_samples.samples(server, first_ms, last_ms, now_ms), *cold])
    values = windows.metrics(samples, first_ms, last_ms, MINUTE_MS)
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    if not len(known):
        raise NotFound(f"nothing is stored of server {server!r} from {begin * 60} to {end * 60}")
    attributes = history.read_server(server) or {}
    past = Past(server, begin - PAST_MIN + int(known[0]), values[known[0] :], attributes.get("role", ""))
    return _run(past, begin, rules, config)


def uploaded(body: bytes, rules: Any, config: dict[str, str]) -> Replayed:
    """Replay a CSV as `run.py replay` reads it. Raises InvalidInput naming line and column."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "upload.csv"
        file.write_bytes(body)
        try:
            # Bounded while it is read: two rows that lie years apart ask for gigabytes.
            minutes = table.read(file, step_s=60, most_rows=MOST_MIN + PAST_MIN)
        except InvalidInput as error:
            raise InvalidInput("body", str(error).replace(f"{folder}/", "")) from None
    return _run(Past("upload", minutes.start_ms // MINUTE_MS, minutes.values), 0, rules, config)


def _run(past: Past, begin: int, rules: Any, config: dict[str, str]) -> Replayed:
    set_rules = read_config(config, 0).rules if rules is None else parse_rules(rules)
    found = replay([past], Config(rules=set_rules))
    for name in ("notices", "happened", "forecast_ends"):
        setattr(found, name, [item for item in getattr(found, name) if item["at"] >= begin * 60])
    return found
