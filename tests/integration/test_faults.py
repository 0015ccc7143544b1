"""Whatever happens to a store: what was acknowledged is found."""

from collections.abc import Iterator

import pytest
from openmanager import intake
from openmanager.settings import settings
from openmanager.stores import reset

from infra.local.postgres import Postgres
from tests.faults import REDIS, Count, Door, door, faults, through

SEED = 3
NAMES = [
    "none",
    *(f"Redis {fault}" for fault in REDIS),
    "Postgres is away",
    "Postgres cuts its connections",
    "both are away",
]


@pytest.fixture
def redis_door(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The functions reach Redis through a door that can go wrong."""
    with door(stores_env["UPSTASH_REDIS_REST_URL"]) as opened:
        monkeypatch.setenv("UPSTASH_REDIS_REST_URL", opened.url)
        monkeypatch.setenv("OPENMANAGER_STORE_TIMEOUT_S", "0.2")
        settings.cache_clear()
        reset()
        yield opened
        reset()


@pytest.mark.parametrize("seed", range(SEED))
@pytest.mark.parametrize("fault", NAMES)
def test_what_was_acknowledged_is_found(
    redis_door: Door, postgres: Postgres, stores_env: dict[str, str], fault: str, seed: int
) -> None:
    begin, end = faults(redis_door, postgres)[fault]
    count: Count = through(fault, begin, end, stores_env["OPENMANAGER_API_KEY"], seed, intake.forget)
    assert count.found == count.acknowledged
    # With one store left everything is taken; with none nothing may be promised.
    assert (count.acknowledged == count.sent) == (fault != "both are away")


def test_every_fault_is_tried(redis_door: Door, postgres: Postgres) -> None:
    assert list(faults(redis_door, postgres)) == NAMES
