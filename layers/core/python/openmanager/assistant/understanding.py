"""What a question asks: intent, entities and times, by tables of words; it may leave out what was said before. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from openmanager.assistant import names, times, words
from openmanager.assistant.matching import GONE, Text
from openmanager.assistant.names import Named
from openmanager.assistant.times import Window
from openmanager.values import frozen

Language = Literal["en", "ko"]
Mode = Literal["basic", "advanced"]
_KNOWN = words.KNOWN_WORDS | times.KNOWN_WORDS
# Questions that are about one server by nature: the last one's, if none is named.
_ABOUT_ONE = ("trend", "causes", "advice", "server")


@frozen
class Question:
    """A question understood. `intent` is one of words.INTENTS, or "" for what none of them answers.

    `absent` is a topic of which nothing is stored; `window` of the past and `horizon` ahead as said; `text` is what was
    asked; `vague` says that the words said too little to know the intent.
    """

    text: str
    language: Language
    intent: str
    named: Named = field(default_factory=Named)
    metric: str = ""
    role: str = ""
    status: str = ""
    count: int = 0
    lowest: bool = False
    window: Window | None = None
    horizon: str = ""
    absent: str = ""
    mode: Mode = "basic"
    now_s: float = 0.0
    offset_m: int = 0

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers asked about."""
        return self.named.known

    def span(self, usual: str) -> tuple[str, int, int]:
        """(name, from, to) of the window asked about, or of the usual one."""
        window = self.window or Window(usual)
        return (window.name, *window.span(self.now_s, self.offset_m))

    def entities(self) -> dict[str, Any]:
        """What was recognised, without what was not said."""
        said = {
            "servers": list(self.servers),
            "metric": self.metric,
            "role": self.role,
            "status": self.status,
            "count": self.count,
            "horizon": self.horizon,
            "unknown": [word for word, _ in self.named.unknown],
            "absent": self.absent,
        }
        return {name: value for name, value in said.items() if value}


def understand(
    asked: str,
    servers: Sequence[str],
    roles: Collection[str] = (),
    before: Mapping[str, Any] | None = None,
    language: Language | None = None,
) -> Question:
    """A question, in the light of the servers and roles that there are and of what was asked before (`remembered`)."""
    text = Text.of(asked).spelt_out(words.SHORT)
    pronoun = any(text.has(p) for p in words.PRONOUNS)
    named, left = names.read(text, servers)
    # After the names, which are nobody's slips, and before all that is looked for by words.
    left = left.corrected(_KNOWN)
    window, horizon, left = times.read(left)
    count, left = _count(left)
    absent, _ = left.take(words.ABSENT)
    roles_said, after_roles = left.take([*words.ROLES, *((r.lower(), r) for r in roles if r)])
    metrics, after_metrics = left.take(words.METRICS)
    # "database" is a role, "disk" a metric: who names both is understood both ways, so each looks at the same words.
    statuses, _ = left.take(words.STATUSES)
    status = next((s for s in statuses if s), "")
    metric = metrics[0] if metrics else ""
    role = roles_said[0] if roles_said and not named.known else ""
    spoken: Language = language or ("ko" if re.search("[가-힣]", asked) else "en")
    features = _features(named, metric, role, status, count, window, horizon, left)
    intent, sure = _intent(left, features)
    question = Question(
        asked, spoken, intent, named, metric, role, status, count, _lowest(left), window, horizon,
        absent[0] if absent else "",
    )  # fmt: skip
    # A server alone says little of what is asked about it; with a metric and more the rest need not be understood.
    told = bool(metric) and bool(named.known or window or horizon)
    if absent or (intent and not sure and not told and _strange(after_metrics, after_roles)):
        question = replace(question, intent="")
    return _from_before(question, before or {}, sure, pronoun, _strange(after_metrics, after_roles))


def remembered(question: Question, about: Sequence[str]) -> dict[str, Any]:
    """What the next question may leave out; `about` are the servers that the answer was about, a few at most."""
    kept = {
        "i": question.intent,
        "s": list((about or question.servers)[:3]),
        "m": question.metric,
        "r": question.role,
        "w": question.window and [question.window.name, question.window.onwards],
        "h": question.horizon,
        "l": question.language,
    }
    return {name: value for name, value in kept.items() if value}


def _features(
    named: Named, metric: str, role: str, status: str, count: int, window: Any, horizon: str, text: Text
) -> set[str]:
    there = {
        "server": bool(named.known or named.unclear or named.unknown),
        "metric": bool(metric),
        "role": bool(role),
        "status": bool(status),
        "count": bool(count),
        "window": window is not None,
        "horizon": bool(horizon),
        "now": any(text.has(cue) for cue in words.NOW),
    }
    return {name for name, is_there in there.items() if is_there}


def _intent(text: Text, features: set[str]) -> tuple[str, bool]:
    """(the intent, whether words said so and not what was named alone)."""
    scores: dict[str, int] = {}
    _, text = text.take([(cue, "") for cue in words.DECOYS])
    for intent, weight, cue in words.CUES:
        if weight > scores.get(intent, 0) and text.has(cue):
            scores[intent] = weight
    sure = bool(scores)
    for intent, more, needs in words.FEATURES:
        if all((need[1:] not in features) if need[0] == "-" else (need in features) for need in needs):
            scores[intent] = scores.get(intent, 0) + more
            sure = sure or intent == "status"
    # A list of what, and the state of what, is only known with something else.
    best = max(words.INTENTS, key=lambda intent: (scores.get(intent, 0), -words.INTENTS.index(intent)))
    if not scores.get(best):
        return "", False
    return best, sure


def _count(text: Text) -> tuple[int, Text]:
    for i, word in enumerate(text.words):
        before = text.words[i - 1] if i else ""
        after = text.words[i + 1] if i + 1 < len(text.words) else ""
        glued = re.fullmatch("top([0-9]{1,3})", word)
        number = (
            int(glued[1]) if glued else int(word) if re.fullmatch("[0-9]{1,3}", word) else words.NUMBERS.get(word, 0)
        )
        if number and (glued or before in words.BEFORE_COUNT[:-1] or after.startswith(words.AFTER_COUNT)):
            return min(number, words.MOST_SHOWN), text.without(i, i + 1)
    return 0, text


def _lowest(text: Text) -> bool:
    return any(
        text.has(cue) for cue in ("lowest", "least", "smallest", "낮은", "적은", "적게", "한가한", "idle", "idlest")
    )


def _strange(after_metrics: Text, after_roles: Text) -> bool:
    """Whether there are words about something that we do not know."""
    both = [w for w in after_metrics.words if w in after_roles.words and w != GONE]
    return any(w not in words.FILLERS and not w.startswith(words.FILLER_STEMS) and not w.isdecimal() for w in both)


def _from_before(q: Question, before: Mapping[str, Any], sure: bool, pronoun: bool, strange: bool) -> Question:
    """Take from the question before what this one leaves out."""
    if not before:
        return q
    follows = not sure and not strange and not q.absent
    if follows:
        q = replace(
            q,
            intent=before.get("i", q.intent),
            metric=q.metric or before.get("m", ""),
            role=q.role or before.get("r", ""),
            horizon=q.horizon or before.get("h", ""),
            window=q.window or (Window(*before["w"]) if "w" in before else None),
        )
    takes_server = pronoun or q.intent in _ABOUT_ONE or follows
    none_named = not (q.servers or q.named.unclear or q.named.unknown or q.role)
    if takes_server and none_named and before.get("s") and q.intent != "status":
        q = replace(q, named=Named(tuple(before["s"])))
        if q.intent in ("trend", "causes") and not q.metric:
            q = replace(q, metric=before.get("m", ""))
    return q
