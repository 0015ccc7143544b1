"""Runbooks, which the sidecar's filesystem server reads: which one is of what, its steps, and that it may be away.

A runbook is Markdown whose second and third `##` parts are lists: what to look at first, which changes nothing, and
what to do then (functions/mcp/runbooks/index.md).
"""

import contextvars
import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from openmanager.assistant.draft import plain
from openmanager.security.roles import Identity

_SERVER, _TOOL = "filesystem", "read_text_file"
# For a cold start over there; the assistant's own function ends after 29 s (serverless.yml), model included.
LIMIT_S = 8.0
_MOST_STEPS, _LONGEST_STEP = 6, 400
_LOOK, _DO = 1, 2
# How the names of metrics begin -> the topic; offline is what checks call a server that is silent.
_TOPICS = {
    "memory": "memory-exhaustion",
    "swap": "memory-exhaustion",
    "filesystem": "disk-filling",
    "cpu": "cpu-saturation",
    "load": "cpu-saturation",
    "network": "network-loss",
    "tcp": "network-loss",
    "offline": "server-silent",
}
# Handed a path, gives the text of what lies there, or None.
Read = Callable[[str], str | None]

log = logging.getLogger(__name__)


def topic(subject: str) -> str:
    """The topic of a metric, or of what a check is called; "" where there is no runbook of it."""
    return _TOPICS.get(subject.partition("_")[0], "")


def find(asked: Mapping[str, Any], who: Identity) -> dict[str, Any]:
    """A topic's runbook: title, steps to `look` and to `do`, and `source`; or `why` there is none: `missing` or `away`.

    Raises nothing: an answer goes on without.
    """
    # What it takes is loaded by those who ask for it.
    from openmanager.sidecar import invoke

    def read(path: str) -> str | None:
        result = invoke.call(_SERVER, _TOOL, {"path": path}, who)
        return None if result.is_error else result.text

    found = _in_time(lambda: _of_topic(asked["topic"], asked["language"], read))
    return {"topic": asked["topic"], "title": "", "look": [], "do": [], "source": "", "why": "away"} | (found or {})


def _of_topic(name: str, language: str, read: Read) -> dict[str, Any]:
    for path in (f"{name}.ko.md", f"{name}.md") if language == "ko" else (f"{name}.md",):
        text = read(path)
        if text is not None:
            return steps(text) | {"source": f"{_SERVER}: {path}", "why": ""}
    return {"why": "missing"}


def _in_time(work: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What work returns within the limit; None if it is late or raises, which the log says."""
    done: list[dict[str, Any]] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            # Whatever it is, the answer is worth more than the runbook.
            log.warning("runbook: %s: %s", type(error).__name__, plain(error))

    # A call over there can take longer than anybody waits here, and cannot be ended from here.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="runbook", daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return done[0] if done else None


def steps(text: str) -> dict[str, Any]:
    """A runbook's title, and the steps of its parts. Pure."""
    head, *parts = re.split(r"(?m)^## +", text)
    title = next((line.lstrip("# ") for line in head.splitlines() if line.strip()), "")
    return {
        "title": plain(title),
        "look": _listed(parts[_LOOK]) if len(parts) > _LOOK else [],
        "do": _listed(parts[_DO]) if len(parts) > _DO else [],
    }


def _listed(part: str) -> list[str]:
    """The items of a part's list, each on one line, without what is told after the list."""
    items = re.split(r"(?m)^(?:\d{1,3}[.)]|[-*]) +", part)[1:]
    return [plain(" ".join(item.partition("\n\n")[0].split()), _LONGEST_STEP) for item in items[:_MOST_STEPS]]
