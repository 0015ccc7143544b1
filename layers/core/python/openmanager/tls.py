"""One TLS context for all that a process calls: reading the system's authorities takes longer than a handshake."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@lru_cache(maxsize=1)
def context() -> "ssl.SSLContext":
    """Trusts whom the system trusts (SSL_CERT_FILE names others), or Mozilla's list where the system has none."""
    # Where all is plain, as on one's own machine, it is not needed.
    import ssl

    made = ssl.create_default_context()
    known = ssl.get_default_verify_paths()
    if not (known.cafile or known.capath):
        # A slim container without ca-certificates. httpx brings it.
        import certifi

        made.load_verify_locations(certifi.where())
    return made
