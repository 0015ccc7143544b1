"""Zips that depend on nothing but what is in them."""

import zipfile
from pathlib import Path

# The earliest date that a zip can hold.
DATE = (1980, 1, 1, 0, 0, 0)


def write_zip(folder: Path, to: Path) -> None:
    """All files below `folder`, in the order of their names, with the same date and one of two modes."""
    partial = to.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).parts):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), DATE)
            entry.create_system = 3  # Unix, whatever it is built on
            entry.external_attr = (0o100755 if path.stat().st_mode & 0o100 else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), compresslevel=9)
    partial.replace(to)
