"""POST /api/tick: the round of the minute, for schedulers outside the cloud's own."""

import time
from dataclasses import asdict
from typing import Any

from openmanager import notify
from openmanager.demo.feeding import feed
from openmanager.watch.rounds import tick
from openmanager.web import OutsideScheduler, create_app, lambda_handler

# An HTTP API gives up after 30 s; what is not reached by then is carried over.
_SECONDS = 20

app = create_app("cron")


@app.post("/api/tick")
def run_tick(_: OutsideScheduler) -> dict[str, Any]:
    """Judge what has come since the last round, once a minute however often it is called; answers what was done."""
    deadline = time.monotonic() + _SECONDS
    feed(int(time.time() * 1000))
    report = tick(int(time.time() * 1000), lambda: time.monotonic() >= deadline)
    told = notify.deliver(int(time.time() * 1000), lambda: time.monotonic() >= deadline)
    return asdict(report) | {"notices": asdict(told)}


handler = lambda_handler(app)
