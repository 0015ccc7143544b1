"""Notices for the outbox in tests, and what is found in the stores afterwards."""

import json
from typing import Any

import psycopg
from openmanager import notify
from openmanager.notify import Notice, route
from openmanager.notify.targets import dump, read_target

from infra.local.stack import Upstash
from tests.receivers import Receiver

NOW_MS = 1_764_000_000_000
LEASE = "om:lease:notify"


def hook(receiver: Receiver, name: str, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{receiver.server_port}/{name}"
    return {"id": name, "channel": "webhook", "settings": {"url": url, "secret": "s" * 24}, **more}


def publish(redis: Upstash, *targets: dict[str, Any]) -> None:
    redis.command("SET", "om:targets", dump([read_target(t) for t in targets]))


def notice(name: str, **more: Any) -> Notice:
    plain = {"event": "firing", "server": "web-01", "rule": "cpu", "severity": "critical", "since": 0.0, "at": 60.0}
    return Notice(**{"id": name, "title": "", **plain, **more})


def put(redis: Upstash, *notices: Notice) -> set[str]:
    """What the round's commit does; the keys of the entries."""
    targets = notify.targets.parse(redis.command("GET", "om:targets"))
    fields = {key: text for one in notices for key, text in route(one, targets).items()}
    for key, text in fields.items():
        redis.command("HSET", "om:outbox", key, text)
    return set(fields)


def outbox(redis: Upstash, key: str = "om:outbox") -> dict[str, Any]:
    flat = redis.command("HGETALL", key)
    return {k: json.loads(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}


def outcomes(redis: Upstash) -> list[dict[str, Any]]:
    return [json.loads(flat[1]) for _, flat in redis.command("XRANGE", "om:notices", "-", "+")]


def rows(url: str) -> list[tuple[str, dict[str, Any]]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT target, outcome FROM notification_outcomes ORDER BY place").fetchall()
