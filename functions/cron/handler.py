"""/api/tick and /api/archive: what a schedule starts, for schedulers that call an address; Vercel's send a GET."""

import time
from dataclasses import asdict
from typing import Any

from openmanager import bill, notify
from openmanager.demo.feeding import feed
from openmanager.notify import heartbeat
from openmanager.watch import archiving, emf
from openmanager.watch.rounds import tick
from openmanager.web import OutsideScheduler, create_app, lambda_handler
from openmanager.web.caching import NEVER

# An HTTP API gives up after 30 s; what is not reached by then is carried over. A step of the archive takes longer.
_ROUND_S, _ARCHIVE_S = 20, 9

app = create_app("cron", kept=NEVER)


@app.get("/api/tick", operation_id="run_tick_by_get")
@app.post("/api/tick")
def run_tick(_: OutsideScheduler) -> dict[str, Any]:
    """Judge what has come since the last round, once a minute however often it is called; answers what was done."""
    deadline = time.monotonic() + _ROUND_S
    feed(int(time.time() * 1000))
    began_s = time.time()
    report = tick(int(began_s * 1000), lambda: time.monotonic() >= deadline)
    ended_s = time.time()
    if not report.held:
        bill.heed(report.minute // 60, time.time())
    told = notify.deliver(int(time.time() * 1000), lambda: time.monotonic() >= deadline)
    emf.write(report, began_s, ended_s, told)
    heartbeat.beat(report.alive and not report.failed)
    return asdict(report) | {"notices": asdict(told)}


@app.get("/api/archive", operation_id="run_archive_by_get")
@app.post("/api/archive")
def run_archive(_: OutsideScheduler) -> dict[str, Any]:
    """Move what is settled to Postgres, as far as time allows, and bring back what Redis lost: every 5 minutes."""
    deadline = time.monotonic() + _ARCHIVE_S
    return archiving.run(int(time.time() * 1000), lambda: time.monotonic() >= deadline)


handler = lambda_handler(app)
