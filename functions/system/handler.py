"""GET /api/health, how old things are at each stage, the API's description and its documentation page."""

import time
from typing import Any

from openmanager.stores import stages
from openmanager.web import Anyone, Response, Viewer, create_app, lambda_handler
from openmanager.web.caching import A_MINUTE, NEVER
from openmanager.web.health import check

from functions.system import documentation

app = create_app("system")
app.include_router(documentation.router)


@app.get("/api/health", dependencies=[NEVER], responses={503: {"description": "the same, with what is away"}})
def health(_: Anyone, response: Response) -> dict[str, Any]:
    """Whether this function runs and reaches Redis; 503 when it does not."""
    answer = check()
    response.status_code = 200 if answer["status"] == "ok" else 503
    return answer


@app.get("/api/system/stages", dependencies=[A_MINUTE])
def get_stages(_: Viewer) -> dict[str, Any]:
    """How old samples, verdicts, notices and events of the live feed are as they pass, against what they may be.

    `objective_s` is what 95 % must keep, as things stand: while senders are asked to push less often it is more.
    `state` is ok, at_risk (more than half of what may be late was), missed, or unknown where nothing passed; `p95_s`
    the end of the class that 95 % are within, null beyond an hour. Written down once a minute by every instance.
    """
    return {"stages": stages.statement(time.time())}


handler = lambda_handler(app)
