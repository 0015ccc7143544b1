"""GET /api/health, the API's description and its documentation page."""

from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from openmanager.errors import NotFound
from openmanager.web import create_app, lambda_handler
from openmanager.web.health import check

_HERE = Path(__file__).parent
_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}

app = create_app("system")


@app.get("/api/health")
def health(response: Response) -> dict[str, Any]:
    """Whether this function runs and reaches Redis; 503 when it does not."""
    answer = check()
    response.status_code = 200 if answer["status"] == "ok" else 503
    return answer


@app.get("/api/openapi.json", include_in_schema=False)
def openapi() -> FileResponse:
    return FileResponse(_HERE / "openapi.json", media_type="application/json")


@app.get("/api/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/api/openapi.json",
        title="OpenManager API",
        swagger_js_url="/api/docs/swagger-ui-bundle.js",
        swagger_css_url="/api/docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    )


@app.get("/api/docs/{asset}", include_in_schema=False)
def docs_asset(asset: str) -> FileResponse:
    if asset not in _ASSETS:
        raise NotFound(f"no file {asset!r} here")
    return FileResponse(_HERE / "vendor" / "swagger-ui" / asset, media_type=_ASSETS[asset])


handler = lambda_handler(app)
