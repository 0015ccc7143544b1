"""A fleet of any size: the demo fleet's servers over and over, each somewhere else in its day and a little different.

The demo generator makes a hundred ordinary servers of all roles, and every scenario's victims. A server of ours is one
of them (every fiftieth a victim, in the course of its story), begins up to an hour later than the next of its kind, and
has levels of its own within some percent. So neighbours are no copies, and every series behaves as a machine's does:
a day, bursts, noise that remembers, metrics that depend on each other.
"""

from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from openmanager.catalog import COLUMN, METRIC, MODEL_METRICS
from openmanager.demo.fleet import MOST
from openmanager.demo.fleet import fleet as demo_fleet
from openmanager.demo.generator import MONDAY_MS, table
from openmanager.demo.scenarios import SCENARIOS, truth
from openmanager.telemetry.samples import MINUTE_MS, Samples

Array = NDArray[np.float64]

# What the models see, and what fills up.
SERIES = (*MODEL_METRICS, "filesystem_utilization", "swap_utilization")
# Ten in the morning of a Monday, a whole hour.
START_MS = MONDAY_MS + 10 * 3_600_000
# Minutes that a record is made of, and after START that can be asked for.
PAST_MIN, AHEAD_MIN = 300, 30
# How much later a server may begin than the next of its kind; a record is made for every half hour of it.
_LAG_MIN, _LAG_STEP = 60, 30
_LAGS = _LAG_MIN // _LAG_STEP
_VICTIM_EVERY = 50
_LEVEL = 0.03
_SEED = 7
_SCALE = np.array([10.0 ** METRIC[key].decimals for key in SERIES])
_HIGH = np.array([METRIC[key].high if METRIC[key].high is not None else np.inf for key in SERIES])


class Kinds:
    """The servers that all others are made of: values (kinds, minutes, SERIES), and each one's role."""

    def __init__(self, values: Array, roles: list[str], ordinary: int) -> None:
        self.values, self.roles, self.ordinary = values, roles, ordinary

    @classmethod
    def make(cls) -> "Kinds":
        """Some seconds of the demo generator."""
        columns = [COLUMN[key] for key in SERIES]
        minutes = PAST_MIN + _LAG_MIN + AHEAD_MIN
        members = demo_fleet(MOST)
        ordinary = table("normal", MOST, _SEED, -PAST_MIN, minutes, started_ms=START_MS)
        values, roles = [ordinary[server.name] for server in members], [server.role for server in members]
        few = {server.name: server.role for server in demo_fleet(12)}
        for scenario in SCENARIOS:
            told = table(scenario, len(few), _SEED, -PAST_MIN, minutes, started_ms=START_MS)
            victims = truth(scenario, _SEED, len(few)).servers
            values += [told[name] for name in victims]
            roles += [few[name] for name in victims]
        return cls(np.nan_to_num(np.stack(values)[:, :, columns]), roles, len(members))

    def pasts(self, until: int) -> list[Samples]:
        """What records are made of: of each kind and lag the PAST_MIN minutes before minute `until`."""
        times = START_MS + MINUTE_MS * np.arange(until - PAST_MIN, until) + 20_000
        late = np.zeros(PAST_MIN, np.bool_)
        starts = range(until, until + _LAG_MIN, _LAG_STEP)
        spans = [values[at : at + PAST_MIN] for values in self.values for at in starts]
        return [Samples(SERIES, times, np.round(span * _SCALE) / _SCALE, late) for span in spans]

    def save(self, path: Path) -> None:
        """For processes that come after."""
        np.savez(path, values=self.values, roles=np.array(self.roles), ordinary=self.ordinary)

    @classmethod
    def load(cls, path: Path) -> "Kinds":
        """What `save` left."""
        with np.load(path) as stored:
            return cls(stored["values"], stored["roles"].tolist(), int(stored["ordinary"]))


class Fleet:
    """The servers `numbers` of a large fleet, by name; a server is the same in a fleet of any size."""

    def __init__(self, kinds: Kinds, numbers: list[int]) -> None:
        self._kinds = kinds
        place = np.array(numbers)
        victim = place % _VICTIM_EVERY == _VICTIM_EVERY - 1
        self._kind = np.where(
            victim,
            kinds.ordinary + place // _VICTIM_EVERY % (len(kinds.roles) - kinds.ordinary),
            place % kinds.ordinary,
        )
        self._lag = place // kinds.ordinary * 7 % _LAG_MIN
        self._level = np.stack([np.random.default_rng([_SEED, n]).uniform(-1, 1, len(SERIES)) for n in numbers])
        self.roles = [kinds.roles[kind] for kind in self._kind]
        self.names = [name_of(n) for n in numbers]

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, minute: int) -> Array:
        """Everybody's values at a minute after START: (servers, SERIES), at the catalogue's precision."""
        values = self._kinds.values[self._kind, PAST_MIN + self._lag + minute] * (1 + _LEVEL * self._level)
        whole: Array = np.round(np.clip(values, 0, _HIGH) * _SCALE) / _SCALE
        return whole

    def entry(self, i: int, row: Array, at_s: float) -> dict[str, object]:
        """A server as a push has it."""
        return {
            "server": self.names[i],
            "hostname": f"{self.names[i]}.example.net",
            "role": self.roles[i],
            "environment": "aws",
            "labels": {"team": f"team-{i % 20}"},
            "samples": [{"time": at_s, "metrics": dict(zip(SERIES, row.tolist(), strict=True))}],
        }

    @property
    def records(self) -> list[int]:
        """Which of `Kinds.pasts` each server's record is made of."""
        places: list[int] = (self._kind * _LAGS + self._lag // _LAG_STEP).tolist()
        return places


def name_of(number: int) -> str:
    """A server's name."""
    return f"host-{number:06}"


def in_shards(servers: int, shards: int, some: int) -> list[int]:
    """The numbers of those that are in the first `some` of all shards (stores.shards.shard_of)."""
    return [n for n in range(servers) if crc32(name_of(n).encode()) % shards < some]
