"""What a process that takes pushes keeps at hand: enough for the next frames, and no more with every hour."""

from openmanager.stores import pushes
from openmanager.stores.pushes import forget_baselines, store_pushes
from openmanager.stores.segments import SEGMENT_MS
from openmanager.telemetry.samples import MINUTE_MS

from infra.local.stack import Upstash
from tests.recorded import minutes

FIRST = 1_764_000_000_000 // SEGMENT_MS * SEGMENT_MS
SERVERS = ("web-01", "web-02", "db-01")


def test_baselines_of_segments_that_no_frame_leans_on_any_more_are_forgotten(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    forget_baselines()
    for minute in range(0, 300, 5):
        for server in SERVERS:
            (push,) = minutes(server, FIRST + minute * MINUTE_MS, 1, skip=minute)
            store_pushes([push], FIRST + minute * MINUTE_MS + 500)
        held = {segment * 1000 for _, segment in pushes._baselines}
        now = (FIRST + minute * MINUTE_MS) // SEGMENT_MS * SEGMENT_MS
        # The segment of now, the one before, and the one from which that one's have learnt.
        assert held == {max(FIRST, now - back * SEGMENT_MS) for back in range(3)}
        assert len(pushes._baselines) == len(held) * len(SERVERS)
