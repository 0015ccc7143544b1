"""One world for each target: users, two servers with half an hour of samples, and a round that judged them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.stack import Upstash
from tests.behaviour.target import PACE, Address, Answer, Target, local_gateway, vercel
from tests.conftest import API_KEY, truncate
from tests.packaging.cloud import Cloud

PASSWORD = "correct horse battery staple"
MINUTES = 30


@dataclass(frozen=True)
class World:
    """A target, and bearers of those who ask it."""

    target: Target
    admin: str
    operator: str
    viewer: str
    agent: str

    def ask(self, method: str, path: str, bearer: str | None = None, body: Any = None, **headers: str) -> Answer:
        """One request; a body that is no octets is sent as JSON, `_` in a field's name is written `-`."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer is not None:
            fields["Authorization"] = f"Bearer {bearer}"
        octets = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if octets is not None:
            fields.setdefault("Content-Type", "application/json")
        return self.target.request(method, path, fields, octets)

    def get(self, path: str, **headers: str) -> Any:
        """What a viewer finds, read as JSON."""
        answer = self.ask("GET", path, self.viewer, **headers)
        assert answer.status == 200, answer
        return answer.json()


def pushed(server: str, role: str, cpu: float) -> dict[str, Any]:
    """Half an hour of a server, a sample a minute, until now."""
    first = int(time.time()) // 60 * 60 - 60 * MINUTES
    samples = [
        {"time": first + 60 * i + 5, "metrics": {"cpu_utilization": cpu, "memory_used": 40, "load_1m": 1.5}}
        for i in range(MINUTES)
    ]
    return {"server": server, "role": role, "samples": samples}


def within_a_minute(push_and_judge: Callable[[], None]) -> None:
    """Push until now and have the minute before this one judged, again if another minute has begun meanwhile.

    For then the one that was judged may be that of the push, of which nobody had sent anything; and no later round
    judges it again. So each further attempt has a minute to itself.
    """
    while True:
        minute = int(time.time()) // 60
        push_and_judge()
        if int(time.time()) // 60 == minute:
            return
        time.sleep(60 - time.time() % 60)


@pytest.fixture(scope="package")
def stores(upstash: Upstash, postgres_url: str) -> Mapping[str, str]:
    return {
        "UPSTASH_REDIS_REST_URL": upstash.url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token,
        "DATABASE_URL": postgres_url,
    }


@pytest.fixture(scope="package", params=["local gateway", "packaged Lambda functions", "Vercel"])
def target(
    request: pytest.FixtureRequest, stores: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """Everything that must behave the same; it skips, with its reason, where it cannot run."""
    with ExitStack() as stack:
        if request.param == "local gateway":
            yield stack.enter_context(local_gateway(tmp_path_factory.mktemp("gateway"), stores))
        elif request.param == "packaged Lambda functions":
            artifacts = request.getfixturevalue("lambda_artifacts")
            yield stack.enter_context(Cloud(artifacts, tmp_path_factory.mktemp("functions"), {**PACE, **stores}))
        else:
            yield stack.enter_context(vercel(request.getfixturevalue("vercel_output"), stores))


@pytest.fixture(scope="package")
def world(target: Target, upstash: Upstash, postgres_url: str) -> World:
    upstash.command("FLUSHALL")
    truncate(postgres_url)
    asking = World(target, API_KEY, "", "", "")
    bearers = {}
    for role in ("operator", "viewer"):
        assert asking.ask("PUT", f"/api/users/{role}", API_KEY, {"role": role, "password": PASSWORD}).status == 200
        logged_in = asking.ask("POST", "/api/auth/token", body={"user": role, "password": PASSWORD})
        bearers[role] = logged_in.json()["access_token"]
    made = asking.ask("POST", "/api/keys", API_KEY, {"name": "web", "role": "agent", "servers": ["web-*", "db-*"]})
    bearers["agent"] = made.json()["key"]
    found = World(target, API_KEY, **bearers)

    def push_and_judge() -> None:
        servers = {"servers": [pushed("web-01", "web", 99.0), pushed("db-01", "database", 20.0)]}
        assert found.ask("POST", "/api/ingest", found.agent, servers).json()["accepted"] == 2 * 3 * MINUTES
        target.tick()

    within_a_minute(push_and_judge)
    return found


@pytest.fixture
def streaming(target: Target) -> Address:
    """The target, if its answers can be read as they arrive."""
    if not isinstance(target, Address):
        pytest.skip("an answer of this target arrives as a whole")
    return target


CAPTURES = Path(__file__).parents[1] / "captures"
