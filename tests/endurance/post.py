"""Lambda's event source mapping: hands messages of the queue to the workers, and at times not as one would wish."""

import http.client
import json
import random
import threading
import time
from typing import Any

from tests.endurance.stack import WORKERS, World

# How long a message may be late (real seconds), and how many are gathered to be put into another order.
_LATE_S, _GATHER_S, _GATHERED = 6.0, 15.0, 3
_IDLE_S = 0.1
_TIMEOUT_S = 60.0


class Post:
    """A thread for each worker. `troubled` counts messages that were handed on twice, late or in another order."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.fault = ""
        self.troubled = 0
        self.handed = 0
        self.stopping = threading.Event()
        self._chance = random.Random(f"{seed} post")
        self._threads = [threading.Thread(target=self._run, args=[name], name=name, daemon=True) for name in WORKERS]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, worker: str) -> None:
        queue = self.world.queue
        while not self.stopping.is_set():
            event = queue.receive()
            if event is None:
                self.stopping.wait(_IDLE_S)
                continue
            fault = self.fault
            if fault:
                self.troubled += len(event["Records"])
            if fault == "hands on in another order":
                event = self._shuffled(event)
            elif fault == "is late":
                self.stopping.wait(self._chance.random() * _LATE_S)
            answer = self._invoke(worker, event)
            if fault == "hands on twice":
                other = next(name for name in WORKERS if name != worker)
                threads = [threading.Thread(target=self._invoke, args=[name, event]) for name in (worker, other)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            self.handed += len(event["Records"])
            queue.settle(event, answer)
            if answer is None:
                self.stopping.wait(_IDLE_S)

    def _shuffled(self, event: dict[str, Any]) -> dict[str, Any]:
        """This and what comes soon, in another order."""
        give_up = time.monotonic() + _GATHER_S
        while len(event["Records"]) < _GATHERED and time.monotonic() < give_up and not self.stopping.is_set():
            more = self.world.queue.receive()
            if more:
                event["Records"] += more["Records"]
            else:
                self.stopping.wait(_IDLE_S)
        self._chance.shuffle(event["Records"])
        return event

    def _invoke(self, worker: str, event: dict[str, Any]) -> dict[str, Any] | None:
        """What the handler answers; None where it died."""
        connection = http.client.HTTPConnection("127.0.0.1", self.world.worker_port(worker), timeout=_TIMEOUT_S)
        try:
            connection.request("POST", "/", json.dumps(event).encode(), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
