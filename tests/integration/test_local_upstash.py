"""The REST front, as the vendor's own client and a plain HTTP client see it."""

import base64
from collections.abc import Iterator
from hashlib import sha1

import httpx
import pytest
from upstash_redis import Redis
from upstash_redis.errors import UpstashError

from infra.local.stack import Upstash

FLAGGED = "#!lua flags=allow-key-locking\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])"


@pytest.fixture
def redis(empty_redis: Upstash) -> Iterator[Redis]:
    with Redis(empty_redis.url, empty_redis.token, rest_retries=0, allow_telemetry=False) as client:
        yield client


@pytest.fixture
def http(empty_redis: Upstash) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {empty_redis.token}"}
    with httpx.Client(base_url=empty_redis.url, headers=headers) as client:
        yield client


@pytest.mark.parametrize("text", ["plain", "", "OK", "한국어 é 🛰", "nul \0 inside", "T0s=", "line\r\n$5\r\n"])
def test_text_comes_back_as_it_was_stored(redis: Redis, text: str) -> None:
    assert redis.set("k", text) is True
    assert redis.get("k") == text


def test_missing_keys_numbers_and_lists_keep_their_type(redis: Redis) -> None:
    redis.rpush("list", "a", 2, 0.5)
    assert redis.get("nothing") is None
    assert redis.incr("n") == 1
    assert redis.lrange("list", 0, -1) == ["a", "2", "0.5"]
    assert redis.lrange("nothing", 0, -1) == []


def test_a_pipeline_reports_each_commands_own_outcome(http: httpx.Client) -> None:
    commands = [["SET", "k", "text"], ["INCR", "k"], ["GET", "k"]]
    answer = http.post("/pipeline", json=commands)
    assert answer.status_code == 200
    first, second, third = answer.json()
    assert (first, third) == ({"result": "OK"}, {"result": "text"})
    assert "not an integer" in second["error"]


def test_the_vendors_pipeline_and_transaction_return_results_in_order(redis: Redis) -> None:
    for batch in (redis.pipeline(), redis.multi()):
        batch.set("k", "1")
        batch.incr("k")
        batch.hset("h", values={"a": "x", "b": "y"})
        batch.hgetall("h")
        assert batch.exec()[1:] == [2, 2, {"a": "x", "b": "y"}]
        redis.flushall()


def test_a_transaction_with_a_malformed_command_changes_nothing(redis: Redis, http: httpx.Client) -> None:
    answer = http.post("/multi-exec", json=[["SET", "k", "1"], ["SET", "k"]])
    assert answer.status_code == 400
    assert "wrong number of arguments" in answer.json()["error"]
    assert redis.get("k") is None


def test_streams_can_be_written_ranged_and_read_after_an_id(redis: Redis) -> None:
    first = redis.xadd("feed", "*", {"type": "alert", "text": "가"})
    redis.xadd("feed", "*", {"type": "metrics"})
    assert redis.xrange("feed", "-", "+", 1) == [[first, ["type", "alert", "text", "가"]]]
    ((name, entries),) = redis.xread({"feed": first})
    assert (name, [fields for _, fields in entries]) == ("feed", [["type", "metrics"]])


def test_a_script_with_the_flag_of_upstash_runs_and_is_found_by_its_digest(redis: Redis) -> None:
    assert redis.eval(FLAGGED, keys=["n"], args=[2]) == 2
    digest = sha1(FLAGGED.encode()).hexdigest()
    assert redis.evalsha(digest, keys=["n"], args=[3]) == 5


def test_a_loaded_script_is_found_by_the_digest_it_was_answered_with(redis: Redis) -> None:
    digest = redis.script_load("return {1, 'two', {ARGV[1]}}")
    assert redis.evalsha(digest, args=["three"]) == [1, "two", ["three"]]


def test_a_wrong_token_is_refused_with_a_reason(empty_redis: Upstash) -> None:
    with (
        Redis(empty_redis.url, "wrong", rest_retries=0) as client,
        pytest.raises(UpstashError, match="Unauthorized"),
    ):
        client.get("k")
    assert httpx.get(f"{empty_redis.url}/get/k").status_code == 401
    assert httpx.get(f"{empty_redis.url}/get/k?_token={empty_redis.token}").json() == {"result": None}


def test_commands_can_be_spelled_as_a_path_with_body_and_options(http: httpx.Client) -> None:
    assert http.post("/set/a%20b%2Fc?EX=100&NX", content=b"val/ue").json() == {"result": "OK"}
    assert http.get("/get/a%20b%2Fc").json() == {"result": "val/ue"}
    assert 0 < http.get("/ttl/a%20b%2Fc").json()["result"] <= 100
    assert http.get("/set/x").status_code == 400


def test_base64_covers_all_text_but_the_status_ok(http: httpx.Client) -> None:
    http.headers["Upstash-Encoding"] = "base64"
    assert http.post("/", json=["SET", "k", "v"]).json() == {"result": "OK"}
    assert http.post("/", json=["GET", "k"]).json() == {"result": base64.b64encode(b"v").decode()}
    assert http.post("/", json=["MGET", "k", "none"]).json()["result"][1] is None


@pytest.mark.parametrize("body", ["", "{", "{}", "[]", '["GET"', '[["GET","k"]]x', '["SET","k","\\ud800"]'])
def test_a_malformed_body_is_a_bad_request(http: httpx.Client, body: str) -> None:
    answer = http.post("/", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("ERR")


@pytest.mark.parametrize(
    "command", [["BLPOP", "k", 0], ["XREAD", "BLOCK", 0, "STREAMS", "s", "$"], ["SELECT", 1], ["MULTI"]]
)
def test_commands_that_would_hold_up_or_mix_up_others_are_refused(http: httpx.Client, command: list[str | int]) -> None:
    assert http.post("/", json=command).status_code == 400


def test_commands_are_counted_by_name_and_a_script_counts_once(redis: Redis, http: httpx.Client) -> None:
    redis.eval("redis.call('SET', 'a', 1) redis.call('SET', 'b', 1)")
    batch = redis.pipeline()
    batch.get("a")
    batch.get("b")
    batch.exec()
    assert http.get("/stats").json() == {
        "requests": 2,
        "commands": 3,
        "by_name": {"EVAL": 1, "GET": 2},
    }
    http.post("/stats/reset")
    assert http.get("/stats").json() == {"requests": 0, "commands": 0, "by_name": {}}


def test_a_large_nested_answer_arrives_whole(redis: Redis) -> None:
    values = {f"server-{n}": "x" * 3000 for n in range(1000)}
    redis.hset("h", values=values)
    assert redis.hgetall("h") == values


def test_the_store_being_away_is_said_and_passes(empty_redis: Upstash, http: httpx.Client) -> None:
    http.post("/", json=["SET", "k", "v"])
    with empty_redis.away():
        answer = http.post("/", json=["GET", "k"])
        assert answer.status_code == 503
        assert "error" in answer.json()
    assert http.post("/", json=["GET", "k"]).json() == {"result": "v"}


def test_an_acknowledged_write_survives_a_kill(empty_redis: Upstash, http: httpx.Client) -> None:
    for n in range(50):
        http.post("/", json=["HSET", "frames", f"f{n}", "x"])
    empty_redis.restart()
    assert http.post("/", json=["HLEN", "frames"]).json() == {"result": 50}
