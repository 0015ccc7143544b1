"""The documents as data: their headings, links and fenced blocks, and the commands in a block of shell."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
# The Korean README's blocks are those of the English one (tests/unit/test_documents.py).
KOREAN = ROOT / "README.ko.md"
README = ROOT / "README.md"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*) *$")
_HEADING = re.compile(r"^(#{1,6}) (.+?) *$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
# What begins another command, and words of the shell that a command may follow.
_BETWEEN = re.compile(r"^[;&|(){}]+$")
_WORDS = frozenset(
    ["if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "!"]
)
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
# What the reader puts something of their own for.
PLACEHOLDER = re.compile(r"<([a-z][a-z ]*)>")


def named() -> list[Path]:
    """What is held to the rules of this module: the documents of the root and the guides."""
    roots = ("README.md", "README.ko.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
    return [*(ROOT / name for name in roots), *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: in which document (relative to the root) and line its fence stands, its language and its text."""

    document: str
    line: int
    language: str
    text: str

    @property
    def begins(self) -> str:
        """The first line, by which tables of tests name a block."""
        return self.text.strip().partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document, in order; those within a list come without its indentation."""
    found: list[Block] = []
    inside: list[str] | None = None
    began, language = 0, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside, began, language = [], number, fence["language"]
        elif inside is not None and fence and not fence["language"]:
            text = dedent("\n".join(inside) + "\n")
            found.append(Block(path.relative_to(ROOT).as_posix(), began, language, text))
            inside = None
        elif inside is not None:
            inside.append(line)
    assert inside is None, f"{path}:{began}: the fence is not closed"
    return found


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    kept: list[str] = []
    fenced = False
    for line in path.read_text().splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            kept.append(line)
    return "\n".join(kept)


def spans(path: Path) -> list[str]:
    """What stands in backticks within the text."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(path))]


def headings(path: Path) -> list[tuple[int, str]]:
    """(level, text) of every heading."""
    found = map(_HEADING.match, prose(path).splitlines())
    return [(len(heading[1]), heading[2]) for heading in found if heading]


def anchors(path: Path) -> set[str]:
    """What a link may name behind `#`: the headings as GitHub writes them."""
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in headings(path)}


def links(path: Path) -> list[str]:
    """The targets of all links and pictures, in order."""
    without_code = re.sub(r"`[^`\n]*`", "", prose(path))
    return [link or source for link, source in _LINK.findall(without_code)]


def commands(shell: str) -> Iterator[list[str]]:
    """The words of each simple command, assignments before it left out.

    It reads the shell of the documents, not all of it: substitutions are words, here-documents are not known.
    """
    for line in _logical_lines(PLACEHOLDER.sub("placeholder", shell)):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.wordchars += "$%^:,@[]+…"
        words: list[str] = []
        in_list = False  # of `for name in …`, whose words are no command
        for word in lexer:
            if in_list and not (_BETWEEN.match(word) or word == "do"):
                continue
            in_list = word == "for" and not words
            if _BETWEEN.match(word) or word in _WORDS:
                if words:
                    yield words
                words = []
            elif words or not _ASSIGNMENT.match(word):
                words.append(word)
        if words:
            yield words


def _logical_lines(shell: str) -> Iterator[str]:
    """Lines with those that go on behind a backslash or within quotes."""
    gathered = ""
    for line in shell.splitlines():
        gathered += line
        if gathered.endswith("\\"):
            gathered = gathered[:-1] + " "
            continue
        try:
            shlex.split(gathered, comments=True)
        except ValueError:
            gathered += "\n"
            continue
        if gathered.strip():
            yield gathered
        gathered = ""
    assert not gathered, f"quotes are not closed: {gathered}"
