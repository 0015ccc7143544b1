"""The HTTP edge: app factory, problem details, authentication, request bodies. Imports the floors below."""

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
    "Admin",
    "Agent",
    "Anyone",
    "Auditor",
    "LoggedIn",
    "LoggedInHere",
    "Operator",
    "OutsideScheduler",
    "Viewer",
    "bounded_body",
    "create_app",
    "documented",
    "lambda_handler",
]
