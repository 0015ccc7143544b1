"""What a cold load costs in bytes, requests and shifting, and that a walk through the page breaks no policy."""

import pytest

from tests.browser import chromium
from tests.browser.chromium import Watched
from tests.browser.conftest import FLEET, Visit
from tests.browser.stack import FleetStack
from tests.browser.walk import all_there, walk

pytestmark = pytest.mark.interop

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
COLD_KB, STATIC_KB, COLD_REQUESTS = 110, 75, 20
SHIFT = {"desktop": 0.02, "phone": 0.05}


def test_a_cold_overview_is_a_few_small_requests(visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    page.until("!document.querySelector('[aria-busy=true]')")
    assert page.static_size() <= STATIC_KB * 1024, page.load.by_url()
    assert page.load.total <= COLD_KB * 1024, page.load.by_url()
    assert len(page.load.requests) <= COLD_REQUESTS, page.load.requests


@pytest.mark.parametrize("device", chromium.SIZES)
def test_nothing_moves_while_it_loads(visit: Visit, device: str) -> None:
    page = visit(size=chromium.SIZES[device])
    all_there(page, FLEET)
    # Charts and outlooks come after the first values.
    page.until("!document.querySelector('[aria-busy=true], .skeleton')")
    assert page.layout_shift() <= SHIFT[device], page.run("shifts")


def test_the_policy_is_as_strict_as_can_be_and_nothing_breaks_it(stack: FleetStack, visit: Visit) -> None:
    page = visit("/#/login", who=None)
    answer = page.page.request.get(f"{stack.url}/")
    assert answer.headers["content-security-policy"] == POLICY
    for device, theme in (("desktop", "dark"), ("phone", "light")):
        page = visit(size=chromium.SIZES[device], theme=theme)
        walk(page, FLEET)
        assert no_complaints(page)


def no_complaints(page: Watched) -> bool:
    assert page.reports == []
    assert page.errors == []
    return True


def test_reports_would_be_seen(visit: Visit) -> None:
    page = visit("/", who=None)
    page.until("document.readyState == 'complete'")
    page.run("() => { new Image().src = 'https://example.com/x.png'; }")
    chromium.until(lambda: page.reports, page, "a report")
    assert "img-src" in page.reports[0]


def test_what_has_been_loaded_is_not_loaded_again(stack: FleetStack, visit: Visit) -> None:
    page = visit()
    all_there(page, FLEET)
    assets = [url for url in page.load.requests if "/assets/" in url]
    assert assets
    page.load.requests.clear()
    page.page.reload(wait_until="commit")
    all_there(page, FLEET)
    first = page.page.request.get(f"{stack.url}/")
    again = page.page.request.get(f"{stack.url}/", headers={"If-None-Match": first.headers["etag"]})
    assert again.status == 304
