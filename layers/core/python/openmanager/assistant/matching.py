"""A question as words to look for, in both languages at once. Pure.

English is matched word by word. Korean glues particles to words and leaves blanks out at will, so that it is matched in
the text without blanks.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[가-힣])|(?<=[가-힣])(?=[a-z0-9])")
_UNSAID = re.compile(r"[^a-z0-9가-힣._:%|-]+")
# What stands for words that are understood already, so that their neighbours do not become a phrase.
GONE = "|"


@dataclass(frozen=True, slots=True)
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
