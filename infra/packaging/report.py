"""How large everything became, and what it may be."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MB = 1_000_000


@dataclass(frozen=True)
class Size:
    """Of a folder or a zip. `zipped` is the zip's own length."""

    files: int
    unzipped: int
    zipped: int


@dataclass(frozen=True)
class Artifact:
    """A zip that was built.

    `unpruned` is what it would be with all that is installed and with sources, if that was measured; `glibc` the newest
    that its shared objects ask for, if it has any.
    """

    kind: str
    name: str
    sha256: str
    size: Size
    unpruned: Size | None
    glibc: str
    seconds: float


# What each may be at most (DESIGN section 13), zipped and with bytecode; all layers unzipped are Lambda's own limit.
FUNCTION_ZIPPED = 1 * MB
PREDICTION_ZIPPED, PREDICTION_GOAL = 28 * MB, 20 * MB
LAYERS_UNZIPPED = 250 * MB
PREDICTION_LAYERS = ("core", "inference")


def size_of(path: Path) -> Size:
    """The size of a zip."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    return Size(len(entries), sum(entry.file_size for entry in entries), path.stat().st_size)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def broken_budgets(artifacts: Iterable[Artifact]) -> tuple[str, ...]:
    """What is too large, in words."""
    artifacts = tuple(artifacts)
    layers = {a.name: a.size for a in artifacts if a.kind == "layer"}
    broken = [
        f"function {a.name}: {_mb(a.size.zipped)} MB zipped, at most {_mb(FUNCTION_ZIPPED)}"
        for a in artifacts
        if a.kind == "function" and a.size.zipped > FUNCTION_ZIPPED
    ]
    prediction = sum(layers[name].zipped for name in PREDICTION_LAYERS if name in layers)
    if prediction > PREDICTION_ZIPPED:
        broken.append(
            f"layers {' and '.join(PREDICTION_LAYERS)}: {_mb(prediction)} MB zipped, at most {_mb(PREDICTION_ZIPPED)}"
        )
    unzipped = sum(size.unzipped for size in layers.values())
    if unzipped >= LAYERS_UNZIPPED:
        broken.append(f"all layers: {_mb(unzipped)} MB unzipped, less than {_mb(LAYERS_UNZIPPED)} is allowed")
    return tuple(broken)


def document(arch: str, python: str, artifacts: Iterable[Artifact]) -> dict[str, Any]:
    """What report.json holds."""
    artifacts = tuple(artifacts)
    return {
        "arch": arch,
        "python": python,
        "artifacts": [asdict(artifact) for artifact in artifacts],
        "broken_budgets": list(broken_budgets(artifacts)),
    }


def read_artifacts(folder: Path) -> tuple[Artifact, ...]:
    """What is still there of what an earlier build wrote into its report.json."""
    try:
        earlier = [_artifact(one) for one in json.loads((folder / "report.json").read_text())["artifacts"]]
    except (OSError, ValueError, KeyError, TypeError):
        # None, or one of another version of this program.
        return ()
    return tuple(one for one in earlier if (folder / f"{one.kind}s" / f"{one.name}.zip").exists())


def table(artifacts: Iterable[Artifact]) -> str:
    """For people."""
    rows = [("", "files", "unzipped MB", "zipped MB", "unpruned MB", "zipped MB", "glibc")]
    for artifact in artifacts:
        unpruned = artifact.unpruned
        rows.append(
            (
                f"{artifact.kind} {artifact.name}",
                str(artifact.size.files),
                _mb(artifact.size.unzipped),
                _mb(artifact.size.zipped),
                _mb(unpruned.unzipped) if unpruned else "",
                _mb(unpruned.zipped) if unpruned else "",
                artifact.glibc,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _artifact(one: Mapping[str, Any]) -> Artifact:
    return Artifact(
        **{**one, "size": Size(**one["size"]), "unpruned": None if one["unpruned"] is None else Size(**one["unpruned"])}
    )


def _mb(size: int) -> str:
    return f"{size / MB:.2f}"
