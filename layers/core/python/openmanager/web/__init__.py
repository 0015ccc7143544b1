"""The HTTP edge: app factory, problem details, authentication, request bodies. Imports the floors below.

Functions take FastAPI's names from here, so that what makes its import shorter has run before.
"""

from openmanager.web import quick as quick

# isort: split
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from openmanager.web.app import create_app, lambda_handler
from openmanager.web.auth import (
    Admin,
    Agent,
    Anyone,
    Auditor,
    LoggedIn,
    LoggedInHere,
    Operator,
    OutsideScheduler,
    Viewer,
)
from openmanager.web.body import bounded_body, documented

__all__ = [
    "APIRouter",
    "Admin",
    "Agent",
    "Anyone",
    "Auditor",
    "Depends",
    "HTMLResponse",
    "Header",
    "JSONResponse",
    "LoggedIn",
    "LoggedInHere",
    "Operator",
    "OutsideScheduler",
    "Path",
    "Query",
    "Request",
    "Response",
    "Viewer",
    "bounded_body",
    "create_app",
    "documented",
    "lambda_handler",
]
