"""One source for every count: the sentence, the tally, the map, the groups, the badge, the tabs and the lists agree."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.chromium import Watched
from tests.browser.conftest import FLEET, Visit
from tests.browser.stack import FleetStack
from tests.browser.walk import all_there, settled

pytestmark = pytest.mark.interop

# Of a table that is longer, until somebody asks for more.
ROWS = 120

# All that the overview says in numbers, read at one moment.
READ = """() => {
  const number = (el) => Number((el?.textContent ?? "").replace(/[^0-9]/g, "") || 0);
  const all = (s) => [...document.querySelectorAll(s)];
  const status = (a) => new URLSearchParams((a.hash ?? "").split("?")[1]).get("status");
  const seen = all(".badge").find((b) => b.checkVisibility());
  return {
    tally: Object.fromEntries(all(".tally a").map((a) => [status(a), number(a.querySelector("b"))])),
    sentence: document.querySelector(".verdict h1")?.innerText ?? "",
    groups: all(".group .n").map(number),
    total: number(document.querySelector(".fleet-head .note, .fleet .section-head .note, [data-total]")),
    badge: number(seen?.querySelector("[aria-hidden]") ?? seen),
    tabs: Object.fromEntries(all("[data-tab]").map((b) => [b.dataset.tab, number(b.querySelector(".count"))])),
    map: document.querySelector(".map canvas, .map [role=img]")?.getAttribute("aria-label") ?? "",
  };
}"""


@pytest.mark.parametrize("language", chromium.LANGUAGES)
def test_every_part_of_the_overview_says_the_same(visit: Visit, language: str) -> None:
    page = visit(language=language)
    all_there(page, FLEET)
    settled(page)
    page.until("document.querySelector('.side [data-tab]')")
    said = page.run(READ)
    tally = said["tally"]
    assert sum(tally.values()) == FLEET
    assert sum(said["groups"]) == FLEET
    assert str(tally["offline"]) in said["sentence"]
    assert said["badge"] == said["tabs"]["open"]


def test_the_page_says_what_the_api_says(stack: FleetStack, visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    settled(page)

    def same() -> bool:
        # A round may fall between the two looks.
        api = Counter(server["status"] for server in json.loads(stack.ask("/api/servers")[1])["servers"])
        tally = page.run(READ)["tally"]
        # The page calls silent what has not been judged so yet, and knows who is maintained.
        grave = ("offline", "critical", "warning")
        return all(tally[status] <= api[status] for status in grave) and tally["offline"] == api["offline"]

    chromium.until(same, page, "the tally to be what the API says")


def test_lists_are_as_long_as_their_counts(stack: FleetStack, visit: Visit) -> None:
    page = visit("/#/alerts")
    settled(page)
    page.until("document.querySelector('.alert-list li')")
    for shelf in ("open", "acknowledged", "silenced"):
        page.page.locator(f"[data-tab={shelf}]").click()
        settled(page)
        rows = page.until(
            "(s) => { const n = Number(document.querySelector(`[data-tab=${s}] .count`).textContent);"
            " const rows = document.querySelectorAll('.alert-list > li').length; return rows === n ? {n} : null; }",
            shelf,
        )
        assert rows["n"] > 0, f"the fleet should have an alert that is {shelf}"


def test_filtering_the_table_shows_as_many_as_the_tally_says(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    tally: dict[str, Any] = page.run(READ)["tally"]
    assert {"offline", "critical"} <= tally.keys()
    for status in tally:
        page.run("(s) => { location.hash = '#/servers?status=' + s; }", status)
        settled(page)
        # A long list shows its first rows only.
        page.until("(n) => document.querySelectorAll('tbody tr').length === n", min(tally[status], ROWS))


def test_counts_hold_while_the_fleet_goes_on(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    settled(page)
    watch(page, frames=5)


def watch(page: Watched, frames: int) -> None:
    """Look at each of some updates: never do two parts disagree."""
    for _ in range(frames):
        before = page.run("document.body.innerText")
        page.until("(t) => document.body.innerText !== t", before)
        said = page.run(READ)
        assert sum(said["tally"].values()) == sum(said["groups"]) == FLEET
        assert said["badge"] == said["tabs"]["open"]
