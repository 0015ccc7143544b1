"""Follows the live feed and prints a line of JSON an event: `OPENMANAGER_TOKEN=… python follow.py http://host:8000`.

Standard library only. It goes on after the last event it saw, however the line breaks.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator


def follow(url: str, token: str, query: str = "") -> Iterator[tuple[str, str, dict[str, object]]]:
    """(event, id, data) for ever. Raises urllib.error.HTTPError for an address or a token that will not do."""
    last, retry_s = "", 3.0
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
        except urllib.error.HTTPError as refusal:
            if refusal.code not in (429, 503):
                raise
        except (OSError, ValueError):
            pass  # the line broke; what was not complete comes again
        time.sleep(retry_s)


if __name__ == "__main__":
    for name, identity, data in follow(sys.argv[1], os.environ["OPENMANAGER_TOKEN"]):
        sys.stdout.write(json.dumps({"event": name, "id": identity, "data": data}) + "\n")
        sys.stdout.flush()
