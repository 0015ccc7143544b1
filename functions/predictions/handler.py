"""GET /api/servers/{id}/prediction and /api/outlooks: the last verdict on a server, and what is ahead of some."""

from typing import Annotated, Any

from openmanager import predictions
from openmanager.errors import InvalidInput
from openmanager.web import Query, Request, Viewer, create_app, lambda_handler
from openmanager.web.caching import fresh_until_next_round

MOST = 12

app = create_app("predictions")


@app.get("/api/servers/{id}/prediction")
def get_prediction(_: Viewer, request: Request, id: str) -> dict[str, Any]:
    """What the last round said of a server, with its confidence and what lacks."""
    verdict = predictions.prediction(id)
    fresh_until_next_round(request, verdict["minute"])
    return verdict


@app.get("/api/outlooks")
def get_outlooks(
    _: Viewer, servers: Annotated[str, Query(description="names, comma-separated, at most 12", min_length=1)]
) -> dict[str, Any]:
    """The metric that each server's risk is about, measured and forecast; servers not judged yet are left out."""
    names = servers.split(",")
    if len(names) > MOST:
        raise InvalidInput("servers", f"are {len(names)}; at most {MOST} can be asked for at once")
    return {"outlooks": predictions.outlooks(names)}


handler = lambda_handler(app)
