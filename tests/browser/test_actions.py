"""What people do: with the keyboard, from the login to a silence, and taking it back."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.chromium import Watched
from tests.browser.conftest import FLEET, Visit
from tests.browser.stack import FleetStack
from tests.browser.walk import all_there, settled

pytestmark = pytest.mark.interop

HERE = "(h) => location.hash === h || (h === '#/' && location.hash === '')"


def press(page: Watched, *keys: str) -> None:
    for key in keys:
        page.page.keyboard.press(key)


def focus_is(page: Watched, selector: str) -> bool:
    return bool(page.run("(s) => document.activeElement.closest(s) !== null", selector))


def test_letters_lead_to_every_view(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    for letter, place in (("s", "#/servers"), ("a", "#/alerts"), ("r", "#/record"), ("o", "#/")):
        press(page, "g", letter)
        page.until(HERE, place)
        settled(page)


def test_j_and_k_move_along_the_rows_and_enter_opens_one(visit: Visit) -> None:
    page = visit("/#/servers")
    page.until("document.querySelectorAll('[data-row]').length > 3")
    press(page, "j")
    page.until("document.activeElement.closest('[data-row]')")
    first = page.run("document.activeElement.closest('[data-row]').innerText")
    press(page, "j")
    page.until("(t) => document.activeElement.closest('[data-row]').innerText !== t", first)
    press(page, "k")
    page.until("(t) => document.activeElement.closest('[data-row]').innerText === t", first)
    press(page, "Enter")
    page.until("location.hash.startsWith('#/servers/')")


def test_slash_and_ctrl_k_open_the_palette_which_finds_a_server(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    press(page, "/")
    page.until("document.querySelector('dialog[open] input')")
    # In a field a letter is a letter.
    page.page.keyboard.type("gsdb-fra")
    assert page.run("document.querySelector('dialog[open] input').value") == "gsdb-fra"
    press(page, "Escape")
    page.until("!document.querySelector('dialog[open]')")
    press(page, "Control+k")
    page.until("document.querySelector('dialog[open] input')")
    page.page.keyboard.type("db-fra1")
    page.until("document.querySelector('dialog[open] [role=option]')?.innerText.includes('db-fra1')")
    assert page.violations() == []
    press(page, "Enter")
    page.until("location.hash.startsWith('#/servers/db-fra1')")


def test_question_mark_lists_the_keys_and_t_turns_the_theme(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    press(page, "?")
    page.until("document.querySelectorAll('dialog[open] kbd').length > 10")
    press(page, "Escape")
    page.until("!document.querySelector('dialog[open]')")
    theme = page.run("document.documentElement.dataset.theme")
    press(page, "t")
    page.until("(t) => document.documentElement.dataset.theme !== t", theme)
    press(page, "Control+t")
    press(page, "t")
    page.until("(t) => document.documentElement.dataset.theme === t", theme)


def test_tab_reaches_the_content_past_the_navigation(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    press(page, "Tab")
    assert focus_is(page, ".skip")
    press(page, "Enter")
    page.until("document.activeElement.id === 'main'")


def alerts(stack: FleetStack) -> dict[str, Any]:
    return {f"{a['server']}|{a['rule']}": a for a in json.loads(stack.ask("/api/alerts")[1])["alerts"]}


def test_from_the_login_to_acknowledging_and_taking_it_back(stack: FleetStack, visit: Visit) -> None:
    page = visit(who=None)
    page.until("document.activeElement?.id === 'user'")
    page.page.keyboard.type(stack.credentials["user"])
    press(page, "Tab")
    page.page.keyboard.type(stack.credentials["password"])
    press(page, "Enter")
    all_there(page, FLEET)
    press(page, "g", "a")
    # The overview's own list looks alike and goes away.
    page.until("document.querySelector('.page.alerts .alert-list li [data-act=acknowledge]')")

    def on_a_row() -> bool:
        # A list that is drawn anew just then lets go of the focus.
        press(page, "j")
        return focus_is(page, "[data-row]")

    chromium.until(on_a_row, page, "a row to have the focus")
    server = page.run("document.activeElement.closest('[data-row]').querySelector('a').textContent")

    def taken() -> set[str]:
        return {
            key
            for key, alert in alerts(stack).items()
            if alert["state"] == "acknowledged" and key.split("|")[0] == server
        }

    before = taken()
    press(page, "a")
    page.until("document.querySelector('.toast button')")
    chromium.until(lambda: taken() - before, page, "the API to know who takes care")
    page.page.locator(".toast button").first.click()
    chromium.until(lambda: taken() == before, page, "the API to know that it was taken back")
    page.until("!document.querySelector('.toast')")


def test_silencing_shows_its_end_and_can_be_ended(stack: FleetStack, visit: Visit) -> None:
    page = visit("/#/alerts")
    page.until("document.querySelector('.page.alerts .alert-list li [data-act=silence]')")

    def silences() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(stack.ask("/api/silences")[1])["silences"]
        return found

    before = silences()
    press(page, "j")
    page.until("document.activeElement.closest('[data-row]')")
    press(page, "s")
    page.until("document.querySelector('.menu button')")
    press(page, "Enter")
    page.until("document.querySelector('.toast button')")
    made = chromium.until(lambda: [s for s in silences() if s not in before], page, "a silence")
    assert len(made) == 1
    assert made[0]["end"] - made[0]["start"] == 15 * 60
    page.page.locator("[data-tab=silenced]").click()
    page.until("document.querySelectorAll('.alert-list li').length > 1")
    page.page.locator(".toast button").first.click()
    chromium.until(lambda: silences() == before, page, "the silence to end")


def test_an_incident_s_report_is_saved_as_a_file(visit: Visit) -> None:
    page = visit("/#/alerts")
    page.until("document.querySelector('.page.alerts .alert-list li')")
    with page.page.expect_download() as saved:
        page.page.locator(".alert-list button.why").first.click()
    assert saved.value.suggested_filename.endswith(".md")
    text = Path(saved.value.path()).read_text()
    assert text.startswith("# ")
    assert "not in the data" in text.lower()
    assert page.reports == []


def test_the_language_changes_everywhere_and_stays(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    page.page.locator(".topbar button[lang=ko]").click()
    page.until(
        "document.documentElement.lang === 'ko' && /[가-힣]/.test(document.querySelector('.verdict h1').innerText)"
    )
    page.page.reload(wait_until="commit")
    all_there(page, FLEET)
    assert page.run("document.documentElement.lang") == "ko"
