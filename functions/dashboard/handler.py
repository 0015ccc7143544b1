"""GET / and /assets/…: the dashboard's page and what it is made of."""

from openmanager.web import APIRouter, Depends, Request, Response, create_app, lambda_handler
from openmanager.web.auth import anyone

from functions.dashboard.files import PAGE, folder

app = create_app("dashboard")
router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])


@router.get("/")
def page(request: Request) -> Response:
    """The page, in whatever version is the present one."""
    return folder().answer(PAGE, request.headers)


@router.get("/assets/{version}/{path:path}")
def asset(request: Request, version: str, path: str) -> Response:
    """A file of this version of the page; others are not there any more."""
    return folder().of(version).answer(path, request.headers)


app.include_router(router)
handler = lambda_handler(app)
