"""Who is in the demo fleet: names, roles and what each role's machines are like."""

from itertools import cycle, islice

from openmanager.catalog import DEMO_PREFIX
from openmanager.values import frozen

FEWEST, MOST = 3, 100


@frozen
class Profile:
    """One role's machine. What depends on traffic is given at a weekday's peak, beside what is there without any.

    CPU, memory and filesystem in percent, disk in requests a second, KB a request and ms, network in KB/s and octets
    a packet, connections and processes in numbers, answer time in ms (0: nobody probes it).
    `daily` is the share of its work that follows the visitors; the rest is spread evenly over day and night.
    """

    cores: int
    cpu_idle: float
    cpu_peak: float
    memory: float
    memory_swing: float
    page_cache: float
    reads: float
    writes: float
    read_kb: float
    write_kb: float
    service_ms: float
    receive_kb: float
    transmit_kb: float
    receive_packet: float
    transmit_packet: float
    connections_idle: float
    connections_peak: float
    time_wait: float
    response_ms: float
    processes: float
    filesystem: float
    filesystem_gb: float
    daily: float


@frozen
class Server:
    """One server of the fleet; `tier` is its profile's name, `role` what the catalogue calls it."""

    name: str
    tier: str
    role: str

    @property
    def profile(self) -> Profile:
        """What its machine is like."""
        return PROFILES[self.tier]

    @property
    def labels(self) -> dict[str, str]:
        """The labels its pushes carry; `demo` tells everybody that it is not real."""
        return {"demo": "true"} | ({"replication": self.tier} if self.role == "database" else {})


# Sizes of small production machines, with ratios near what the Server Machine Dataset shows: traffic by day to that
# by night 7, CPU 6, memory 1.1; octets a packet and ms a disk request as our own recorded host has them.
PROFILES: dict[str, Profile] = {
    "load-balancer": Profile(
        4, 2, 27, 24, 2, 0.45, 2, 45, 18, 14, 0.5, 14_000, 18_000, 640, 900, 200, 3_200, 6_000, 3, 110, 18, 60, 0.95
    ),
    "web": Profile(
        4, 4, 38, 38, 4, 0.55, 4, 32, 20, 16, 0.6, 3_500, 9_000, 420, 950, 60, 700, 1_400, 18, 140, 41, 80, 0.93
    ),
    "api": Profile(
        8, 4, 37, 52, 5, 0.5, 5, 38, 16, 18, 0.6, 2_800, 3_400, 480, 560, 90, 380, 800, 14, 120, 38, 80, 0.92
    ),
    "primary": Profile(
        16, 5, 36, 68, 2, 0.9, 120, 300, 22, 14, 0.5, 2_500, 6_000, 380, 820, 80, 190, 30, 4, 260, 57, 400, 0.88
    ),
    "replica": Profile(
        16, 4, 22, 66, 2, 0.88, 90, 220, 22, 14, 0.5, 2_200, 4_500, 520, 800, 60, 110, 20, 4, 230, 57, 400, 0.88
    ),
    "cache": Profile(
        4, 4, 24, 62, 3, 0.25, 2, 48, 12, 30, 0.5, 6_000, 12_000, 300, 620, 120, 260, 60, 0.8, 95, 22, 40, 0.92
    ),
    "worker": Profile(
        8, 7, 36, 44, 6, 0.55, 25, 55, 40, 26, 0.7, 1_200, 900, 700, 520, 40, 50, 60, 0, 165, 46, 120, 0.6
    ),
}
_ROLES = {"primary": "database", "replica": "database"}
_SHORT = {"load-balancer": "lb", "primary": "db", "replica": "db"}
# A larger fleet is the smaller one and more: the first twelve, then these over and over.
_FIRST = (
    *("web", "api", "primary", "cache", "load-balancer", "worker"),
    *("web", "replica", "api", "web", "api", "web"),
)
_MORE = ("web", "api", "worker", "web", "api", "replica", "web", "cache")


def fleet(servers: int) -> tuple[Server, ...]:
    """A fleet of so many servers (3 to 100), which begins with the servers of every smaller one."""
    if not FEWEST <= servers <= MOST:
        raise ValueError(f"servers: {servers} is outside {FEWEST} to {MOST}")
    tiers = [*_FIRST, *islice(cycle(_MORE), MOST)][:servers]
    numbers: dict[str, int] = {}
    found = []
    for tier in tiers:
        short = _SHORT.get(tier, tier)
        numbers[short] = numbers.get(short, 0) + 1
        found.append(Server(f"{DEMO_PREFIX}{short}-{numbers[short]:02}", tier, _ROLES.get(tier, tier)))
    return tuple(found)
