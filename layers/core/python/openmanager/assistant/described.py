"""What may be asked, and how answers look, in the words of JSON Schema."""

import re
from collections.abc import Mapping
from typing import Any

from openmanager.assistant.figures import REDUCTIONS
from openmanager.assistant.understanding import Language, Mode
from openmanager.assistant.words import INTENTS
from openmanager.errors import InvalidInput
from openmanager.values import frozen
from openmanager.whole import whole

MAX_QUESTION = 500
# Of a session: the caller's own name for a conversation.
_SESSION = "[A-Za-z0-9_-]{1,64}"
_FARTHEST_M = 14 * 60


@frozen
class Asked:
    """A question as it was sent. `offset_m` is the caller's clock, in minutes east of UTC; `model` wants its answer."""

    question: str
    language: Language | None = None
    session: str = ""
    mode: Mode = "basic"
    offset_m: int = 0
    model: bool = False


def read(asked: Mapping[str, Any]) -> Asked:
    """A question from a body. Raises InvalidInput naming the field."""
    if unknown := sorted(asked.keys() - QUESTION["properties"].keys()):
        raise InvalidInput(str(unknown[0])[:64], "is not known here")
    question = asked.get("question")
    if not isinstance(question, str) or not question.strip() or len(question) > MAX_QUESTION:
        raise InvalidInput("question", f"must be a text of 1 to {MAX_QUESTION} characters")
    language, mode, session = asked.get("language"), asked.get("mode", "basic"), asked.get("session")
    if language not in (None, "en", "ko"):
        raise InvalidInput("language", "must be en or ko")
    if mode not in ("basic", "advanced"):
        raise InvalidInput("mode", "must be basic or advanced")
    if session is not None and not (isinstance(session, str) and re.fullmatch(_SESSION, session)):
        raise InvalidInput("session", "must be 1 to 64 letters, digits, _ and -")
    offset = whole(asked.get("utc_offset_minutes", 0))
    if offset is None or abs(offset) > _FARTHEST_M:
        raise InvalidInput("utc_offset_minutes", f"must be a whole number from -{_FARTHEST_M} to {_FARTHEST_M}")
    model = asked.get("model", False)
    if not isinstance(model, bool):
        raise InvalidInput("model", "must be true or false")
    return Asked(question, language, session or "", mode, offset, model)


QUESTION: dict[str, Any] = {
    "type": "object",
    "required": ["question"],
    "additionalProperties": False,
    "properties": {
        "question": {"type": "string", "minLength": 1, "maxLength": MAX_QUESTION, "pattern": r"\S"},
        "language": {"enum": ["en", "ko", None], "description": "of the answer; else that of the question"},
        "session": {
            "type": ["string", "null"],
            "pattern": f"^{_SESSION}$",
            "description": "your name for a conversation: within 15 minutes a question may leave out what the one"
            " before said. Nobody else's opens it. Without one nothing is remembered.",
        },
        "mode": {
            "enum": ["basic", "advanced"],
            "description": "advanced compares with the same hour a day and a week before, names what a server needs and"
            " what needs it, and quotes the runbook",
        },
        "model": {
            "type": "boolean",
            "description": "ask the model first, if one is set up; else it is asked where the rules do not understand",
        },
        "utc_offset_minutes": {
            "type": "integer",
            "minimum": -_FARTHEST_M,
            "maximum": _FARTHEST_M,
            "description": "your clock, for `today` and for times in answers; else UTC",
        },
    },
    "examples": [{"question": "Which disk fills first, and when?", "session": "mine"}],
}
_WINDOW = {
    "type": "object",
    "required": ["from", "to"],
    "properties": {"from": {"type": "integer"}, "to": {"type": "integer"}, "name": {"type": "string"}},
    "description": "seconds since 1970",
}
_PART = {
    "type": "object",
    "required": ["text"],
    "description": "a piece of a sentence: the texts of all pieces, one after the other, are the sentence. Plain text.",
    "properties": {
        "text": {"type": "string"},
        "server": {"type": "string", "description": "of a server's name"},
        "value": {"description": "of a figure, as the tool says it; null if unknown"},
        "unit": {"type": "string", "description": "a metric's; or share (of 1), s, count, time (s or ISO), number"},
        "evidence": {"type": "integer", "description": "`n` of what it was read from"},
        "of": {
            "type": "array",
            "description": "where in that tool's result it stands: keys, indexes, and objects that choose from a list",
        },
        "reduce": {"enum": ["count", *REDUCTIONS], "description": "how what stands there becomes the figure"},
    },
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["understood", "answer", "source", "session"],
    "properties": {
        "understood": {
            "type": "object",
            "required": ["intent", "entities", "window", "language", "mode", "zone"],
            "properties": {
                "intent": {"enum": [*INTENTS, None]},
                "entities": {"type": "object"},
                "window": {"anyOf": [_WINDOW, {"type": "null"}]},
                "language": {"enum": ["en", "ko"]},
                "mode": {"enum": ["basic", "advanced"]},
                "zone": {"type": "string", "description": "of the times in the answer"},
            },
        },
        "answer": {
            "type": "object",
            "required": ["text", "evidence", "check", "chart", "link", "choices"],
            "properties": {
                "text": {"type": "array", "items": {"type": "array", "items": _PART}},
                "evidence": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["n", "tool", "arguments", "window", "fact"],
                        "properties": {
                            "n": {"type": "integer"},
                            "tool": {"type": "string"},
                            "arguments": {"type": "object"},
                            "window": _WINDOW,
                            "fact": {"type": "string"},
                        },
                    },
                },
                "check": {
                    "anyOf": [
                        {
                            "type": "object",
                            "required": ["command", "why"],
                            "properties": {"command": {"type": "string"}, "why": {"type": "string"}},
                        },
                        {"type": "null"},
                    ],
                    "description": "a command for the server itself, which reads only",
                },
                "chart": {
                    "anyOf": [
                        {
                            "type": "object",
                            "required": ["server", "metric", "from", "to"],
                            "properties": {
                                "server": {"type": "string"},
                                "metric": {"type": "string"},
                                "from": {"type": "integer"},
                                "to": {"type": "integer"},
                            },
                        },
                        {"type": "null"},
                    ]
                },
                "link": {
                    "type": ["string", "null"],
                    "description": "the dashboard's view, after its address",
                },
                "choices": {
                    "anyOf": [
                        {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["text", "ask"],
                                "properties": {"text": {"type": "string"}, "ask": {"type": "string"}},
                            },
                        },
                        {"type": "null"},
                    ],
                    "description": "questions to go on with, where this one left something open",
                },
            },
        },
        "source": {"enum": ["rules", "model"], "description": "what answered"},
        "session": {"type": ["string", "null"]},
    },
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the answer; as events if text/event-stream is accepted: `understood`, a `looked_up` for each"
        " tool, then `answer`, which is the same; or `error`, a problem",
        "content": {
            "application/json": {"schema": ANSWER},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    }
}
