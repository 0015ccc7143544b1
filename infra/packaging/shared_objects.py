"""Whether the shared objects of a layer load on the target: their machine, and the newest glibc that they ask for."""

from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from .failure import CannotPackage
from .target import GLIBC, Target

_MAGIC = b"\x7fELF"


def check(folder: Path, layer: str, target: Target) -> None:
    """Raise for the first shared object below `folder` that would not load."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                continue
            elf = ELFFile(file)
            where = f"layer {layer}: {path.relative_to(folder)}"
            if elf.header["e_machine"] != target.machine:
                raise CannotPackage(f"{where} is for {elf.header['e_machine']}, not for {target.arch}")
            newest = max(_glibc(elf), default=(0,))
            if newest > GLIBC:
                wanted, there = (".".join(map(str, version)) for version in (newest, GLIBC))
                raise CannotPackage(f"{where} needs GLIBC_{wanted}; Lambda's Amazon Linux 2023 has {there}")


def _glibc(elf: Any) -> list[tuple[int, ...]]:
    """The versions of glibc's symbols that it names."""
    return [
        tuple(map(int, version.name.removeprefix("GLIBC_").split(".")))
        for section in elf.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, versions in section.iter_versions()
        for version in versions
        if version.name.startswith("GLIBC_2")
    ]
