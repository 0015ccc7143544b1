"""Whether the figures of a text that we did not write stand in what its writer was shown. Pure.

It cannot tell whether a figure is said of the right thing, nor read numbers that are spelt out; it tells that none was
made up. A number of the text is founded if one that was shown is the same, to as many decimals as the text has: as it
stood, as a share in per cent, as seconds in minutes, hours or days, or as octets in thousands. So is the length of a
list, and what the question said. Names with numbers in them (web-01, load_5m), times and dates must be there sign by
sign.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}|(?<!\d)\d{1,2}:\d{2}(?!\d)")
_NUMBER = re.compile(r"(?:(?<![\w.])[-−])?\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")
_ENDS = ".:-"
_LISTED = re.compile(r"(?m)^\s*\d{1,2}[.)]\s")
_SPANS = (60.0, 3600.0, 86_400.0)
_THOUSANDS = (1e3, 1e6, 1e9)
# Of rounding itself.
_SLACK = 1e-9


def unfounded(text: str, question: str, seen: list[Any]) -> list[str]:
    """The figures of a text that stand neither in the question nor in what was seen."""
    texts = [question, *(t for value in seen for t in _texts(value))]
    names = {name for said in texts for found in _WORD.findall(said) if _has_digit(name := found.rstrip(_ENDS))}
    times = {found.zfill(5) for said in texts for found in _TIME.findall(said)}
    text = _LISTED.sub(" ", text)
    text = _WORD.sub(lambda found: " " if found[0].rstrip(_ENDS) in names else found[0], text)
    wrong = [found for found in _TIME.findall(text) if found.zfill(5) not in times]
    known = [n for said in texts for n in _numbers(_TIME.sub(" ", said))] + [n for v in seen for n in _values(v)]
    return wrong + [found for found in _NUMBER.findall(_TIME.sub(" ", text)) if not _is_known(found, known)]


def _is_known(found: str, known: list[float]) -> bool:
    value, decimals = abs(_number(found)), len(found.partition(".")[2])
    # A fall is said without its sign, too.
    return any(abs(value - abs(k)) <= 0.5 * 10**-decimals + _SLACK for k in known)


def _numbers(text: str) -> list[float]:
    text = _WORD.sub(lambda found: " " if _has_digit(found[0]) else found[0], text)
    return [_number(found) for found in _NUMBER.findall(text)]


def _has_digit(word: str) -> bool:
    return any(sign.isdigit() for sign in word)


def _number(found: str) -> float:
    return float(found.replace(",", "").replace("−", "-"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _values(value: Any, name: str = "") -> Iterator[float]:
    """Every number that a value may be told as."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield float(value)
        if -1 <= value <= 1:
            yield 100 * value
        if name.endswith("_s") or name == "step":
            yield from (value / span for span in _SPANS)
        if abs(value) >= _THOUSANDS[0]:
            yield from (value / size for size in _THOUSANDS)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _values(item, str(key))
    elif isinstance(value, list):
        yield float(len(value))
        for item in value:
            yield from _values(item, name)
