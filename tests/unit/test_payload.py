"""What is too large for Lambda to hand over is said to be, in place of an error of the gateway's."""

import gzip
import json
import random
from collections.abc import Iterator

import pytest
from fastapi.responses import Response
from openmanager.settings import settings
from openmanager.web import Anyone, create_app, lambda_handler
from openmanager.web.payload import MOST_BYTES

from tests.events import Context, Reply, http_event, invoke

app = create_app("test")
_DIGITS = random.Random(1).choices("0123456789", k=11_000_000)


@app.get("/signs/{count}")
def signs(_: Anyone, count: int) -> Response:
    return Response('"' * count, media_type="text/plain", headers={"X-Own": "kept"})


@app.get("/digits")
def digits(_: Anyone) -> Response:
    return Response("".join(_DIGITS), media_type="text/plain")


handler = lambda_handler(app)


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    settings.cache_clear()
    yield
    settings.cache_clear()


def get(path: str, **headers: str) -> Reply:
    return invoke(handler, "GET", path, headers=headers)


def test_an_answer_that_fits_goes_as_it_is() -> None:
    # A quote is two octets of what Lambda hands over.
    largest = MOST_BYTES // 2 - 2_000
    reply = get(f"/signs/{largest}")
    assert (reply.status, len(reply.body)) == (200, largest)
    assert len(json.dumps(handler(http_event("GET", f"/signs/{largest}"), Context()))) > MOST_BYTES - 10_000


def test_one_that_does_not_is_a_problem_that_says_what_to_do() -> None:
    reply = get(f"/signs/{MOST_BYTES // 2 + 1}")
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert "Accept-Encoding: gzip" in reply.json()["detail"]
    # Neither a cache nor the caller takes it for what was asked for, and it is secured as every answer is.
    assert (reply.headers["cache-control"], "etag" in reply.headers) == ("no-store", False)
    assert (reply.headers["x-content-type-options"], int(reply.headers["content-length"])) == (
        "nosniff",
        len(reply.body),
    )


def test_compressed_it_may_fit_and_where_it_does_not_the_problem_is_readable() -> None:
    small = get(f"/signs/{MOST_BYTES}", **{"accept-encoding": "gzip"})
    assert (small.status, len(gzip.decompress(small.body))) == (200, MOST_BYTES)
    told = get("/digits", **{"accept-encoding": "gzip"})
    assert (told.status, "content-encoding" in told.headers) == (400, False)
    assert "by the route's parameters" in told.json()["detail"]
