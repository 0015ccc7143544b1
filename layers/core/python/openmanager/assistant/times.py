"""When a question is about: spans of the past, and how far ahead. Pure."""

import re
from datetime import UTC, date, datetime, timedelta, timezone

from openmanager.assistant.matching import Text
from openmanager.assistant.words import NUMBERS
from openmanager.values import frozen

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "초", "초간"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "분", "분간"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "시간", "시간동안"), "h"),
    **dict.fromkeys(("d", "day", "days", "일", "일간"), "d"),
    **dict.fromkeys(("w", "week", "weeks", "주", "주일", "주간"), "w"),
    **dict.fromkeys(("month", "months", "개월", "달"), "month"),
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "month": 2_592_000}
# Words before or after a span that say that it lies ahead.
_AHEAD_BEFORE = ("next", "within", "coming", "following", "앞으로", "향후", "다음", "이후")
_AHEAD_AFTER = ("안에", "이내", "내에", "후", "뒤", "ahead", "안으로")
_AHEAD = {
    "tomorrow": ("tomorrow", "내일"),
    "next_week": ("next week", "다음 주", "다음주"),
    "24h": ("next day", "the coming day", "하루 안에"),
    "today": ("by tonight", "tonight", "오늘 안에", "오늘 밤"),
    "this_week": ("by the end of the week", "this weekend", "이번 주 안에", "이번 주말"),
}
_PAST = {
    "today": ("today", "this morning", "오늘"),
    "yesterday": ("yesterday", "last night", "어제", "어젯밤"),
    "day_before": ("day before yesterday", "그저께", "그제", "엊그제"),
    "this_week": ("this week", "이번 주", "이번주", "금주"),
    "last_week": ("last week", "지난 주", "지난주", "저번 주", "저번주"),
    "last_month": ("last month", "지난달", "지난 달", "저번 달"),
    "this_month": ("this month", "이번 달", "이번달"),
    "1h": ("last hour", "past hour", "an hour", "previous hour", "한 시간"),
    "24h": (
        "last day",
        "past day",
        "overnight",
        "during the night",
        "밤사이",
        "밤새",
        "간밤",
        "하루 동안",
        "하루",
        "만 하루",
    ),
    "7d": ("past week", "previous week", "a week", "일주일", "한 주", "1주일"),
    "30d": ("past month", "a month", "한 달"),
    "30m": ("half hour", "half an hour", "반 시간", "삼십 분"),
}
_WORDS = {**NUMBERS, "couple": 2, "few": 3, "a": 1, "an": 1}
# What somebody who mistyped may have meant.
KNOWN_WORDS = frozenset(
    word
    for cue in (*_UNITS, *(cue for table in (_AHEAD, _PAST) for cues in table.values() for cue in cues), *_AHEAD_BEFORE)
    for word in cue.split()
    if word.isascii() and word.isalpha()
)
_DATE = re.compile(r"(20[0-9]{2})-([01][0-9])-([0-3][0-9])")


@frozen
class Window:
    """A span by its name (`1h`, `yesterday`, `2026-11-27`); `onwards` says that it goes on until now."""

    name: str
    onwards: bool = False

    def span(self, now_s: float, offset_m: int) -> tuple[int, int]:
        """[from, to) in s: whole minutes, the present one included. Days are those of the caller's clock."""
        now = int(now_s // 60) * 60 + 60
        if length := seconds(self.name):
            return now - length, now
        zone = timezone(timedelta(minutes=offset_m))
        today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0)
        monday = today - timedelta(days=today.weekday())
        first = today.replace(day=1)
        begin, end = {
            "today": (today, None),
            "yesterday": (today - timedelta(days=1), today),
            "day_before": (today - timedelta(days=2), today - timedelta(days=1)),
            "this_week": (monday, None),
            "last_week": (monday - timedelta(days=7), monday),
            "this_month": (first, None),
            "last_month": ((first - timedelta(days=1)).replace(day=1), first),
        }.get(self.name) or self._day(zone)
        stop = now if end is None or self.onwards else min(now, int(end.timestamp()))
        # Of a day that has just begun there is a minute at least.
        return min(int(begin.timestamp()), stop - 60), stop

    def _day(self, zone: timezone) -> tuple[datetime, datetime | None]:
        day = datetime.combine(date.fromisoformat(self.name), datetime.min.time(), zone)
        return day, day + timedelta(days=1)


def seconds(name: str) -> int:
    """The length of a span such as `90m`, 0 of one that has a name."""
    found = re.fullmatch(r"([0-9]+)([smhd])", name)
    return int(found[1]) * _SECONDS[found[2]] if found else 0


def horizon_s(name: str, now_s: float, offset_m: int) -> float:
    """How far ahead a span reaches."""
    if length := seconds(name):
        return float(length)
    now = datetime.fromtimestamp(now_s, UTC).astimezone(timezone(timedelta(minutes=offset_m)))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight + timedelta(days=7 - midnight.weekday())
    ends = {
        "today": midnight + timedelta(days=1),
        "tomorrow": midnight + timedelta(days=2),
        "this_week": monday,
        "next_week": monday + timedelta(days=7),
    }
    return (ends[name] - now).total_seconds()


def read(text: Text) -> tuple[Window | None, str, Text]:
    """(the window of the past, the horizon ahead or "", what is left of the words)."""
    ahead, text = _named(text, _AHEAD)
    past, text = _named(text, _PAST)
    if not past and not ahead:
        past, text = _dated(text)
    counted, is_ahead, text = _counted(text)
    if counted and is_ahead:
        ahead = ahead or counted
    elif counted:
        past = past or counted
    onwards = bool(past) and any(text.has(cue) for cue in ("since", "부터", "이래"))
    return (Window(past, onwards) if past else None), ahead, text


def _named(text: Text, table: dict[str, tuple[str, ...]]) -> tuple[str, Text]:
    names, left = text.take([(cue, name) for name, cues in table.items() for cue in cues])
    return (names[0], left) if names else ("", text)


def _dated(text: Text) -> tuple[str, Text]:
    for i, word in enumerate(text.words):
        if _DATE.fullmatch(word):
            try:
                date.fromisoformat(word)
            except ValueError:
                continue
            return word, text.without(i, i + 1)
    return "", text


def _counted(text: Text) -> tuple[str, bool, Text]:
    """A number with its unit: (its name, whether it lies ahead, what is left)."""
    words = text.words
    for i, word in enumerate(words):
        number, used = _number(words, i)
        if not number:
            continue
        unit, more = _unit(words, i, used)
        # A trillion days is no span; so is none at all.
        if not unit or number > 9_999:
            continue
        before = words[i - 1] if i else ""
        after = words[i + used + more] if i + used + more < len(words) else ""
        glued = "".join(words[i + used - (0 if more else 1) :])
        is_ahead = before in (*_AHEAD_BEFORE, "in") or after.startswith(_AHEAD_AFTER) or _glued(glued, unit)
        if word == "in" and not is_ahead:
            continue
        return _name(number, unit), is_ahead, text.without(i, i + used + more)
    return "", False, text


def _number(words: tuple[str, ...], i: int) -> tuple[int, int]:
    """(number, how many words it takes), 0 if there is none here."""
    word = words[i]
    if word.isdecimal() and word.isascii() and len(word) <= 5:
        return int(word), 1
    if found := re.fullmatch(r"([0-9]{1,4})-?(m|min|h|hr|d|w|s|hours?|days?|minutes?|weeks?)", word):
        return int(found[1]), 1
    if word in _WORDS and word not in ("a", "an"):
        return _WORDS[word], 1
    return 0, 0


def _unit(words: tuple[str, ...], i: int, used: int) -> tuple[str, int]:
    if found := re.fullmatch(r"[0-9]{1,4}-?([a-z]+)", words[i]):
        return _UNITS.get(found[1], ""), 0
    if i + used >= len(words):
        return "", 0
    word = words[i + used]
    if word in ("of",) and i + used + 1 < len(words):
        return _UNITS.get(words[i + used + 1], ""), 2
    if word in _UNITS:
        return _UNITS[word], 1
    # 24시간동안, 7일간, 6시간이내: the unit, and what is glued to it.
    stems = sorted((u for u in _UNITS if re.match("[가-힣]", u)), key=len, reverse=True)
    stem = next((u for u in stems if word.startswith(u)), "")
    return (_UNITS[stem], 1) if stem else ("", 0)


def _glued(rest: str, unit: str) -> bool:
    """Whether what is glued to a Korean unit says that it lies ahead: 6시간이내."""
    return any(
        rest.startswith(u + said) for u, name in _UNITS.items() if name == unit for said in (*_AHEAD_AFTER, "이내")
    )


def _name(number: int, unit: str) -> str:
    if unit in ("w", "month"):
        return f"{number * _SECONDS[unit] // 86_400}d"
    return f"{number}{unit}"
