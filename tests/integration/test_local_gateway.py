"""The local gateway: routes come from serverless.yml, requests reach the function's app untouched."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.gateway import Gateway, OnDemand, compile_path, create_gateway, load
from infra.serverless import Route, Unsupported, read_service

CHECKOUT = Path(__file__).parents[2]

SERVICE = """
provider:
  runtime: python3.13
  region: ${opt:region, 'eu-central-1'}
  timeout: 10
  environment:
    PLAIN: 1
    FROM_OUTSIDE: ${env:FROM_OUTSIDE, ''}
params:
  default: {memory: 256}
functions:
  things:
    memorySize: ${param:memory}
    handler: gateway_stand_ins/things.handler
    layers: [!Ref CoreLambdaLayer, !Sub "arn:${AWS::Region}", !GetAtt [A, Arn], !If [a, {b: c}]]
    events:
      - httpApi: {method: GET, path: "/things/{id}"}
      - httpApi: {method: PUT, path: "/things/{id}"}
      - httpApi: GET /things/special
      - httpApi: {method: ANY, path: "/tree/{rest+}"}
      - sqs: {arn: !GetAtt [Queue, Arn]}
  broken:
    handler: gateway_stand_ins/broken.handler
    events:
      - httpApi: {method: GET, path: /broken}
  worker:
    handler: gateway_stand_ins/missing.handler
    timeout: 55
    events:
      - schedule: {method: scheduler, rate: [rate(1 minute), rate(2 hours)], timezone: UTC}
      - schedule: rate(1 day)
      - schedule: {rate: "cron(0 12 * * ? *)", enabled: false}
"""

THINGS = """
import json

async def app(scope, receive, send):
    body = (await receive())["body"].decode()
    said = json.dumps([scope["method"], scope["path"], scope["query_string"].decode(), body])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said.encode()})
"""


@pytest.fixture
def service_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    modules = tmp_path / "gateway_stand_ins"
    modules.mkdir()
    (modules / "things.py").write_text(THINGS)
    (modules / "broken.py").write_text("raise RuntimeError('at import')")
    (tmp_path / "serverless.yml").write_text(SERVICE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "serverless.yml"
    for name in [name for name in sys.modules if name.startswith("gateway_stand_ins")]:
        del sys.modules[name]


@pytest.fixture
def gateway(service_file: Path) -> Gateway:
    return create_gateway(read_service(service_file), load)


def ask(gateway: Gateway, method: str, path: str, body: str = "") -> httpx.Response:
    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://here") as client:
            return await client.request(method, path, content=body)

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("method", "path", "seen"),
    [
        ("GET", "/things/a%20b?x=1&y", ["GET", "/things/a b", "x=1&y", ""]),
        ("PUT", "/things/1", ["PUT", "/things/1", "", "body"]),
        ("GET", "/things/special", ["GET", "/things/special", "", ""]),
        ("DELETE", "/tree/a/b/c", ["DELETE", "/tree/a/b/c", "", ""]),
    ],
)
def test_a_request_reaches_the_app_as_it_came(gateway: Gateway, method: str, path: str, seen: list[str]) -> None:
    assert ask(gateway, method, path, body=seen[3]).json() == seen


@pytest.mark.parametrize("path", ["/nothing", "/things", "/things/", "/things/1/2", "/tree/", "/things/1%2F2x/y"])
def test_a_path_nobody_serves_is_a_404_problem(gateway: Gateway, path: str) -> None:
    answer = ask(gateway, "GET", path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_a_known_path_says_which_methods_it_has(gateway: Gateway) -> None:
    answer = ask(gateway, "DELETE", "/things/1")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, PUT")
    assert answer.json()["title"] == "Method Not Allowed"


def test_a_function_that_cannot_be_loaded_leaves_the_others_working(gateway: Gateway) -> None:
    answer = ask(gateway, "GET", "/broken")
    assert answer.status_code == 500
    assert "broken" in answer.json()["detail"]
    assert ask(gateway, "GET", "/things/1").status_code == 200


def test_the_exact_path_wins_over_the_pattern(service_file: Path) -> None:
    seen: list[str] = []
    service = read_service(service_file)

    def named(name: str) -> Any:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            seen.append(name)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        return app

    entries = create_gateway(service, load)._entries
    gateway = Gateway([type(e)(e.method, e.pattern, e.rank, e.function, named(e.pattern.pattern)) for e in entries])
    ask(gateway, "GET", "/things/special")
    ask(gateway, "GET", "/things/other")
    assert seen == ["/things/special", "/things/[^/]+"]


def test_on_demand_a_module_is_imported_at_its_first_request_and_no_earlier(service_file: Path) -> None:
    gateway = create_gateway(read_service(service_file), OnDemand)

    def imported() -> set[str]:
        return {name for name in sys.modules if name.startswith("gateway_stand_ins.")}

    assert imported() == set()
    assert ask(gateway, "GET", "/nothing").status_code == 404
    assert ask(gateway, "PATCH", "/things/1").status_code == 405
    assert imported() == set()
    assert [ask(gateway, "GET", "/things/1").status_code for _ in range(2)] == [200, 200]
    assert imported() == {"gateway_stand_ins.things"}
    assert ask(gateway, "GET", "/broken").status_code == 500


def test_a_reply_is_passed_on_piece_by_piece(gateway: Gateway) -> None:
    """Each piece is out before the app makes the next one."""
    sent: list[bytes] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for n in range(3):
            assert len(sent) == n
            await send({"type": "http.response.body", "body": b"%d" % n, "more_body": True})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:
        if message.get("body"):
            sent.append(message["body"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    entry = gateway._entries[0]
    streaming = Gateway([type(entry)("*", entry.pattern, entry.rank, "stream", app)])
    path = entry.pattern.pattern.replace("[^/]+", "x")
    asyncio.run(streaming({"type": "http", "method": "GET", "path": path}, receive, send))
    assert sent == [b"0", b"1", b"2"]


def test_the_bare_address_is_the_dashboard_s() -> None:
    (dashboard,) = [
        f for f in read_service(Path(__file__).parents[2] / "serverless.yml").functions if f.name == "dashboard"
    ]
    assert Route("GET", "/") in dashboard.routes
    assert compile_path("/").fullmatch("/")


def test_schedules_limits_and_plain_settings_are_read(service_file: Path) -> None:
    service = read_service(service_file)
    things, _, worker = service.functions
    assert worker.every_minutes == (1, 120, 1440)
    assert (things.timeout_s, worker.timeout_s) == (10, 55)
    assert things.memory_mb == 256
    assert things.routes[2] == Route("GET", "/things/special")
    assert service.environment == {"PLAIN": "1"}


def test_a_schedule_that_cannot_be_kept_is_refused_by_name(service_file: Path) -> None:
    service_file.write_text(SERVICE.replace(", enabled: false", ""))
    with pytest.raises(Unsupported, match=r"functions\.worker.*cron"):
        read_service(service_file)


def test_our_own_file_is_understood_and_names_modules_that_exist() -> None:
    service = read_service(CHECKOUT / "serverless.yml")
    routes = {route.path for function in service.functions for route in function.routes}
    assert {"/api/health", "/api/ingest"} <= routes
    for function in service.functions:
        # A Python function, or a program that the runtime starts.
        handler = CHECKOUT / function.module.replace(".", "/")
        files = [handler.with_suffix(suffix) for suffix in (".py", f".{function.attribute}")]
        assert any(file.is_file() for file in files), f"{function.name}: {json.dumps(str(handler))}"
