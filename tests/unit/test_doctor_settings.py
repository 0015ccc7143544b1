"""What the doctor says of settings, and of what an installation says of itself."""

import time

import pytest

from infra.aws import Aws, Stack
from infra.doctor import cloud, running
from infra.doctor.configured import settings
from infra.doctor.place import Place

STRONG = {
    "OPENMANAGER_STAGE": "dev",
    "OPENMANAGER_API_KEY": "pVq3k0ZrTn5cX8yWb2LdGhJm",
    "OPENMANAGER_JWT_KEYS": "k1:Zk9fQ2vX7nB4mR1tY6uI8oP3aS5dF0gH",
    "OPENMANAGER_ENCRYPTION_KEYS": "k1:Lm4nB7vC2xZ9aS6dF3gH8jK1qW5eR0tY",
    "OPENMANAGER_CRON_SECRET": "Hy6tG4fR8eD2wS0qA9zX7cVb",
    "UPSTASH_REDIS_REST_URL": "https://eu1-good-1.upstash.io",
    "UPSTASH_REDIS_REST_TOKEN": "a-token",
    "DATABASE_URL": "postgresql://u:p@db.invalid/om?sslmode=require",
    # A public address, so that no name need be asked for.
    "OPENMANAGER_HEARTBEAT_URL": "https://1.1.1.1/ping/1",
}


def told(**changes: str) -> list[tuple[str, str]]:
    return [(f.state, f.what) for f in settings(Place("test", {**STRONG, **changes}))]


def test_good_settings_are_one_line() -> None:
    assert told() == [("ok", "9 are set and read well")]


@pytest.mark.parametrize(
    ("changes", "state", "says"),
    [
        ({"UPSTASH_REDIS_REST_URL": "redis://a.upstash.io:6379"}, "failed", "Redis' own protocol, not the REST one"),
        ({"UPSTASH_REDIS_REST_URL": "rediss://a.upstash.io:6379"}, "failed", "Redis' own protocol, not the REST one"),
        ({"UPSTASH_REDIS_REST_URL": "a.upstash.io"}, "failed", "does not begin with https://"),
        ({"UPSTASH_REDIS_REST_URL": "http://a.upstash.io"}, "warning", "carries the token in clear"),
        ({"UPSTASH_REDIS_REST_URL": ""}, "failed", "UPSTASH_REDIS_REST_URL: not set"),
        ({"UPSTASH_REDIS_REST_TOKEN": ""}, "failed", "UPSTASH_REDIS_REST_TOKEN: not set"),
        ({"DATABASE_URL": ""}, "failed", "DATABASE_URL: not set"),
        ({"DATABASE_URL": "https://db.invalid"}, "failed", "does not begin with postgresql://"),
        ({"DATABASE_URL": "postgres://u:p@db.invalid/om"}, "warning", "does not insist on TLS"),
        ({"OPENMANAGER_API_KEY": "short"}, "failed", "OPENMANAGER_API_KEY: needs at least 24 characters"),
        ({"OPENMANAGER_API_KEY": "change-me-change-me-change-me"}, "failed", "API_KEY: is or holds a word"),
        ({"OPENMANAGER_API_KEY": "a" * 40}, "failed", "API_KEY: is or holds a word that people guess"),
        ({"OPENMANAGER_JWT_KEYS": "k1:short"}, "failed", "OPENMANAGER_JWT_KEYS: key 1 needs at least 32 octets"),
        ({"OPENMANAGER_JWT_KEYS": ""}, "warning", "OPENMANAGER_JWT_KEYS: not set, so nobody can log in"),
        ({"OPENMANAGER_ENCRYPTION_KEYS": ""}, "warning", "are stored as they are"),
        ({"OPENMANAGER_CRON_SECRET": STRONG["OPENMANAGER_API_KEY"]}, "warning", "CRON_SECRET: is also another secret"),
        ({"OPENMANAGER_HEARTBEAT_URL": ""}, "warning", "nobody outside notices when all of it stops"),
        ({"OPENMANAGER_HEARTBEAT_URL": "http://1.1.1.1/1"}, "failed", "HEARTBEAT_URL: is not an address such as"),
        ({"OPENMANAGER_HEARTBEAT_URL": "https://10.0.0.9/1"}, "failed", "is at 10.0.0.9, which is not a public"),
        ({"OPENMANAGER_HEARTBEAT_URL": "https://nobody.invalid/1"}, "failed", "nobody.invalid could not be resolved"),
        ({"OPENMANAGER_SHARDS": "many"}, "failed", "OPENMANAGER_SHARDS: 'many' is not a number"),
    ],
)
def test_a_mistake_is_named_by_its_variable(changes: dict[str, str], state: str, says: str) -> None:
    found = [(s, what) for s, what in told(**changes) if says in what]
    assert [s for s, _ in found] == [state]


def test_no_secret_is_repeated() -> None:
    changes = {"OPENMANAGER_API_KEY": "change-me-change-me-change-me", "OPENMANAGER_JWT_KEYS": "k1:password"}
    said = repr(settings(Place("test", {**STRONG, **changes})))
    assert "change-me-change-me" not in said
    assert "k1:password" not in said
    assert STRONG["OPENMANAGER_API_KEY"] not in repr(Place("test", STRONG))


@pytest.mark.parametrize(
    ("ages", "state", "says"),
    [
        (None, "skipped", "did not say which servers there are"),
        ({}, "warning", "no server has sent anything yet"),
        ({"a": 5, "b": 30}, "ok", "2 servers push"),
        ({"a": 5, "b": 3000}, "warning", "1 of 2 servers have sent nothing for 10 minutes: b"),
        ({"a": 1200, "b": 3000}, "failed", "nobody pushes: the last was a, 20 minutes ago"),
    ],
)
def test_who_pushes_is_judged_by_when_they_did(ages: dict[str, float] | None, state: str, says: str) -> None:
    now = time.time()
    servers = ages and [{"id": name, "seen": now - age, "judged": None} for name, age in ages.items()]
    (finding,) = running.senders(Place("test", {}, "http://om.invalid"), [] if ages == {} else servers or None)
    assert finding.state == state
    assert says in finding.what


class Standing(Aws):
    """A stage whose stack has a status that no emulator gets into."""

    def __init__(self, status: str) -> None:
        super().__init__("dev", "eu-central-1")
        self._status = status

    def stack(self, region: str = "") -> Stack | None:
        return Stack(self._status, {})


@pytest.mark.parametrize(
    ("status", "state", "do"),
    [
        ("UPDATE_COMPLETE", "ok", ""),
        ("UPDATE_IN_PROGRESS", "warning", "wait until that has ended"),
        ("UPDATE_ROLLBACK_COMPLETE", "failed", "the stack's events in the CloudFormation console name what failed"),
        ("ROLLBACK_COMPLETE", "failed", "then deploy again"),
    ],
)
def test_a_stack_is_well_only_when_it_stands_as_it_was_wanted(status: str, state: str, do: str) -> None:
    (finding,) = cloud.stack(Standing(status))
    assert finding.state == state
    assert (
        f"openmanager-dev in eu-central-1 is {status}" in finding.what or f"openmanager-dev is {status}" in finding.what
    )
    assert do in finding.do
