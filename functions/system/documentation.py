"""GET /api/openapi.json and /api/docs: the API's description and a page to try it on."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from openmanager.errors import NotFound

_HERE = Path(__file__).parent
_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}

router = APIRouter(include_in_schema=False)


@router.get("/api/openapi.json")
def openapi() -> FileResponse:
    return FileResponse(_HERE / "openapi.json", media_type="application/json")


@router.get("/api/docs")
def docs() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/api/openapi.json",
        title="OpenManager API",
        swagger_js_url="/api/docs/swagger-ui-bundle.js",
        swagger_css_url="/api/docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    )


@router.get("/api/docs/{asset}")
def docs_asset(asset: str) -> FileResponse:
    if asset not in _ASSETS:
        raise NotFound(f"no file {asset!r} here")
    return FileResponse(_HERE / "vendor" / "swagger-ui" / asset, media_type=_ASSETS[asset])
