"""How tests get about in the dashboard: its views, when each is there, and what can be read off them."""

from collections.abc import Iterator
from typing import Any

from tests.browser.chromium import Watched

SETTINGS = ("rules", "quiet", "notifications", "access", "cost", "health", "personal")

# Sums the tally and asks that the cards on the screen have figures: the fleet is there and drawn.
_THERE = """(n) => {
  const told = [...document.querySelectorAll(".tally a b")].map((b) => Number(b.textContent.replace(/[^0-9]/g, "")));
  const drawn = [...document.querySelectorAll(".card .v")].filter((v) => /[0-9]/.test(v.textContent));
  const first = document.querySelector(".card")?.getBoundingClientRect().top ?? 0;
  return told.reduce((a, b) => a + b, 0) === n && (drawn.length > 0 || first > innerHeight);
}"""
# Text that its own box cuts off, and boxes that reach beyond the screen. What may be scrolled to is not cut.
_CUT = """() => {
  const found = [], wide = document.documentElement.clientWidth, hovers = matchMedia("(hover: hover)").matches;
  const scrolls = (el) => {
    for (let e = el.parentElement; e && e !== document.body; e = e.parentElement)
      if (/auto|scroll/.test(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth) return true;
    return false;
  };
  const whole = document.documentElement.scrollWidth;
  if (whole > wide) found.push(`page: ${whole} of ${wide} px`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(el)) continue;
    seen.add(el);
    if (!el.checkVisibility({visibilityProperty: true})) continue;
    if (el.closest(".visually-hidden, .skip, noscript, option")) continue;
    // A long name may end in an ellipsis where a pointer shows all of it, but not on a phone.
    if (hovers && el.closest("[title]")?.title.includes(el.textContent.trim())) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const text = range.getBoundingClientRect();
    if (!text.width) continue;
    const label = `${el.tagName}.${el.className.baseVal ?? el.className} "${el.textContent.trim().slice(0, 50)}"`;
    if (text.right > wide + 1 && !scrolls(el)) found.push(`${label} ends at ${Math.round(text.right)} px`);
    for (let e = el; e && e !== document.body; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const box = e.getBoundingClientRect();
      const [aside, above] = [style.overflowX, style.overflowY].map((way) => /hidden|clip/.test(way));
      if (aside && (text.right > box.right + 1 || text.left < box.left - 1)) found.push(`${label} is cut aside`);
      if (above && (text.bottom > box.bottom + 3 || text.top < box.top - 3)) found.push(`${label} is cut below`);
      break;
    }
  }
  return [...new Set(found)];
}"""

# Axe passes over a small target that happens to have no neighbour, as other figures would give it one.
_SMALL = """() => [...document.querySelectorAll("a[href], button, summary, input, select, textarea, [role=tab]")]
  .map((el) => [el, el.getBoundingClientRect()])
  .filter(([el, box]) => box.width && Math.min(box.width, box.height) < 23.9)
  .filter(([el]) => el.checkVisibility({visibilityProperty: true}))
  .map(([el, box]) => `${el.parentElement.className} > ${el.tagName} "${el.textContent.trim().slice(0, 50)}" is ${
    Math.round(box.width)} by ${Math.round(box.height)} px`)"""

_SETTLED = """document.querySelector("#main h1, .login form, .first")
  && !document.querySelector("#main [aria-busy=true]")"""
_AT_RISK = "[...document.querySelectorAll('a.risk')].map((a) => a.hash.split('/')[2]).find((id) => id)"


def all_there(page: Watched, servers: int) -> None:
    """Wait until the overview shows the whole fleet with figures."""
    page.until(_THERE, servers)


def settled(page: Watched) -> None:
    """Wait until nothing in the view says that it still loads."""
    page.until(_SETTLED)


def views(page: Watched) -> dict[str, str]:
    """Name → address of every view; the server is the one most at risk."""
    server = riskiest(page)
    return {
        "overview": "/#/",
        "servers": "/#/servers",
        "server": f"/#/servers/{server}",
        "alerts": "/#/alerts",
        "acknowledged": "/#/alerts?tab=acknowledged",
        "silenced": "/#/alerts?tab=silenced",
        "record": "/#/record",
        **{f"settings, {part}": f"/#/settings/{part}" for part in SETTINGS},
    }


def riskiest(page: Watched) -> str:
    """A server that the overview shows at risk, by the link of its chart."""
    return str(page.until(_AT_RISK))


def walk(page: Watched, servers: int) -> None:
    """Click through every view, tab, menu and dialog; nothing is changed."""
    all_there(page, servers)
    for step in _steps():
        step(page)


def _steps() -> Iterator[Any]:
    def click(selector: str, then: str = "1") -> Any:
        def step(page: Watched) -> None:
            page.until("(s) => document.querySelector(s)?.checkVisibility()", selector)
            page.page.locator(selector).first.click()
            page.until(then)
            settled(page)

        return step

    def press(key: str, then: str) -> Any:
        def step(page: Watched) -> None:
            page.page.keyboard.press(key)
            page.until(then)

        return step

    nav = ":is(.rail, .tabbar)"
    yield click("a.risk", "location.hash.startsWith('#/servers/')")
    yield press("g", "1")
    yield press("s", "location.hash === '#/servers'")
    for place in ("alerts", "record", "settings", "servers", "alerts"):
        yield lambda page, place=place: _visible_nav(page, nav, place)
    yield click("[data-tab=acknowledged]", "location.hash.includes('acknowledged')")
    yield click("[data-tab=silenced]", "location.hash.includes('silenced')")
    yield click("[data-tab=open]", "!location.hash.includes('silenced')")
    yield click("[data-act=silence]", "document.querySelector('.menu')")
    yield press("Escape", "!document.querySelector('.menu')")
    yield press("?", "document.querySelector('dialog[open]')")
    yield press("Escape", "!document.querySelector('dialog[open]')")
    yield press("/", "document.querySelector('dialog[open] input')")
    yield press("Escape", "!document.querySelector('dialog[open]')")
    yield press("t", "1")
    yield press("t", "1")
    yield press("g", "1")
    yield press("o", "/^(#\\/)?$/.test(location.hash)")


def _visible_nav(page: Watched, nav: str, place: str) -> None:
    selector = f"{nav} a[href='#/{place}']"
    page.until("(s) => [...document.querySelectorAll(s)].some((a) => a.checkVisibility())", selector)
    page.page.locator(selector).locator("visible=true").first.click()
    page.until("(p) => location.hash.startsWith('#/' + p)", place)
    settled(page)


def cut(page: Watched) -> list[str]:
    """Texts that are cut off, and the page if it is wider than the screen."""
    found: list[str] = page.run(_CUT)
    return found


def small(page: Watched) -> list[str]:
    """What is to be hit and has less than 24 by 24 px (WCAG 2.2, 2.5.8), whatever is near it."""
    found: list[str] = page.run(_SMALL)
    return found
