"""Follows the live feed and prints a line of JSON an event: `OPENMANAGER_TOKEN=… python follow.py http://host:8000`.

Standard library only. It goes on after the last event it saw, however the line breaks.
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any


def follow(
    url: str, token: str, query: str = "", last: str = "", broke: Callable[[Exception], object] = str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(event, id, data) for ever, from after the id `last`; `broke` hears why a line broke.

    Raises urllib.error.HTTPError for an address or a token that will not do.
    """
    retry_s = 3.0
    while True:
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        request = urllib.request.Request(f"{url}/api/stream{query}", headers=headers | {"Last-Event-ID": last})
        try:
            with urllib.request.urlopen(request, timeout=30) as lines:
                event: dict[str, str] = {}
                for line in lines:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "retry":
                        retry_s = int(value) / 1000
                    elif name:
                        event[name] = value
                    elif "data" in event:
                        last = event.get("id", last)
                        yield event["event"], last, json.loads(event["data"])
                        event = {}
                    else:
                        event = {}
        except (OSError, ValueError, http.client.HTTPException) as why:
            if isinstance(why, urllib.error.HTTPError) and why.code not in (429, 502, 503, 504):
                raise
            broke(why)  # what was not complete comes again
        time.sleep(retry_s)


if __name__ == "__main__":
    for name, identity, data in follow(sys.argv[1], os.environ["OPENMANAGER_TOKEN"]):
        sys.stdout.write(json.dumps({"event": name, "id": identity, "data": data}) + "\n")
        sys.stdout.flush()
