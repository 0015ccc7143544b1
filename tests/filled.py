"""An installation with something of everything in both stores, put there by the parts that do so live."""

import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from openmanager import archive, stores
from openmanager.archive import ledger
from openmanager.settings import settings
from openmanager.stores import admission, blocks, history, intake, notifications, outbox, usage
from openmanager.stores.outbox import Settlement
from openmanager.stores.partitions import DAY_MS
from openmanager.stores.pushes import store_pushes
from openmanager.stores.redis import connect
from openmanager.stores.segments import SEGMENT_MS
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples
from openmanager.watch import rounds

from infra.openapi import ROOT
from infra.serverless import read_service
from tests.events import Reply, invoke
from tests.integration.test_ledger import verdict
from tests.recorded import minutes

COUNT = 50
DAY_S = 86_400
_PLACEHOLDERS = ("{id}", "{server}", "{rule}", "{name}")


@contextmanager
def within(env: Mapping[str, str]) -> Iterator[None]:
    """In this process functions find the stores that `env` names."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        settings.cache_clear()
        stores.reset()
        try:
            yield
        finally:
            settings.cache_clear()
            stores.reset()


def questions(first_ms: int) -> tuple[str, ...]:
    """What is asked of an installation that was filled from `first_ms` on; the time of asking changes nothing."""
    first, last = first_ms // 1000, first_ms // 1000 + COUNT * 60
    span = f"from={first - 12 * DAY_S}&to={last + 3600}"
    return (
        "/api/servers",
        *(f"/api/servers/{server}" for server in ("web-01", "db-01")),
        *(f"/api/servers/{server}/prediction" for server in ("web-01", "db-01")),
        *(f"/api/servers/web-01/metrics?from={first}&to={last}&step={step}" for step in (60, 300)),
        f"/api/servers/web-01/samples?from={first}&to={last}",
        *(f"/api/servers/old-01/metrics?{span}&step={step}" for step in (900, 3600, 86_400)),
        "/api/outlooks?servers=web-01,db-01",
        "/api/alerts",
        "/api/incidents",
        f"/api/alerts/history?{span}",
        f"/api/alerts/statistics?{span}",
        f"/api/predictions/record?{span}",
        "/api/rules",
        "/api/dependencies",
        "/api/silences",
        "/api/maintenance",
        "/api/notifications/targets",
        "/api/notifications/targets/ops",
        "/api/notifications/outbox",
        "/api/users",
        "/api/keys",
    )


def ask(method: str, path: str, document: Any = None) -> Reply:
    """A route of any function, as the first administrator."""
    at, _, query = path.partition("?")
    body = None if document is None else json.dumps(document).encode()
    return invoke(_door(method, at), method, at, query=query, body=body, key=settings().api_key)


def answers(first_ms: int) -> dict[str, bytes]:
    """What every question is answered, each with 200."""
    found = {path: ask("GET", path) for path in questions(first_ms)}
    refused = {path: reply.body for path, reply in found.items() if reply.status != 200}
    assert not refused, refused
    return {path: reply.body for path, reply in found.items()}


def fill(first_ms: int) -> None:
    """Into empty stores that the environment names: `COUNT` minutes from `first_ms` on, and three days of the
    nine before.

    Some of what came is archived, the rest is still in Redis.
    """
    _people()
    _older(first_ms)
    for i, push in enumerate(minutes("web-01", first_ms, COUNT)):
        at_ms, sent = int(push.samples.times[0]), [push]
        # A database that is hot from its tenth minute on and silent in the end.
        if i < COUNT - 12:
            sent.append(Push("db-01", _gauge(at_ms, 95.0 if i >= 10 else 12.0), {"role": "database"}))
        store_pushes(sent, at_ms + 500)
        rounds.tick(first_ms + (i + 1) * MINUTE_MS + settings().grace_s * 1000)
        if i == COUNT - 20:
            archive.run(first_ms + i * MINUTE_MS)
    assert ask("POST", "/api/alerts/db-01/cpu/acknowledge", {"note": "on it"}).status == 200
    _held(first_ms)


def _people() -> None:
    """What people set."""
    made = (
        (
            "PUT",
            "/api/notifications/targets/ops",
            {"channel": "ntfy", "settings": {"topic": "ops", "token": "tk_0123456789abcdef"}},
        ),
        ("PUT", "/api/users/ann", {"role": "operator"}),
        ("POST", "/api/keys", {"name": "agents", "role": "agent", "servers": ["web-*"], "days": 365}),
        ("PUT", "/api/rules/cpu", {"warning": 85, "for_min": 4}),
        ("PUT", "/api/dependencies", {"web": ["database"]}),
        ("POST", "/api/silences", {"minutes": 60, "roles": ["api"], "reason": "deployment"}),
        (
            "PUT",
            "/api/maintenance/sunday",
            {"days": ["sun"], "at": "02:00", "minutes": 120, "roles": ["backup"], "timezone": "Asia/Seoul"},
        ),
    )
    for method, path, document in made:
        reply = ask(method, path, document)
        assert reply.status < 300, (path, reply.body)


def _older(first_ms: int) -> None:
    """Days that will be rolled up, all but the last also dropped; and a frame that nobody could read."""
    start = first_ms // DAY_MS * DAY_MS - 9 * DAY_MS
    days = (np.arange(at, at + DAY_MS, 5 * MINUTE_MS, dtype=np.int64) for at in start + np.array([0, 1, 7]) * DAY_MS)
    times = np.concatenate(list(days))
    values = np.round(40 + 30 * np.sin(times / DAY_MS * 2 * np.pi), 1)[:, None]
    past = Samples(("cpu_utilization",), times, values, np.zeros(len(times), np.bool_))
    of = past.times // SEGMENT_MS
    blocks.store_segments({("old-01", int(s) * SEGMENT_MS // 1000): past.rows(of == s) for s in np.unique(of)})
    history.store_servers({"old-01": ({"role": "storage"}, start / 1000, start / 1000 + 2 * 86_400)})
    minute = start // MINUTE_MS
    judged = [
        verdict(minute + i, "offline" if 100 <= i < 110 else "healthy", 0.9 if 80 <= i < 100 else 0.05)
        for i in range(200)
    ]
    ledger.settle([("old-01", at, said) for _, at, said in judged])
    history.store_damaged([("om:0:frames:1", "old-01|1|x", "a\tb\\c\nd", "it did not decode")])


def _held(first_ms: int) -> None:
    """What only Redis has, and what Postgres holds for it."""
    last_ms = first_ms + COUNT * MINUTE_MS
    intake.add([Push("late-01", _gauge(first_ms, 50.0), {"role": "api"})], last_ms)
    waiting = outbox.take("filling", 30)
    assert not isinstance(waiting, str)
    key, read = next(iter(waiting.entries.items()))
    failed = json.dumps({**json.loads(read), "failed": last_ms})
    outcome = json.dumps({"at_ms": last_ms, "target": "ops", "kind": "refused", "detail": "gone"})
    notifications.store_outcomes([("1-1", outcome)])
    assert outbox.settle([Settlement(key, read, "park", failed, outcome)]) == 1
    outbox.release("filling")
    admission.revoke("token|0123", 4e9, 0)
    usage.add({("ingest", "invocations"): 7}, last_ms / 1000)
    connect().call("HSET", "om:mcp:memory", "version", 1, "graph", '{"entities":["한글 \\"quoted\\""]}')


def _gauge(at_ms: int, cpu: float) -> Samples:
    return Samples(("cpu_utilization",), np.array([at_ms], np.int64), np.array([[cpu]]), np.zeros(1, np.bool_))


def _door(method: str, path: str) -> Any:
    """The function that a path leads to."""
    parts = path.split("/")
    fitting = [
        (sum(ours == theirs for ours, theirs in zip(names, parts, strict=True)), function.module)
        for function in read_service(ROOT / "serverless.yml").functions
        for route in function.routes
        if route.method == method and len(names := route.path.split("/")) == len(parts)
        if all(ours in (theirs, *_PLACEHOLDERS) for ours, theirs in zip(names, parts, strict=True))
    ]
    return importlib.import_module(max(fitting)[1]).handler
