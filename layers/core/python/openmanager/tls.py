"""One TLS context for all that a process calls: reading the system's authorities takes longer than a handshake."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@lru_cache(maxsize=1)
def context() -> "ssl.SSLContext":
    """Trusts whom the system trusts."""
    # Where all is plain, as on one's own machine, it is not needed.
    import ssl

    return ssl.create_default_context()
