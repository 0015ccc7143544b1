"""Other pages: the dashboard on any static host, and a front end of one's own that follows the documented feed."""

import pytest

from tests.browser.conftest import FLEET, Visit
from tests.browser.hosts import StaticHost
from tests.browser.stack import FleetStack
from tests.browser.walk import all_there

pytestmark = pytest.mark.interop

# A page of somebody else's: a ticket for the bearer, and the browser's own EventSource.
FOLLOW = """async ([api, token]) => {
  const answer = await fetch(`${api}/api/stream/ticket`, {method: "POST", headers: {Authorization: `Bearer ${token}`}});
  const {ticket} = await answer.json();
  globalThis.seen = {};
  globalThis.feed = new EventSource(`${api}/api/stream?ticket=${ticket}&topics=metrics,predictions,alerts,models`);
  for (const name of ["snapshot", "metrics", "prediction", "alert", "model", "bye"])
    feed.addEventListener(name, (event) => {
      const said = JSON.parse(event.data);
      seen[name] = {id: event.lastEventId, servers: Object.keys(said.servers ?? {}).length};
    });
}"""


def test_the_folder_works_from_any_static_host(stack: FleetStack, static_host: StaticHost, visit: Visit) -> None:
    page = visit(f"/ops/?api={stack.url}", base=static_host.origin, who=None)
    page.until("document.querySelector('.login form input[type=password]')")
    page.page.locator("#user").fill(stack.credentials["user"])
    page.page.locator("#password").fill(stack.credentials["password"])
    page.page.locator(".login button.primary").click()
    all_there(page, FLEET)
    assert page.errors == []
    asked = [url for url in page.load.requests if "/api/" in url]
    assert asked
    assert all(url.startswith(stack.url) for url in asked)
    # The address is kept, so that the next visit needs none.
    page.open("/ops/")
    all_there(page, FLEET)


def test_a_blank_page_follows_the_feed_with_the_browsers_own_means(
    stack: FleetStack, static_host: StaticHost, visit: Visit
) -> None:
    page = visit("/blank.html", base=static_host.origin, who=None)
    page.run(FOLLOW, [stack.url, stack.token])
    page.until("seen.snapshot && seen.metrics")
    assert page.run("seen.snapshot.servers") == FLEET
    assert page.run("seen.metrics.servers") > 0
    assert page.run("seen.metrics.id") != page.run("seen.snapshot.id")


def test_a_page_of_another_origin_is_kept_out(stack: FleetStack, visit: Visit) -> None:
    # The same host under another name is another origin, and none that was let in.
    page = visit("/api/health", base=stack.url.replace("127.0.0.1", "localhost"), who=None)
    ask = "([url, token]) => fetch(url, {headers: {Authorization: `Bearer ${token}`}}).then(() => '', String)"
    refused = page.run(ask, [f"{stack.url}/api/servers", stack.token])
    assert "TypeError" in refused
