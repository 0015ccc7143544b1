"""Serves an ASGI app on a socket that is already open: `python -m infra.local.serve MODULE:FACTORY FD`.

The supervisor opens the sockets. So no port is lost between choosing and using it, and while a part is
started again its callers wait in the queue and are not refused.
"""

import importlib
import signal
import socket
import sys

import uvicorn
from openmanager import logs

# Longer than any ordinary request; an open event stream is cut, and its reader comes back by itself.
GRACE_S = 1
# Idle connections are the caller's to close: Prometheus keeps them for five minutes and pushes every five seconds,
# which is when uvicorn would close them by itself, now and then under a request that is on its way.
KEEP_ALIVE_S = 330


def main(target: str, descriptor: str) -> None:
    # uvicorn stops in good order and then ends by the signal it was sent, unless somebody takes that: what is to be
    # done at the end of Python, such as ending MCP servers, would stay undone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    module, _, factory = target.partition(":")
    logs.configure(module.rpartition(".")[2])
    config = uvicorn.Config(
        getattr(importlib.import_module(module), factory)(),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    uvicorn.Server(config).run([socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
