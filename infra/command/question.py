"""`ask`: a question in words, answered from the data."""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

from infra.command.client import Answered, add_language, command, commands, language
from infra.command.client import main as run
from infra.command.screen import Painted, Screen, moment
from infra.transfer.api import Api


def arguments() -> argparse.ArgumentParser:
    """The parser."""
    return commands(_add_ask)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    return run(arguments(), argv)


def _add_ask(among: Any) -> None:
    made = command(
        among,
        "ask",
        _ask,
        "A question in words, in English or Korean. Rules answer from the data; every figure has its source, and what\n"
        "is not in the data is said not to be. The answer is in the question's language unless something else says.",
        (
            'ask "which disk fills up first?"',
            'ask "what should I check on db-01?" --advanced',
            'ask "어느 디스크가 먼저 가득 차?"',
            'ask "and yesterday?" --session mine',
        ),
    )
    made.add_argument("question", nargs="+", metavar="QUESTION", help="the question; quotes may be left out")
    made.add_argument(
        "--advanced", action="store_true", help="look a day and a week back, name what needs it, quote the runbook"
    )
    made.add_argument("--model", action="store_true", help="ask the language model first, if one is set up")
    made.add_argument("--session", metavar="NAME", help="remember what was asked, for a quarter of an hour")
    add_language(made)


def _ask(api: Api, chosen: argparse.Namespace) -> Answered:
    body: dict[str, Any] = {
        "question": " ".join(chosen.question),
        "mode": "advanced" if chosen.advanced else "basic",
        "model": chosen.model,
        "utc_offset_minutes": time.localtime().tm_gmtoff // 60,
    }
    if asked := language(chosen):
        body["language"] = asked
    if chosen.session:
        body["session"] = chosen.session
    said = api.ask("POST", "/api/assistant/ask", body)
    return said, lambda to: _show(to, said["answer"])


def _show(to: Screen, answer: dict[str, Any]) -> None:
    for sentence in answer["text"]:
        to.line("".join(part["text"] for part in sentence))
    for choice in answer.get("choices") or ():
        to.line(f'  openmanager ask "{choice["ask"]}"')
    if check := answer.get("check"):
        to.line()
        to.line(f"to check ({check['why']}):")
        to.line(f"  {check['command']}")
    if answer["evidence"]:
        to.line()
        for line in _sources(answer["evidence"]):
            to.line(Painted(line, "grey"))


def _sources(evidence: list[dict[str, Any]]) -> Iterator[str]:
    for one in evidence:
        window = one.get("window")
        when = f", {moment(window['from'])} to {moment(window['to'])}" if window else ""
        yield f"[{one['n']}] {one.get('fact') or one['tool']}{when}"
