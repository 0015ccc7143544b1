"""Samples of the demo fleet: the same for the same arguments, whoever asks and however the minutes are cut."""

import numpy as np

from openmanager.catalog import METRIC_KEYS
from openmanager.demo.effects import effects
from openmanager.demo.fleet import Server, fleet
from openmanager.demo.machine import RUN_IN, Machines
from openmanager.demo.noise import Array
from openmanager.demo.scenarios import truth
from openmanager.telemetry.samples import LABEL_PREFIX, MINUTE_MS, Push, Samples

# Monday, 2 November 2026, 00:00 UTC: where a run begins for whom the day does not matter.
MONDAY_MS = 1_793_577_600_000


def pushes(
    servers: tuple[Server, ...],
    scenario: str,
    seed: int,
    started_ms: int,
    minute: int,
    minutes: int = 1,
    speed: float = 1.0,
) -> list[Push]:
    """A push for each server with one sample of every metric a minute, as the ordinary door takes it.

    `minute` counts from the start of the run, which is taken to be at a whole minute; it may be negative, for the
    ordinary days before. A server samples at a second of the minute that is its own.
    """
    begins = started_ms // MINUTE_MS * MINUTE_MS
    tables = _simulate(servers, scenario, seed, begins, minute, minutes, speed)
    times = begins + MINUTE_MS * np.arange(minute, minute + minutes, dtype=np.int64)
    return [_push(server, times + 1000 * (20 + 7 * i % 30), tables[i]) for i, server in enumerate(servers)]


def table(
    scenario: str,
    servers: int,
    seed: int,
    first_minute: int,
    minutes: int,
    started_ms: int = MONDAY_MS,
    speed: float = 1.0,
) -> dict[str, Array]:
    """Each server's metrics, (minutes, len(METRICS)) in the catalogue's order and NaN where it has none.

    The values are those of `pushes`. `first_minute` counts from the start of the run and may be negative.
    """
    members = fleet(servers)
    begins = started_ms // MINUTE_MS * MINUTE_MS
    values = _simulate(members, scenario, seed, begins, first_minute, minutes, speed)
    return {server.name: values[i] for i, server in enumerate(members)}


def _simulate(
    servers: tuple[Server, ...], scenario: str, seed: int, begins_ms: int, first: int, minutes: int, speed: float
) -> Array:
    started = begins_ms // MINUTE_MS
    clock = np.arange(started + first - RUN_IN, started + first + minutes, dtype=np.int64)
    told = truth(scenario, seed, len(servers), speed)
    # A sample tells of its minute as it is at the end of it.
    fx = effects(told, 60.0 * (clock - started + 1))
    victim = np.array([[float(server.name in told.servers)] for server in servers])
    return Machines(servers, seed, clock, started, fx, victim).table()[:, RUN_IN:]


def _push(server: Server, times: "np.typing.NDArray[np.int64]", values: Array) -> Push:
    measured = ~np.isnan(values).all(axis=0)
    series = tuple(key for key, there in zip(METRIC_KEYS, measured, strict=True) if there)
    attributes = {
        "hostname": f"{server.name}.demo.invalid",
        "role": server.role,
        "environment": "on-premise",
        **{LABEL_PREFIX + name: value for name, value in server.labels.items()},
    }
    return Push(server.name, Samples(series, times, values[:, measured], np.zeros(len(times), np.bool_)), attributes)
