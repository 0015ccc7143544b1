"""Whether this machine's clock agrees with the others'."""

import contextlib
import time

import psycopg
from openmanager.errors import StoreUnavailable
from openmanager.stores.postgres import Postgres

from infra.doctor.finding import Finding
from infra.doctor.rest import Rest, Unusable

CHECK = "clock"
# Beyond a minute samples miss the time in which their minute is judged; beyond five AWS takes no signature.
WARN_S, FAIL_S = 5.0, 60.0


def clock(rest: Rest | None, history: Postgres | None) -> list[Finding]:
    """How far the stores' clocks are ahead of this one; both of them, so that it is known whose is wrong."""
    ahead: dict[str, float] = {}
    if rest is not None:
        try:
            redis_s = rest.run(["PING"]).ahead_s
        except Unusable:
            redis_s = None
        if redis_s is not None:
            ahead["Redis"] = redis_s
    if history is not None:
        with contextlib.suppress(StoreUnavailable, psycopg.Error):
            ahead["Postgres"] = history.run(_ahead_s)
    if not ahead:
        return [Finding(CHECK, "skipped", "no store could be asked for the time")]
    far = max(ahead.values(), key=abs)
    if abs(far) <= WARN_S:
        return [Finding(CHECK, "ok", f"within {WARN_S:g} s of {' and '.join(ahead)}")]
    what = ", ".join(f"{name} is {abs(s):.0f} s {'ahead' if s > 0 else 'behind'}" for name, s in ahead.items())
    do = "switch time synchronisation on (timedatectl set-ntp true; macOS: sntp -sS time.apple.com)"
    if len(ahead) == 2 and min(map(abs, ahead.values())) <= WARN_S:
        do = "this machine agrees with the other store, so that store's clock is wrong: tell its provider"
    return [Finding(CHECK, "failed" if abs(far) > FAIL_S else "warning", what, do)]


def _ahead_s(connection: psycopg.Connection) -> float:
    began = time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float").fetchone()
    assert row is not None
    return float(row[0]) - (began + time.time()) / 2
