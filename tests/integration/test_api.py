"""The doors, as Lambda opens them: real events through each handler, twice in a row where warm state could matter."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from openmanager import intake
from openmanager.watch import rounds
from openmanager.web import health

from functions.archive.handler import handler as archive
from functions.ingest.handler import handler as ingest
from functions.predictions.handler import handler as predictions
from functions.servers.handler import handler as servers
from functions.system.handler import handler as system
from functions.tick.handler import handler as tick
from infra import openapi
from infra.local.stack import Upstash
from infra.serverless import read_service
from tests.conftest import API_KEY
from tests.events import Context, Reply, invoke

SWAGGER = openapi.ROOT / "functions/system/vendor/swagger-ui"
MINUTE_S = 60


def push(server: str = "web-01", minutes: int = 70, **more: Any) -> Reply:
    now = time.time()
    samples = [
        {"time": now - MINUTE_S * i, "metrics": {"cpu_utilization": 20 + i % 3, "load_1m": 0.5}} for i in range(minutes)
    ]
    body = json.dumps({"server": server, "role": "web", "samples": samples, **more}).encode()
    return invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body)


def judge_everything() -> None:
    rounds.tick(int((time.time() + 150) * 1000))


def test_a_push_shows_at_once_and_is_judged_by_the_next_round(stores_env: dict[str, str]) -> None:
    for _ in range(2):
        reply = push()
        assert (reply.status, reply.json()) == (
            200,
            {"accepted": 140, "rejected": [], "rejected_count": 0, "next_push_s": 60},
        )
    (entry,) = invoke(servers, "GET", "/api/servers", key=API_KEY).json()["servers"]
    assert (entry["id"], entry["role"], entry["status"]) == ("web-01", "web", "unknown")
    assert entry["metrics"] == {"cpu_utilization": 20.0, "load_1m": 0.5}
    early = invoke(predictions, "GET", "/api/servers/web-01/prediction", key=API_KEY)
    assert (early.status, "has not been judged yet" in early.json()["detail"]) == (404, True)
    judge_everything()
    verdict = invoke(predictions, "GET", "/api/servers/web-01/prediction", key=API_KEY).json()
    assert verdict["status"] == "healthy"
    assert 0 < verdict["confidence"] < 0.1
    assert verdict["missing"]["history_minutes"] == 240 - 70
    detail = invoke(servers, "GET", "/api/servers/web-01", key=API_KEY).json()
    assert detail["verdict"] == verdict
    assert detail["status"] == "healthy"


def test_metrics_come_on_an_even_grid(stores_env: dict[str, str]) -> None:
    push(minutes=10)
    reply = invoke(servers, "GET", "/api/servers/web-01/metrics", key=API_KEY, query="step=120").json()
    assert reply["step"] == 120
    assert len(reply["times"]) in (30, 31)
    assert set(reply["metrics"]) == {"cpu_utilization", "load_1m"}
    assert 4 <= sum(v is not None for v in reply["metrics"]["load_1m"]) <= 7


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=5&to=4", "from"),
        ("step=0", "step"),
        ("step=x", "step"),
        ("from=0&to=1000000&step=1", "step"),
    ],
)
def test_a_bad_range_names_the_field(stores_env: dict[str, str], query: str, field: str) -> None:
    reply = invoke(servers, "GET", "/api/servers/web-01/metrics", key=API_KEY, query=query)
    assert (reply.status, reply.json()["field"]) == (400, field)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["", "/metrics"])
def test_an_unknown_server_is_not_found(stores_env: dict[str, str], path: str) -> None:
    assert invoke(servers, "GET", f"/api/servers/nobody{path}", key=API_KEY).status == 404
    assert invoke(predictions, "GET", "/api/servers/nobody/prediction", key=API_KEY).status == 404


def test_the_listing_comes_in_pages_that_hold_every_server_once(stores_env: dict[str, str]) -> None:
    for server in ("web-03", "web-01", "db-01", "web-02", "api-01"):
        push(server, minutes=1)
    whole = invoke(servers, "GET", "/api/servers", key=API_KEY).json()
    assert "next" not in whole
    shown, query = [], "limit=2"
    for _ in range(3):
        page = invoke(servers, "GET", "/api/servers", key=API_KEY, query=query).json()
        assert len(page["servers"]) <= 2
        shown += page["servers"]
        query = f"limit=2&cursor={page['next']}"
    assert page["next"] is None
    assert shown == whole["servers"]
    # The cursor is a place and not a count: who comes before it meanwhile moves nobody.
    push("aaa-01", minutes=1)
    after = invoke(servers, "GET", "/api/servers", key=API_KEY, query="limit=1&cursor=3.api-01").json()
    assert [entry["id"] for entry in after["servers"]] == ["db-01"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", *(f"cursor={c}&limit=1" for c in ("web-01", "9.web-01", "3.", "3.a|b", ""))]
)
def test_a_page_that_is_none_names_what_is_wrong(stores_env: dict[str, str], query: str) -> None:
    refused = invoke(servers, "GET", "/api/servers", key=API_KEY, query=query)
    assert (refused.status, refused.json()["field"]) == (400, query.partition("=")[0])


def test_the_listing_can_be_narrowed_by_status(stores_env: dict[str, str]) -> None:
    push("web-01")
    push("web-02")
    listed = invoke(servers, "GET", "/api/servers", key=API_KEY, query="status=unknown").json()["servers"]
    assert [s["id"] for s in listed] == ["web-01", "web-02"]
    assert invoke(servers, "GET", "/api/servers", key=API_KEY, query="status=critical").json()["servers"] == []
    assert invoke(servers, "GET", "/api/servers", key=API_KEY, query="status=fine").status == 400


def test_bad_samples_are_named_and_the_others_kept(stores_env: dict[str, str]) -> None:
    body = b'{"server":"web-01","samples":[{"metrics":{"load_1m":1,"lod_5m":1,"cpu_utilization":-3}}]}'
    reply = invoke(ingest, "POST", "/api/ingest", key=API_KEY, body=body).json()
    assert reply["accepted"] == 1
    assert [r["field"] for r in reply["rejected"]] == [
        "samples[0].metrics.lod_5m",
        "samples[0].metrics.cpu_utilization",
    ]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/api/ingest", {}, b"not json", 400),
        ("/api/ingest", {"content-encoding": "br"}, b"{}", 415),
        ("/api/ingest", {}, b" " * ((8 << 20) + 1), 413),
        ("/api/v1/write", {"content-type": "application/x-protobuf"}, b"x", 415),
        ("/api/v1/write", {"content-type": "text/plain", "content-encoding": "snappy"}, b"x", 415),
        ("/api/v1/write", {"content-type": "application/x-protobuf", "content-encoding": "snappy"}, b"x", 400),
    ],
)
def test_a_body_we_cannot_read_is_refused_as_such(
    stores_env: dict[str, str], path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    reply = invoke(ingest, "POST", path, key=API_KEY, headers=headers, body=body)
    assert (reply.status, reply.json()["status"]) == (status, status)


def test_with_redis_away_and_no_other_store_nothing_is_acknowledged(
    stores_env: dict[str, str], upstash: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    with upstash.away():
        reply = push()
    assert reply.status == 503
    assert reply.headers["retry-after"] == "5"
    intake.forget()
    assert push().status == 200


# Pages and files, which the description of the API leaves out.
PAGES = {"/", "/assets/{version}/{path+}", "/api/docs", "/api/docs/{asset}", "/api/openapi.json"}


def test_health_says_when_redis_is_away(
    stores_env: dict[str, str], upstash: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_FRESH_S", -1.0)
    assert invoke(system, "GET", "/api/health").json() == {"status": "ok", "stores": {"redis": "ok"}, "stage": "local"}
    with upstash.away():
        reply = invoke(system, "GET", "/api/health")
    assert (reply.status, reply.json()["stores"]) == (503, {"redis": "unavailable"})


def test_the_description_in_the_repository_is_today_s() -> None:
    assert openapi.TARGET.read_text() == openapi.text(), "run `python -m infra.openapi`"
    described = {
        (path, method.upper()) for path, operations in openapi.describe()["paths"].items() for method in operations
    }
    declared = {(r.path, r.method) for f in read_service(openapi.ROOT / "serverless.yml").functions for r in f.routes}
    # A protocol of its own is described by itself.
    protocol = {("/mcp", method) for method in ("GET", "POST", "DELETE")}
    assert declared - described - {("/{path+}", "OPTIONS")} == {(p, "GET") for p in PAGES} | protocol


def test_the_documentation_page_is_served_whole(stores_env: dict[str, str]) -> None:
    assert b"/api/docs/swagger-ui-bundle.js" in invoke(system, "GET", "/api/docs").body
    assert invoke(system, "GET", "/api/openapi.json").json()["openapi"] == "3.1.0"
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        served = invoke(system, "GET", f"/api/docs/{name}")
        assert (served.status, served.body) == (200, (SWAGGER / name).read_bytes())
    assert invoke(system, "GET", "/api/docs/handler.py").status == 404


def test_vendored_files_are_the_ones_whose_checksums_were_recorded() -> None:
    for line in (SWAGGER / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256(Path(SWAGGER / name).read_bytes()).hexdigest() == digest


def test_the_scheduled_functions_answer_with_what_they_did(stores_env: dict[str, str]) -> None:
    push()
    assert tick({}, Context())["verdicts"] > 0
    assert tick({}, Context())["held"] is True
    assert archive({}, Context())["verdicts"] > 0
    assert archive({}, Context())["verdicts"] == 0
