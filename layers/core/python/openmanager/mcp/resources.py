"""What clients may read by address: a server, an incident, a runbook. Their text is data, as every tool's."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from openmanager.errors import NotFound
from openmanager.mcp.ask import Asked
from openmanager.values import frozen

_ADDRESS = re.compile(r"openmanager://(servers|incidents|runbooks)/([^/?#]{1,1000})")
# Another language's has its name behind a dot.
_TOPIC = re.compile(r"[a-z0-9][a-z0-9-]{0,63}([.][a-z]{2})?")
# A page for people; what is longer is none.
_MOST_OCTETS = 32 << 10


@frozen
class Template:
    """A kind of address."""

    address: str
    name: str
    description: str
    media_type: str


JSON, MARKDOWN = "application/json", "text/markdown"
TEMPLATES = (
    Template("openmanager://servers/{id}", "server", "A server with its newest figures and its whole verdict.", JSON),
    Template("openmanager://incidents/{id}", "incident", "The report on an incident, from stored evidence.", MARKDOWN),
    Template("openmanager://runbooks/{topic}", "runbook", "What to do about a kind of trouble.", MARKDOWN),
)


def read(address: str, asked: Asked, runbooks: Path) -> tuple[str, str]:
    """(text, media type) of an address. Raises NotFound, and what its route answers as a problem."""
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise NotFound(f"nothing is at {address[:200]!r}")
    kind, name = found[1], unquote(found[2])
    if kind == "servers":
        whole = asked.use("get_server", server=name)
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")), JSON
    if kind == "incidents":
        # With it comes what reports are gathered with, which a list needs as little.
        from openmanager.oncall.report import markdown

        return markdown(asked.use("incident_report", id=name), "en"), MARKDOWN
    file = topics(runbooks).get(name)
    if file is None:
        raise NotFound(f"there is no runbook {name[:64]!r}; these are there: {', '.join(topics(runbooks))}")
    return file.read_bytes()[:_MOST_OCTETS].decode(errors="replace"), MARKDOWN


def topics(runbooks: Path) -> Mapping[str, Path]:
    """The runbooks by topic, which is the file's name."""
    return {f.stem: f for f in sorted(runbooks.glob("*.md")) if _TOPIC.fullmatch(f.stem)}
