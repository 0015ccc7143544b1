"""The doctor and a system that runs, or does not."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from openmanager.notify.entries import Entry
from openmanager.notify.notice import Notice
from openmanager.stores import hot

from infra.doctor import running
from infra.doctor.__main__ import main
from infra.doctor.finding import Finding
from infra.doctor.place import Place, this_machine
from infra.doctor.rest import Rest
from infra.local.process import free_port
from infra.local.stack import Upstash
from tests.live import LiveStack


@pytest.fixture
def data(live_gateway: LiveStack, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENMANAGER_DATA", str(live_gateway.data))
    return live_gateway.data


def test_a_stack_that_runs_is_found_by_its_data_folder(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--json"])
    told = json.loads(capsys.readouterr().out)
    states = {finding["check"]: finding["state"] for finding in told["findings"]}
    assert told["place"] == f"this machine ({data})"
    assert {states[name] for name in ("settings", "redis", "postgres", "schema", "clock", "api")} == {"ok"}
    assert code == int("failed" in states.values())


def test_what_it_reads_of_a_stack_is_for_the_owner_alone(data: Path) -> None:
    assert (data / "environment.json").stat().st_mode & 0o777 == 0o600


def test_where_nothing_runs_there_is_nothing_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENMANAGER_DATA", str(tmp_path))
    assert main([]) == 2
    assert f"nothing runs on {tmp_path}: start it with `make run`" in capsys.readouterr().out


def test_every_line_has_its_sign_and_what_to_do(
    stores_env: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTASH_REDIS_REST_TOKEN", "wrong")
    assert main(["--environment"]) == 1
    said = capsys.readouterr().out
    assert "  ✗ redis     Unauthorized\n    → UPSTASH_REDIS_REST_TOKEN belongs to another database" in said
    assert "  ✓ schema " in said
    assert said.splitlines()[-1].startswith("1 failed, ")


def test_a_gateway_that_does_not_answer_or_take_the_key_is_found(data: Path) -> None:
    there = this_machine(data)
    servers, (well,) = running.api(there)
    assert servers is not None
    assert well.state == "ok"
    servers, (refused,) = running.api(Place("t", {**there.env, "OPENMANAGER_API_KEY": "x" * 30}, there.url))
    assert servers is None
    assert refused.what == f"{there.url} does not take the key"
    assert "deploy again" in refused.do
    away = f"http://127.0.0.1:{free_port()}"
    servers, (silent,) = running.api(Place("t", there.env, away))
    assert servers is None
    assert silent.what == f"{away} does not answer: ConnectError"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of something that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>hello</html>", "does not answer as OpenManager does"),
        (503, b'{"status": "degraded", "detail": "Redis is away"}', "runs, and says that it is degraded"),
    ],
)
def test_something_else_at_the_address_is_told_from_an_api_in_trouble(status: int, body: bytes, says: str) -> None:
    with answering(status, body) as url:
        _, found = running.api(Place("t", {}, url))
    assert says in found[0].what
    assert found[0].state == "failed"


@pytest.fixture
def rest(stores_env: dict[str, str], upstash: Upstash) -> Iterator[Rest]:
    with closing(Rest(upstash.url, upstash.token)) as it:
        yield it


def test_ticks_are_seen_by_the_leases_that_they_leave(rest: Rest) -> None:
    place = Place("t", {"OPENMANAGER_STAGE": "dev"})
    (none,) = running.rounds(place, rest, [{"judged": 0}, {"judged": 1_800_000_000}])
    assert none.state == "failed"
    assert none.what == "no tick within the last two minutes; the newest verdict is of 2027-01-15 08:00 UTC"
    assert "POST /api/tick every minute" in none.do
    hot.take_lease(f"tick:{int(time.time() // 60) - 3}", 120)
    (one,) = running.rounds(place, rest, None)
    assert one.state == "ok"


def test_an_archive_that_falls_behind_is_found(rest: Rest, upstash: Upstash) -> None:
    def look() -> Finding:
        (finding,) = running.archive(Place("t", {}), rest, 2)
        return finding

    assert look().what.startswith("nothing was archived yet")
    upstash.command("SET", "om:0:archived", int(time.time()) - 1800)
    assert look().state == "ok"
    upstash.command("SET", "om:1:archived", int(time.time()) - 4 * 3600)
    assert (look().state, look().what) == ("failed", "it is 4.0 hours behind")


def test_notices_that_fail_or_were_given_up_are_found(rest: Rest, upstash: Upstash) -> None:
    (well,) = running.notices(rest)
    assert (well.state, well.what) == ("ok", "0 wait, none was given up")
    notice = Notice("a1", "firing", "web-01", "cpu", "critical", 60, 60, "CPU")
    first = int((time.time() - 1800) * 1000)
    upstash.command("HSET", "om:outbox", "k1", Entry("k1", "", notice, "ops", tries=3, first=first).stored())
    upstash.command("HSET", "om:outbox:failed", "k2", "{}")
    given_up, late = running.notices(rest)
    assert given_up.what == "1 notices were given up"
    assert late.what == "a notice has failed for 30 minutes"
