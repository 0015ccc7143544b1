"""One browser and one stack with a fleet of 200 for all tests here; a page of its own for each."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.process import free_port
from tests.browser import chromium
from tests.browser.chromium import Watched
from tests.browser.hosts import StaticHost
from tests.browser.proxy import Proxy
from tests.browser.stack import FleetStack
from tests.live import LiveStack

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLEET = 200
VIEWER = ("vera", "only-here-to-look-7")


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise pytest.exit.Exception("ended from outside", 143)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The browser. Who is asked to end from here on (.ci/run's time limit) first ends what was started."""
    signal.signal(signal.SIGTERM, _end)
    with chromium.launched(chromium.program()) as started:
        yield started


@pytest.fixture(scope="session")
def static_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticHost]:
    """A host that knows nothing of the API."""
    host = StaticHost(tmp_path_factory.mktemp("host"))
    host.start()
    yield host
    host.stop()


@pytest.fixture(scope="session")
def stack(
    browser: "Browser", static_host: StaticHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FleetStack]:
    """The stack with a fleet of 200 that goes on sending; nothing here may change it for good."""
    filled = FleetStack(tmp_path_factory.mktemp("fleet"), free_port(), FLEET, OPENMANAGER_ORIGINS=static_host.origin)
    filled.start()
    try:
        yield filled
    finally:
        filled.stop()


@pytest.fixture(scope="session")
def session(stack: FleetStack) -> dict[str, Any]:
    """The administrator, logged in."""
    known = stack.credentials
    return chromium.log_in(stack, known["user"], known["password"])


@pytest.fixture(scope="session")
def viewer(stack: FleetStack) -> dict[str, Any]:
    """Somebody who may only look, logged in."""
    return add_viewer(stack)


def add_viewer(stack: LiveStack) -> dict[str, Any]:
    name, password = VIEWER
    status, text = stack.ask(f"/api/users/{name}", "PUT", json.dumps({"role": "viewer", "password": password}).encode())
    assert status in (200, 201), text
    return chromium.log_in(stack, name, password)


Visit = Callable[..., Watched]


@pytest.fixture
def visit(browser: "Browser", stack: FleetStack, session: dict[str, Any]) -> Iterator[Visit]:
    """Opens pages: `visit(path="/", size=…, theme=…, language=…, who=session, base=url)`."""
    with ExitStack() as ends:

        def open_page(path: str = "/", *, who: dict[str, Any] | None = session, base: str = "", **look: Any) -> Watched:
            profile = ends.enter_context(chromium.context(browser, session=who, **look))
            watched = Watched(profile.new_page(), base or stack.url)
            watched.open(path)
            return watched

        yield open_page


@pytest.fixture
def line(stack: FleetStack) -> Iterator[Proxy]:
    """A line to the stack that can go bad."""
    proxy = Proxy(stack.url)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots go."""
    folder = Path(__file__).parent / "shots"
    folder.mkdir(exist_ok=True)
    return folder
