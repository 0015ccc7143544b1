"""Where a request really comes from: what the platform says, never a header that the caller may set."""

import ipaddress
import json
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from openmanager.settings import settings

# Written by Vercel's edge over whatever the caller sent: https://vercel.com/docs/headers/request-headers
_VERCEL = ("x-vercel-forwarded-for", "x-real-ip")
# Written by the Lambda Web Adapter over whatever the caller sent: the event's `requestContext`, as JSON.
_ADAPTED = "x-amzn-request-context"


def client_address(scope: Scope) -> str:
    """The caller's address; of IPv6 its /64 network, which is what one subscriber has. "unknown" if there is none.

    An HTTP API and a function URL state the peer in the event (`requestContext.http.sourceIp`), which the adapter
    puts into the scope as a server does its own peer. Headers are read behind Vercel's edge and the Lambda Web Adapter
    only.
    """
    said = (scope.get("client") or ("",))[0]
    if settings().vercel:
        headers = Headers(scope=scope)
        said = next((headers[name].rpartition(",")[2].strip() for name in _VERCEL if name in headers), "")
    elif settings().web_adapter:
        said = _adapted(Headers(scope=scope).get(_ADAPTED, ""))
    try:
        address = ipaddress.ip_address(said or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))


def _adapted(context: str) -> str:
    try:
        said: Any = json.loads(context)
        return str(said["http"]["sourceIp"])
    except (ValueError, KeyError, TypeError):
        return ""
