"""The first hour as a newcomer goes it: `python -m tests.newcomer`.

Clones what is committed here into an empty folder, types the blocks of that clone's docs/first-hour.md in order, and
prints for each step what was typed, what came of it and the seconds it took. A block whose answer is waited for is
typed again until it is there. Everything is ended and removed afterwards; exit code 1: it went no further, and where
is said.

It loads every processor for two to four minutes. PORT and a data folder of its own keep it apart from what runs here.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.process import free_port
from tests.documents import PLACEHOLDER, ROOT, blocks

PAGE = "docs/first-hour.md"
# Of a long answer, its beginning and its end.
SHOWN_CHARACTERS = 350
AGAIN_S = 3


class Stuck(Exception):
    """A step did not come to its end in time; the text is what was printed last."""


@dataclass(frozen=True)
class Step:
    """What a newcomer does next: the block that begins so, and whether its answer is what was waited for.

    Where this machine may be in the way, as one that others load too, a step need not come to its end (`must`).
    """

    title: str
    begins: str
    there: Callable[[str], object] = bool
    limit_s: int = 60
    must: bool = True


def answer(printed: str) -> Any:
    """What the last command answered, None where that is no JSON."""
    try:
        return json.loads(printed.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None


def charted(printed: str) -> bool:
    """Whether CPU and memory have values."""
    body = answer(printed) or {}
    return {"cpu_utilization", "memory_used_effective"} <= body.get("metrics", {}).keys()


def cpu_is(*states: str) -> Callable[[str], bool]:
    """Whether the CPU alert of any server is in one of these states, "gone" being none."""

    def there(printed: str) -> bool:
        body = answer(printed)
        if not isinstance(body, dict) or "alerts" not in body:
            return False
        found = {alert["state"] for alert in body["alerts"] if alert["rule"] == "cpu"} or {"gone"}
        return not found.isdisjoint(states)

    return there


def has(name: str) -> Callable[[str], bool]:
    """Whether the answer has this field."""
    return lambda printed: name in (answer(printed) or {})


def anything(_: str) -> bool:
    return True


STEPS = (
    Step("a shorthand", "credential()", anything),
    Step("this machine's chart", 'om "/api/servers/$ME/metrics', charted),
    Step("its first prediction", 'om "/api/servers/$ME/prediction"', has("minute"), 300),
    Step("one minute is enough", "om /api/rules/cpu -X PUT", has("for_min")),
    Step("load every processor", "for processor in", anything),
    Step("the alert fires", "om /api/alerts", cpu_is("firing"), 420),
    Step("end the load", "kill $(jobs -p)", anything),
    Step("the alert ends", "om /api/alerts", cpu_is("recovering", "gone"), 300, must=False),
    Step("the rule as it came", "om /api/rules/cpu -X DELETE", anything),
    Step("the record", "om /api/predictions/record", has("models")),
)


class Terminal:
    """A shell that is typed into, in a session of its own so that whatever it started ends with it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._mark = secrets.token_hex(8)
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, text: str) -> str:
        """What is printed until the block is done."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{text}\nprintf '\\n%s\\n' {self._mark}\n")
        self._shell.stdin.flush()
        printed: list[str] = []
        for line in self._shell.stdout:
            if line.strip() == self._mark:
                return "".join(printed).strip()
            printed.append(line)
        raise Stuck("".join(printed))

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def report(title: str, typed: str, printed: str, began: float) -> None:
    shown = printed
    if len(printed) > 2 * SHOWN_CHARACTERS:
        shown = f"{printed[:SHOWN_CHARACTERS]} … {printed[-SHOWN_CHARACTERS:]}"
    say(f"\n== {title}: {time.monotonic() - began:.1f} s")
    say("\n".join(f"$ {line}" for line in typed.strip().splitlines()))
    say(shown)


def until(there: Callable[[], str | None], limit_s: float) -> str:
    """The first answer that is one. Raises Stuck."""
    give_up = time.monotonic() + limit_s
    while (printed := there()) is None:
        if time.monotonic() > give_up:
            raise Stuck(f"not within {limit_s:.0f} s")
        time.sleep(AGAIN_S)
    return printed


@contextmanager
def started(folder: Path, env: dict[str, str], block: str) -> Iterator[None]:
    """The first terminal, where OpenManager runs until the end."""
    said = folder / "said"
    with said.open("wb") as out:
        stack = subprocess.Popen(
            ["bash", "-ec", block], cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True
        )
    began = time.monotonic()

    def running() -> str | None:
        if stack.poll() is not None:
            raise Stuck(said.read_text())
        return said.read_text() if "Ctrl-C" in said.read_text() else None

    try:
        report("clone and start", block, until(running, 900), began)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(stack.pid, signal.SIGINT)
        try:
            stack.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(stack.pid, signal.SIGKILL)
            stack.wait()


def take(step: Step, terminal: Terminal, text: str) -> None:
    """One step, its block typed again until what it waits for is there. Raises Stuck."""
    began = time.monotonic()
    last = ""

    def there() -> str | None:
        nonlocal last
        last = terminal.type(text)
        return last if step.there(last) else None

    try:
        printed = until(there, step.limit_s)
    except Stuck as stuck:
        if step.must:
            raise Stuck(f"{step.title}: {stuck}; the last answer was\n{last}") from None
        printed = f"{last}\n{stuck}: is this machine busy with something else?"
    report(step.title, text, printed, began)


def walk(folder: Path, port: int) -> None:
    """The whole page. Raises Stuck."""
    page = [block for block in blocks(ROOT / PAGE) if block.language == "sh"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENMANAGER")}
    env |= {"PORT": str(port), "OPENMANAGER_DATA": str(folder / "data")}
    first, *rest = page
    with started(folder, env, PLACEHOLDER.sub(str(ROOT), first.text)):
        terminal = Terminal(folder / "openmanager", env)
        try:
            for step in STEPS:
                (text,) = [block.text for block in rest if block.begins.startswith(step.begins)]
                take(step, terminal, text)
        finally:
            terminal.end()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.newcomer", description=(__doc__ or "").partition("\n")[2])
    parser.add_argument(
        "--folder", type=Path, help="an empty or new folder, which is kept (default: one that is removed)"
    )
    parser.add_argument("--port", type=int, default=0, help="the gateway's (default: a free one)")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="newcomer-"))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        walk(folder.resolve(), asked.port or free_port())
    except Stuck as stuck:
        say(f"\nno further: {stuck}")
        return 1
    finally:
        if asked.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    say(f"\nall of it: {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
