"""GET /api/health, the API's description and its documentation page."""

from typing import Any

from openmanager.web import Anyone, Response, create_app, lambda_handler
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


handler = lambda_handler(app)
