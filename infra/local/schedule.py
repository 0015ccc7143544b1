"""Runs the scheduled functions of serverless.yml on whole minutes, as EventBridge Scheduler does.

A run that is still going when its next time comes is not started a second time, and times that passed
while the machine slept are not made up for: a function catches up by itself from its watermark.
"""

import importlib
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openmanager import logs

from infra.serverless import Function, Service, read_service

ACCOUNT = "000000000000"
FINISH_S = 2

log = logging.getLogger("openmanager.local.schedule")

Handler = Callable[[dict[str, Any], "Context"], object]


@dataclass(frozen=True)
class Context:
    """What a Lambda function is told about its own invocation."""

    function_name: str
    memory_limit_in_mb: int
    invoked_function_arn: str
    deadline_s: float
    clock: Callable[[], float] = time.monotonic
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    log_group_name: str = "local"
    log_stream_name: str = "local"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout."""
        return max(0, round((self.deadline_s - self.clock()) * 1000))


def scheduled_event(function: str, minute: int, region: str) -> dict[str, Any]:
    """What EventBridge Scheduler sends for a minute (counted since 1970)."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:scheduler:{region}:{ACCOUNT}:schedule/default/{function}"],
        "detail": "{}",
    }


class Job:
    """One scheduled function and its run of the moment."""

    def __init__(self, function: Function, handler: Handler, region: str) -> None:
        self.function = function
        self._handler = handler
        self._region = region
        self._running = threading.Lock()

    def due(self, minute: int) -> bool:
        return any(minute % every == 0 for every in self.function.every_minutes)

    def start(self, minute: int) -> threading.Thread | None:
        """Run for this minute on a thread of its own; None if the run before has not ended."""
        if not self._running.acquire(blocking=False):
            log.warning("%s still runs; its next turn is left out", self.function.name)
            return None
        thread = threading.Thread(target=self._run, args=[minute], name=self.function.name, daemon=True)
        thread.start()
        return thread

    def _run(self, minute: int) -> None:
        name, began = self.function.name, time.monotonic()
        context = Context(
            function_name=name,
            memory_limit_in_mb=self.function.memory_mb,
            invoked_function_arn=f"arn:aws:lambda:{self._region}:{ACCOUNT}:function:{name}",
            deadline_s=began + self.function.timeout_s,
        )
        try:
            result = self._handler(scheduled_event(name, minute, self._region), context)
            log.debug("%s: %.3f s, %s", name, time.monotonic() - began, result)
        except Exception:
            log.exception("%s failed", name)
        finally:
            self._running.release()
        # A thread cannot be ended from outside, which Lambda would do here:
        if time.monotonic() > context.deadline_s:
            log.warning("%s took longer than its timeout of %g s", name, self.function.timeout_s)


class Scheduler:
    """Starts what is due at each whole minute."""

    def __init__(self, jobs: Iterable[Job], clock: Callable[[], float] = time.time) -> None:
        self._jobs = list(jobs)
        self._clock = clock
        self._last = int(clock() // 60)

    def wait_s(self) -> float:
        """Seconds until the next whole minute."""
        return (self._last + 1) * 60 - self._clock()

    def turn(self) -> list[threading.Thread]:
        """Start what the present minute asks for, once, however often this is called in it."""
        minute = int(self._clock() // 60)
        if minute == self._last:
            return []
        self._last = minute
        return [thread for job in self._jobs if job.due(minute) and (thread := job.start(minute))]

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        # At most a second at a time, so that a clock that was set is noticed:
        while not stop.wait(min(max(self.wait_s(), 0.01), 1)):
            self.turn()


def create_jobs(service: Service) -> list[Job]:
    """A job for each scheduled function that can be imported; the others are logged."""
    jobs = []
    for function in service.functions:
        if function.every_minutes:
            try:
                handler = getattr(importlib.import_module(function.module), function.attribute)
            except Exception:
                log.exception("function %s cannot be loaded", function.name)
                continue
            jobs.append(Job(function, handler, service.region))
    return jobs


def main() -> None:
    """The scheduler as the local stack starts it, configured by its environment."""
    logs.configure("schedule")
    service = read_service(Path(os.environ["OPENMANAGER_SERVICE"]))
    sys.path.insert(0, str(service.folder))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Scheduler(create_jobs(service)).run(stop)
    # What runs may finish, within the patience of the supervisor:
    give_up = time.monotonic() + FINISH_S
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(max(0, give_up - time.monotonic()))


if __name__ == "__main__":
    main()
