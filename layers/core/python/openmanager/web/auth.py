"""Who may call a route, declared in its signature and checked here: `_: Viewer`, `who: Operator`, …

A bearer is the administrator's key from the settings, an API key (`om_…`), a token from POST /api/auth/token, or one
from the identity provider of the settings. A route without a declaration keeps its function from loading
(`check_declared`).
"""

import asyncio
import hmac
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from openmanager import acting
from openmanager.errors import Forbidden, Unauthorized
from openmanager.security import keys
from openmanager.security.roles import Identity
from openmanager.settings import settings
from openmanager.web import limits
from openmanager.web.client import client_address

# Who holds the key of the settings.
ADMINISTRATOR = Identity("api key", "admin")

_bearer = HTTPBearer(auto_error=False, description="an API key, or a token from POST /api/auth/token")
Sent = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


class Guard:
    """A dependency that lets these roles in, as often as their budget allows.

    Raises Unauthorized, Forbidden, TooManyRequests and StoreUnavailable.
    """

    def __init__(self, *roles: str) -> None:
        self.roles = roles

    async def __call__(self, request: Request, sent: Sent) -> Identity:
        """Who calls, if they may."""
        address = client_address(request.scope)
        who = await identify(sent.credentials if sent else "", address)
        await limits.admit(request, who.name)
        if who.role not in self.roles:
            route = f"{request.method} {getattr(request.scope.get('route'), 'path', '')}"
            await _tell_once("refused", route, f"{who.name}|{route}", who.name, address)
            raise Forbidden(f"this is for the roles {', '.join(self.roles)}; yours is {who.role}")
        acting.begin(who.name, address)
        request.state.role = who.role
        return who


async def identify(credential: str, address: str) -> Identity:
    """Whose credential this is. Raises Unauthorized, and StoreUnavailable where that cannot be known now."""
    key = settings().api_key
    if key and hmac.compare_digest(credential.encode(), key.encode()):
        return ADMINISTRATOR
    if credential.startswith(keys.PREFIX):
        if keys.stale(credential):
            await asyncio.to_thread(keys.refresh)
        return keys.identify(credential)
    if credential.count(".") == 2:
        token = await read_token(credential, address)
        return Identity(token.user, token.role)
    raise Unauthorized("send the header `Authorization: Bearer <key or token>`")


async def read_token(credential: str, address: str) -> Any:
    """A JWT that is good and not revoked, as a security.tokens.Token. Raises as `identify` does.

    Whose token was revoked, and whose identity provider let them in, the audit log hears once.
    """
    # Agents send none, and what reads it is slow to load.
    from openmanager.security import revocations, tokens

    provider = settings().oidc
    if provider and tokens.issuer_of(credential) == provider.issuer:
        token = await _read_of_provider(credential)
    else:
        token = tokens.read(credential)
    if revocations.stale():
        await asyncio.to_thread(revocations.refresh)
    try:
        revocations.check(token)
    except Unauthorized:
        await _tell_once("token.refused", token.user, token.jti, token.user, address)
        raise
    if not token.ours:
        await _tell_once("login", token.user, token.jti, token.user, address)
    return token


async def _tell_once(action: str, target: str, event: str, name: str, address: str) -> None:
    from openmanager.security import events

    if events.is_new(action, event):
        await asyncio.to_thread(events.once, action, target, event, name, address)


async def _read_of_provider(credential: str) -> Any:
    # With this comes a library of 5 MB, for deployments that have a provider.
    from openmanager.security import issuer, oidc

    if issuer.stale(oidc.key_id(credential)):
        # It goes on behind us, for whoever comes next, if it takes longer than a request should wait.
        await asyncio.wait([asyncio.wrap_future(issuer.refresh())], timeout=settings().store_timeout_s)
    return oidc.read(credential)


async def anyone() -> None:
    """Lets everybody in: what it guards gives nothing away."""


async def require_cron_secret(sent: Sent) -> None:
    """Raises Unauthorized unless the request carries the schedulers' secret; locally, without one, the API key."""
    s = settings()
    secret = s.cron_secret or (s.api_key if s.stage == "local" else "")
    if sent is None or not secret or not hmac.compare_digest(sent.credentials.encode(), secret.encode()):
        raise Unauthorized("send the header `Authorization: Bearer <OPENMANAGER_CRON_SECRET>`")


async def require_token(request: Request, sent: Sent) -> Any:
    """The token of whoever logged in, whatever their role. Raises as `identify` does."""
    address = client_address(request.scope)
    token = await read_token(sent.credentials if sent else "", address)
    await limits.admit(request, token.user)
    acting.begin(token.user, address)
    return token


async def require_own_token(request: Request, sent: Sent) -> Any:
    """The same of who logged in with a password of ours. Raises Forbidden, too."""
    token = await require_token(request, sent)
    if not token.ours:
        raise Forbidden("this is your identity provider's business, whose token you sent")
    return token


VIEWERS = ("viewer", "operator", "admin", "auditor")
Viewer = Annotated[Identity, Depends(Guard(*VIEWERS))]
Operator = Annotated[Identity, Depends(Guard("operator", "admin"))]
Admin = Annotated[Identity, Depends(Guard("admin"))]
Auditor = Annotated[Identity, Depends(Guard("auditor", "admin"))]
Agent = Annotated[Identity, Depends(Guard("agent", "admin"))]
LoggedIn = Annotated[Any, Depends(require_token)]
LoggedInHere = Annotated[Any, Depends(require_own_token)]
Anyone = Annotated[None, Depends(anyone)]
OutsideScheduler = Annotated[None, Depends(require_cron_secret)]


def guard_of(route: APIRoute) -> Any:
    """What lets callers in to this route: a Guard, one of the functions above, or None."""
    known = (anyone, require_cron_secret, require_token, require_own_token)
    calls = [dependency.call for dependency in route.dependant.dependencies]
    return next((call for call in calls if isinstance(call, Guard) or call in known), None)


def routes_of(routes: Iterable[Any]) -> Iterable[APIRoute]:
    """The routes of an app, those of included routers too."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from routes_of(included.routes)


def check_declared(routes: Iterable[Any]) -> None:
    """Raises LookupError, which names the route, where nothing says who may call it."""
    for route in routes_of(routes):
        if guard_of(route) is None:
            raise LookupError(f"{route.methods} {route.path}: nothing in its signature says who may call it")
