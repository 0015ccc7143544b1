"""The live stack with a fleet in it that goes on sending."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from infra.local.process import Child
from tests.live import LiveStack

# Quiet servers whose maintenance window is open at all times.
MAINTAINED = ["worker-sin1-02", "cache-sin1-01"]


class FleetStack(LiveStack):
    """The whole stack, filled by tests.browser.seed; `start` returns when the fleet has been judged."""

    def __init__(self, folder: Path, port: int, size: int, **environment: str) -> None:
        super().__init__(folder, port)
        # A machine under load is no fault of the stores.
        self.env |= {"OPENMANAGER_STORE_TIMEOUT_S": "20", **environment}
        self.size = size
        self.sender = Child("sender", folder)

    def start(self) -> None:
        """Start, fill, and let the schedule begin only then, or a tick would judge what is half there."""
        super().start()
        schedule = self.children()["schedule"]
        schedule.suspend()
        try:
            self.fill()
        finally:
            schedule.resume()
        self.take_care()

    def fill(self) -> None:
        """Push the fleet and wait until it is judged; its sender goes on."""
        env = {**self.children()["gateway"].environ(), "OPENBLAS_NUM_THREADS": "1"}
        self.sender.start([sys.executable, "-m", "tests.browser.seed", self.url, str(self.size)], env=env)
        patience_s = 60 + self.size / 2
        self.wait_for(lambda: "seeded" in self.sender.log.read_text() or self.sender.pid is None, patience_s)
        assert self.sender.pid is not None, self.sender.log.read_text()

    def take_care(self) -> None:
        """What people do with alerts: one is taken care of, one is silenced, and a window of maintenance is open."""
        # Of those that do not end by themselves, nor become worse, which would take them out of anybody's care.
        self.wait_for(lambda: len(self._silent()) > 2)
        quiet, taken = self._silent()[-2:]
        self.must(f"/api/alerts/{taken['server']}/{taken['rule']}/acknowledge", "POST", {"note": "disk is on its way"})
        self.must(
            "/api/silences",
            "POST",
            {"minutes": 240, "servers": [quiet["server"]], "rules": [quiet["rule"]], "reason": "known since Monday"},
        )
        week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        window = {"days": week, "at": "00:00", "minutes": 1440, "servers": MAINTAINED, "reason": "new kernels"}
        self.must("/api/maintenance/kernels", "PUT", window)

    def _silent(self) -> list[dict[str, Any]]:
        told = json.loads(self.ask("/api/alerts")[1])["alerts"]
        return [a for a in told if a["rule"] == "offline" and a["fired"] and not a["suppressed"]]

    def must(self, path: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask, and take nothing but success for an answer."""
        status, text = self.ask(path, method, json.dumps(body).encode())
        assert status < 300, f"{method} {path}: {status} {text}"
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer

    def stop(self) -> int:
        self.sender.stop(timeout_s=5)
        return super().stop()


def environment(stack: LiveStack) -> dict[str, str]:
    """What the stack's functions see."""
    return {**os.environ, **stack.children()["gateway"].environ()}
