"""Back-fill: files of samples sent through the ordinary ingest door, as any sender's would be.

How far it came is kept beside what it reads until all of it has been sent. The door is idempotent, so that what is
sent twice changes nothing. What it leaves out, such as samples older than it accepts, is counted by its reasons.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openmanager.catalog import part_of

from infra.transfer.api import Api, Failed, Say
from infra.transfer.export import read_index
from infra.transfer.files import FORMATS, Table, read

# The door names at most a hundred rejections, so none of a batch of this size goes unnamed.
BATCH_ROWS = 100


@dataclass
class Sent:
    """What was sent to `url` so far: of each file its size and the rows that are done."""

    url: str
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    sent: int = 0
    taken: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def left_out(self) -> int:
        """Samples that the door did not take."""
        return self.sent - self.taken


def backfill(
    api: Api, source: Path, server: str, restart: bool, say: Say, progress: Callable[[int, int], None]
) -> Sent:
    """Send a folder that was exported, or one file. Raises Failed.

    `progress` hears of (octets of files done, of how many); within a file rows count for their share.
    """
    files = list(_files(source, server))
    if not files:
        raise Failed(f"{source} holds no file of samples ({', '.join('.' + f for f in FORMATS)})")
    note = source / "import.json" if source.is_dir() else source.with_name(source.name + ".import.json")
    sent = Sent(api.url) if restart else _noted(note, api.url)
    if sent.files:
        say(f"going on after {sent.sent:,} samples that were sent before (--restart sends them again)")
    sizes = [path.stat().st_size for path, _, _ in files]
    for i, (path, owner, attributes) in enumerate(files, 1):
        size = sizes[i - 1]
        known_size, done = sent.files.get(str(path), (size, 0))
        if known_size != size:
            done = 0
        row = 0
        tables = read(path, owner)
        rows = sum(len(table.times) for table in tables.values())
        for name, table in tables.items():
            for first in range(0, len(table.times), BATCH_ROWS):
                row += len(table.times[first : first + BATCH_ROWS])
                if row <= done:
                    continue
                _send(api, name, attributes, table, first, sent)
                sent.files[str(path)] = (size, row)
                _note(note, sent)
                progress(sum(sizes[: i - 1]) + size * row // rows, sum(sizes))
        say(f"[{i}/{len(files)}] {path}: {row:,} rows; {sent.taken:,} samples taken so far")
    note.unlink(missing_ok=True)
    return sent


def _files(source: Path, server: str) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """(file, whose samples are in it, what else is known of that server)."""
    if not source.is_dir():
        if not source.exists():
            raise Failed(f"there is no {source}")
        if source.suffix.removeprefix(".") not in FORMATS:
            raise Failed(f"{source}: the name must end in {' or '.join('.' + f for f in FORMATS)}")
        yield source, server, {}
        return
    index = read_index(source)
    if index is None:
        raise Failed(f"{source} holds no export; files of your own are imported one by one")
    for name, entry in index["servers"].items():
        if server in ("", name):
            for file in sorted(entry["files"]):
                yield source / file, name, entry["attributes"]


def _send(api: Api, server: str, attributes: dict[str, Any], table: Table, first: int, sent: Sent) -> None:
    last = min(first + BATCH_ROWS, len(table.times))
    samples = [sample(table, i) for i in range(first, last)]
    answer = api.post("/api/ingest", {"server": server, **attributes, "samples": samples})
    sent.sent += sum(len(s["metrics"]) + len(s["counters"]) for s in samples)
    sent.taken += answer["accepted"]
    sent.reasons.update(r["reason"] for r in answer.get("rejected", ()))
    if unnamed := answer.get("rejected_count", 0) - len(answer.get("rejected", ())):
        sent.reasons["further ones that the door did not name"] += unnamed


def sample(table: Table, row: int) -> dict[str, Any]:
    """A row as the door takes it: gauges under metrics, counters under counters."""
    groups: dict[str, dict[str, float]] = {"metrics": {}, "counters": {}}
    for name, column in table.columns.items():
        if (value := column[row]) is not None:
            groups["counters" if part_of(name).kind == "counter" else "metrics"][name] = value
    return {"time": table.times[row] / 1000, **groups}


def _noted(path: Path, url: str) -> Sent:
    try:
        known = json.loads(path.read_text())
        if known["url"] == url:
            files = {file: (size, done) for file, (size, done) in known["files"].items()}
            return Sent(url, files, known["sent"], known["taken"], Counter(known["reasons"]))
    except (OSError, ValueError, LookupError, TypeError):
        pass  # none was made, or it is of no use: sending everything again does no harm
    return Sent(url)


def _note(path: Path, sent: Sent) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(json.dumps(vars(sent)))
        partial.replace(path)
    except OSError as fault:
        raise Failed(f"cannot note in {path} how far it came: {fault.strerror or fault}") from None
