"""Whether the shared objects of a layer load on the target.

They must be for its machine, ask for no newer version of a C library's symbols than it has, and for no other library
than it or the layer has.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from .failure import CannotPackage
from .target import Target

_MAGIC = b"\x7fELF"
# What wheels of manylinux may count on anywhere, of which these are used; Lambda's image has them.
_SYSTEM = re.compile(r"(ld-linux-.*|lib(c|m|dl|rt|pthread|resolv|util|z|gcc_s|stdc\+\+))\.so\.\d+")


def check(folder: Path, layer: str, target: Target) -> str:
    """The newest glibc that anything below `folder` asks for. Raises for the first that would not load."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and _is_elf(path))
    here = {path.name for path in found}
    newest: tuple[int, ...] = ()
    for path in found:
        where = f"layer {layer}: {path.relative_to(folder)}"
        with path.open("rb") as file:
            elf = ELFFile(file)
            if elf.header["e_machine"] != target.machine:
                raise CannotPackage(f"{where} is for {elf.header['e_machine']}, not for {target.arch}")
            for library in _needed(elf):
                if library not in here and not _SYSTEM.fullmatch(library):
                    raise CannotPackage(f"{where} needs {library}, which neither Lambda nor the layer has")
            for symbol, library, version in _symbols(elf):
                limit = target.newest.get(library)
                if limit and version > limit:
                    raise CannotPackage(
                        f"{where} needs {symbol}@{library}_{_dotted(version)}; Lambda has {library}_{_dotted(limit)}"
                    )
                if library == "GLIBC":
                    newest = max(newest, version)
    return _dotted(newest)


def needed_in(folder: Path) -> set[str]:
    """The names of all libraries that shared objects below `folder` are linked to."""
    needed: set[str] = set()
    for path in folder.rglob("*"):
        if path.is_file() and _is_elf(path):
            with path.open("rb") as file:
                needed.update(_needed(ELFFile(file)))
    return needed


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _MAGIC


def _needed(elf: Any) -> Iterator[str]:
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            # An attribute that pyelftools adds as it reads:
            yield from (getattr(tag, "needed") for tag in section.iter_tags("DT_NEEDED"))  # noqa: B009


def _symbols(elf: Any) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """What it takes from elsewhere and in which version: ("pow", "GLIBC", (2, 29))."""
    versions = {
        version.entry["vna_other"]: version.name
        for section in elf.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, needed in section.iter_versions()
        for version in needed
    }
    table, names = elf.get_section_by_name(".gnu.version"), elf.get_section_by_name(".dynsym")
    if not versions or table is None or names is None:
        return
    for symbol, entry in zip(names.iter_symbols(), table.iter_symbols(), strict=True):
        # Of symbols of its own, and of those without a version, the entry is a word.
        name = versions.get(entry.entry["ndx"], "")
        if parsed := re.fullmatch(r"([A-Z]+)_([0-9.]+)", name):
            yield symbol.name, parsed[1], tuple(map(int, parsed[2].split(".")))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
