"""Every line is one JSON object with the same fields, wherever it was logged and whatever was logged."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openmanager import logs, meter, tracing
from openmanager.logs.lines import Lines
from openmanager.metering import metered

ROOT = Path(__file__).resolve().parents[2]
FIELDS = ["timestamp", "level", "service", "component", "message", "metadata"]


def line(message: object = "said", *args: object, error: BaseException | None = None, **extra: Any) -> dict[str, Any]:
    """What is written of a record."""
    about = (type(error), error, error.__traceback__) if error else None
    record = logging.getLogger("openmanager.some").makeRecord(
        "openmanager.some", logging.WARNING, __file__, 1, message, args, about, extra=extra
    )
    record.created = 1_764_000_000.5
    written = Lines().format(record)
    assert "\n" not in written
    assert written.isascii()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(written, parse_constant=refuse)
    return found


def test_a_line_has_these_fields_and_no_others() -> None:
    told = line("round of %s", "shard 3", servers=12, level="mine", timestamp="then", service="theirs", traceId="x")
    assert list(told) == FIELDS
    assert told | {"metadata": {}} == {
        "timestamp": "2025-11-24T16:00:00.500Z",
        "level": "WARNING",
        "service": "openmanager",
        "component": logs.component(),
        "message": "round of shard 3",
        "metadata": {},
    }
    # What was given beside the message stands below, whatever its name.
    mine = {"servers": 12, "level": "mine", "timestamp": "then", "service": "theirs", "traceId": "x"}
    assert told["metadata"] == {**mine, "logger": "openmanager.some"}


def test_a_line_names_the_trace_and_the_function_at_work() -> None:
    before = meter.FUNCTION.set("tick")
    try:
        with tracing.within(tracing.Trace("a" * 32, "b" * 16)):
            told = line()
    finally:
        meter.FUNCTION.reset(before)
    assert list(told) == [*FIELDS, "traceId"]
    assert (told["component"], told["traceId"]) == ("tick", "a" * 32)


def test_an_exception_is_told_with_its_type_message_and_stack() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        told = line(error=error)["metadata"]["exception"]
    assert (told.keys(), told["type"], told["message"]) == (
        {"type", "message", "stack"},
        "ValueError",
        "broken\nin two",
    )
    assert told["stack"].startswith("Traceback (most recent call last):\n")
    assert "test_logs.py" in told["stack"]


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "odd", [float("nan"), float("inf"), {(1, 2): 3}, CIRCLE, {"deep": {"a": float("-inf")}}], ids=str
)
def test_what_json_cannot_say_is_told_as_python_would(odd: Any) -> None:
    told = line(odd=odd, error=ValueError("why"))
    assert told["metadata"].keys() == {"unwritable", "logger", "exception"}
    assert repr({"odd": odd}) == told["metadata"]["unwritable"]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("a\nforged line", "a\nforged line"),
        ("half \ud800", "half \ud800"),
        ('{"level": "INFO"}', '{"level": "INFO"}'),
        ("100 %", "100 %"),
        ("서버", "서버"),
        ({"an": "object"}, "{'an': 'object'}"),
    ],
)
def test_a_message_is_text_and_stays_on_its_line(message: object, text: str) -> None:
    assert line(message)["message"] == text


def test_objects_of_ours_are_told_as_text() -> None:
    assert line(where=Path("/tmp/x"), many={3: "three"})["metadata"]["many"] == {"3": "three"}
    assert line(where=Path("/tmp/x"))["metadata"]["where"] == "/tmp/x"


def test_a_function_that_fails_says_why_in_its_own_name_and_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("tests")

    @metered("some")
    def handler(_event: Any, _context: Any) -> None:
        raise ValueError("the store is odd")

    for _ in range(2):
        with pytest.raises(ValueError, match="odd"):
            handler({}, None)
    told = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [(one["component"], one["metadata"]["exception"]["message"]) for one in told] == [
        ("some", "the store is odd")
    ] * 2
    # An invocation is a trace, and leaves none behind.
    assert len({one["traceId"] for one in told}) == 2
    assert tracing.current() is None


PROCESS = """
import logging, sys
{before}
from openmanager import logs
{configure}
logging.getLogger("openmanager.watch.round").info("ours")
logging.getLogger("functions.tick.handler").info("the function's")
logging.getLogger("infra.gateway").warning("the stack's")
logging.getLogger("mcp.server").warning("a library's")
logging.getLogger("uvicorn.error").error("the server's")
logging.getLogger("mcp.server").info("too much")
logging.getLogger("httpx").info("an address with a key")
logging.getLogger("openmanager.watch.round").debug("too much")
"""
PLAIN = "root = logging.getLogger(); root.addHandler(logging.StreamHandler(sys.stdout)); root.setLevel('INFO')"
UVICORN = "import uvicorn; uvicorn.Config('none:none', log_level='warning')"


@pytest.mark.parametrize(
    ("before", "configure", "env"),
    [
        ("", "logs.configure('tick')", {}),
        ("", "logs.logger('tick')", {}),
        ("", "logs.configure('tick'); logs.logger('archive'); logs.configure('ingest')", {}),
        # The platform's own handler is there before we are.
        (PLAIN, "logs.configure('tick')", {"AWS_LAMBDA_FUNCTION_NAME": "openmanager-dev-tick"}),
        (PLAIN, "logs.logger('tick')", {"VERCEL": "1"}),
        (UVICORN, "logs.configure('tick')", {}),
        ("", "logs.configure('tick')", {"OPENMANAGER_LOG_LEVEL": "loud"}),
    ],
)
def test_everything_that_a_process_logs_is_written_once_as_json(
    before: str, configure: str, env: dict[str, str]
) -> None:
    told = said(PROCESS.format(before=before, configure=configure), env)
    assert [one["message"] for one in told] == ["ours", "the function's", "the stack's", "a library's", "the server's"]
    assert {tuple(one) for one in told} == {tuple(FIELDS)}
    assert {one["component"] for one in told} == {"tick"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["timestamp"]) for one in told)


@pytest.mark.parametrize(("level", "count"), [("DEBUG", 7), ("warning", 3), ("ERROR", 1)])
def test_the_level_is_the_settings(level: str, count: int) -> None:
    program = PROCESS.format(before="", configure="logs.configure('tick')")
    told = said(program, {"OPENMANAGER_LOG_LEVEL": level})
    # What writes the lines has something to say of itself.
    assert sum("powertools" not in one["metadata"]["logger"] for one in told) == count


def test_what_writes_lines_is_loaded_when_there_is_something_to_write() -> None:
    program = """
import logging, sys
from openmanager import logs
logs.configure("servers")
before = "aws_lambda_powertools" in sys.modules
logging.getLogger("openmanager").info("said", extra={"before": before, "after": "aws_lambda_powertools" in sys.modules})
logging.getLogger("openmanager").info("said", extra={"after": "aws_lambda_powertools" in sys.modules})
"""
    first, second = (one["metadata"] for one in said(program, {}))
    assert (first["before"], first["after"], second["after"]) == (False, False, True)


def test_threads_that_speak_first_at_once_write_each_line_once() -> None:
    program = """
import logging, threading
from openmanager import logs
logs.configure("gateway")
together = threading.Barrier(8)
def speak(i):
    together.wait()
    logging.getLogger("openmanager.x").info("%d", i)
    logging.getLogger("openmanager.x").info("%d again", i)
threads = [threading.Thread(target=speak, args=[i]) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    assert sorted(one["message"] for one in said(program, {})) == sorted(
        text for i in range(8) for text in (str(i), f"{i} again")
    )


def said(program: str, env: dict[str, str]) -> list[dict[str, Any]]:
    """The lines that a process of its own wrote."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "layers/core/python")))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.stderr == ""
    return [json.loads(text) for text in done.stdout.splitlines()]
