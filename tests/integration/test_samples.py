"""The pages of the samples route together are what was sent, hot and archived alike."""

from typing import Any

import numpy as np
import pytest
from openmanager import archive, charts
from openmanager.errors import InvalidInput, NotFound
from openmanager.settings import settings
from openmanager.stores import history
from openmanager.stores.pushes import store_pushes
from openmanager.stores.segments import read_server_frames, segments_between
from openmanager.telemetry.samples import MINUTE_MS, Push, Samples, merge
from openmanager.watch import rounds

from tests.recorded import minutes

# Two hours around midnight, so that pages cross a day.
FIRST = 1_764_028_800_000 - 3_600_000
COUNT = 120
LATER_MS = FIRST + COUNT * MINUTE_MS


def pages(server: str, start_ms: int, stop_ms: int, now_ms: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        found.append(charts.page(server, start_ms / 1000, stop_ms / 1000, cursor, now_ms))
        cursor = found[-1]["next"]
        if cursor is None:
            return found


def table(page: dict[str, Any]) -> Samples:
    times = np.array(page["times"], np.int64)
    values = np.array(page["values"], np.float64).reshape(len(times), len(page["series"]))
    return Samples(tuple(page["series"]), times, values, np.isin(times, page["late"]))


def play(pushes: list[Push]) -> None:
    for i, push in enumerate(pushes):
        store_pushes([push], int(push.samples.times[0]) + 500)
        rounds.tick(FIRST + (i + 1) * MINUTE_MS + settings().grace_s * 1000)


def test_the_pages_are_what_was_sent_across_the_seam_and_midnight(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmanager.charts.raw.MAX_CELLS", 200)
    pushes = minutes("web-01", FIRST, COUNT)
    play(pushes[:70] + pushes[71:])
    archive.run(LATER_MS)
    store_pushes([pushes[70]], LATER_MS)
    assert read_server_frames("web-01", segments_between(FIRST, LATER_MS))
    assert history.read_blocks("web-01", FIRST, LATER_MS)
    found = pages("web-01", FIRST - 86_400_000 * 3, LATER_MS, LATER_MS)
    assert all(0 < len(p["times"]) * len(p["series"]) <= 200 for p in found)
    assert {(p["server"], p["attributes"]["role"]) for p in found} == {("web-01", "web")}
    whole, sent = merge([table(p) for p in found]), merge([p.samples for p in pushes])
    assert np.array_equal(whole.times, sent.times)
    order = [sent.series.index(name) for name in whole.series]
    assert np.array_equal(whole.values, sent.values[:, order])
    assert whole.times[whole.late].tolist() == [FIRST + 70 * MINUTE_MS + 20_000]


def test_a_cursor_of_another_span_is_refused_and_an_unknown_server_not_found(stores_env: dict[str, str]) -> None:
    for cursor in ("x", "-1", "5", str(LATER_MS)):
        with pytest.raises(InvalidInput, match="cursor"):
            charts.page("web-01", FIRST / 1000, LATER_MS / 1000, cursor, LATER_MS)
    with pytest.raises(NotFound, match="web-01"):
        charts.page("web-01", FIRST / 1000, LATER_MS / 1000, None, LATER_MS)
