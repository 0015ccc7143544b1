"""Which distributions are in which layer: the names from pyproject.toml, versions and hashes from requirements.lock."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .failure import CannotPackage

# The interpreter of the models is a layer of its own; the third is asked for by LiteRT and never imported by it.
INTERPRETERS = ("tflite-runtime", "ai-edge-litert", "backports-strenum")
# What the inference layer takes of them. Of what it says it needs, it imports numpy alone, which is in core.
INTERPRETER = "ai-edge-litert"
# Direct dependencies that no route of prediction loads, and the layer that holds them; all others are in core.
APART = {"psycopg": "postgres", "cramjam": "senders", "protobuf": "senders"}
# A function can have five of them (and mcp has: all but senders).
LAYERS = ("core", "inference", "postgres", "senders", "crypto", "mcp")


@dataclass(frozen=True)
class Pin:
    """A distribution in requirements.lock. `text` is its entry there, hashes and all."""

    name: str
    version: str
    text: str


def read_lock(path: Path) -> dict[str, tuple[Pin, ...]]:
    """The pins of requirements.lock by name. There are several where markers tell them apart."""
    pins: dict[str, tuple[Pin, ...]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", path.read_text()):
        lines = [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
        if found := re.match(r"([a-z0-9-]+)==([^ ;\\]+)", entry):
            pins[found[1]] = (*pins.get(found[1], ()), Pin(found[1], found[2], "\n".join(lines)))
    return pins


def layers_of(
    pyproject: Path, lock: Mapping[str, tuple[Pin, ...]], resolve: Callable[[Iterable[str]], Iterable[str]]
) -> dict[str, tuple[Pin, ...]]:
    """The pins of each layer. `resolve` says for requirements all that they need on the target, as "name==version"."""
    document = tomllib.loads(pyproject.read_text())
    groups = document["dependency-groups"]
    direct = [d for d in document["project"]["dependencies"] if _name(d) not in INTERPRETERS]
    interpreters = [d for d in document["project"]["dependencies"] if _name(d) == INTERPRETER]
    chosen = {
        "core": set(resolve(d for d in direct if _name(d) not in APART)),
        "inference": {one for one in resolve(interpreters) if one.startswith(f"{INTERPRETER}==")},
        **{layer: set(resolve(d for d in direct if APART.get(_name(d)) == layer)) for layer in set(APART.values())},
        "crypto": set(resolve(groups["crypto"])),
        "mcp": set(resolve(groups["mcp"])),
    }
    for layer in (*APART.values(), "crypto"):
        chosen[layer] -= chosen["core"]
    # The library mcp imports cryptography, so the mcp function has both layers.
    chosen["mcp"] -= chosen["core"] | chosen["crypto"]
    return {layer: tuple(pinned(one, lock) for one in sorted(chosen[layer])) for layer in LAYERS}


def pinned(requirement: str, lock: Mapping[str, tuple[Pin, ...]]) -> Pin:
    """What the lock file says of "name==version"."""
    name, _, version = requirement.partition("==")
    for pin in lock.get(name, ()):
        if pin.version == version:
            return pin
    raise CannotPackage(f"{requirement} is needed on the target, and not in requirements.lock: run `make lock`")


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()
