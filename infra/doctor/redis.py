"""Whether Redis can be used, and how far away it is."""

import secrets
import statistics

from infra.doctor.configured import CONSOLE
from infra.doctor.finding import Finding, State
from infra.doctor.place import Place
from infra.doctor.rest import Rest, Trouble, Unusable

CHECK = "redis"
SAMPLES = 7
# A push or an answer is one or two ways to Redis; in the same region one takes one to five milliseconds.
NEAR_MS = 25.0
FROM_HERE_MS = 150.0

_WHAT_TO_DO: dict[Trouble, str] = {
    "name": f"UPSTASH_REDIS_REST_URL is mistyped, or the database was deleted; {CONSOLE}",
    "refused": "nothing listens there; see whether the database is paused or deleted, or a firewall is between",
    "tls": "its certificate is not taken; see that no proxy opens the connection, and that the clock here is right",
    "silent": "see whether Upstash has an outage, and whether a firewall or a VPN is between",
    "token": f"UPSTASH_REDIS_REST_TOKEN belongs to another database or was reset; {CONSOLE}",
    "read-only": "this is the read-only token; copy the standard one",
    "quota": "the plan's commands are used up; take a larger plan, or wait for the next day or month",
    "no-redis": f"this is no Upstash REST interface; {CONSOLE}",
    "error": "see what Upstash's console says of the database",
}


def reach(rest: Rest | None) -> list[Finding]:
    """Whether it answers, takes the token, and lets us write."""
    if rest is None:
        return [Finding(CHECK, "skipped", "its address or token is not set")]
    try:
        # The key goes by itself.
        rest.run(["SET", "om:doctor", secrets.token_hex(4), "EX", 10])
    except Unusable as error:
        return [Finding(CHECK, "failed", str(error), _WHAT_TO_DO[error.trouble])]
    return [Finding(CHECK, "ok", f"{rest.host} answers, takes the token and is written to")]


def distance(place: Place, rest: Rest, region_ms: float | None = None) -> list[Finding]:
    """How long a command takes from here and, against the same to the functions' region, how far it is from them.

    Two places that are equally far from here may still be far from each other; two that are not, certainly are.
    """
    try:
        rest.run(["PING"])  # the connection is opened by it
        took_ms = 1000 * statistics.median(rest.run(["PING"]).seconds for _ in range(SAMPLES))
    except Unusable as error:
        return [Finding(CHECK, "failed", str(error), _WHAT_TO_DO[error.trouble])]
    what = f"a command takes {took_ms:.0f} ms from here"
    state: State = "ok"
    do = ""
    if region_ms is not None and place.aws is not None:
        what += f", {place.aws.region} {region_ms:.0f} ms"
        if abs(took_ms - region_ms) > NEAR_MS:
            state = "warning"
            what += f": the two are at least {abs(took_ms - region_ms):.0f} ms apart"
            do = f"each push and answer pays for that; make the database in {place.aws.region}, or deploy next to it"
    elif took_ms > FROM_HERE_MS:
        state = "warning"
        do = "if the functions run near here, make the database in a region next to them"
    return [Finding(CHECK, state, what, do)]
