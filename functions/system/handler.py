"""GET /api/health, the demo fleet's switch, the API's description and its documentation page."""

from typing import Annotated, Any

from openmanager.demo import runs
from openmanager.demo.request import DOCUMENTED, read_start
from openmanager.web import Anyone, Depends, Operator, Response, Viewer, bounded_body, create_app, lambda_handler
from openmanager.web.caching import NEVER
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


@app.post("/api/system/start", openapi_extra=DOCUMENTED)
def start(_: Operator, body: Annotated[bytes, Depends(bounded_body(4096))]) -> dict[str, Any]:
    """Start the demo fleet, unless just this run goes on already. Answers what will happen, to whom and when."""
    return _recorded("demo.start", runs.start(**read_start(body)))


@app.post("/api/system/stop")
def stop(_: Operator) -> dict[str, Any]:
    """End the demo fleet's run, if there is one; its servers fall silent and are forgotten as any others are."""
    return _recorded("demo.stop", runs.stop())


@app.get("/api/system/demo")
def demo(_: Viewer) -> dict[str, Any]:
    """What the demo fleet does: idle, running, stopped or finished, and what happens in its run."""
    return runs.status()


def _recorded(action: str, answer: dict[str, Any]) -> dict[str, Any]:
    # Its driver is slow to load, and health has no use for it.
    from openmanager.stores import audit

    audit.record(action, answer.get("scenario", ""))
    return answer


handler = lambda_handler(app)
