"""GET /api/openapi.json and /api/docs: the API's description and a page to try it on."""

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from openmanager.errors import NotFound
from openmanager.web import APIRouter, Depends, HTMLResponse, Response
from openmanager.web.auth import anyone
from openmanager.web.caching import FOR_EVERYBODY

_HERE = Path(__file__).parent
_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_KEPT = {"Cache-Control": FOR_EVERYBODY}

router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])


@router.get("/api/openapi.json")
def openapi() -> Response:
    return Response(_file("openapi.json"), media_type="application/json", headers=_KEPT)


@lru_cache(maxsize=3)
def _file(path: str) -> bytes:
    return (_HERE / path).read_bytes()


@lru_cache(maxsize=1)
def _page() -> tuple[bytes, str]:
    """The page, and its policy: our own files and the one script in it by its hash; Swagger UI styles as it goes."""
    from fastapi.openapi.docs import get_swagger_ui_html

    html = get_swagger_ui_html(
        openapi_url="/api/openapi.json",
        title="OpenManager API",
        swagger_js_url="/api/docs/swagger-ui-bundle.js",
        swagger_css_url="/api/docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    ).body
    inline = re.findall(rb"<script>(.*?)</script>", bytes(html), re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in inline)
    policy = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return bytes(html), policy


@router.get("/api/docs")
def docs() -> HTMLResponse:
    page, policy = _page()
    return HTMLResponse(page, headers=_KEPT | {"Content-Security-Policy": policy})


@router.get("/api/docs/{asset}")
def docs_asset(asset: str) -> Response:
    if asset not in _ASSETS:
        raise NotFound(f"no file {asset!r} here")
    return Response(_file(f"vendor/swagger-ui/{asset}"), media_type=_ASSETS[asset], headers=_KEPT)
