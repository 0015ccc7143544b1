"""An answer while it is put together: sentences whose figures point at numbered evidence. Pure."""

import string
import unicodedata
from collections.abc import Mapping
from typing import Any

from openmanager.assistant import checks, figures
from openmanager.assistant.figures import Path
from openmanager.assistant.understanding import Question
from openmanager.assistant.wording import METRIC_NAMES, SENTENCES, WORDS
from openmanager.tools.call import Call

_LONGEST = 200

Part = dict[str, Any]


class Draft:
    """Collects an answer's sentences, evidence, chart, check and choices."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self._results: list[Any] = []
        self._evidence: list[dict[str, Any]] = []
        self._text: list[list[Part]] = []
        self._chart: dict[str, Any] | None = None
        self._check: dict[str, Any] | None = None
        self._choices: list[dict[str, str]] = []
        self.link: str | None = None
        # The servers that it turned out to be about, for questions that follow.
        self.about: list[str] = []

    def look(self, call: Call, result: Any, start: float, stop: float) -> int:
        """Take a tool's result as evidence about a span of time: its number."""
        for known in self._evidence:
            if (known["tool"], known["arguments"]) == (call.tool, dict(call.arguments)):
                return int(known["n"])
        window = {"from": int(start), "to": int(stop)}
        n = len(self._evidence) + 1
        self._evidence.append({"n": n, "tool": call.tool, "arguments": dict(call.arguments), "window": window})
        self._results.append(result)
        return n

    def figure(self, n: int, path: Path, unit: str, reduce: str = "") -> Part:
        """What stands there in a result, as a part of a sentence."""
        value = figures.find(self._results[n - 1], path, reduce)
        text = figures.spoken(value, unit, self.question.language, self.question.offset_m)
        part = {"text": text, "value": value, "unit": unit, "evidence": n, "of": [*path]}
        return part | ({"reduce": reduce} if reduce else {})

    def metric(self, n: int, path: Path, metric: str, reduce: str = "") -> Part:
        """The same of a metric, in its unit."""
        return self.figure(n, path, figures.unit_of(metric), reduce)

    def fact(self, n: int, key: str, **parts: Any) -> None:
        """What the evidence says, for its line in the list."""
        self._evidence[n - 1].setdefault("fact", "".join(p["text"] for p in self._parts(key, parts)))

    def say(self, key: str, **parts: Any) -> None:
        """Add a sentence from the table; parts are figures, servers' names or texts."""
        first, *others = self._parts(key, parts)
        if "server" not in first:
            first = first | {"text": first["text"][:1].upper() + first["text"][1:]}
        self._text.append([first, *others])

    def tell(self, line: str) -> None:
        """Add a sentence that is not ours, whose figures point at nothing."""
        self._text.append([{"text": line}])

    def server(self, name: str) -> Part:
        """A server's name as a part of a sentence."""
        return {"text": plain(name), "server": name}

    def knows(self, key: str) -> bool:
        """Whether the table has a sentence of this key."""
        return key in SENTENCES[self.question.language]

    def word(self, key: str) -> str:
        """A word in the language of the answer; what is not in the table (a rule, a role) stays as it is."""
        return WORDS[self.question.language].get(key, plain(key))

    def metric_name(self, metric: str) -> str:
        """What people call a metric."""
        return METRIC_NAMES[self.question.language].get(metric, metric)

    def listed(self, names: list[str], most: int = 5) -> list[Part]:
        """Names of servers with commas between them; how many more there are is a word of its own."""
        parts: list[Part] = []
        for name in names[:most]:
            parts += [{"text": ", "}] * bool(parts) + [self.server(name)]
        if len(names) > most:
            parts.append({"text": self.word("and more")})
        return parts

    def time(self, at_s: float) -> str:
        """A time by the caller's clock."""
        return figures.clock(at_s, self.question.offset_m)

    def chart(self, server: str, metric: str, start: float, stop: float) -> None:
        """Show this beside the answer."""
        self._chart = {"server": server, "metric": metric, "from": int(start), "to": int(stop)}

    def check(self, subject: str, server: str = "") -> None:
        """How to see the same on the server itself, by a command that changes nothing."""
        command = checks.COMMANDS.get(subject)
        if command:
            names = METRIC_NAMES[self.question.language]
            what = names.get(subject) or self.word(f"{subject} check")
            why = SENTENCES[self.question.language]["check on" if server else "check"]
            self._check = {
                "command": command,
                "why": why.format(server=plain(server), what=what),
            }

    def choose(self, shown: str, ask: str) -> None:
        """Offer a question to go on with."""
        self._choices.append({"text": plain(shown), "ask": plain(ask)})

    def answer(self) -> dict[str, Any]:
        """The answer as JSON values."""
        for evidence in self._evidence:
            evidence.setdefault("fact", evidence["tool"])
        return {
            "text": self._text,
            "evidence": self._evidence,
            "check": self._check,
            "chart": self._chart,
            "link": self.link,
            "choices": self._choices or None,
        }

    def _parts(self, key: str, given: Mapping[str, Any]) -> list[Part]:
        parts: list[Part] = []
        for literal, name, _, _ in string.Formatter().parse(SENTENCES[self.question.language][key]):
            if literal:
                parts.append({"text": literal})
            if name:
                value = given[name]
                parts += value if isinstance(value, list) else [value if isinstance(value, dict) else {"text": value}]
        return parts


def plain(text: Any, longest: int = _LONGEST) -> str:
    """A text from outside as one line of plain text: no control signs, none that turn the line round, no end to it."""
    clean = "".join(" " if c.isspace() else c for c in str(text) if c.isspace() or unicodedata.category(c)[0] != "C")
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
