"""Structured logs: one JSON object a line, by powertools."""

from openmanager.unloaded import unload

# The package gathers metrics and tracing too, and the logger knows a language of queries. Together they are more than
# half of what it costs to load, and nothing here uses them.
unload("aws_lambda_powertools")
unload("aws_lambda_powertools.utilities.jmespath_utils")

from aws_lambda_powertools.logging import Logger  # noqa: E402


def configure(service: str) -> Logger:
    """The logger of a function; what the domain logs through `logging` takes the same way."""
    logger = Logger(service=f"openmanager-{service}", log_uncaught_exceptions=True)
    return logger
