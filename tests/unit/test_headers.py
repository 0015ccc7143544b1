"""What answers say to browsers."""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

import pytest
from fastapi import Response
from openmanager.errors import InvalidSettings, NotFound, StoreUnavailable
from openmanager.settings import read_settings, settings
from openmanager.web import create_app, lambda_handler
from openmanager.web.auth import Anyone
from openmanager.web.caching import FOR_EVERYBODY
from openmanager.web.headers import DEFAULTS

from functions.system.handler import handler as system
from tests.events import Reply, invoke

DASHBOARD = "https://ops.example.com"
KEY = "a-key-of-some-length-0123456789"

app = create_app("test")


@app.get("/fine")
def fine(_: Anyone) -> dict[str, str]:
    return {}


@app.get("/own")
def own(_: Anyone, response: Response) -> dict[str, str]:
    response.headers["Cache-Control"] = "max-age=60"
    return {}


@app.get("/missing")
def missing(_: Anyone) -> None:
    raise NotFound("nothing")


@app.get("/away")
def away(_: Anyone) -> None:
    raise StoreUnavailable("away")


@app.get("/wrong")
def wrong(_: Anyone) -> None:
    raise ZeroDivisionError


@app.get("/number")
def number(_: Anyone, n: int) -> int:
    return n


handler = lambda_handler(app)


@pytest.fixture(autouse=True)
def deployed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENMANAGER_STAGE", "prod")
    monkeypatch.setenv("OPENMANAGER_API_KEY", KEY)
    monkeypatch.setenv("OPENMANAGER_ORIGINS", f"{DASHBOARD}, http://localhost:5173")
    settings.cache_clear()
    yield
    settings.cache_clear()


def ask(path: str, method: str = "GET", **headers: str) -> Reply:
    return invoke(handler, method, path, headers=headers)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/fine", 200), ("/missing", 404), ("/away", 503), ("/wrong", 500), ("/number", 400), ("/nowhere", 404)],
)
def test_every_answer_carries_them_errors_too(path: str, status: int) -> None:
    reply = ask(path)
    assert reply.status == status
    # What was found may be kept by who asked (test_caching.py).
    expected = {**DEFAULTS, "Cache-Control": "private, no-cache"} if status == 200 else DEFAULTS
    assert {name: reply.headers.get(name.lower()) for name in DEFAULTS} == expected
    assert reply.headers["strict-transport-security"].startswith("max-age=31536000")


def test_a_route_may_say_how_long_its_answer_keeps() -> None:
    assert ask("/own").headers["cache-control"] == "max-age=60"


def test_on_one_s_own_machine_nobody_is_bound_to_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    settings.cache_clear()
    assert "strict-transport-security" not in ask("/fine").headers


def test_unusable_settings_do_not_take_the_fields_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_API_KEY", "short")
    settings.cache_clear()
    assert ask("/fine").headers["x-content-type-options"] == "nosniff"


def preflight(origin: str, method: str = "PUT") -> Reply:
    return ask("/fine", "OPTIONS", **{"origin": origin, "access-control-request-method": method})


def test_a_known_origin_may_read_and_ask() -> None:
    reply = ask("/fine", origin=DASHBOARD)
    assert reply.headers["access-control-allow-origin"] == DASHBOARD
    assert "Retry-After" in reply.headers["access-control-expose-headers"]
    assert reply.headers["vary"] == "Authorization, Origin"
    assert "access-control-allow-credentials" not in reply.headers
    allowed = preflight(DASHBOARD)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, DASHBOARD)
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    assert preflight(DASHBOARD, "TRACE").status == 400


@pytest.mark.parametrize(
    "origin",
    [
        "https://ops.example.com.evil.example",
        "https://evil-ops.example.com",
        "http://ops.example.com",
        "https://ops.example.com:8443",
        "https://OPS.example.com",
        "null",
        "*",
    ],
)
def test_no_other_origin_may(origin: str) -> None:
    assert "access-control-allow-origin" not in ask("/fine", origin=origin).headers
    refused = preflight(origin)
    assert refused.status == 400
    assert "access-control-allow-origin" not in refused.headers


def test_our_own_page_may_read_the_feed_from_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENMANAGER_PAGE_ORIGIN", "https://a1b2c3.execute-api.eu-central-1.amazonaws.com")
    settings.cache_clear()
    for origin in ("https://a1b2c3.execute-api.eu-central-1.amazonaws.com", DASHBOARD):
        assert ask("/fine", origin=origin).headers["access-control-allow-origin"] == origin
    with pytest.raises(InvalidSettings, match="OPENMANAGER_PAGE_ORIGIN"):
        read_settings({"OPENMANAGER_API_KEY": KEY, "OPENMANAGER_PAGE_ORIGIN": "/live"})


def test_without_origins_there_is_no_cors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENMANAGER_ORIGINS")
    settings.cache_clear()
    assert not [name for name in ask("/fine", origin=DASHBOARD).headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "origins", ["*", "ops.example.com", "https://ops.example.com/", "https://*.example.com", "null"]
)
def test_only_exact_origins_are_settings(origins: str) -> None:
    with pytest.raises(InvalidSettings, match="OPENMANAGER_ORIGINS"):
        read_settings({"OPENMANAGER_API_KEY": KEY, "OPENMANAGER_ORIGINS": origins})


def test_the_documentation_page_may_run_its_own_script_and_no_other() -> None:
    page = invoke(system, "GET", "/api/docs")
    policy = page.headers["content-security-policy"]
    script = page.body.split(b"<script>")[1].split(b"</script>")[0]
    assert f"'sha256-{b64encode(sha256(script).digest()).decode()}'" in policy
    script_sources = next(part for part in policy.split(";") if part.strip().startswith("script-src"))
    assert "unsafe" not in script_sources
    assert "frame-ancestors 'none'" in policy
    assert invoke(system, "GET", "/api/docs/swagger-ui.css").headers["cache-control"] == FOR_EVERYBODY
