"""Events in, answers out: the same of every target (conftest.py). Nothing here knows what serves."""

import gzip
import json
import time
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import pytest

from tests.behaviour.conftest import CAPTURES, MINUTES, PASSWORD, World, pushed
from tests.behaviour.target import ORIGIN, Address
from tests.otlp import JSON, PROTOBUF, document, encoded, gauge, point

WRITE = {"Content_Type": "application/x-protobuf", "Content_Encoding": "snappy"}
VERSION = "2026-07-28"
MCP = {"Accept": "application/json, text/event-stream", "MCP_Protocol_Version": VERSION, "Mcp_Method": "tools/list"}


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem details of an answer, which must be some."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    told: dict[str, Any] = answer.json()
    assert (told["status"], told["type"]) == (status, "about:blank")
    return told


def test_anybody_learns_whether_it_runs(world: World) -> None:
    answer = world.ask("GET", "/api/health")
    assert (answer.status, answer.json()["status"], answer.json()["stores"]) == (200, "ok", {"redis": "ok"})
    assert answer.headers["cache-control"] == "no-store"


def test_a_password_gives_a_token_that_renews_and_ends(world: World) -> None:
    refused = world.ask("POST", "/api/auth/token", body={"user": "viewer", "password": PASSWORD + "!"})
    assert problem(refused, 401)["detail"]
    first = world.ask("POST", "/api/auth/token", body={"user": "viewer", "password": PASSWORD}).json()["access_token"]
    second = world.ask("POST", "/api/auth/refresh", first).json()["access_token"]
    assert world.ask("GET", "/api/servers", second).status == 200
    assert world.ask("POST", "/api/auth/logout", second).status == 204


def test_nobody_is_let_in_and_a_role_no_further_than_it_goes(world: World) -> None:
    for bearer in (None, "", "nobody", "om_000000000000_nothing"):
        answer = world.ask("GET", "/api/servers", bearer)
        assert problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert problem(world.ask("PUT", "/api/rules/mine", world.viewer, {}), 403)
    assert problem(world.ask("GET", "/api/users", world.operator), 403)
    assert problem(world.ask("GET", "/api/servers", world.agent), 403)


def test_an_agent_writes_its_own_servers_alone(world: World) -> None:
    answer = world.ask("POST", "/api/ingest", world.agent, {"servers": [pushed("other-01", "web", 1.0)]})
    assert (answer.json()["accepted"], answer.json()["rejected_count"]) == (0, 3 * MINUTES)
    assert "other-01" not in {server["id"] for server in world.get("/api/servers")["servers"]}


def test_the_fleet_is_listed_worst_first(world: World) -> None:
    listed = [s for s in world.get("/api/servers")["servers"] if s["id"] in ("web-01", "db-01")]
    assert [(s["id"], s["status"], s["metrics"]["cpu_utilization"]) for s in listed] == [
        ("web-01", "critical", 99.0),
        ("db-01", "healthy", 20.0),
    ]


def test_a_server_s_verdict_is_told_with_its_reasons(world: World) -> None:
    verdict = world.get("/api/servers/web-01/prediction")
    assert (verdict["server"], verdict["status"]) == ("web-01", "critical")
    assert verdict["reasons"][0]["metric"] == "cpu_utilization"
    assert 0 <= verdict["failure"]["probability"] <= 1
    assert problem(world.ask("GET", "/api/servers/web-99/prediction", world.viewer), 404)


def test_what_was_sent_is_charted(world: World) -> None:
    found = world.get(f"/api/servers/db-01/metrics?from={time.time() - 7200:.0f}&step=60&metrics=cpu_utilization")
    values = [value for value in found["metrics"]["cpu_utilization"] if value is not None]
    # One or two more where the fleet had to be sent twice.
    assert values in ([20.0] * MINUTES, [20.0] * (MINUTES + 1), [20.0] * (MINUTES + 2))
    assert list(found["metrics"]) == ["cpu_utilization"]


def test_what_is_wrong_is_an_alert_and_an_incident(world: World) -> None:
    (alert,) = [a for a in world.get("/api/alerts")["alerts"] if a["rule"] == "cpu"]
    assert (alert["server"], alert["severity"], alert["value"]) == ("web-01", "critical", 99.0)
    (incident,) = world.get("/api/incidents")["incidents"]
    assert incident["servers"] == ["web-01"]
    assert world.get(f"/api/incidents/{incident['id'].replace('|', '%7C')}")["open"]


def test_who_takes_care_of_an_alert_sees_so_at_once(world: World) -> None:
    def state() -> tuple[str, str]:
        (alert,) = [a for a in world.ask("GET", "/api/alerts", world.operator).json()["alerts"] if a["rule"] == "cpu"]
        return alert["state"], alert["by"]

    assert state()[0] == "firing"
    path = "/api/alerts/web-01/cpu/acknowledge"
    assert world.ask("POST", path, world.operator, {"note": "on it"}).status == 200
    assert state() == ("acknowledged", "operator")
    # Who only looks is not told who.
    assert not [a for a in world.get("/api/alerts")["alerts"] if "by" in a]
    assert world.ask("DELETE", path, world.operator).status == 200
    assert state()[0] == "firing"
    assert problem(world.ask("POST", "/api/alerts/web-01/no-such/acknowledge", world.operator), 404)


def test_a_rule_is_changed_seen_and_restored(world: World) -> None:
    tag = world.ask("GET", "/api/rules", world.viewer).headers["etag"]
    changed = world.ask("PUT", "/api/rules/cpu", world.operator, {"warning": 70})
    assert changed.status == 200, changed.body
    answer = world.ask("GET", "/api/rules", world.viewer, If_None_Match=tag)
    assert answer.status == 200
    assert next(r for r in answer.json()["rules"] if r["id"] == "cpu")["warning"] == 70
    assert world.ask("DELETE", "/api/rules/cpu", world.operator).status == 204
    assert world.ask("GET", "/api/rules", world.viewer, If_None_Match=tag).status == 304


def test_the_record_says_what_predictions_were_worth(world: World) -> None:
    record = world.get("/api/predictions/record")
    assert {"from", "to", "episodes", "incident_list"} <= record.keys()


def test_the_archive_moves_what_is_settled_and_charts_show_no_seam(world: World) -> None:
    path = f"/api/servers/web-01/metrics?from={time.time() - 7200:.0f}&step=300&metrics=cpu_utilization"
    before = world.get(path)["metrics"]
    world.target.archive()
    assert world.get(path)["metrics"] == before
    assert [row["action"] for row in world.ask("GET", "/api/audit", world.admin).json()["rows"]]


@pytest.mark.parametrize("name", ["0001", "0002", "0005"])
def test_prometheus_writes_as_it_was_recorded(name: str, world: World) -> None:
    body = (CAPTURES / f"remote_write/{name}.body").read_bytes()
    answer = world.ask("POST", "/api/v1/write", world.admin, body, **WRITE)
    assert (answer.status, answer.body) == (204, b"")


def test_what_is_no_remote_write_is_refused_for_good(world: World) -> None:
    assert problem(world.ask("POST", "/api/v1/write", world.admin, b"\xff\x00 not snappy", **WRITE), 400)
    assert problem(world.ask("POST", "/api/v1/write", world.admin, b"{}"), 415)


@pytest.mark.parametrize(("encoding", "packed"), [(JSON, False), (JSON, True), (PROTOBUF, False), (PROTOBUF, True)])
def test_opentelemetry_is_answered_in_its_own_encoding(encoding: Any, packed: bool, world: World) -> None:
    """Octets that are no text go in and come out as they are."""
    server = f"web-{'gzip' if packed else 'plain'}-{encoding.rpartition('-')[2].rpartition('/')[2]}"
    load = gauge("system.cpu.load_average.1m", point(0.375, int(time.time() * 1000)))
    body = encoded(document(load, resource={"host.name": server}), encoding)
    more = {"Content_Encoding": "gzip"} if packed else {}
    sent = gzip.compress(body) if packed else body
    answer = world.ask("POST", "/v1/metrics", world.agent, sent, Content_Type=encoding, **more)
    assert (answer.status, answer.headers["content-type"]) == (200, encoding)
    assert server in {s["id"] for s in world.get("/api/servers")["servers"]}


def test_gzip_goes_both_ways(world: World) -> None:
    body = gzip.compress(json.dumps(pushed("web-02", "web", 11.0)).encode())
    answer = world.ask("POST", "/api/ingest", world.agent, body, Content_Encoding="gzip")
    assert answer.json()["accepted"] == 3 * MINUTES
    plain = world.ask("GET", "/api/rules", world.viewer)
    packed = world.ask("GET", "/api/rules", world.viewer, Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["etag"] == plain.headers["etag"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/ingest", b"{", "body"),
        ("/api/ingest", b"[]", "body"),
        ("/api/ingest", b'{"samples": []}', "server"),
        ("/api/auth/token", b'{"user": 1}', "user"),
    ],
)
def test_bad_input_is_a_problem_that_names_the_field(path: str, body: bytes, field: str, world: World) -> None:
    assert problem(world.ask("POST", path, world.agent, body), 400)["field"] == field


def test_a_bad_query_is_a_problem_too(world: World) -> None:
    answer = world.ask("GET", "/api/servers/web-01/metrics?from=yesterday", world.viewer)
    assert problem(answer, 400)["field"] == "from"
    assert problem(world.ask("GET", "/api/servers?status=none", world.viewer), 400)["field"] == "status"


def test_a_body_over_its_limit_is_refused_packed_or_not(world: World) -> None:
    assert problem(world.ask("POST", "/api/auth/token", body=b" " * 5000), 413)
    bomb = gzip.compress(b" " * (9 << 20))
    assert problem(world.ask("POST", "/api/ingest", world.agent, bomb, Content_Encoding="gzip"), 413)


def test_an_unknown_address_is_not_found_and_another_method_not_allowed(world: World) -> None:
    for path in ("/api/nothing", "/nothing/at/all", "/api/servers/web-01/nothing"):
        assert world.ask("GET", path, world.viewer).status == 404
    # An HTTP API knows no more than that there is no such route.
    assert world.ask("PATCH", "/api/servers", world.viewer).status in (404, 405)


def test_the_page_is_served_under_its_policy_and_its_files_for_good(world: World) -> None:
    page = world.ask("GET", "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    file = next(part for part in page.body.decode().split('"') if part.endswith("app.css"))
    style = world.ask("GET", f"/{file}")
    assert (style.status, style.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert style.body.strip()
    again = world.ask("GET", f"/{file}", If_None_Match=style.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert gzip.decompress(world.ask("GET", f"/{file}", Accept_Encoding="gzip").body) == style.body
    assert world.ask("GET", "/assets/000000000000/app.css").status == 404
    assert world.ask("GET", "/assets/../serverless.yml").status == 404


def test_a_known_origin_is_let_in_by_browsers_and_no_other(world: World) -> None:
    asked = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "authorization"}
    allowed = world.ask("OPTIONS", "/api/rules/cpu", Origin=ORIGIN, **asked)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    refused = world.ask("OPTIONS", "/api/rules/cpu", Origin="https://evil.example", **asked)
    assert "access-control-allow-origin" not in refused.headers
    read = world.ask("GET", "/api/servers", world.viewer, Origin=ORIGIN)
    assert read.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in read.headers["vary"]


def test_every_answer_tells_browsers_what_it_may_not_do(world: World) -> None:
    for answer in (world.ask("GET", "/api/health"), world.ask("GET", "/api/servers")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", ["/api/rules", "/api/servers/db-01/prediction", "/api/openapi.json", "/api/docs"])
def test_who_has_the_answer_already_is_told_so(path: str, world: World) -> None:
    whole = world.ask("GET", path, world.viewer)
    again = world.ask("GET", path, world.viewer, If_None_Match=f'"other", {whole.headers["etag"]}')
    assert (again.status, again.body) == (304, b"")
    for name in ("etag", "cache-control", "content-security-policy"):
        assert again.headers[name].partition("=")[0] == whole.headers[name].partition("=")[0]
    assert world.ask("GET", path, world.viewer, If_None_Match='"other"').body == whole.body


def test_our_mcp_server_lists_its_tools_and_answers_by_them(world: World) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    answer = world.ask("POST", "/mcp", world.viewer, message, **MCP)
    assert answer.status == 200, answer.body
    assert len(answer.json()["result"]["tools"]) > 5
    assert world.ask("POST", "/mcp", None, message, **MCP).status == 401


def test_a_question_is_answered_from_the_data(world: World) -> None:
    answer = world.ask("POST", "/api/assistant/ask", world.viewer, {"question": "Which servers are critical?"})
    assert answer.status == 200, answer.body
    assert "web-01" in json.dumps(answer.json())


def test_the_feed_s_snapshot_has_the_fleet_and_where_to_go_on(world: World) -> None:
    snapshot = world.get("/api/stream/snapshot")
    assert "web-01" in json.dumps(snapshot)
    assert snapshot["id"]


def test_a_ticket_opens_the_stream_once(world: World) -> None:
    answer = world.ask("POST", "/api/stream/ticket", world.viewer)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert world.ask("GET", "/api/stream?ticket=nothing").status == 401


@pytest.mark.parametrize("path", ["/api/tick", "/api/archive"])
def test_what_schedules_start_is_closed_to_people(path: str, world: World) -> None:
    for method in ("GET", "POST"):
        assert world.ask(method, path, world.operator).status == 401
        assert world.ask(method, path).status == 401


def events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Server-sent events as they arrive; comments are none."""
    while block := list(takewhile(str.strip, lines)):
        fields = dict(line.strip().split(": ", 1) for line in block if not line.startswith(":"))
        if "event" in fields:
            yield fields


def test_the_stream_tells_what_happens_and_goes_on_where_it_was_left(streaming: Address, world: World) -> None:
    ticket = world.ask("POST", "/api/stream/ticket", world.viewer).json()["ticket"]

    def opened(query: str, **headers: str) -> Any:
        return streaming.opened("GET", f"/api/stream?{query}", headers, None)

    with opened(f"ticket={ticket}") as response:
        assert response.getheader("content-type", "").startswith("text/event-stream")
        told = events(line.decode() for line in response)
        assert next(told)["event"] == "snapshot"
        assert world.ask("POST", "/api/ingest", world.agent, pushed("web-03", "web", 12.0)).status == 200
        moved = next(event for event in told if event["event"] == "metrics" and "web-03" in event["data"])
    assert world.ask("GET", f"/api/stream?ticket={ticket}").status == 401
    bearer = {"Authorization": f"Bearer {world.viewer}", "Last-Event-ID": moved["id"]}
    with opened("", **bearer) as response:
        assert world.ask("POST", "/api/ingest", world.agent, pushed("web-04", "web", 13.0)).status == 200
        told = events(line.decode() for line in response)
        first = next(told)
        assert first["event"] == "metrics"
        assert "web-03" not in first["data"]
