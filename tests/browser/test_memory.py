"""Going to and fro between overview and a server leaves nothing behind."""

import pytest

from tests.browser.chromium import Watched
from tests.browser.conftest import FLEET, Visit
from tests.browser.walk import all_there, riskiest, settled

pytestmark = pytest.mark.interop

SWITCHES = 50
MOST_GROWTH = 1 << 20


def to_and_fro(page: Watched, server: str) -> None:
    page.run("(id) => { location.hash = '#/servers/' + id; }", server)
    page.until("document.querySelector('.page.server .chart canvas')")
    settled(page)
    page.run("() => { location.hash = '#/'; }")
    all_there(page, FLEET)
    settled(page)


def footprint(page: Watched) -> dict[str, float]:
    """Heap, nodes and listeners once what is gone has been collected."""
    page.collect_garbage()
    return {name: page.metrics()[name] for name in ("JSHeapUsedSize", "Nodes", "JSEventListeners")}


def test_fifty_switches_leave_heap_nodes_and_listeners_as_they_were(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    server = riskiest(page)
    # Code and caches come with the first few.
    for _ in range(5):
        to_and_fro(page, server)
    before = footprint(page)
    for _ in range(SWITCHES):
        to_and_fro(page, server)
    after = footprint(page)
    growth = {name: after[name] - before[name] for name in before}
    assert growth["JSHeapUsedSize"] <= MOST_GROWTH, growth
    # The fleet lives on meanwhile: an alert more is a row more. A leak would be a view more for each switch.
    assert growth["Nodes"] <= 4 * SWITCHES, growth
    assert growth["JSEventListeners"] <= SWITCHES / 2, growth
