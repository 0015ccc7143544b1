"""The states that a dashboard gets into, each provoked for real: what is not known never looks as if it were."""

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.chromium import Watched, log_in
from tests.browser.conftest import FLEET, Visit
from tests.browser.fleet import young
from tests.browser.proxy import Proxy
from tests.browser.stack import FleetStack
from tests.browser.walk import all_there, cut, settled

pytestmark = pytest.mark.interop


def live(page: Watched, state: str = "live") -> None:
    page.until("(s) => document.querySelector('.live')?.dataset.state === s", state)


def test_a_line_that_goes_quiet_is_delayed_then_lost_and_lives_again(visit: Visit, line: Proxy) -> None:
    page = visit(base=line.url)
    all_there(page, FLEET)
    live(page)
    line.freeze()
    live(page, "delayed")
    assert not page.count(".stale")
    live(page, "lost")
    assert page.count(".shell.stale") == 1
    assert re.search(r"\d\d:\d\d:\d\d", page.text(".banner"))
    assert page.run("getComputedStyle(document.querySelector('main')).filter").startswith("grayscale(1)")
    assert page.text(".verdict .as-of")
    line.heal()
    live(page)
    page.until("!document.querySelector('.stale, .banner.amber')")
    all_there(page, FLEET)


def test_a_stack_that_is_away_behind_a_page_of_html_is_found_again(visit: Visit, line: Proxy) -> None:
    page = visit(base=line.url)
    all_there(page, FLEET)
    line.cut()
    live(page, "lost")
    line.page_502()
    before = len(page.load.requests)
    page.until("1")
    chromium.until(lambda: len(page.load.requests) > before + 1, page, "two more attempts")
    assert page.count(".shell.stale") == 1
    line.heal()
    live(page)
    all_there(page, FLEET)
    assert page.errors == []


def test_reconnect_asks_at_once(visit: Visit, line: Proxy) -> None:
    page = visit(base=line.url)
    all_there(page, FLEET)
    line.freeze()
    live(page, "lost")
    line.heal()
    page.page.locator(".banner button").click()
    live(page)


def test_a_gateway_that_dies_is_followed_again_when_it_is_back(stack: FleetStack, visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    before = len([url for url in page.load.requests if "/api/stream" in url])
    stack.children()["gateway"].kill()
    chromium.until(
        lambda: len([url for url in page.load.requests if "/api/stream" in url]) > before, page, "another connection"
    )
    live(page)
    all_there(page, FLEET)


@pytest.mark.parametrize("device", chromium.SIZES)
def test_the_lost_look_is_legible(visit: Visit, line: Proxy, shots: Path, device: str) -> None:
    page = visit(base=line.url, size=chromium.SIZES[device])
    all_there(page, FLEET)
    page.until("document.querySelector('.risk canvas')")
    # What has not been needed yet could not be fetched once the line is cut: the keyboard and the other language.
    page.page.keyboard.press("t")
    page.until("document.documentElement.dataset.theme === 'light'")
    page.page.locator(".topbar button[lang=ko]").click()
    page.until("document.documentElement.lang === 'ko'")
    line.cut()
    live(page, "lost")
    for language in chromium.LANGUAGES:
        if page.run("document.documentElement.lang") != language:
            page.page.locator(f".topbar button[lang={language}]").click()
            page.until("(l) => document.documentElement.lang === l", language)
        for theme in ("dark", "light"):
            if page.run("document.documentElement.dataset.theme") != theme:
                page.page.keyboard.press("t")
                page.until("(t) => document.documentElement.dataset.theme === t", theme)
            page.page.screenshot(path=shots / f"disconnected-{device}-{theme}-{language}.png")
            assert cut(page) == []
            assert page.violations() == []


def test_a_silent_server_is_no_data_and_neither_nought_nor_green(visit: Visit) -> None:
    page = visit()
    chosen = []

    def unexpected(route: Any) -> None:
        """As if the server that sends seldom were expected every minute, and no round had judged it since."""
        answer = route.fetch()
        said = answer.json()
        (seldom,) = [server for server in said["servers"] if (server["said"] or {}).pop("allowed_s", 0) > 1000]
        chosen.append(seldom["id"])
        route.fulfill(response=answer, json=said)

    page.page.route("**/api/stream/snapshot", unexpected)
    page.page.route("**/api/stream", lambda route: route.abort())
    page.page.reload(wait_until="commit")
    all_there(page, FLEET)
    text = page.until("document.querySelector('.card.k-silent')?.innerText")
    assert chosen[-1] in text
    assert re.search(r"\d+ min", text)
    assert "0 %" not in text
    assert "0%" not in text
    assert page.count(".card.k-silent .s-healthy") == 0


def test_a_server_that_sends_seldom_is_not_silent_while_it_is_on_time(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    settled(page)
    assert page.count(".card.k-silent") == 0


def test_a_server_that_is_down_says_so_and_since_when(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    text = page.until("document.querySelector('.card.k-offline')?.innerText")
    assert re.search(r"\d+ min", text)
    assert page.count(".card.k-offline .s-offline") == page.count(".card.k-offline")


def test_a_model_that_still_learns_says_how_long_and_shows_no_risk(stack: FleetStack, visit: Visit) -> None:
    name = young(FLEET)
    said = json.loads(stack.ask(f"/api/servers/{name}")[1])["verdict"]
    assert said["missing"]["history_minutes"] > 0
    page = visit(f"/#/servers/{name}")
    settled(page)
    text = page.until(
        "document.querySelector('main')?.innerText.includes('–') && document.querySelector('main').innerText"
    )
    assert re.search(r"\b(\d+ min|\d+(\.\d+)? h)\b", text)


def test_who_may_only_look_sees_no_button_that_would_be_refused(visit: Visit, viewer: dict[str, str]) -> None:
    page = visit(who=viewer)
    all_there(page, FLEET)
    page.until("document.querySelector('.side .alert')")
    assert page.count("[data-act]") == 0
    assert page.text(".tag-quiet")
    page.run("() => { location.hash = '#/alerts'; }")
    settled(page)
    page.until("document.querySelector('.alert-list li')")
    assert page.count("[data-act]") == 0
    page.run("() => { location.hash = '#/settings'; }")
    settled(page)
    assert page.reports == []
    assert page.errors == []


def test_a_session_that_ends_asks_for_the_password_and_goes_on_where_it_was(stack: FleetStack, visit: Visit) -> None:
    password = secrets.token_urlsafe(12)
    stack.must("/api/users/erin", "PUT", {"role": "operator", "password": password})
    page = visit("/#/alerts", who=log_in(stack, "erin", password))
    settled(page)
    # A new password ends every session.
    password = secrets.token_urlsafe(12)
    stack.must("/api/users/erin", "PUT", {"role": "operator", "password": password})
    page.page.locator("[data-act=acknowledge]").first.click()
    page.until("document.querySelector('.login form')")
    assert page.run("location.hash") == "#/alerts"
    page.page.locator("#user").fill("erin")
    page.page.locator("#password").fill("not this one")
    page.page.locator(".login button.primary").click()
    assert page.until("document.querySelector('.login [role=alert]')?.innerText")
    page.page.locator("#password").fill(password)
    page.page.locator(".login button.primary").click()
    page.until("document.querySelector('.alert-list li')")
    assert page.run("location.hash") == "#/alerts"


def test_being_slowed_is_told_and_blanks_nothing(visit: Visit, line: Proxy) -> None:
    line.spoil("/api/outlooks", 429, Retry_After="9")
    page = visit(base=line.url)
    all_there(page, FLEET)
    page.until("document.querySelector('.banner[role=status]')")
    all_there(page, FLEET)


def test_a_panel_that_fails_says_so_in_its_place_and_can_be_tried_again(visit: Visit, line: Proxy) -> None:
    line.spoil("/api/predictions/record", 500)
    page = visit("/#/record", base=line.url)
    page.until("document.querySelector('main .problem')?.innerText.includes('the test says no')")
    assert page.text("main h1")
    line.heal()
    page.page.locator("main .problem button").first.click()
    page.until("!document.querySelector('main .problem')")
    line.spoil("/api/outlooks", 503)
    page = visit(base=line.url)
    all_there(page, FLEET)
    assert page.text(".verdict h1")


def test_a_panel_that_a_role_may_not_see_says_so_and_the_others_stay(visit: Visit, line: Proxy) -> None:
    line.spoil("/api/outlooks", 403)
    page = visit(base=line.url)
    all_there(page, FLEET)
    page.until("document.querySelector('.watching [role=alert]')?.innerText.includes('the test says no')")
    assert page.text(".verdict h1")
    assert page.count(".login") == 0


def test_a_forecast_that_is_old_fades_and_says_how_old_it_is(visit: Visit) -> None:
    page = visit()

    def aged(route: Any) -> None:
        answer = route.fetch()
        said = answer.json()
        for outlook in said["outlooks"]:
            if outlook["forecast"]:
                outlook["forecast"]["at"] -= 20 * 60
        route.fulfill(response=answer, json=said)

    page.page.route("**/api/outlooks*", aged)
    page.page.reload(wait_until="commit")
    all_there(page, FLEET)
    said = "[...document.querySelectorAll('.risk .words')].map((e) => e.innerText)"
    text = page.until(f"{said}.find((words) => /old/.test(words))")
    assert re.search(r"2\d min", text)


def test_another_version_of_the_page_is_offered_and_forces_nobody(stack: FleetStack, visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    snapshot = json.loads(stack.ask("/api/stream/snapshot")[1]) | {"version": "999.0.0"}
    event = f"retry: 3000\n\nevent: snapshot\nid: {snapshot['id']}\ndata: {json.dumps(snapshot)}\n\n"
    page.page.route("**/api/stream", lambda route: route.fulfill(content_type="text/event-stream", body=event), times=1)
    # The line breaks, and who answers next is newer.
    stack.children()["gateway"].kill()
    page.until("document.querySelector('.banner[role=status] button')")
    page.page.unroute("**/api/stream")
    all_there(page, FLEET)
    page.page.locator(".banner[role=status] button").click()
    page.until("!document.querySelector('.banner[role=status] button')")
    all_there(page, FLEET)


def test_without_scripts_it_leads_to_the_api(visit: Visit) -> None:
    page = visit(who=None, java_script_enabled=False)
    page.page.wait_for_load_state()
    assert page.page.locator("noscript a, a[href*='api/docs']").count() == 1
