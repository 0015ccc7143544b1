"""Where notifications may not go: private, special and metadata addresses, whatever a name resolves to.

Who may write a target's address must not reach through us what only we can reach. So a name is resolved once, here,
and the connection goes to an address that was checked.
"""

import socket
import threading
import time
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from openmanager.settings import settings

# Beside what `ipaddress` takes for other than global (private, loopback, link-local with 169.254.169.254, CGNAT,
# reserved; IANA special-purpose registries): addresses that stand for others, and a metadata service.
_REFUSED = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's platform service, a public address that is answered by the host
            "192.0.0.0/24",  # IETF assignments (RFC 6890), a metadata service among them
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1)
            "::ffff:0:0/96",  # IPv4-mapped
            "64:ff9b::/96",  # NAT64 (RFC 6052)
            "64:ff9b:1::/48",  # local NAT64 (RFC 8215)
            "2001::/23",  # IETF assignments, Teredo among them
            "2002::/16",  # 6to4
            "fec0::/10",  # site-local (RFC 3879)
        ),
    )
)


class Refused(Exception):
    """The address is one that notifications must not go to."""


class Unresolved(Exception):
    """The name could not be resolved (in time)."""


def may_receive(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is public."""
    if not address.is_global or address.is_multicast:
        return False
    return not any(address.version == net.version and address in net for net in _REFUSED)


def check_scheme(url: str) -> None:
    """Raises Refused for anything but https, unless private receivers are allowed."""
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and settings().notify_allow_private):
        raise Refused("only https is used for notifications")


def addresses(host: str, port: int, within_s: float) -> list[str]:
    """The addresses of a host that may be connected to, in the resolver's order.

    Raises Refused if there is none among those found, Unresolved if none was found within the time.
    """
    found = resolved(host, port, within_s)
    if settings().notify_allow_private:
        return found
    public = [address for address in found if may_receive(ip_address(address))]
    if not public:
        raise Refused(f"{host} is at {found[0]}, which is not a public address")
    return public


def connect(host: str, port: int, deadline: float) -> socket.socket:
    """A connection to a host at a checked address, by `deadline` (monotonic). Raises Refused, Unresolved, OSError."""
    last: OSError = TimeoutError("no time left to connect")
    for address in addresses(host, port, deadline - time.monotonic()):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((address, port), left)
        except OSError as error:
            last = error
    raise last


def resolved(host: str, port: int, within_s: float) -> list[str]:
    """All addresses of a host, in the resolver's order. Raises Unresolved if none was found within the time."""
    # The resolver takes as long as it likes:
    answer: list[list[str] | OSError | UnicodeError] = []

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.append(list(dict.fromkeys(str(row[4][0]) for row in rows)))
        except (OSError, UnicodeError) as error:
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(0.0, within_s))
    if not answer:
        raise Unresolved(f"{host} could not be resolved in time")
    if isinstance(answer[0], Exception):
        raise Unresolved(f"{host} could not be resolved: {answer[0]}")
    if not answer[0]:
        raise Unresolved(f"{host} has no address")
    return answer[0]
