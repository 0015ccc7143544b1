"""/api/notifications/outbox…: what waits to be told, and what could not be."""

from typing import Any

from openmanager.notify import manage
from openmanager.web import APIRouter, Operator

router = APIRouter()


@router.get("/api/notifications/outbox")
def get_outbox(_: Operator) -> dict[str, Any]:
    """Notices that wait for their receiver, and those that failed, each with the reason."""
    return manage.waiting()


@router.post("/api/notifications/outbox/{key}/retry")
def retry(_: Operator, key: str) -> dict[str, Any]:
    """Have a notice tried with the next delivery, as if for the first time."""
    return manage.retry(key)
