"""What is built for: an architecture of Lambda, its interpreter and its C library."""

from dataclasses import dataclass

# Of Lambda's python3.13, which is Amazon Linux 2023.
PYTHON = (3, 13)
GLIBC = (2, 34)


@dataclass(frozen=True)
class Target:
    """`arch` is Lambda's word for it, `platform` uv's, `machine` that of the ELF header."""

    arch: str
    platform: str
    machine: str


TARGETS = {
    target.arch: target
    for target in (
        Target("arm64", "aarch64-manylinux_2_28", "EM_AARCH64"),
        Target("x86_64", "x86_64-manylinux_2_28", "EM_X86_64"),
    )
}
