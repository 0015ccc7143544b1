"""Debian's Chromium, and pages of it that write down all that goes wrong in them.

The page's policy forbids eval, by which Playwright's own waiting works: conditions are polled with `evaluate`.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import LiveStack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, CDPSession, ConsoleMessage, Page

PATIENCE_S = 60
DESKTOP, PHONE = (1440, 900), (390, 844)
SIZES = {"desktop": DESKTOP, "phone": PHONE}
LANGUAGES = {"en": "en-GB", "ko": "ko-KR"}
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# WCAG 2.0 to 2.2, levels A and AA, and what axe calls best practice.
AXE_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice")
# A hundred cards or rows are made as the first few of their group are, and axe needs its time for each.
ALIKE = (".card:nth-child(n + 5)", "tbody tr:nth-child(n + 9)")

# Runs before the page's own scripts. Reports of the policy go to the console, shifts of the layout are gathered.
_WITNESS = """
addEventListener("securitypolicyviolation", (e) =>
  console.error(`CSP ${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
globalThis.shifts = [];
new PerformanceObserver((list) => {
  for (const e of list.getEntries()) if (!e.hadRecentInput) shifts.push(
    [e.value, e.sources.map((s) => s.node?.className || s.node?.nodeName).join(" ")]);
}).observe({type: "layout-shift", buffered: true});
"""


def program() -> str:
    """Chromium's path, or a skip that says what is missing."""
    pytest.importorskip("playwright", reason="playwright is not installed (make browser)")
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("there is no chromium on the PATH")
    return found


@contextmanager
def launched(path: str) -> Iterator["Browser"]:
    """The browser, headless. Root may not use the sandbox, and containers have little shared memory."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Load:
    """What the network carried for a page: requests in order, and bytes as they were on the wire."""

    requests: list[str] = field(default_factory=list)
    sizes: dict[str, float] = field(default_factory=dict)
    _url: dict[str, str] = field(default_factory=dict)

    def listen(self, cdp: "CDPSession") -> None:
        cdp.on("Network.requestWillBeSent", self._sent)
        cdp.on("Network.responseReceived", lambda e: self._add(e, e["response"]["encodedDataLength"]))
        cdp.on("Network.dataReceived", lambda e: self._add(e, e["encodedDataLength"]))
        cdp.on("Network.loadingFinished", lambda e: self._finished(e, e["encodedDataLength"]))
        cdp.send("Network.enable")

    @property
    def total(self) -> int:
        """Bytes of all answers, their headers included."""
        return round(sum(self.sizes.values()))

    def _sent(self, event: dict[str, Any]) -> None:
        url = event["request"]["url"]
        if url.startswith("http"):
            self.requests.append(url)
            self._url[event["requestId"]] = url

    def _add(self, event: dict[str, Any], size: float) -> None:
        if event["requestId"] in self._url:
            key = event["requestId"]
            self.sizes[key] = self.sizes.get(key, 0) + size

    def _finished(self, event: dict[str, Any], size: float) -> None:
        # The whole, headers too; what came piece by piece is in it.
        if event["requestId"] in self._url:
            self.sizes[event["requestId"]] = size

    def by_url(self) -> dict[str, int]:
        return {f"{self._url[key]} {key}": round(size) for key, size in self.sizes.items()}


_STATIC = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter(({ name }) => !name.includes("/api/")).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)"""


class Watched:
    """A page and what went wrong in it: `reports` of the policy, `errors` of scripts, `load` of the network."""

    def __init__(self, page: "Page", base: str) -> None:
        self.page = page
        self.base = base
        self.reports: list[str] = []
        self.errors: list[str] = []
        self.load = Load()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.add_init_script(_WITNESS)
        self.cdp = page.context.new_cdp_session(page)
        self.cdp.send("Performance.enable")
        self.load.listen(self.cdp)

    def _heard(self, message: "ConsoleMessage") -> None:
        if message.text.startswith("CSP ") or "Content Security Policy" in message.text:
            self.reports.append(message.text)
        # A refused or failed request is a state that tests provoke, and Chromium writes each down.
        elif message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def open(self, path: str = "/") -> None:
        """Go to an address of the site (`/#/alerts`); a change of the hash alone does not load it anew."""
        self.page.goto(self.base + path, wait_until="commit")

    def run(self, script: str, argument: Any = None) -> Any:
        """What an expression or function of the page answers."""
        return self.page.evaluate(script, argument)

    def until(self, script: str, argument: Any = None, patience_s: float = PATIENCE_S) -> Any:
        """The first true answer of a script."""
        return until(lambda: self.run(script, argument), self, script, patience_s)

    def text(self, selector: str) -> str:
        """All text of the first element, as it is seen."""
        return str(self.run("(s) => document.querySelector(s)?.innerText ?? ''", selector))

    def count(self, selector: str) -> int:
        return int(self.run("(s) => document.querySelectorAll(s).length", selector))

    def metrics(self) -> dict[str, float]:
        """Chromium's own counters: Nodes, JSEventListeners, JSHeapUsedSize, ScriptDuration, TaskDuration, …"""
        return {m["name"]: m["value"] for m in self.cdp.send("Performance.getMetrics")["metrics"]}

    def collect_garbage(self) -> None:
        for _ in range(3):
            self.cdp.send("HeapProfiler.collectGarbage")

    def layout_shift(self) -> float:
        """The sum of all shifts that nobody's input caused."""
        return float(self.run("shifts.reduce((sum, [value]) => sum + value, 0)"))

    def static_size(self) -> int:
        """Bytes of all files that were loaded, as they were packed: all answers but the API's."""
        return int(self.run(_STATIC))

    def violations(self) -> list[str]:
        """What axe-core finds, a line an element."""
        options = {"runOnly": list(AXE_TAGS), "resultTypes": ["violations"]}
        looked_at = {"include": [["html"]], "exclude": [[alike] for alike in ALIKE]}
        self.cdp.send("Runtime.evaluate", {"expression": AXE.read_text() + ";0"})
        said = self.cdp.send(
            "Runtime.evaluate",
            {
                "expression": f"axe.run({json.dumps(looked_at)}, {json.dumps(options)})"
                ".then((r) => JSON.stringify(r.violations))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        if "value" not in said["result"]:
            raise AssertionError(f"axe did not run: {said}")
        return [
            f"{found['id']}: {' '.join(node['target'])}: {node['html'][:160]}: {node['failureSummary'][-300:]}"
            for found in json.loads(said["result"]["value"])
            for node in found["nodes"]
        ]


def until(ask: Callable[[], Any], watched: Watched, what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true answer; a failure that shows the page's text when patience is over."""
    from playwright.sync_api import Error

    give_up = time.monotonic() + patience_s
    while True:
        try:
            answer = ask()
        except Error as error:
            # A page that is being replaced cannot be asked.
            if "context" not in str(error) and "navigat" not in str(error):
                raise
            answer = None
        if answer:
            return answer
        if time.monotonic() > give_up:
            seen = watched.run("document.body?.innerText.slice(0, 1500) ?? ''")
            pytest.fail(f"waited in vain for {what}; errors {watched.errors}; the page says:\n{seen}")
        watched.page.wait_for_timeout(40)


@contextmanager
def context(
    browser: "Browser",
    size: tuple[int, int] = DESKTOP,
    theme: str = "dark",
    language: str = "en",
    session: dict[str, Any] | None = None,
    **more: Any,
) -> Iterator["BrowserContext"]:
    """A fresh profile of this size, theme and language, logged in with `session` if there is one."""
    made = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="light" if theme == "light" else "dark",
        locale=LANGUAGES[language],
        timezone_id="Asia/Seoul",
        **({"has_touch": True, "is_mobile": True, "device_scale_factor": 2} if size == PHONE else {}),
        **more,
    )
    made.set_default_timeout(PATIENCE_S * 1000)
    if session is not None:
        # As the login form leaves it; not again after the page has logged out.
        kept = json.dumps(json.dumps(session))
        made.add_init_script(
            "if (!sessionStorage.getItem('seeded')) { sessionStorage.setItem('seeded', '1');"
            f" sessionStorage.setItem('openmanager.session', {kept}); }}"
        )
    try:
        yield made
    finally:
        made.close()


def log_in(stack: LiveStack, user: str, password: str) -> dict[str, Any]:
    """A session as the page keeps it, from the real door."""
    status, text = stack.ask("/api/auth/token", "POST", json.dumps({"user": user, "password": password}).encode())
    assert status == 200, text
    answer = json.loads(text)
    now = time.time()
    return {
        "user": answer["user"],
        "role": answer["role"],
        "token": answer["access_token"],
        "staying": False,
        "issued": now,
        "expires": now + answer["expires_in"],
    }
