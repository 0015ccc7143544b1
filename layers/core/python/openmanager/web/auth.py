"""The bearer key that guards every route but health and the documentation."""

import hmac
from typing import Annotated

from fastapi import Depends, Header

from openmanager.errors import Unauthorized
from openmanager.settings import settings


def require_key(authorization: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Raises Unauthorized unless the request carries the API key."""
    scheme, _, token = authorization.partition(" ")
    key = settings().api_key
    if scheme.lower() != "bearer" or not key or not hmac.compare_digest(token.strip().encode(), key.encode()):
        raise Unauthorized("send the header `Authorization: Bearer <key>`")


Caller = Annotated[None, Depends(require_key)]
