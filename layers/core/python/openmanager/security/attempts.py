"""How often somebody may be wrong about a password before they wait, longer each time."""

import time

from openmanager.errors import TooManyRequests
from openmanager.stores import admission

# Failures of one user from one address, and of anybody from it (an office shares one), before waiting begins. Nothing
# counts against a user from everywhere: whoever guesses cannot shut out the owner, who comes from elsewhere.
USER_FAILURES, ADDRESS_FAILURES = 5, 50
FIRST_WAIT_MS, LONGEST_WAIT_MS = 15_000, 15 * 60_000


def begin(name: str, address: str) -> admission.Attempt:
    """Count an attempt, as a failure until `right` is called. Raises TooManyRequests and StoreUnavailable."""
    attempt = admission.attempt(_counted(name, address), round(time.time() * 1000), FIRST_WAIT_MS, LONGEST_WAIT_MS)
    if attempt.wait_ms > 0:
        raise TooManyRequests("too many failures from this address; wait", -(-attempt.wait_ms // 1000))
    return attempt


def right(name: str, address: str) -> None:
    """The password was right: forget this user's failures from there. Raises StoreUnavailable."""
    admission.succeeded(*_counted(name, address))


def _counted(name: str, address: str) -> dict[str, int]:
    """What an attempt counts under, and how many failures each may have; that of the user first."""
    return {f"{address}|{name}": USER_FAILURES, address: ADDRESS_FAILURES}
