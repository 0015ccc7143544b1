"""What is built for: an architecture of Lambda, its interpreter and its C libraries."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Of Lambda's python3.13.
PYTHON = (3, 13)
# What Amazon Linux 2023, on which that runs, has: glibc 2.34 and the libstdc++ of GCC 11.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}


@dataclass(frozen=True)
class Target:
    """`arch` is Lambda's word for it, `platform` uv's, `machine` that of the ELF header.

    `newest` has the newest version of each library's symbols that is there.
    """

    arch: str
    platform: str
    machine: str
    newest: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: NEWEST)


TARGETS = {
    target.arch: target
    for target in (
        Target("arm64", "aarch64-manylinux_2_28", "EM_AARCH64"),
        Target("x86_64", "x86_64-manylinux_2_28", "EM_X86_64"),
    )
}
