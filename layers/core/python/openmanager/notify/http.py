"""One HTTP request to a receiver: to a checked address, within a time limit as a whole, its answer bounded.

httpcore is what httpx is made of; used directly, it lets the connection go to the address that was checked while TLS
still verifies the name. It follows no redirects and knows no proxies.
"""

import ssl
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from openmanager import tracing
from openmanager.notify import guard
from openmanager.values import frozen

MAX_ANSWER_BYTES = 16_384


@frozen
class Reply:
    """What the receiver answered; header names in lower case, the body cut off where it was told to."""

    status: int
    headers: dict[str, str]
    body: bytes


# The deadline of the whole stands for the time limits that httpcore hands to each step.
class _Stream(httpcore.NetworkStream):
    """A connection on which no read or write waits beyond the deadline, however slowly octets trickle in."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = self._left(httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, late: type[httpcore.TimeoutException]) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise late("the receiver took too long")
        return left


class _Checked(httpcore.NetworkBackend):
    """Connects to checked addresses only, or to any where whoever runs us has chosen the host."""

    def __init__(self, deadline: float, anywhere: bool) -> None:
        self._deadline = deadline
        self._addresses = guard.resolved if anywhere else guard.addresses
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        last: Exception = httpcore.ConnectTimeout("no time left to connect")
        for address in self._addresses(host, port, self._deadline - time.monotonic()):
            left = self._deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return _Stream(self._inner.connect_tcp(address, port, left), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """The certificate authorities that are trusted: SSL_CERT_FILE's, else certifi's."""
    return httpx.create_ssl_context()


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    limit_s: float,
    *,
    most_bytes: int = MAX_ANSWER_BYTES,
    anywhere: bool = False,
) -> Reply:
    """POST and read the answer within `limit_s`, as a part of the trace at hand.

    Raises guard.Refused, guard.Unresolved and what httpcore raises.

    `anywhere` is for addresses of the settings, which may be private; all others are somebody's who may set targets.
    """
    return _ask("POST", url, headers, body, limit_s, most_bytes, anywhere)


def get(url: str, limit_s: float) -> Reply:
    """GET in the same way, of an address that is held to be public. Raises as `post` does."""
    return _ask("GET", url, {}, b"", limit_s, MAX_ANSWER_BYTES, anywhere=False)


def _ask(
    method: str, url: str, headers: Mapping[str, str], body: bytes, limit_s: float, most_bytes: int, anywhere: bool
) -> Reply:
    if not anywhere:
        guard.check_scheme(url)
    backend = _Checked(time.monotonic() + limit_s, anywhere)
    ours = {"User-Agent": "OpenManager", "Accept": "*/*", "Connection": "close", **tracing.outgoing()}
    sent = [*ours.items(), *headers.items()]
    with (
        httpcore.ConnectionPool(ssl_context=tls(), network_backend=backend) as pool,
        pool.stream(method, url, headers=sent, content=body) as response,
    ):
        answer = b""
        for part in response.iter_stream():
            answer += part
            if len(answer) >= most_bytes:
                break
        names = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
        return Reply(response.status, names, answer[:most_bytes])
