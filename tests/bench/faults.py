"""The fault table: samples sent, acknowledged and found afterwards, for every fault of a store."""

import logging
import os
import secrets
import tempfile
from pathlib import Path

from openmanager import intake
from openmanager.settings import settings
from openmanager.stores import reset

from infra.local.postgres import Postgres
from infra.local.process import free_port
from infra.local.stack import Upstash
from infra.migrations.apply import apply
from tests.faults import door, faults, through

KEY = "bench-key-0123456789abcdefgh"
SEEDS = 5


def report() -> list[str]:
    """The table, as lines."""
    lines = [
        f"Faults: {SEEDS} seeded runs each; a fault begins and ends among 30 pushes, the archive runs meanwhile",
        "  fault                               sent   acknowledged   found",
    ]
    logging.getLogger("openmanager").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder) / "pg", secrets.token_urlsafe(24), free_port(), durable=False)
        upstash = Upstash(Path(folder) / "redis")
        postgres.start()
        upstash.start()
        try:
            apply(postgres.url)
            with door(upstash.url) as redis:
                os.environ.update(
                    OPENMANAGER_STAGE="local",
                    OPENMANAGER_API_KEY=KEY,
                    DATABASE_URL=postgres.url,
                    UPSTASH_REDIS_REST_URL=redis.url,
                    UPSTASH_REDIS_REST_TOKEN=upstash.token,
                    OPENMANAGER_STORE_TIMEOUT_S="0.2",
                )
                settings.cache_clear()
                reset()
                for fault, (begin, end) in faults(redis, postgres).items():
                    counts = [through(fault, begin, end, KEY, seed, intake.forget) for seed in range(SEEDS)]
                    sent, taken, found = (sum(getattr(c, n) for c in counts) for n in ("sent", "acknowledged", "found"))
                    lost = "" if found == taken else "   LOST"
                    lines.append(f"  {fault:34}{sent:6}{taken:15}{found:8}{lost}")
        finally:
            reset()
            upstash.stop()
            postgres.stop()
    return lines
