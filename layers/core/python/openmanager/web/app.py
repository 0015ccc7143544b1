"""The app of one function, and its entry on Lambda."""

from typing import Any

from fastapi import Depends, FastAPI
from mangum import Mangum
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from openmanager import logs
from openmanager.web import quick
from openmanager.web.address import possible
from openmanager.web.auth import check_declared
from openmanager.web.caching import Conditional, Unchanged, unchanged
from openmanager.web.headers import BrowserHeaders
from openmanager.web.metered import Metered
from openmanager.web.payload import fitting
from openmanager.web.problems import add_problem_handlers
from openmanager.web.shown import ShownByRole
from openmanager.web.traced import Traced

VERSION = "0.1.0"
# Below this gzip saves no packet; beyond level 5 it takes longer than it saves.
_LEAST_GZIPPED, _GZIP_LEVEL = 1_000, 5


class Door(FastAPI):
    """An app whose every answer carries the browser's fields, and whose description lists its problem answers."""

    function = ""

    def build_middleware_stack(self) -> ASGIApp:
        # Outside of everything, or the answer to an unforeseen error would go without.
        shown = Conditional(ShownByRole(super().build_middleware_stack()), _LEAST_GZIPPED)
        # Event streams it leaves alone, as it does what comes compressed already.
        answers = BrowserHeaders(GZipMiddleware(shown, _LEAST_GZIPPED, _GZIP_LEVEL))
        return Traced(Metered(answers, self.function))

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            # Asked for where the whole description is written, and never while serving.
            from openmanager.web.described import complete

            quick.must_be_real()
            complete(super().openapi(), self.routes, self.router.dependencies)
        return self.openapi_schema or {}


def create_app(title: str, kept: Any = None) -> FastAPI:
    """The app of function `title`, without routes: errors become problem details; documentation is system's business.

    `kept` is what caches may keep of its answers, if not what they may of most (web.caching).
    """
    logs.configure(title)
    app = Door(
        title=f"OpenManager {title}",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A redirect would name the host that the caller's own header says.
        redirect_slashes=False,
        dependencies=[Depends(possible), *([kept] if kept else [])],
    )
    app.function = title
    add_problem_handlers(app)
    app.add_exception_handler(Unchanged, unchanged)
    return app


def lambda_handler(app: FastAPI) -> Any:
    """The app as a Lambda handler. Mangum answers with the whole body at once; nothing streams here.

    Raises LookupError if a route does not say who may call it.
    """
    check_declared(app.routes)
    answer = Mangum(app, lifespan="off")

    def handler(event: Any, context: Any) -> Any:
        return fitting(answer(event, context))

    return handler
