"""The ask panel: by key, button and tab, what an answer shows, following up, failing and asking again."""

import re
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Watched
from tests.browser.conftest import FLEET, Visit
from tests.browser.walk import all_there, cut, riskiest, settled

pytestmark = pytest.mark.interop

QUESTIONS = {
    "en": ("What is most urgent now?", "Why is {} at risk?"),
    "ko": ("지금 가장 급한 게 뭐야?", "{} 왜 위험해?"),
}
ANSWERS = """(n) => document.querySelectorAll(".ask-answer").length === n
  && !document.querySelector(".ask-log[aria-busy=true]")"""
DRAWN = "[...document.querySelectorAll('.ask-chart')].every((c) => c.querySelector('canvas'))"


def opened(page: Watched, device: str) -> None:
    """Open the panel as one does there, and be in its field."""
    if device == "phone":
        page.page.locator(".tabbar button").click()
    else:
        page.page.keyboard.press(".")
    page.until("document.activeElement?.closest('.ask-line')")


def asked(page: Watched, question: str, number: int) -> None:
    page.page.keyboard.type(question)
    page.page.keyboard.press("Enter")
    page.until(ANSWERS, number)
    page.until(DRAWN)


@pytest.mark.parametrize("language", chromium.LANGUAGES)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("device", chromium.SIZES)
def test_an_answer_is_whole_in_every_look(visit: Visit, shots: Path, device: str, theme: str, language: str) -> None:
    page = visit(size=chromium.SIZES[device], theme=theme, language=language)
    all_there(page, FLEET)
    server = riskiest(page)
    opened(page, device)
    for number, question in enumerate(QUESTIONS[language], 1):
        asked(page, question.format(server), number)
    assert page.run("document.querySelector('.ask-entry:last-child .ask-answer b').textContent") == server
    assert page.run("document.querySelectorAll('.ask-entry:last-child .ask-evidence li').length") >= 1
    assert page.run("document.querySelector('.ask-entry:last-child code').textContent") != ""
    if device == "desktop":
        # The view behind stays where it was.
        assert page.run("scrollY") == 0
    else:
        assert float(page.run("parseFloat(getComputedStyle(document.querySelector('.ask-line input')).fontSize)")) >= 16
    page.page.screenshot(path=shots / f"ask-{device}-{theme}-{language}.png")
    assert cut(page) == []
    assert page.violations() == []


def test_what_was_said_before_may_be_left_out_until_a_new_conversation_begins(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    server = riskiest(page)
    opened(page, "desktop")
    asked(page, f"cpu of {server} over the last hour", 1)
    asked(page, "and memory?", 2)
    said = page.run("document.querySelector('.ask-entry:last-child .ask-answer').textContent")
    assert server in said
    assert "Highest memory" not in said
    page.page.locator(".ask-head .text-button").click()
    page.until("document.querySelectorAll('.ask-entry').length === 0")
    asked(page, "and memory?", 1)
    said = page.run("document.querySelector('.ask-entry:last-child .ask-answer > p').textContent")
    assert said.startswith("Highest memory")


def test_what_is_asked_back_is_answered_by_a_click(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    opened(page, "desktop")
    asked(page, f"trend of {riskiest(page)}", 1)
    page.page.locator(".ask-answer .ask-chip").first.click()
    page.until(ANSWERS, 2)


def test_escape_and_the_key_close_it_and_letters_in_it_are_letters(visit: Visit) -> None:
    page = visit("/#/alerts")
    settled(page)
    opened(page, "desktop")
    page.page.keyboard.type("t.?gs")
    assert page.run("document.querySelector('.ask-line input').value") == "t.?gs"
    page.page.keyboard.press("Escape")
    page.until("!document.querySelector('.ask')")
    page.page.keyboard.press(".")
    page.until("document.querySelector('.ask')")
    assert page.run("location.hash") == "#/alerts"


def test_an_answer_that_fails_says_so_where_it_would_be_and_is_asked_for_again(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    opened(page, "desktop")
    page.page.route("**/api/assistant/ask", lambda route: route.fulfill(status=503, body="{}"))
    page.page.keyboard.type("How is the fleet?")
    page.page.keyboard.press("Enter")
    page.until("document.querySelector('.ask-entry .problem')")
    page.page.unroute("**/api/assistant/ask")
    page.page.locator(".ask-entry .problem button").click()
    page.until(ANSWERS, 1)
    assert page.run("!document.querySelector('.ask-entry .problem')")


def test_looking_deeper_adds_the_past_and_a_runbook(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    server = riskiest(page)
    opened(page, "desktop")
    page.page.locator(".ask-deep input").check()
    page.page.locator(".ask-line input").focus()
    asked(page, f"What should I check on {server}?", 1)
    assert re.search(r"Runbook “.+”.+\n+.*look first", page.text(".ask-answer")), page.text(".ask-answer")
    assert cut(page) == []
    assert page.violations() == []


def test_markup_in_a_question_stays_text(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    opened(page, "desktop")
    asked(page, "<img src=x onerror=alert(1)> status", 1)
    assert page.run("document.querySelector('.ask-question').textContent").endswith(
        "<img src=x onerror=alert(1)> status"
    )
    assert page.run("document.querySelectorAll('.ask img').length") == 0
