"""What `make package` makes for this machine's processor, unpacked as Lambda does, and its Python beside it."""

import platform
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra.packaging.build import build
from infra.packaging.bytecode import compile_beside, find_python
from infra.packaging.distributions import read_lock
from infra.packaging.install import install, resolve
from infra.packaging.target import TARGETS

ROOT = Path(__file__).resolve().parents[2]
# Lambda's word for this machine's processor.
ARCH = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
# Part of Lambda's Python: its runtime client, and boto3.
_RUNTIME = ("awslambdaric", "boto3")


@dataclass(frozen=True)
class Artifacts:
    """`built` has the zips, `opt` a folder for each set of layers, `runtime` what Lambda's Python has by itself."""

    python: str
    built: Path
    folder: Path
    runtime: Path

    def opt(self, layers: tuple[str, ...]) -> Path:
        """The layers unpacked into one folder, the later ones over the earlier ones, as into /opt."""
        folder = self.folder / "opt" / "+".join(layers)
        if not folder.is_dir():
            folder.mkdir(parents=True)
            for layer in layers:
                unpack(self.built / "layers" / f"{layer}.zip", folder)
        return folder

    def task(self, function: str) -> Path:
        """A function unpacked, as into /var/task."""
        folder = self.folder / "task" / function
        if not folder.is_dir():
            unpack(self.built / "functions" / f"{function}.zip", folder)
        return folder


def make(folder: Path, say: Callable[[str], None]) -> Artifacts:
    """Build everything anew. Raises CannotPackage."""
    target = TARGETS[ARCH]
    python = find_python(target)
    build(target, (), folder / "build", False, say)
    runtime = folder / "runtime"
    lock = ROOT / "requirements.lock"
    pins = read_lock(lock)
    install([pin for one in resolve(_RUNTIME, target, lock) for pin in pins[one.partition("==")[0]]], target, runtime)
    compile_beside(python, runtime, "/var/runtime")
    return Artifacts(python, folder / "build", folder, runtime)


def unpack(archive: Path, folder: Path) -> None:
    """A zip with its modes."""
    with zipfile.ZipFile(archive) as source:
        for entry in source.infolist():
            path = Path(source.extract(entry, folder))
            if mode := entry.external_attr >> 16 & 0o777:
                path.chmod(mode)


def declared() -> Mapping[str, "Declared"]:
    """Each function as serverless.yml declares it, for this processor and with every parameter at its default."""
    document = yaml.load((ROOT / "serverless.yml").read_text(), _Loader)
    params = {**document.get("params", {}).get("default", {}), "arch": ARCH}
    found = {}
    for name, entry in document["functions"].items():
        layers = _resolved(entry["layers"], document, params)
        found[name] = Declared(
            handler=entry["handler"],
            memory_mb=int(_resolved(entry.get("memorySize", document["provider"]["memorySize"]), document, params)),
            timeout_s=float(entry.get("timeout", document["provider"]["timeout"])),
            layers=tuple(re.sub(r"LambdaLayer$", "", layer).lower() for layer in layers if "arn:" not in layer),
            environment={
                variable: str(value)
                for variable, value in entry.get("environment", {}).items()
                if variable != "OPENMANAGER_PARAMETERS" and not isinstance(value, _Tagged)
            },
        )
    return found


@dataclass(frozen=True)
class Declared:
    """What serverless.yml says of a function; `layers` are ours alone.

    `environment` is its own, but for what CloudFormation fills in and for where settings are kept.
    """

    handler: str
    memory_mb: int
    timeout_s: float
    layers: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class _Tagged(str):
    """What CloudFormation fills in: the text behind !Ref, !Sub or !GetAtt."""


class _Loader(yaml.SafeLoader):
    """CloudFormation's tags as what is behind them."""


_Loader.add_multi_constructor(
    "!",
    lambda loader, _, node: (
        _Tagged(loader.construct_scalar(node))
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.SequenceNode)
        else loader.construct_mapping(node, deep=True)
    ),
)


def _resolved(value: Any, document: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """`${param:x}` and `${self:a.b}` replaced, however deep."""
    if isinstance(value, list):
        return [_resolved(one, document, params) for one in value]
    if not isinstance(value, str):
        return value
    while found := re.search(r"\$\{(param|self):([^${}]+)\}", value):
        what: Any = params[found[2]] if found[1] == "param" else document
        if found[1] == "self":
            for part in found[2].split("."):
                what = what[part]
        if found[0] == value:
            return _resolved(what, document, params)
        value = value.replace(found[0], str(what))
    return value
