"""Our client of Upstash's protocol: it says what the vendor's says, and neither waits, repeats nor hides."""

import json
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import upstash_redis
from openmanager.errors import InvalidSettings, StoreUnavailable
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


class _Closing(BaseHTTPRequestHandler):
    """Says that it keeps the connection, and closes it."""

    protocol_version = "HTTP/1.1"
    seen: list[int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(len(self.seen) + 1)
        body = json.dumps([{"result": self.seen[-1]}]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def strange_closing() -> list[int]:
    return []


@pytest.fixture
def closing_url(strange_closing: list[int]) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), type("Closing", (_Closing,), {"seen": strange_closing}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_commands_run_in_one_request_with_a_result_each(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    assert connect().run(("SET", "a", "ü\0"), ("GET", "a"), ("HGETALL", "none")) == ["OK", "ü\0", []]
    assert empty_redis.stats()["requests"] == 1


def test_a_store_that_is_full_is_away_and_no_fault_of_the_command(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    connect().call("SET", "text", "x")
    empty_redis.command("CONFIG", "SET", "maxmemory", 1)
    try:
        for command in (("SET", "a", "1"), ("EVAL", "return redis.call('HSET', KEYS[1], 'f', 'v')", 1, "a")):
            with pytest.raises(StoreUnavailable, match="Redis: OOM"):
                connect().call(*command)
        # What is there can be read.
        assert connect().call("GET", "text") == "x"
    finally:
        empty_redis.command("CONFIG", "SET", "maxmemory", 0)


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
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            redis.call("GET", "a")
        redis.close()


def test_nobody_listening_is_an_unavailable_store() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    redis = Redis(f"http://127.0.0.1:{port}", "token", 1)
    with pytest.raises(StoreUnavailable, match="ConnectionRefusedError"):
        redis.call("GET", "a")
    redis.close()


def test_a_connection_that_was_closed_meanwhile_is_made_anew(strange_closing: list[int], closing_url: str) -> None:
    redis = Redis(closing_url, "token", 5)
    for n in (1, 2, 3):
        assert redis.call("INCR", "a") == n
        idle = redis._idle[0].sock
        assert select.select([idle], [], [], 30)[0]
    # Each answer came over a connection of its own, and no command was sent twice.
    assert strange_closing == [1, 2, 3]
    redis.close()


def test_threads_at_once_each_have_their_answer(stores_env: dict[str, str], empty_redis: Upstash) -> None:
    redis = connect()
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda i: redis.run(("INCR", "n"), ("SET", f"k{i}", i), ("GET", f"k{i}")), range(200)))
    assert sorted(count for count, _, _ in counts) == list(range(1, 201))
    assert [value for _, _, value in counts] == [str(i) for i in range(200)]


@pytest.mark.parametrize("url", ["redis://default:secret@name.upstash.io:6379", "name.upstash.io", "https://"])
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^UPSTASH_REDIS_REST_URL: ") as refused:
        Redis(url, "token", 1)
    assert "secret" not in str(refused.value)


def test_a_token_that_no_header_takes_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidSettings, match=r"^UPSTASH_REDIS_REST_TOKEN: ") as refused:
        Redis("https://name.upstash.io", "secret\n", 1)
    assert "secret" not in str(refused.value)


COMMANDS: tuple[tuple[str | int | float, ...], ...] = (
    ("SET", "text", "ü € \U0001f600 \0 \n"),
    ("GET", "text"),
    ("SET", "number", 5),
    ("INCRBY", "number", 2),
    ("GET", "none"),
    ("HSET", "hash", "a", "1", "b", 0.1),
    ("HGETALL", "hash"),
    ("HMGET", "hash", "a", "c"),
    ("LRANGE", "none", 0, -1),
    ("XADD", "stream", "1-1", "field", "value"),
    ("XRANGE", "stream", "-", "+"),
    ("EVAL", "return {KEYS[1], ARGV[1], 3, false, {'x'}}", 1, "key", "argument"),
)


def test_the_vendors_client_gives_the_same_answers_and_sends_the_same(
    stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    ours = connect().run(*COMMANDS)
    empty_redis.command("FLUSHALL")
    theirs = upstash_redis.Redis(
        empty_redis.url, empty_redis.token, rest_encoding=None, rest_retries=0, allow_telemetry=False
    )
    pipeline = theirs.pipeline()
    for command in COMMANDS:
        pipeline.execute(list(command))
    # It reads each answer into what the command means; before that they are the same.
    answers = theirs._http.execute(
        url=f"{empty_redis.url}/pipeline", headers=theirs._headers, command=pipeline._command_stack, from_pipeline=True
    )
    assert ours == answers
    theirs.close()
