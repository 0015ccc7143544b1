"""The adapter keeps the vendor's client from waiting, repeating and hiding."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from openmanager.errors import StoreUnavailable
from openmanager.stores.redis import CommandFailed, Redis, connect

from infra.local.stack import Upstash


class Strange(HTTPServer):
    """A server that answers every request with the same bytes and counts them."""

    def __init__(self, status: int, body: bytes) -> None:
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.requests += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def strange(request: pytest.FixtureRequest) -> Iterator[Strange]:
    server = Strange(*request.param)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_commands_run_in_one_request_with_a_result_each(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    assert connect().run(("SET", "a", "ü\0"), ("GET", "a"), ("HGETALL", "none")) == ["OK", "ü\0", []]
    assert empty_redis.stats()["requests"] == 1


def test_a_refused_command_is_named(stores_env: dict[str, str]) -> None:
    connect().call("SET", "text", "x")
    with pytest.raises(CommandFailed, match=r"HSET: .*WRONGTYPE"):
        connect().run(("SET", "a", "1"), ("HSET", "text", "f", "v"))
    assert connect().call("GET", "a") == "1"


def test_an_atomic_run_applies_all(stores_env: dict[str, str]) -> None:
    connect().run(("SET", "a", "1"), ("SET", "b", "2"), atomic=True)
    assert connect().call("MGET", "a", "b") == ["1", "2"]


@pytest.mark.parametrize("strange", [(502, b"<html>Bad Gateway</html>")], indirect=True)
def test_a_gateway_page_is_an_unavailable_store_and_is_not_asked_again(strange: Strange) -> None:
    redis = Redis(strange.url, "token", 1)
    with pytest.raises(StoreUnavailable, match="answered 502 without JSON"):
        redis.call("INCR", "counter")
    assert strange.requests == 1
    redis.close()


@pytest.mark.parametrize("strange", [(502, b"<html>Bad Gateway</html>")], indirect=True)
def test_only_what_may_be_repeated_is_asked_once_more(strange: Strange) -> None:
    redis = Redis(strange.url, "token", 1)
    with pytest.raises(StoreUnavailable):
        redis.call("GET", "a", repeatable=True)
    assert strange.requests == 2
    redis.close()


@pytest.mark.parametrize("strange", [(401, b'{"error":"WRONGPASS invalid token"}')], indirect=True)
def test_a_wrong_token_says_so(strange: Strange) -> None:
    redis = Redis(strange.url, "token", 1)
    with pytest.raises(StoreUnavailable, match="WRONGPASS"):
        redis.call("GET", "a")
    redis.close()


def test_a_store_that_never_answers_is_given_up(stores_env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        redis = Redis(f"http://127.0.0.1:{silent.getsockname()[1]}", "token", 0.05)
        with pytest.raises(StoreUnavailable, match="ReadTimeout"):
            redis.call("GET", "a")
        redis.close()


def test_nobody_listening_is_an_unavailable_store() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    redis = Redis(f"http://127.0.0.1:{port}", "token", 1)
    with pytest.raises(StoreUnavailable, match="ConnectError"):
        redis.call("GET", "a")
    redis.close()
