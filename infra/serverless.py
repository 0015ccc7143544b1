"""What is read from serverless.yml: functions, routes, schedules, plain settings."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

UNIT_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
_PARAMETER = re.compile(r"\$\{param:([A-Za-z]+)\}")


class Unsupported(Exception):
    """serverless.yml asks for something that is not understood here. The message names the function."""


@dataclass(frozen=True)
class Route:
    """One httpApi event: a method ("*" for any) and a path pattern such as /api/servers/{id}."""

    method: str
    path: str


@dataclass(frozen=True)
class Function:
    """One function: its module, what triggers it, and how long a run may take."""

    name: str
    module: str
    attribute: str
    timeout_s: float
    memory_mb: int
    routes: tuple[Route, ...]
    every_minutes: tuple[int, ...]


@dataclass(frozen=True)
class Service:
    """The file as a whole. `folder` is what the modules of its functions are relative to."""

    folder: Path
    region: str
    environment: dict[str, str]
    functions: tuple[Function, ...]


# The one in C, where the wheel has it, reads the file in 15 ms and not 200, which on Vercel is part of a cold start.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads CloudFormation's tags (!Ref, !Sub, !GetAtt) as the plain value behind them."""


def _untagged(loader: _Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _untagged)


def read_service(path: Path) -> Service:
    """serverless.yml, checked. Raises Unsupported for a schedule that cannot be kept here."""
    document = yaml.load(path.read_text(), _Loader)
    given = document.get("params", {}).get("default", {})
    provider = _given(document.get("provider", {}), given)
    return Service(
        folder=path.resolve().parent,
        region=_plain(provider.get("region"), "local"),
        # Values that look elsewhere (${env:…}) are set by the supervisor or not at all. A function's own
        # environment is left out: all routes share a process, and it speaks about the limits of Lambda.
        environment={
            name: str(value) for name, value in provider.get("environment", {}).items() if "${" not in str(value)
        },
        functions=tuple(
            _function(
                name, {**{k: provider[k] for k in ("timeout", "memorySize") if k in provider}, **_given(entry, given)}
            )
            for name, entry in document.get("functions", {}).items()
        ),
    )


def _given(value: Any, parameters: Mapping[str, Any]) -> Any:
    """A part of the file with the usual value in the place of each `${param:…}`."""
    if isinstance(value, dict):
        return {name: _given(inner, parameters) for name, inner in value.items()}
    if isinstance(value, list):
        return [_given(inner, parameters) for inner in value]
    if not isinstance(value, str):
        return value
    # What stands alone keeps its type.
    if (alone := _PARAMETER.fullmatch(value)) and alone[1] in parameters:
        return parameters[alone[1]]
    return _PARAMETER.sub(lambda found: str(parameters.get(found[1], found[0])), value)


def _plain(value: Any, default: str) -> str:
    return default if value is None or "${" in str(value) else str(value)


def _function(name: str, entry: dict[str, Any]) -> Function:
    module, _, attribute = entry["handler"].rpartition(".")
    if attribute == "sh":
        # It starts a server for the app of its folder.
        module, attribute = f"{module.rpartition('/')[0]}/handler", "handler"
    events = [event for event in entry.get("events", []) if isinstance(event, dict)]
    return Function(
        name=name,
        module=module.replace("/", "."),
        attribute=attribute,
        timeout_s=float(entry.get("timeout", 6)),
        memory_mb=int(entry.get("memorySize", 1024)),
        routes=tuple(_route(event["httpApi"]) for event in events if "httpApi" in event),
        every_minutes=tuple(
            minutes for event in events if "schedule" in event for minutes in _rates(name, event["schedule"])
        ),
    )


def _route(event: Any) -> Route:
    """{method: GET, path: /x}, or the short form "GET /x", or "*"."""
    if isinstance(event, str):
        method, _, path = event.partition(" ")
        event = {"method": method, "path": path or "/{proxy+}"}
    method = str(event["method"]).upper()
    return Route("*" if method == "ANY" else method, event["path"])


def _rates(name: str, event: Any) -> Iterator[int]:
    """The periods of a schedule event, in minutes: `rate(…)`, or a mapping with one or a list of them."""
    if isinstance(event, dict):
        if event.get("enabled") is False:
            return
        rates = event["rate"] if isinstance(event["rate"], list) else [event["rate"]]
    else:
        rates = [event]
    for rate in rates:
        parsed = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", str(rate).strip())
        if parsed is None or parsed[1] == "0":
            raise Unsupported(f"functions.{name}: the schedule {rate!r} is not understood here; use rate(…)")
        yield int(parsed[1]) * UNIT_MINUTES[parsed[2]]
