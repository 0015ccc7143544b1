"""What people do meanwhile: set rules and take them back, acknowledge what fires. Each change is in the audit log."""

import http.client
import json
import threading
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from tests.endurance.stack import World

_TIMEOUT_S = 20.0


def ask(world: World, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """(status, JSON) of a request to the gateway itself; 0 where there was no answer."""
    address = urlsplit(world.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port or 80, timeout=_TIMEOUT_S)
    octets = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, octets, {"Authorization": f"Bearer {world.api_key}"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()


class People(threading.Thread):
    """One change after the other. `asked` and `done` count requests, and those answered with 2xx, by (action, target).

    Acknowledgements are recorded after the fact, and only logged while Postgres is away; they are counted apart.
    """

    def __init__(self, world: World, every_s: float = 2.0) -> None:
        super().__init__(name="people", daemon=True)
        self.world, self.every_s = world, every_s
        self.asked: Counter[tuple[str, str]] = Counter()
        self.done: Counter[tuple[str, str]] = Counter()
        self.acknowledged: Counter[tuple[str, str]] = Counter()
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.wait(self.every_s):
            number += 1
            rule = f"endurance-{number}"
            item = {"kind": "threshold", "metric": "uptime", "warning": 1e14, "enabled": False}
            if self._insist("rule.put", rule, "PUT", f"/api/rules/{rule}", item):
                self._insist("rule.delete", rule, "DELETE", f"/api/rules/{rule}")
            self._acknowledge(number)

    def _insist(self, action: str, target: str, method: str, path: str, body: Any = None) -> bool:
        """Ask until it is done, or found done; whether it was."""
        while not self.stopping.is_set():
            self.asked[action, target] += 1
            status, _ = ask(self.world, method, path, body)
            if 200 <= status < 300:
                self.done[action, target] += 1
                return True
            if status == 404:
                # Done before, and the answer was lost.
                return True
            self.stopping.wait(1)
        return False

    def _acknowledge(self, number: int) -> None:
        _, found = ask(self.world, "GET", "/api/alerts")
        free = [a for a in (found or {}).get("alerts", ()) if a["state"] == "firing"]
        if not free:
            return
        alert = free[number % len(free)]
        path = f"/api/alerts/{alert['server']}/{alert['rule']}/acknowledge"
        status, _ = ask(self.world, "POST", path, {"note": str(number)})
        if 200 <= status < 300:
            self.acknowledged["alert.acknowledge", f"{alert['server']}|{alert['rule']}"] += 1
