"""/api/system/…: the demo fleet's switch. Apart from health, which monitors ask all day and which must start soon."""

from typing import Annotated, Any

from openmanager.demo import runs
from openmanager.demo.request import DOCUMENTED, read_start
from openmanager.stores import audit
from openmanager.web import Depends, Operator, Viewer, bounded_body, create_app, lambda_handler

app = create_app("demo")


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
    audit.record(action, answer.get("scenario", ""))
    return answer


handler = lambda_handler(app)
