"""GET /api/predictions/record: what predictions were worth."""

import time
from typing import Annotated, Any

from openmanager import spans
from openmanager.ledger.record import record
from openmanager.stores import ledger
from openmanager.web import Query, Viewer, create_app, lambda_handler
from openmanager.web.caching import A_MINUTE

From = Annotated[
    str | None, Query(alias="from", description="else four weeks before `to`", json_schema_extra=spans.INSTANT)
]
To = Annotated[str | None, Query(description="else now", json_schema_extra=spans.INSTANT)]
_USUAL_S = 28 * 86_400
_SHOWN = 500

app = create_app("record")


@app.get("/api/predictions/record", dependencies=[A_MINUTE])
def get_record(_: Viewer, from_: From = None, to: To = None, server: str | None = None) -> dict[str, Any]:
    """Hits, misses and false alarms of warnings with their lead, scores of probabilities and of forecasts.

    Of the fleet or of one server, with the 500 newest episodes and incidents, newest first. Only what is settled
    counts: a warning once its horizon has passed, an incident once it is over, a probability after 35 minutes.
    """
    start, stop = spans.span(from_, to, int(time.time() * 1000), _USUAL_S)
    episodes, incidents = ledger.episodes(start, stop, server), ledger.incidents(start, stop, server)
    whole = record(episodes, incidents, ledger.sums(start, stop, server))
    recent = {"episodes": episodes[-_SHOWN:][::-1], "incident_list": incidents[-_SHOWN:][::-1]}
    return {"from": start, "to": stop, "server": server, **whole, **recent}


handler = lambda_handler(app)
