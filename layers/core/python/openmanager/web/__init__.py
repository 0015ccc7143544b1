"""The HTTP edge: app factory, problem details, authentication, request bodies. Imports the floors below."""

from openmanager.web.app import create_app, lambda_handler
from openmanager.web.auth import KEY_HOLDER, Caller, OutsideScheduler
from openmanager.web.body import bounded_body, documented

__all__ = ["KEY_HOLDER", "Caller", "OutsideScheduler", "bounded_body", "create_app", "documented", "lambda_handler"]
