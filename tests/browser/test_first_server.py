"""A stack that nobody has sent anything to, its first server, and one that is named as an attacker would name it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.process import free_port
from tests.browser import chromium
from tests.browser.conftest import Visit
from tests.browser.walk import cut, settled
from tests.live import LiveStack

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.interop

CODE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def empty(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    started = LiveStack(tmp_path_factory.mktemp("empty"), free_port())
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def somebody(empty: LiveStack) -> dict[str, Any]:
    known = empty.credentials
    return chromium.log_in(empty, known["user"], known["password"])


def push(stack: LiveStack, name: str, **attributes: Any) -> None:
    body = {
        "server": name,
        **attributes,
        "samples": [{"metrics": {"cpu_utilization": 12.5, "memory_used_effective": 40}}],
    }
    status, text = stack.ask("/api/ingest", "POST", json.dumps(body).encode())
    assert status == 200, text
    assert json.loads(text)["accepted"] == 2


def test_nobody_there_yet_shows_the_line_that_connects_the_first(
    empty: LiveStack, somebody: dict[str, Any], visit: Visit, shots: Path
) -> None:
    for device in chromium.SIZES:
        for theme in ("dark", "light"):
            for language in chromium.LANGUAGES:
                page = visit(base=empty.url, who=somebody, size=chromium.SIZES[device], theme=theme, language=language)
                page.until("document.querySelector('.first code')")
                assert empty.url in page.text(".first code")
                assert page.violations() == []
                assert cut(page) == []
                page.page.screenshot(path=shots / f"empty-{device}-{theme}-{language}.png")


def test_the_page_turns_by_itself_when_the_first_server_comes(
    empty: LiveStack, somebody: dict[str, Any], visit: Visit
) -> None:
    page = visit(base=empty.url, who=somebody)
    page.until("document.querySelector('.first')")
    push(empty, "web-01", role="web")
    page.until("document.querySelector('.tally') && document.body.innerText.includes('web-01')")
    assert page.count(".first") == 0


def test_no_open_alert_is_told_as_such(empty: LiveStack, somebody: dict[str, Any], visit: Visit) -> None:
    push(empty, "web-01", role="web")
    page = visit("/#/alerts", base=empty.url, who=somebody)
    settled(page)
    assert page.until("document.querySelector('.all-well')?.innerText")


def test_names_that_are_code_are_shown_as_text_and_run_nowhere(
    empty: LiveStack, somebody: dict[str, Any], visit: Visit
) -> None:
    push(empty, "db-666", role=CODE[:64], hostname=CODE, environment=CODE[:64], labels={"note": CODE})
    page = visit(base=empty.url, who=somebody)
    page.until("document.querySelector('.tally') && document.body.innerText.includes('db-666')")
    page.run("() => { location.hash = '#/servers'; }")
    page.until("document.body.innerText.includes('<img src=x')")
    for address in ("/servers", "/servers/db-666", "/alerts", "/settings", "/"):
        page.run("(h) => { location.hash = '#' + h; }", address)
        settled(page)
        assert page.count("img, main script") == 0
    assert page.page.title() != "taken"
    assert page.reports == []
    assert page.errors == []
