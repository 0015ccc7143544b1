"""What caches may keep, and conditional requests (RFC 9110 13.1.2), on an app of a few routes."""

import gzip
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Request
from fastapi.responses import Response
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import NotFound
from openmanager.settings import settings
from openmanager.web import Anyone, create_app, lambda_handler
from openmanager.web.caching import NEVER, PAST_LONGER, fresh_until_next_round, holds, unless_held
from starlette.datastructures import Headers

from tests.events import Reply, invoke

DAY_S = 86_400
built: list[str] = []
shown: dict[str, Any] = {"at": 1}
app = create_app("test")


@app.get("/found")
def found(_: Anyone) -> dict[str, Any]:
    return shown


@app.post("/found")
def found_by_post(_: Anyone) -> dict[str, Any]:
    return shown


@app.get("/long")
def long(_: Anyone) -> dict[str, str]:
    return {"text": "a" * 2000}


@app.get("/secret", dependencies=[NEVER])
def secret(_: Anyone) -> dict[str, Any]:
    return shown


@app.get("/past", dependencies=[PAST_LONGER])
def past(_: Anyone, to: str | None = None) -> dict[str, Any]:
    return shown


@app.get("/verdict")
def verdict(_: Anyone, request: Request, minute: float) -> dict[str, Any]:
    fresh_until_next_round(request, minute)
    return shown


@app.get("/versioned")
def versioned(_: Anyone, request: Request, role: str = "", of: str = "") -> dict[str, Any]:
    request.state.role = role
    unless_held(request, shown["at"])
    built.append(of)
    return shown


@app.get("/missing")
def missing(_: Anyone, request: Request) -> None:
    unless_held(request, 1)
    raise NotFound("nothing")


@app.get("/own")
def own(_: Anyone) -> Response:
    own = {"Cache-Control": "public, max-age=9", "Content-Security-Policy": "own"}
    return Response("text", headers=own, media_type="text/plain")


handler = lambda_handler(app)


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.setitem(shown, "at", 1)
    settings.cache_clear()
    built.clear()
    yield
    settings.cache_clear()


def get(path: str, query: str = "", held: str | None = None, **headers: str) -> Reply:
    more = {} if held is None else {"if-none-match": held}
    return invoke(handler, "GET", path, query=query, headers={**headers, **more})


def test_what_was_found_is_its_caller_s_to_keep_and_asked_for_anew() -> None:
    reply = get("/found")
    assert reply.headers["cache-control"] == "private, no-cache"
    assert reply.headers["vary"] == "Authorization"
    tag = reply.headers["etag"]
    assert tag.startswith('W/"')
    assert get("/found").headers["etag"] == tag


@pytest.mark.parametrize(
    "form", ["{weak}", "{strong}", "*", " * ", '"other", {weak}', '{strong} , W/"a,b"', 'W/"", {weak},', '"a" {weak}']
)
def test_who_has_it_is_told_so_without_a_body(form: str) -> None:
    whole = get("/found")
    weak = whole.headers["etag"]
    reply = get("/found", held=form.format(weak=weak, strong=weak.removeprefix("W/")))
    assert (reply.status, reply.body) == (304, b"")
    # All that the whole had but its length.
    assert reply.headers == {name: value for name, value in whole.headers.items() if name != "content-length"}


@pytest.mark.parametrize("form", ["", '"other"', "{bare}", 'W/"{bare}', '"*"', 'W/"other", "another"', '"x{bare}"'])
def test_who_has_something_else_gets_the_whole(form: str) -> None:
    bare = get("/found").headers["etag"].removeprefix("W/").strip('"')
    reply = get("/found", held=form.format(bare=bare))
    assert (reply.status, reply.json()) == (200, {"at": 1})


def test_once_it_changes_the_tag_does_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tag = get("/found").headers["etag"]
    monkeypatch.setitem(shown, "at", 2)
    reply = get("/found", held=tag)
    assert (reply.status, reply.json()) == (200, {"at": 2})
    assert reply.headers["etag"] != tag


@given(st.text(st.characters(codec="latin-1"), max_size=80))
def test_no_field_however_odd_is_an_error_or_has_what_it_does_not_name(sent: str) -> None:
    headers = Headers(raw=[(b"if-none-match", sent.encode("latin-1"))])
    assert holds(headers, 'W/"tag"') == (sent.strip() == "*" or '"tag"' in sent)


def test_a_field_that_comes_twice_is_one_list() -> None:
    raw = [(b"if-none-match", b'"a"'), (b"if-none-match", b'W/"tag"')]
    assert holds(Headers(raw=raw), 'W/"tag"')
    assert not holds(Headers(raw=raw[:1]), 'W/"tag"')


def test_compressed_and_plain_are_the_same_to_a_condition() -> None:
    plain, packed = get("/long"), get("/long", **{"accept-encoding": "gzip"})
    assert gzip.decompress(packed.body) == plain.body
    assert plain.headers["etag"] == packed.headers["etag"]
    for encoding in ("gzip", "identity"):
        reply = get("/long", held=plain.headers["etag"], **{"accept-encoding": encoding})
        assert (reply.status, reply.body) == (304, b"")
        assert reply.headers["vary"] == plain.headers["vary"] == packed.headers["vary"]
        assert "Accept-Encoding" in reply.headers["vary"]


def test_what_is_not_to_be_kept_has_no_tag_and_no_condition() -> None:
    reply = get("/secret", held="*")
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert "etag" not in reply.headers


def test_errors_and_what_is_not_a_get_are_as_ever() -> None:
    for reply in (get("/missing", held='"x"'), get("/nowhere", held="*"), get("/verdict", held="*")):
        assert reply.status in (400, 404)
        assert reply.headers["cache-control"] == "no-store"
        assert "etag" not in reply.headers
    post = invoke(handler, "POST", "/found", headers={"if-none-match": "*"})
    assert (post.status, post.headers["cache-control"]) == (200, "no-store")
    assert "etag" not in post.headers


def test_what_a_route_says_itself_stands_in_a_304_too() -> None:
    tag = get("/own").headers["etag"]
    reply = get("/own", held=tag)
    assert reply.status == 304
    assert reply.headers["cache-control"] == "public, max-age=9"
    # Or the page that a cache keeps would get another policy with it.
    assert reply.headers["content-security-policy"] == "own"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert "vary" not in reply.headers


def test_a_span_that_ended_over_a_day_ago_keeps_longer() -> None:
    ended = f"to={time.time() - DAY_S - 60:.0f}"
    assert get("/past", ended).headers["cache-control"] == "private, max-age=300"
    for query in ("", f"to={time.time() - DAY_S + 60:.0f}", "to=tomorrow"):
        assert get("/past", query).headers["cache-control"] == "private, no-cache"


def test_a_verdict_keeps_until_the_next_one_is_due() -> None:
    """The next minute ends 120 s after this one began, and its grace is over 75 s later."""
    now = time.time()
    policy = get("/verdict", f"minute={now - 150}").headers["cache-control"]
    assert policy.startswith("private, max-age=")
    assert 120 + 75 - 150 - (time.time() - now) - 1 <= int(policy.rpartition("=")[2]) <= 120 + 75 - 150
    # A late round is waited for at any moment.
    assert get("/verdict", f"minute={now - 195}").headers["cache-control"] == "private, no-cache"


def test_of_a_version_that_is_known_nothing_is_built_for_who_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = get("/versioned", "of=1")
    assert built == ["1"]
    reply = get("/versioned", "of=1", held=whole.headers["etag"])
    assert (reply.status, reply.body, built) == (304, b"", ["1"])
    assert reply.headers["etag"] == whole.headers["etag"]
    assert reply.headers["cache-control"] == "private, no-cache"
    assert {"Authorization", "Accept-Encoding"} == set(reply.headers["vary"].split(", "))
    # Another question, another role and another version are other answers.
    assert get("/versioned", "of=2", held=whole.headers["etag"]).status == 200
    assert get("/versioned", "of=1&role=admin", held=whole.headers["etag"]).status == 200
    monkeypatch.setitem(shown, "at", 2)
    assert get("/versioned", "of=1", held=whole.headers["etag"]).status == 200
