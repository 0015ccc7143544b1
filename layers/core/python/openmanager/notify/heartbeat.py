"""A heartbeat to somebody outside, who tells people when it stops: the watcher that lives on when all of us is dead.

OPENMANAGER_HEARTBEAT_URL is the address that such a service gives out (healthchecks.io, Better Stack, Cronitor, Uptime
Kuma). All of them take a GET; the answer does not matter.
"""

import logging

from openmanager.settings import settings

# Of a tick's minute. A service that is slow tells nobody anything for having missed one.
LIMIT_S = 3.0

log = logging.getLogger(__name__)


def beat(alive: bool) -> None:
    """Say that all is well, if it is and anybody is to be told. Raises nothing."""
    url = settings().heartbeat_url
    if not (alive and url):
        return
    # Most deployments have none, and nearly every tick sends nothing else either.
    from openmanager.notify import http

    try:
        reply = http.get(url, LIMIT_S)
    except Exception as error:
        # Not with its text, which may hold the address: whoever knows it can say that all is well.
        log.warning("the heartbeat was not taken: %s", type(error).__name__)
        return
    if reply.status >= 300:
        log.warning("the heartbeat was not taken: answered %d", reply.status)
