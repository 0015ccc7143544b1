"""Folders to read: the reading tools of @modelcontextprotocol/server-filesystem, and none that write.

A path is absolute, or is looked for in one folder after the other. Whatever leads out of the folders, by dots or by a
link, is refused. What is looked at is bounded, and the answer says so.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openmanager.errors import InvalidInput, NotFound
from openmanager.sidecar.servers.tool import Said, Tool

# A settings' maxOutputBytes may be as much.
_MOST_BYTES = 1 << 20
_MOST_ENTRIES, _MOST_FILES, _DEPTH = 2_000, 50, 16

_PATH = {"type": "string", "minLength": 1, "maxLength": 4096}
_LINES = {"type": "integer", "minimum": 1}
_PATTERN = {"type": "string", "minLength": 1, "maxLength": 256}
_PATTERNS = {"type": "array", "items": _PATTERN, "maxItems": 32}
_READING = {"path": _PATH, "head": _LINES, "tail": _LINES}


class Files:
    """Some folders, and what may be asked of them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]

    def tools(self) -> Mapping[str, Tool]:
        """The tools, by the names of the official server."""
        some = ("head", "tail")
        tree = {"path": _PATH, "excludePatterns": _PATTERNS}
        return {
            "read_text_file": Tool(
                "A file as text; `head` or `tail` gives its first or last lines only.", self._read, _READING, some
            ),
            "read_file": Tool("The same as read_text_file.", self._read, _READING, some),
            "read_multiple_files": Tool(
                "Several files, each after its path. One that cannot be read says so in its place.",
                self._read_many,
                {"paths": {"type": "array", "items": _PATH, "minItems": 1, "maxItems": _MOST_FILES}},
            ),
            "list_directory": Tool("What is in a folder: [DIR] or [FILE], and the name.", self._list, {"path": _PATH}),
            "list_directory_with_sizes": Tool(
                "The same with sizes, by name or by size.",
                self._list_sizes,
                {"path": _PATH, "sortBy": {"enum": ["name", "size"]}},
                ("sortBy",),
            ),
            "directory_tree": Tool(
                "A folder and all below it as JSON: name, type, children.", self._tree, tree, ("excludePatterns",)
            ),
            "search_files": Tool(
                "Paths below a folder that match a pattern: `*.md` in the folder itself, `**/*.md` everywhere.",
                self._search,
                {"path": _PATH, "pattern": _PATTERN, "excludePatterns": _PATTERNS},
                ("excludePatterns",),
            ),
            "get_file_info": Tool("Size, times, kind and permissions of a path.", self._info, {"path": _PATH}),
            "list_allowed_directories": Tool("The folders that may be read.", self._allowed),
        }

    def _place(self, asked: str) -> Path:
        """The real path behind a path. Raises InvalidInput where it leads out, NotFound where there is nothing."""
        candidates = [folder / asked for folder in self._folders]
        try:
            found = next((path for path in candidates if path.exists()), candidates[0] if candidates else Path(asked))
            place = found.resolve()
        except (OSError, ValueError, RuntimeError):
            # A loop of links, a name that is too long, a NUL.
            raise NotFound(f"path: {asked!r} is no path that can be read") from None
        if not any(place.is_relative_to(folder) for folder in self._folders):
            raise InvalidInput("path", f"access denied: {asked!r} leads out of the folders that may be read")
        if not place.exists():
            raise NotFound(f"path: there is no {asked!r}")
        return place

    def _folder(self, asked: str) -> Path:
        place = self._place(asked)
        if not place.is_dir():
            raise InvalidInput("path", f"{asked!r} is no folder")
        return place

    def _text(self, asked: str, head: int | None = None, tail: int | None = None) -> str:
        if head and tail:
            raise InvalidInput("tail", "does not go with `head`")
        octets, size = self._octets(asked, from_end=bool(tail))
        text = octets.decode(errors="replace")
        lines = text.splitlines(keepends=True)
        if head or tail:
            return "".join(lines[:head] if head else lines[-(tail or 0) :])
        return text if size <= _MOST_BYTES else f"{text}\n[cut here: the file has {size} bytes]"

    def _octets(self, asked: str, *, from_end: bool) -> tuple[bytes, int]:
        """(as much of a file as is read at once, its size)."""
        place = self._place(asked)
        try:
            # What is no link now may have become one since; a pipe would keep us waiting.
            handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise InvalidInput("path", f"{asked!r} cannot be read: {error.strerror}") from None
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise InvalidInput("path", f"{asked!r} is no file")
            if from_end and about.st_size > _MOST_BYTES:
                file.seek(-_MOST_BYTES, os.SEEK_END)
            return file.read(_MOST_BYTES), about.st_size

    def _read(self, asked: Mapping[str, Any]) -> Said:
        return _said(self._text(asked["path"], asked.get("head"), asked.get("tail")))

    def _read_many(self, asked: Mapping[str, Any]) -> Said:
        parts, room = [], _MOST_BYTES
        for path in asked["paths"]:
            try:
                part = f"{path}:\n{self._text(path)}\n"
            except (InvalidInput, NotFound) as error:
                part = f"{path}: Error - {error}"
            parts.append(part[:room] if room > 0 else f"{path}: Error - the answer is full")
            room -= len(part)
        return _said("\n---\n".join(parts))

    def _list(self, asked: Mapping[str, Any]) -> Said:
        return _said("\n".join(f"{_kind(entry)} {entry.name}" for entry in _entries(self._folder(asked["path"]))))

    def _list_sizes(self, asked: Mapping[str, Any]) -> Said:
        entries = [(entry, _size(entry)) for entry in _entries(self._folder(asked["path"]))]
        if asked.get("sortBy") == "size":
            entries.sort(key=lambda pair: -pair[1])
        lines = [
            f"{_kind(entry)} {entry.name:<30} {'' if _is_folder(entry) else _shown(size):>10}".rstrip()
            for entry, size in entries
        ]
        folders = sum(_is_folder(entry) for entry, _ in entries)
        files = [size for entry, size in entries if not _is_folder(entry)]
        total = f"Total: {len(files)} files, {folders} directories\nCombined size: {_shown(sum(files))}"
        return _said("\n".join((*lines, "", total)))

    def _tree(self, asked: Mapping[str, Any]) -> Said:
        root = self._folder(asked["path"])
        left_out = [_matcher(pattern) for pattern in asked.get("excludePatterns", ())]
        # A bare name is left out wherever it is, as the official server does it.
        left_out += [_matcher(f"**/{p}") for p in asked.get("excludePatterns", ()) if "*" not in p]
        nodes: dict[Path, list[dict[str, Any]]] = {root: []}
        for path in _walk(root, left_out):
            node: dict[str, Any] = {"name": path.name, "type": "directory" if _is_folder(path) else "file"}
            if _is_folder(path):
                node["children"] = nodes[path] = []
            nodes[path.parent].append(node)
        return _said(json.dumps(nodes[root], indent=2, ensure_ascii=False))

    def _search(self, asked: Mapping[str, Any]) -> Said:
        root = self._folder(asked["path"])
        wanted = _matcher(asked["pattern"])
        left_out = [_matcher(pattern) for pattern in asked.get("excludePatterns", ())]
        found = [str(path) for path in _walk(root, left_out) if wanted.fullmatch(path.relative_to(root).as_posix())]
        return _said("\n".join(found) or "No matches found")

    def _info(self, asked: Mapping[str, Any]) -> Said:
        about = self._place(asked["path"]).stat()
        told = {
            "size": about.st_size,
            "modified": datetime.fromtimestamp(about.st_mtime, UTC).isoformat(timespec="seconds"),
            "accessed": datetime.fromtimestamp(about.st_atime, UTC).isoformat(timespec="seconds"),
            "isDirectory": str(stat.S_ISDIR(about.st_mode)).lower(),
            "isFile": str(stat.S_ISREG(about.st_mode)).lower(),
            "permissions": f"{about.st_mode & 0o777:o}",
        }
        return _said("\n".join(f"{name}: {value}" for name, value in told.items()))

    def _allowed(self, _: Mapping[str, Any]) -> Said:
        return _said("\n".join(("Allowed directories:", *map(str, self._folders))))


def _said(content: str) -> Said:
    return Said(content, {"content": content})


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:_MOST_ENTRIES]
    except OSError as error:
        raise InvalidInput("path", f"{folder.name!r} cannot be read: {error.strerror}") from None


def _walk(root: Path, left_out: Sequence[re.Pattern[str]]) -> Iterator[Path]:
    """What is below a folder, parents first, not through links. Raises InvalidInput where that is too much."""
    waiting, seen = [root], 0
    while waiting:
        folder = waiting.pop()
        for path in _entries(folder):
            seen += 1
            if seen > _MOST_ENTRIES:
                raise InvalidInput("path", f"has more than {_MOST_ENTRIES} entries below it; ask for a part of it")
            inside = path.relative_to(root)
            if any(pattern.fullmatch(inside.as_posix()) for pattern in left_out):
                continue
            yield path
            if _is_folder(path) and len(inside.parts) < _DEPTH:
                waiting.append(path)


def _matcher(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `**/` for any folders, `*` and `?` within a name."""
    parts = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    # More stars in a row than two mean no more than two, and would take long to match.
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", re.sub(r"\*{2,}", "**", pattern))
    return re.compile("".join(parts.get(token) or re.escape(token) for token in tokens), re.DOTALL)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _kind(path: Path) -> str:
    return "[DIR]" if _is_folder(path) else "[FILE]"


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _shown(size: float) -> str:
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:g} {unit}" if unit == "B" else f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GB"
