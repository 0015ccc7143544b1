"""Which servers a question names: exactly, in other words (web01, 웹 1), by the end of a longer name, or none we know.

Pure: the known names are an argument.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from openmanager.assistant.matching import Text
from openmanager.values import frozen

# At most so many are looked at one by one.
MOST = 4
_NEAR = 3
_SPOKEN = {
    "웹": "web", "웹서버": "web", "디비": "db", "캐시": "cache", "스토리지": "storage", "에이피아이": "api",
    "백업": "backup", "엘비": "lb", "로드밸런서": "lb",
    "database": "db", "webserver": "web",
}  # fmt: skip
# What has the shape of a server's name: letters, then a number at the end.
_SHAPE = re.compile(r"[a-z][a-z0-9._:-]*?[._:-]?[0-9]{1,6}")
_NO_NAMES = re.compile(r"(top|p|h|d|m|w|v|ipv|k|q|http|raid|load|first|last|worst)[0-9]+|k8s")
_NUMBERED = re.compile(r"([0-9]{1,4})(번)?")


@frozen
class Named:
    """`known` servers; `unclear` words that may mean several, with these; `unknown` ones, with names that are near."""

    known: tuple[str, ...] = ()
    unclear: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unknown: tuple[tuple[str, tuple[str, ...]], ...] = ()


def read(text: Text, servers: Sequence[str]) -> tuple[Named, Text]:
    """(the servers named, what is left of the words)."""
    by_name = {server.lower(): server for server in servers}
    squeezed: dict[str, list[str]] = {}
    for server in servers:
        squeezed.setdefault(_squeezed(server), []).append(server)
    known: list[str] = []
    unclear: list[tuple[str, tuple[str, ...]]] = []
    unknown: list[tuple[str, tuple[str, ...]]] = []
    i = 0
    while i < len(text.words):
        word, used = text.words[i], 1
        found: Sequence[str] = [by_name[word]] if word in by_name else ()
        if not found:
            for spoken, length in _spoken(text.words, i):
                found = squeezed.get(_squeezed(spoken), ())
                if found:
                    used = length
                    break
        if not found and _SHAPE.fullmatch(word) and not _NO_NAMES.fullmatch(word):
            found = [s for s in servers if re.search(rf"(^|[._:-]){re.escape(word)}$", s.lower())]
            if not found:
                unknown.append((word, tuple(_near(word, servers))))
                text = _gone(text, i, 1)
        if found:
            if len(found) == 1:
                known += [s for s in found if s not in known]
            else:
                unclear.append((word, tuple(sorted(found)[:_NEAR])))
            text = _gone(text, i, used)
            used = 1
        i += used
    return Named(tuple(known[:MOST]), tuple(unclear), tuple(unknown[:MOST])), text


def _spoken(words: tuple[str, ...], i: int) -> list[tuple[str, int]]:
    """Ways to read the words from here on as a name: (name, how many words)."""
    head = _SPOKEN.get(words[i], words[i])
    ways = []
    if i + 1 < len(words) and (number := _NUMBERED.fullmatch(words[i + 1])) and re.fullmatch("[a-z-]+", head):
        length = 3 if i + 2 < len(words) and words[i + 2].startswith("번") else 2
        ways.append((f"{head}{number[1]}", length))
    if re.search("[0-9]$", head):
        ways.append((head, 1))
    return ways


def _squeezed(name: str) -> str:
    """A name without what people leave out: separators, and zeros before numbers."""
    return re.sub(r"0*([0-9]+)", r"\1", re.sub(r"[._:-]", "", name.lower()))


def _near(word: str, servers: Sequence[str]) -> list[str]:
    lower = {s.lower(): s for s in sorted(servers, reverse=True)}
    return [lower[name] for name in get_close_matches(word, sorted(lower), _NEAR, 0.6)]


def _gone(text: Text, i: int, used: int) -> Text:
    return text.without(i, i + used)
