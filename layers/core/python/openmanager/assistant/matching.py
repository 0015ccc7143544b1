"""A question as words to look for, in both languages at once. Pure.

English is matched word by word. Korean glues particles to words and leaves blanks out at will, so that it is matched in
the text without blanks.
"""

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from openmanager.values import frozen

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[가-힣])|(?<=[가-힣])(?=[a-z0-9])")
_UNSAID = re.compile(r"[^a-z0-9가-힣._:%|-]+")
# What stands for words that are understood already, so that their neighbours do not become a phrase.
GONE = "|"


@frozen
class Text:
    """A question's words, in order, lower case."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, question: str) -> "Text":
        """What was said, without accents of typing: case, width, punctuation."""
        plain = unicodedata.normalize("NFKC", question).lower().replace("/", "").replace("|", " ")
        plain = re.sub(r"['’](s|m|re|ve|ll)\b", "", plain).replace("n't", " not")
        plain = _BOUNDARY.sub(" ", _UNSAID.sub(" ", plain))
        return cls(tuple(w for word in plain.split() if (w := word.strip("._:-"))))

    def has(self, cue: str) -> bool:
        """Whether a cue is in it."""
        return self.find(cue) is not None

    def find(self, cue: str) -> tuple[int, int] | None:
        """Where a cue begins and ends among the words.

        A cue is words that stand together; `..` between two of them lets others stand there, `*` ends a word's stem.
        """
        return self._korean(cue) if re.search("[가-힣]", cue) else self._english(cue)

    def without(self, first: int, last: int) -> "Text":
        """The same, these words understood."""
        return Text((*self.words[:first], GONE, *self.words[last:]))

    def spelt_out(self, short: Mapping[str, str]) -> "Text":
        """The same with short forms as what they stand for: English ones as words, Korean ones as parts of words."""
        korean = {said: meant for said, meant in short.items() if not said.isascii()}
        words: list[str] = []
        for i, word in enumerate(self.words):
            if word in short and not (i and self.words[i - 1].isdecimal()):
                words += short[word].split()
                continue
            for said, meant in korean.items():
                word = word.replace(said, meant)
            words += word.split()
        return Text(tuple(words))

    def corrected(self, known: frozenset[str]) -> "Text":
        """The same with words that nobody knows as the known one that they are one slip of the fingers away from.

        A slip is a letter left out, too many, another one, or two that changed places, and never the first. `*` at the
        end of a known word ends a stem.
        """
        return Text(tuple(_meant(word, _by_letter(known)) if _may_be_mistyped(word) else word for word in self.words))

    def take(self, cues: Iterable[tuple[str, str]]) -> tuple[list[str], "Text"]:
        """(what the cues mean that are in it, what is left), by a table of cue and meaning; the longer cue first."""
        found: list[tuple[int, str]] = []
        left = self
        for cue, meaning in sorted(cues, key=lambda row: -len(row[0])):
            while place := left.find(cue):
                found.append((place[0], meaning))
                # As many as there were, so that places stay comparable.
                left = Text((*left.words[: place[0]], *[GONE] * (place[1] - place[0]), *left.words[place[1] :]))
        return [meaning for _, meaning in sorted(found)], left

    def _english(self, cue: str) -> tuple[int, int] | None:
        parts = [part.split() for part in cue.split("..")]
        for first in range(len(self.words)):
            at: int | None = first
            for i, part in enumerate(parts):
                starts = [at] if i == 0 else range(at or 0, len(self.words))
                at = next((s + len(part) for s in starts if s is not None and self._stands(part, s)), None)
                if at is None:
                    break
            if at is not None:
                return first, at
        return None

    def _stands(self, part: list[str], start: int) -> bool:
        there = self.words[start : start + len(part)]
        return len(there) == len(part) and all(
            word.startswith(said[:-1]) if said.endswith("*") else word == said
            for said, word in zip(part, there, strict=True)
        )

    def _korean(self, cue: str) -> tuple[int, int] | None:
        whole = "".join(self.words)
        begin = end = -1
        for part in cue.replace(" ", "").split(".."):
            at = whole.find(part, max(end, 0))
            if at < 0:
                return None
            begin, end = (at if begin < 0 else begin), at + len(part)
        return self._word_at(begin), self._word_at(end - 1) + 1

    def _word_at(self, position: int) -> int:
        for i, word in enumerate(self.words):
            if position < len(word):
                return i
            position -= len(word)
        return len(self.words)


def _may_be_mistyped(word: str) -> bool:
    return len(word) >= 4 and word.isascii() and word.isalpha()


@lru_cache(maxsize=1)
def _by_letter(known: frozenset[str]) -> Mapping[str, Sequence[str]]:
    """Known words by their first letter, in an order that does not change."""
    return {letter: sorted(word for word in known if word[0] == letter) for letter in string.ascii_lowercase}


def _meant(word: str, known: Mapping[str, Sequence[str]]) -> str:
    near = known[word[0]]
    if any(word == one or (one.endswith("*") and word.startswith(one[:-1])) for one in near):
        return word
    for one in near:
        stem = one.removesuffix("*")
        # What is left of the word is the ending of the stem's.
        for length in (len(stem), len(stem) - 1, len(stem) + 1) if one != stem else (len(word),):
            if length <= len(word) and _one_slip(word[:length], stem):
                return stem + word[length:]
    return word


def _one_slip(word: str, meant: str) -> bool:
    """Whether one slip makes the one of the other."""
    same = next((i for i, (a, b) in enumerate(zip(word, meant, strict=False)) if a != b), min(len(word), len(meant)))
    a, b = word[same:], meant[same:]
    if len(meant) > 3 and len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:]:
        return True
    # Short words are one letter away from too many others.
    return len(meant) > 4 and (a[1:] == b[1:] or a[1:] == b or a == b[1:])
