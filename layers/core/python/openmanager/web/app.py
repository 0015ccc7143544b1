"""The app of one function, and its entry on Lambda."""

from typing import Any

from fastapi import FastAPI
from mangum import Mangum

from openmanager.web.problems import add_problem_handlers

VERSION = "0.1.0"


def create_app(title: str) -> FastAPI:
    """An app without routes: errors become problem details; documentation is the system function's business."""
    app = FastAPI(title=f"OpenManager {title}", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    add_problem_handlers(app)
    return app


def lambda_handler(app: FastAPI) -> Any:
    """The app as a Lambda handler. Mangum answers with the whole body at once; nothing streams here."""
    return Mangum(app, lifespan="off")
