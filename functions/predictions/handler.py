"""GET /api/servers/{id}/prediction: the last verdict on a server."""

from typing import Any

from openmanager import fleet
from openmanager.web import Viewer, create_app, lambda_handler

app = create_app("predictions")


@app.get("/api/servers/{id}/prediction")
def get_prediction(_: Viewer, id: str) -> dict[str, Any]:
    """What the last round said of a server, with its confidence and what lacks."""
    return fleet.prediction(id)


handler = lambda_handler(app)
