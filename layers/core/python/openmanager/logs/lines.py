"""What a line is, and who writes it: powertools' logger with a formatter of ours.

timestamp   ISO 8601 in UTC, to the millisecond: 2026-11-28T18:00:57.123Z
level       DEBUG, INFO, WARNING, ERROR or CRITICAL
service     openmanager
component   the function, such as tick; of what belongs to none, the process
message     text
metadata    everything else: `logger`, what was logged as `extra`, and `exception` (type, message, stack)
traceId     of the work at hand (openmanager.tracing); left out where there is none
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from openmanager import logs, meter, tracing
from openmanager.unloaded import unload

# The package gathers metrics and tracing too, and the logger knows a language of queries. Together they are more than
# half of what it costs to load, and nothing here uses them.
unload("aws_lambda_powertools")
unload("aws_lambda_powertools.utilities.jmespath_utils")

from aws_lambda_powertools.logging import Logger  # noqa: E402
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter  # noqa: E402

SERVICE = "openmanager"
# What a record says of itself; the rest was given with it.
_RECORD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


class Lines(LambdaPowertoolsFormatter):
    """One JSON object a record, with the fields above and no others."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, without the line's end."""
        about: dict[str, Any] = {k: v for k, v in vars(record).items() if k not in _RECORD}
        always = {"logger": record.name, **self._exception(record)}
        function = meter.FUNCTION.get()
        line = {
            "timestamp": _instant(record.created),
            "level": record.levelname,
            "service": SERVICE,
            "component": logs.component() if function == meter.SHARED else function,
            "message": record.getMessage(),
            "metadata": about | always,
        }
        if trace_id := tracing.current_id():
            line["traceId"] = trace_id
        try:
            text = _written(line)
        except (ValueError, TypeError, RecursionError):
            # NaN, a key that is no text, a circle: it is told as Python would show it, rather than not at all.
            text = _written(line | {"metadata": {"unwritable": repr(about), **always}})
        meter.count("log_bytes", len(text) + meter.LOG_LINE_BYTES)
        return text

    def _exception(self, record: logging.LogRecord) -> dict[str, Any]:
        if not record.exc_info or record.exc_info[0] is None:
            return {}
        kind, error, _ = record.exc_info
        told = {"type": kind.__qualname__, "message": str(error), "stack": self.formatException(record.exc_info)}
        return {"exception": told}


class _Output(logging.StreamHandler[TextIO]):
    """Writes to what is standard output at the time; Lambda and Vercel read that, and mark what is not it as errors."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout


def _written(line: dict[str, Any]) -> str:
    # In ASCII, because half of a surrogate pair, which UTF-8 cannot write, may be in what a caller sent.
    return json.dumps(line, separators=(",", ":"), allow_nan=False, default=str)


def _instant(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# In this order: as the logger is made it speaks itself, at the most talkative level.
WRITER = _Output()
WRITER.setFormatter(Lines())
# It writes nothing itself: what it logs goes the way of all other lines, through the root.
LOGGER = Logger(service=SERVICE, level=logs.level(), logger_handler=logging.NullHandler(), logger_formatter=Lines())
