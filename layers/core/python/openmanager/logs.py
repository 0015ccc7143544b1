"""Structured logs: one JSON object a line, by powertools."""

from aws_lambda_powertools import Logger


def configure(service: str) -> Logger:
    """The logger of a function; what the domain logs through `logging` takes the same way."""
    logger = Logger(service=f"openmanager-{service}", log_uncaught_exceptions=True)
    return logger
