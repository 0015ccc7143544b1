"""Structured logs: every line one JSON object (logs.lines), wherever it was logged. Imports the ground floor only.

`configure` stands at the start of every process. powertools, which writes the lines, is loaded when the first one is
to be written: most requests write none. Who writes with every call asks for `logger`, and has it loaded at the start.
"""

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

_LEVEL = "OPENMANAGER_LOG_LEVEL"
# What we log below these is told from the level of the settings on; of libraries warnings will do.
_OURS = ("openmanager", "functions", "infra")
# It notes every request, with its address, in which there may be a key.
_CHATTY = "httpx"
# uvicorn's command line, with which functions/live is started, has them write lines of their own.
_SEPARATE = ("uvicorn", "uvicorn.access")
# Where the platform's own handler would say everything a second time, as plain text.
_PLATFORMS = ("AWS_LAMBDA_FUNCTION_NAME", "VERCEL")

_component = "openmanager"


class _AtFirst(logging.Handler):
    """Hands records to what writes them, which is loaded for the first one."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Not under this handler's lock: another thread may be loading the same, and log while it does. Nor through its
        # filters: powertools puts one on every handler here, against loggers that write twice, and ours do not.
        from openmanager.logs.lines import WRITER

        return WRITER.handle(record)


_handler = _AtFirst()


def configure(component: str) -> None:
    """Have all that this process logs written as JSON, in the name of `component` where no function is at work.

    The first call names the component; further ones, of functions that share a process, change nothing.
    """
    global _component
    root = logging.getLogger()
    if _handler in root.handlers:
        return
    _component = component
    if any(name in os.environ for name in _PLATFORMS):
        root.handlers.clear()
    root.addHandler(_handler)
    # At its most talkative everything speaks, libraries too.
    root.setLevel(logging.DEBUG if level() == logging.DEBUG else max(level(), logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(level())
    logging.getLogger(_CHATTY).setLevel(logging.WARNING)
    for name in _SEPARATE:
        own = logging.getLogger(name)
        own.handlers.clear()
        own.propagate = True


def logger(component: str) -> "Logger":
    """`configure`, and powertools' logger for a function that writes lines itself."""
    configure(component)
    from openmanager.logs.lines import LOGGER

    return LOGGER


def component() -> str:
    """What this process is, or the one function that it serves."""
    return _component


def level() -> int:
    """OPENMANAGER_LOG_LEVEL; INFO where it names none, for a log must not fail for its own sake."""
    return logging.getLevelNamesMapping().get(os.environ.get(_LEVEL, "").upper(), logging.INFO)
