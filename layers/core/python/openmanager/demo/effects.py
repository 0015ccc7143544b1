"""A scenario's course over time as arrays, each value from its minute alone."""

import numpy as np

from openmanager.demo.noise import Array
from openmanager.demo.scenarios import Truth
from openmanager.values import frozen


@frozen(eq=False)
class Effects:
    """What a scenario adds to a normal day, (n,) each.

    `traffic` times as many visitors; `attack` requests of attackers, in times of the usual traffic; `slow` times as
    much reading for a query of the primary; `leak` and `fill` the share of what was free that is gone; `filling` the
    share of it that goes in a second; `down` whether the victim is being restarted.
    """

    traffic: Array
    attack: Array
    slow: Array
    leak: Array
    fill: Array
    filling: Array
    down: Array


def effects(told: Truth, seconds: Array) -> Effects:
    """A scenario's effects at these seconds (n,) after its start; before it there are none."""
    ones, zeros = np.ones_like(seconds), np.zeros_like(seconds)
    traffic, attack, slow, leak, fill, filling, down = ones, zeros, ones, zeros, zeros, zeros, zeros
    if told.onset_s is None or told.peak_s is None:
        return Effects(traffic, attack, slow, leak, fill, filling, down)
    inside = _rise(seconds, told.onset_s, told.peak_s)
    if told.release_s is not None and told.end_s is not None:
        inside = inside * (1 - _rise(seconds, told.release_s, told.end_s))
    if told.scenario == "spike":
        traffic = 1 + (told.strength - 1) * inside
    elif told.scenario == "performance_degradation":
        slow = 1 + (told.strength - 1) * inside
    elif told.scenario == "ddos":
        attack = told.strength * inside * (0.8 + 0.2 * np.sin(seconds / 50 + told.phase))
    else:
        gone = progress(told, seconds)
        if told.scenario == "disk_full":
            fill, filling = gone, (gone - progress(told, seconds - 60)) / 60
        elif told.release_s is not None and told.end_s is not None:
            leak = np.where(seconds < told.release_s, gone, 0)
            down = ((seconds >= told.release_s) & (seconds < told.end_s)).astype(np.float64)
    return Effects(traffic, attack, slow, leak, fill, filling, down)


def progress(told: Truth, seconds: Array) -> Array:
    """How much of what was free at the onset is gone: 0 until then, exactly 1 from the exhaustion on, never falling.

    Nearly a line: faster towards the end where `bend` is over 1, and a little uneven, as traffic is.
    """
    if told.onset_s is None or told.exhaustion_s is None:
        return np.zeros_like(seconds)
    u = np.clip((seconds - told.onset_s) / (told.exhaustion_s - told.onset_s), 0, 1)
    uneven: Array = u + 0.05 * np.sin(4 * np.pi * u + told.phase) * u * (1 - u)
    return np.where(u >= 1, 1.0, uneven**told.bend)


def _rise(seconds: Array, start: float, stop: float) -> Array:
    """From 0 at `start` to 1 at `stop`, smoothly."""
    u: Array = np.clip((seconds - start) / (stop - start), 0, 1)
    return u * u * (3 - 2 * u)
