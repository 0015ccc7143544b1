"""What is built for: an architecture, its interpreter and its C libraries."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# What Amazon Linux 2023, on which Lambda's python3.13 runs, has had from its beginning: glibc 2.34 and the libstdc++ of
# GCC 11.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}


@dataclass(frozen=True)
class Target:
    """`arch` is Lambda's word for it, `platform` uv's, `machine` that of the ELF header.

    `newest` has the newest version of each library's symbols that is there.
    """

    arch: str
    platform: str
    machine: str
    python: tuple[int, int] = (3, 13)
    newest: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: NEWEST)

    @property
    def version(self) -> str:
        """Its Python, as in "3.13"."""
        return ".".join(map(str, self.python))


TARGETS = {
    target.arch: target
    for target in (
        Target("arm64", "aarch64-manylinux_2_28", "EM_AARCH64"),
        Target("x86_64", "x86_64-manylinux_2_28", "EM_X86_64"),
    )
}
# The container image's: Debian 12, which has glibc 2.36 and the libstdc++ of GCC 12.
CONTAINER = {
    arch: Target(
        arch, f"{cpu}-manylinux_2_36", machine, (3, 11), {"GLIBC": (2, 36), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13)}
    )
    for arch, cpu, machine in (("arm64", "aarch64", "EM_AARCH64"), ("x86_64", "x86_64", "EM_X86_64"))
}
