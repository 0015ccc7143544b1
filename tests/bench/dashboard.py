"""The dashboard in Debian's Chromium on real data of 200 and 1,000 servers, each line beside what is asked of it.

Needs what tests/browser needs: `make bench-dashboard`. Nothing else should run on the machine meanwhile.
"""

import gzip
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from infra.local.process import free_port
from tests.bench.output import say
from tests.browser import chromium
from tests.browser.chromium import DESKTOP, PHONE, Watched
from tests.browser.hosts import STATIC
from tests.browser.proxy import Proxy
from tests.browser.stack import FleetStack
from tests.browser.test_memory import SWITCHES, footprint, to_and_fro
from tests.browser.walk import all_there, riskiest, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = (200, 1_000)
LOADS = 5
WINDOW_S = 60
# 1.6 Mbit/s and 150 ms each way together, a processor a quarter as fast: a slow phone.
_SLOW = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 94_000}
_SLOWER = 4
MB = 1 << 20

_FRAMES = """() => {
  globalThis.frames_ = [];
  let last = performance.now(), go = true;
  const step = (now) => { frames_.push(now - last); last = now; if (go) requestAnimationFrame(step); };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(step); });
  globalThis.stopFrames = () => { go = false; return frames_; };
}"""


def line(what: str, figure: str, must: str) -> None:
    say(f"  {what:58}{figure:>26}   must {must}")


def main(sizes: Sequence[int] = SIZES, long: bool = True) -> None:
    """The table for fleets of these sizes; `long`: also the five minutes of the heap."""
    files = [path for path in STATIC.rglob("*") if path.suffix in (".html", ".css", ".js")]
    size = sum(len(gzip.compress(path.read_bytes(), 9, mtime=0)) for path in files)
    say("The dashboard, Debian's Chromium without a GPU, on the live stack")
    line("all static files, gzip", f"{size / 1024:.1f} KB", "(58 KB in the prototype, of fewer views)")
    with chromium.launched(chromium.program()) as browser:
        for n in sizes:
            with tempfile.TemporaryDirectory() as folder:
                stack = FleetStack(Path(folder), free_port(), n)
                began = time.monotonic()
                stack.start()
                try:
                    say(f"\n{n} servers (filled and judged in {time.monotonic() - began:.0f} s)")
                    _measure(browser, stack, n, long)
                finally:
                    stack.stop()


def _measure(browser: "Browser", stack: FleetStack, n: int, long: bool) -> None:
    session = chromium.log_in(stack, stack.credentials["user"], stack.credentials["password"])
    _loads(browser, stack, session, n)
    _running(browser, stack, session, n)
    if n <= 200:
        _phone(browser, stack, session, n)
        _lost(browser, stack, session, n)
        _memory(browser, stack, session, n, long)


def _open(profile: Any, base: str, slow: bool = False) -> Watched:
    page = Watched(profile.new_page(), base)
    if slow:
        page.cdp.send("Network.emulateNetworkConditions", _SLOW)
        page.cdp.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
    return page


def _loads(browser: "Browser", stack: FleetStack, session: dict[str, Any], n: int) -> None:
    for name, size, slow, first, shown, shift in (
        ("desktop", DESKTOP, False, 0.6, None, 0.02),
        ("slow phone", PHONE, True, 1.8, 3.0, 0.05),
    ):
        paints, values, shifts, loads, files = [], [], [], [], []
        for _ in range(LOADS):
            with chromium.context(browser, size=size, session=session) as profile:
                page = _open(profile, stack.url, slow)
                page.open()
                all_there(page, n)
                values.append(page.run("performance.now()") / 1000)
                page.until("!document.querySelector('[aria-busy=true]')")
                paints.append(page.run("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000)
                shifts.append(page.layout_shift())
                loads.append(page.load)
                files.append(page.static_size())
        line(f"{name}: first paint, median of {LOADS}", f"{median(paints):.2f} s", f"<= {first} s")
        line(
            f"{name}: values visible",
            f"{median(values):.2f} s",
            f"<= {shown} s" if shown else "(0.8 s in the prototype)",
        )
        line(f"{name}: layout shift", f"{max(shifts):.3f}", f"<= {shift}")
        if not slow:
            limit = "<= 110 KB, <= 20" if n <= 200 else "(128 KB, 15 in the prototype)"
            line("cold load: static files, gzip", f"{max(files) / 1024:.1f} KB", "<= 75 KB")
            most = max(load.total for load in loads) / 1024
            requests = max(len(load.requests) for load in loads)
            line("cold load with its data", f"{most:.1f} KB, {requests} requests", limit)


def _running(browser: "Browser", stack: FleetStack, session: dict[str, Any], n: int) -> None:
    with chromium.context(browser, session=session) as profile:
        page = _open(profile, stack.url)
        page.open()
        all_there(page, n)
        settled(page)
        _updates(page, "", "<= 6 ms", "<= 120 ms" if n <= 200 else "<= 80 ms")
        still = _frames(page, lambda until: page.page.wait_for_timeout(1000 * (until - time.monotonic())))
        line("frames at rest", _paced(still), "")
        line(
            "frames scrolling",
            _paced(_frames(page, lambda until: _scroll(page, until))),
            ">= 45 fps" if n <= 200 else ">= 50 fps",
        )
        line("DOM nodes", f"{page.count('*')}", "")


def _updates(page: Watched, where: str, js: str, everything: str) -> None:
    """Script and all main-thread time of each update: the feed sends at most one a second."""
    scripts, tasks = [], []
    # From the first to the last whole second; what a look costs is measured and taken off.
    cost = _difference(page, 0)
    for _ in range(WINDOW_S):
        spent = _difference(page, 1000)
        scripts.append(max(0.0, spent[0] - cost[0]))
        tasks.append(max(0.0, spent[1] - cost[1]))
    figures = f"{mean(scripts):.1f} / {_quantile(scripts, 0.95):.1f} / {max(scripts):.0f} ms"
    line(f"{where}our JS a second, mean / p95 / the round's", figures, js)
    line(f"{where}main thread a second, mean / p95", f"{mean(tasks):.0f} / {_quantile(tasks, 0.95):.0f} ms", everything)


def _difference(page: Watched, pause_ms: float) -> tuple[float, float]:
    before = page.metrics()
    page.page.wait_for_timeout(pause_ms)
    after = page.metrics()
    script, task = ((after[name] - before[name]) * 1000 for name in ("ScriptDuration", "TaskDuration"))
    return script, task


def _frames(page: Watched, work: Callable[[float], None], seconds: float = 10) -> list[float]:
    page.run(_FRAMES)
    work(time.monotonic() + seconds)
    frames: list[float] = page.run("stopFrames()")
    return frames[5:]


def _scroll(page: Watched, until: float) -> None:
    """A hand on the wheel, down and up."""
    page.page.mouse.move(500, 500)
    way = 1
    while time.monotonic() < until:
        for _ in range(25):
            page.page.mouse.wheel(0, way * 80)
            page.page.wait_for_timeout(16)
        way = -way


def _paced(frames: Sequence[float]) -> str:
    return f"{1000 / mean(frames):.1f} fps, p95 {_quantile(frames, 0.95):.1f} ms"


def _quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, math.ceil(q * len(values)) - 1)]


def _phone(browser: "Browser", stack: FleetStack, session: dict[str, Any], n: int) -> None:
    with chromium.context(browser, size=PHONE, session=session) as profile:
        page = _open(profile, stack.url)
        page.cdp.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
        page.open()
        all_there(page, n)
        _updates(page, "phone, CPU / 4: ", "(9 ms in the prototype)", "(156 ms in the prototype)")


def _lost(browser: "Browser", stack: FleetStack, session: dict[str, Any], n: int) -> None:
    proxy = Proxy(stack.url)
    try:
        with chromium.context(browser, session=session) as profile:
            page = _open(profile, proxy.url)
            page.open()
            all_there(page, n)
            for how, spoil in (("cut", proxy.cut), ("frozen", proxy.freeze)):
                began = time.monotonic()
                spoil()
                _state(page, "delayed")
                delayed = time.monotonic() - began
                _state(page, "lost")
                line(
                    f"line {how}: delayed / lost after", f"{delayed:.1f} / {time.monotonic() - began:.1f} s", "<= 10 s"
                )
                proxy.page_502()
                page.page.wait_for_timeout(6000)
                began = time.monotonic()
                proxy.heal()
                _state(page, "live")
                line(
                    "live again after its return, a 502 for 6 s before", f"{time.monotonic() - began:.1f} s", "<= 15 s"
                )
    finally:
        proxy.close()


def _state(page: Watched, state: str) -> None:
    page.until("(s) => document.querySelector('.live')?.dataset.state === s", state)


def _memory(browser: "Browser", stack: FleetStack, session: dict[str, Any], n: int, long: bool) -> None:
    with chromium.context(browser, session=session) as profile:
        page = _open(profile, stack.url)
        page.open()
        all_there(page, n)
        server = riskiest(page)
        for _ in range(5):
            to_and_fro(page, server)
        before = footprint(page)
        for _ in range(SWITCHES):
            to_and_fro(page, server)
        after = footprint(page)
        line(
            f"{SWITCHES} switches: heap; nodes; listeners",
            f"{(after['JSHeapUsedSize'] - before['JSHeapUsedSize']) / MB:+.2f} MB;"
            f" {before['Nodes']:.0f} -> {after['Nodes']:.0f}; {before['JSEventListeners']:.0f} ->"
            f" {after['JSEventListeners']:.0f}",
            "<= 1 MB, constant",
        )
    if not long:
        return
    with chromium.context(browser, session=session) as profile:
        page = _open(profile, stack.url)
        page.open()
        all_there(page, n)
        page.page.wait_for_timeout(60_000)
        early = footprint(page)
        page.page.wait_for_timeout(240_000)
        late = footprint(page)
        line(
            "heap after 60 s -> 5 min; nodes",
            f"{early['JSHeapUsedSize'] / MB:.2f} -> {late['JSHeapUsedSize'] / MB:.2f} MB; {late['Nodes']:.0f}",
            "<= 1 MB more",
        )


if __name__ == "__main__":
    main()
