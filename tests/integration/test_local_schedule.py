"""The local scheduler, with a clock in hand."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.local.schedule import Context, Job, Scheduler, create_jobs
from infra.serverless import Function, Service

NOON = 1_795_435_200.0  # a whole number of hours


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Calls:
    """A handler that notes its events."""

    events: list[dict[str, Any]] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)
    then: Callable[[], None] = lambda: None

    def __call__(self, event: dict[str, Any], context: Context) -> None:
        self.events.append(event)
        self.contexts.append(context)
        self.then()


def job(handler: Calls, *every_minutes: int, name: str = "tick") -> Job:
    function = Function(name, f"functions.{name}.handler", "handler", 55, 512, (), every_minutes)
    return Job(function, handler, "eu-central-1")


def turn(scheduler: Scheduler) -> None:
    for thread in scheduler.turn():
        thread.join()


def test_each_job_runs_on_the_whole_minutes_it_asked_for() -> None:
    clock, each, fifth = Clock(NOON + 10), Calls(), Calls()
    scheduler = Scheduler([job(each, 1), job(fifth, 5)], clock)
    assert scheduler.wait_s() == 50
    for second in range(11, 11 * 60):
        clock.now = NOON + second
        turn(scheduler)
    assert [event["time"][11:] for event in each.events] == [f"12:{minute:02}:00Z" for minute in range(1, 11)]
    assert [event["time"][11:] for event in fifth.events] == ["12:05:00Z", "12:10:00Z"]


def test_minutes_slept_through_are_not_made_up_for() -> None:
    clock, calls = Clock(), Calls()
    scheduler = Scheduler([job(calls, 1)], clock)
    clock.now += 3600 + 30
    turn(scheduler)
    turn(scheduler)
    assert [event["time"] for event in calls.events] == ["2026-11-23T13:00:00Z"]


def test_a_clock_that_is_set_back_does_not_stop_the_schedule() -> None:
    clock, calls = Clock(), Calls()
    scheduler = Scheduler([job(calls, 1)], clock)
    clock.now -= 1800
    turn(scheduler)
    clock.now += 60
    turn(scheduler)
    assert len(calls.events) == 2


def test_a_run_that_still_goes_is_not_joined_by_a_second(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    clock, calls = Clock(), Calls(then=lambda: release.wait(10) and None)
    scheduler = Scheduler([job(calls, 1)], clock)
    clock.now += 60
    (running,) = scheduler.turn()
    clock.now += 60
    assert scheduler.turn() == []
    assert "still runs" in caplog.text
    release.set()
    running.join()
    clock.now += 60
    turn(scheduler)
    assert len(calls.events) == 2


def test_a_failing_run_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the store is away")

    clock, calls = Clock(), Calls(then=fail)
    scheduler = Scheduler([job(calls, 1)], clock)
    for _ in range(2):
        clock.now += 60
        turn(scheduler)
    assert len(calls.events) == 2
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == 2 * ["the store is away"]


def test_a_run_is_told_who_calls_and_how_long_it_may_take() -> None:
    clock, calls = Clock(), Calls()
    scheduler = Scheduler([job(calls, 1)], clock)
    clock.now += 60
    turn(scheduler)
    (event,), (context,) = calls.events, calls.contexts
    assert event["source"] == "aws.scheduler"
    assert event["resources"] == ["arn:aws:scheduler:eu-central-1:000000000000:schedule/default/tick"]
    assert context.function_name == "tick"
    assert 0 < context.get_remaining_time_in_millis() <= 55_000


def test_remaining_time_runs_down_to_nothing() -> None:
    clock = Clock(100)
    context = Context("tick", 512, "arn", deadline_s=155, clock=clock)
    assert context.get_remaining_time_in_millis() == 55_000
    clock.now = 200
    assert context.get_remaining_time_in_millis() == 0


def test_a_function_that_cannot_be_imported_is_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    function = Function("lost", "functions.lost_and_gone.handler", "handler", 6, 512, (), (1,))
    with caplog.at_level(logging.ERROR):
        assert create_jobs(Service(Path(), "local", {}, (function,))) == []
    assert "lost" in caplog.text
