"""The bearer key that guards every route but health and the documentation."""

import hmac
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from openmanager.errors import Unauthorized
from openmanager.settings import settings

_bearer = HTTPBearer(auto_error=False, description="the API key")


async def require_key(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
    """Raises Unauthorized unless the request carries the API key."""
    key = settings().api_key
    if sent is None or not key or not hmac.compare_digest(sent.credentials.encode(), key.encode()):
        raise Unauthorized("send the header `Authorization: Bearer <key>`")


Caller = Annotated[None, Depends(require_key)]
