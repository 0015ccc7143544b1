"""GET /api/system/cost: what all of this costs."""

import time
from typing import Any

from openmanager.bill.month import this_month
from openmanager.web import Viewer, create_app, lambda_handler
from openmanager.web.caching import A_MINUTE

app = create_app("cost")


@app.get("/api/system/cost", dependencies=[A_MINUTE])
def cost(_: Viewer) -> dict[str, Any]:
    """What was used this month (UTC), by function and by day, what it costs, and what the month is going to cost.

    Counted by every function as it works and written down once a minute; so it is some minutes behind, and what an
    instance counted last is lost where a platform ends it without a word. `usd_per_server` is by how many servers
    there are now. Postgres is sold by the hour or the month: its plan is counted where OPENMANAGER_PRICES names it.
    """
    return this_month(time.time())


handler = lambda_handler(app)
