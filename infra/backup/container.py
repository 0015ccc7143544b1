"""The file: a zip of parts, and last of all a manifest with the rows and the SHA-256 of each.

    postgres/<table>   what COPY (text format, UTF-8, UTC) makes of the table's rows
    redis              a JSON line a key, as infra.backup.keys writes it
    manifest.json      Manifest

A zip's directory stands at its end, so that a file that was cut off does not open at all.
"""

import contextlib
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from infra.transfer.api import Failed

FORMAT = 1
MANIFEST = "manifest.json"
REDIS = "redis"
_CHUNK_BYTES = 1 << 20
# Most of it is hexadecimal of what is compressed already: level 1 gets the half out of it that there is to get.
_LEVEL = 1
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError)

Progress = Callable[[int, int], None]


def unheard(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition's name and the bounds that Postgres knows it by, `start` within and `stop` without."""

    name: str
    start: str
    stop: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of Postgres: its columns in the order of its part, its partitions, how many rows, the part's SHA-256."""

    name: str
    columns: tuple[str, ...]
    partitions: tuple[Partition, ...]
    rows: int
    sha256: str

    @property
    def part(self) -> str:
        """The name of its part."""
        return f"postgres/{self.name}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    `version` of OpenManager made it at `at` (ISO 8601, UTC) from an installation of `shards`, whose schema were
    `migrations` (name, SHA-256). `audit_head` is the audit log's last row as SEQ:HASH, `keys` how many lines the part
    of Redis has.
    """

    version: str
    at: str
    shards: int
    migrations: tuple[tuple[str, str], ...]
    audit_head: str
    tables: tuple[Table, ...]
    keys: int
    keys_sha256: str

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def parts(self) -> dict[str, tuple[int, str]]:
        """Part -> (lines, SHA-256)."""
        return {table.part: (table.rows, table.sha256) for table in self.tables} | {
            REDIS: (self.keys, self.keys_sha256)
        }

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """From what `Writer.finish` wrote. Raises Failed for another format, ValueError for what is no manifest."""
        known = json.loads(text)
        if not isinstance(known, dict) or not isinstance(known.get("format"), int):
            raise ValueError("it says no format")
        if known["format"] > FORMAT:
            raise Failed(f"it was made by a newer OpenManager ({known.get('version')}): update this checkout first")
        try:
            tables = tuple(
                Table(
                    str(t["name"]),
                    tuple(map(str, t["columns"])),
                    tuple(Partition(str(p["name"]), str(p["start"]), str(p["stop"])) for p in t["partitions"]),
                    int(t["rows"]),
                    str(t["sha256"]),
                )
                for t in known["tables"]
            )
            return cls(
                str(known["version"]),
                str(known["at"]),
                int(known["shards"]),
                tuple((str(name), str(sha256)) for name, sha256 in known["migrations"]),
                str(known["audit_head"]),
                tables,
                int(known["keys"]),
                str(known["keys_sha256"]),
            )
        except (KeyError, TypeError) as fault:
            raise ValueError(f"it lacks {fault}") from None


class Part:
    """A part that is being written: counts its lines (what is in one has no line feed of its own) and hashes."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.lines = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        data = bytes(chunk)
        self._hash.update(data)
        self.lines += data.count(b"\n")
        self._sink.write(data)

    @property
    def sha256(self) -> str:
        """Of all that was written, in hexadecimal."""
        return self._hash.hexdigest()


class Writer:
    """A new file, for its owner's eyes: under its name once it is whole, else not there. Raises Failed."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_name(path.name + ".partial")
        if path.exists():
            raise Failed(f"{path} is there already; name another file")
        try:
            # What an earlier run that was killed has left.
            self._partial.unlink(missing_ok=True)
            self._file = os.fdopen(os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
        except OSError as fault:
            raise Failed(f"cannot write {path}: {fault.strerror or fault}") from None
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: object) -> None:
        if kind is not None:
            with contextlib.suppress(OSError, ValueError):
                self._zip.close()
            with contextlib.suppress(OSError):
                self._file.close()
            self._partial.unlink(missing_ok=True)
        if isinstance(fault, OSError):
            raise Failed(f"cannot write {self._path}: {fault.strerror or fault}") from None

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """A part, to be written before the next one begins."""
        # Nobody knows yet whether it fits into 4 GB.
        with self._zip.open(name, "w", force_zip64=True) as sink:
            yield Part(sink)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and give the file its name."""
        self._zip.writestr(MANIFEST, json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1) + "\n")
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.rename(self._path)


class Reader:
    """A backup that is there. Raises Failed for what is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            self.manifest = Manifest.parse(self._zip.read(MANIFEST))
        except FileNotFoundError:
            raise Failed(f"there is no file {path}") from None
        except OSError as fault:
            raise Failed(f"cannot read {path}: {fault.strerror or fault}") from None
        except Failed as fault:
            raise Failed(f"{path}: {fault}") from None
        except (*_DAMAGED, ValueError) as fault:
            raise Failed(f"{path} is no backup, or was cut off or damaged: {fault}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._zip.close()

    def check(self, progress: Progress) -> None:
        """Read everything and compare it with the manifest. `progress` hears of lines. Raises Failed."""
        done, total = 0, sum(lines for lines, _ in self.manifest.parts.values())
        for name in self.manifest.parts:
            for chunk in self.chunks(name):
                done += chunk.count(b"\n")
                progress(min(done, total - 1), total)
        progress(total, total)

    def chunks(self, name: str) -> Iterator[bytes]:
        """A part from its beginning. Raises Failed where it is not what the manifest says, at the latest at its end."""
        lines, sha256 = self.manifest.parts[name]
        known, counted = hashlib.sha256(), 0
        try:
            with self._zip.open(name) as source:
                while chunk := source.read(_CHUNK_BYTES):
                    known.update(chunk)
                    counted += chunk.count(b"\n")
                    yield chunk
        except (*_DAMAGED, OSError) as fault:
            raise Failed(f"{self._path} is damaged: {name}: {fault}") from None
        if (counted, known.hexdigest()) != (lines, sha256):
            raise Failed(f"{self._path} is damaged: {name} is not what the manifest says")

    def lines(self, name: str) -> Iterator[bytes]:
        """A part by its lines, without their ends. Raises Failed as `chunks`."""
        rest = b""
        for chunk in self.chunks(name):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
