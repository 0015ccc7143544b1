"""What it costs to know who asks: microseconds and Redis commands a request, by kind of credential."""

import asyncio
import hmac
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

from openmanager.security import keys, login, passwords, programs, revocations, tokens
from openmanager.settings import settings
from openmanager.stores import identity
from openmanager.web.auth import identify

from infra.local.stack import Upstash
from tests.bench.commands import stores
from tests.bench.output import say

REQUESTS = 2_000
KEY = "bench-settings-key-0123456789abcdef"
JWT_KEYS = "bench:0123456789abcdef0123456789abcdef"
PASSWORD = "correct horse battery"


def main() -> None:
    """The table."""
    os.environ.update(OPENMANAGER_API_KEY=KEY, OPENMANAGER_JWT_KEYS=JWT_KEYS)
    with stores() as redis:
        settings.cache_clear()
        reference = _microseconds(lambda: hmac.digest(b"key" * 11, b"x" * 256, "sha256"))
        say("Authentication of a request, by a warm function")
        say(f"  reference: HMAC-SHA256 of 256 octets {reference:.2f} us")
        say("  credential              us   over reference   commands, first   commands, later")
        made = programs.add({"name": "bench", "role": "viewer"}, "bench", datetime.now(UTC))
        identity.put_user("ann", "viewer", passwords.hash_password(PASSWORD), True, "bench", lambda: None)
        for name, bearer in (
            ("key of the settings", KEY),
            ("API key", made["key"]),
            ("token", tokens.issue("ann", "viewer", time.time())[0]),
        ):
            _row(redis, name, bearer, reference)
        redis.reset_stats()
        spent = _microseconds(lambda: login.log_in("ann", PASSWORD, "192.0.2.1"), 5)
        each = redis.stats()["commands"] / 5
        say(f"  logging in (scrypt){spent:9.0f}{spent / reference:17.0f}{each:36.1f}")


def _row(redis: Upstash, name: str, bearer: str, reference: float) -> None:
    keys.forget()
    revocations.forget()
    redis.reset_stats()
    asyncio.run(identify(bearer, "192.0.2.1"))
    first = redis.stats()["commands"]
    redis.reset_stats()

    async def ask() -> None:
        for _ in range(REQUESTS):
            await identify(bearer, "192.0.2.1")

    spent = _microseconds(lambda: asyncio.run(ask()), 1) / REQUESTS
    later = redis.stats()["commands"] / REQUESTS
    say(f"  {name:<20}{spent:8.1f}{spent / reference:17.1f}{first:18}{later:18.3f}")


def _microseconds(work: Callable[[], object], times: int = 1000) -> float:
    """Mean time of a call, the least of three rounds where there are many."""
    rounds = 3 if times > 10 else 1
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(times):
            work()
        spent.append((time.perf_counter() - began) / times * 1e6)
    return min(spent)
