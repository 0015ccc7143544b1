"""The bearer key that guards every route but health and the documentation, and the secret of outside schedulers."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from openmanager import acting
from openmanager.errors import Unauthorized
from openmanager.settings import settings

_bearer = HTTPBearer(auto_error=False, description="the API key")


async def require_key(request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
    """Raises Unauthorized unless the request carries the API key."""
    key = settings().api_key
    if sent is None or not key or not hmac.compare_digest(sent.credentials.encode(), key.encode()):
        raise Unauthorized("send the header `Authorization: Bearer <key>`")
    acting.begin(KEY_HOLDER, request.client.host if request.client else "")


async def require_cron_secret(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
    """Raises Unauthorized unless the request carries the schedulers' secret; locally, without one, the API key."""
    s = settings()
    secret = s.cron_secret or (s.api_key if s.stage == "local" else "")
    if sent is None or not secret or not hmac.compare_digest(sent.credentials.encode(), secret.encode()):
        raise Unauthorized("send the header `Authorization: Bearer <OPENMANAGER_CRON_SECRET>`")


# Who acts where only the one key exists.
KEY_HOLDER = "api key"

Caller = Annotated[None, Depends(require_key)]
OutsideScheduler = Annotated[None, Depends(require_cron_secret)]
