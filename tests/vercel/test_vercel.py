"""The output of `vercel build`: what is in it, how it is set up, and that it starts and answers as if deployed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openmanager.errors import InvalidSettings
from openmanager.security import people
from openmanager.settings import read_settings, settings
from openmanager.stores import reset

from infra.local.stack import Upstash
from infra.serverless import read_service
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS
from tests.vercel.app import CALLER, CRON_SECRET, VercelApp
from tests.vercel.build import ROOT, Output

# From there on packages are fetched at each cold start, or the build fails (vercel/vercel, packages/python).
LIMIT_BYTES = 225 << 20
PASSWORD = "correct horse battery staple"


def test_the_deployment_is_set_up_as_vercel_json_says(vercel_output: Output) -> None:
    config, deployment = vercel_output.config, vercel_output.deployment
    assert (config["runtime"], config["memory"], config["maxDuration"]) == ("python3.12", 1024, 300)
    assert config["supportsResponseStreaming"]
    assert {cron["path"]: cron["schedule"] for cron in deployment["crons"]} == {
        "/api/tick": "* * * * *",
        "/api/archive": "*/5 * * * *",
    }
    # Every address is the app's.
    assert {"src": "/(.*)", "dest": "/fastapi"}.items() <= deployment["routes"][-1].items()


def test_a_stream_ends_by_itself_before_the_platform_ends_it(vercel_output: Output) -> None:
    env = {"OPENMANAGER_API_KEY": API_KEY, "VERCEL": "1"}
    assert read_settings(env).stream_window_s < vercel_output.config["maxDuration"]
    over = str(vercel_output.config["maxDuration"])
    with pytest.raises(InvalidSettings, match="OPENMANAGER_STREAM_WINDOW_S"):
        read_settings({**env, "OPENMANAGER_STREAM_WINDOW_S": over})


def test_the_crons_keep_the_pace_of_the_schedules_on_lambda() -> None:
    crons = {c["path"]: c["schedule"] for c in json.loads((ROOT / "vercel.json").read_text())["crons"]}
    every = {f.name: f.every_minutes for f in read_service(ROOT / "serverless.yml").functions if f.every_minutes}
    assert every == {"tick": (1,), "archive": (5,)}
    assert crons == {"/api/tick": "* * * * *", "/api/archive": "*/5 * * * *"}


def test_the_function_holds_what_it_serves_and_fits(
    vercel_output: Output, record_property: Callable[[str, object], None]
) -> None:
    sizes = vercel_output.files
    ours = {name for name in sizes if not name.startswith("_vendor/") and not name.endswith(".pyc")}
    functions = {
        f"{f.module.replace('.', '/')}.py" for f in read_service(ROOT / "serverless.yml").functions if f.routes
    }
    assert functions | {"serverless.yml", "mcp_settings.json", "models/manifest.json"} <= ours
    served = [path for path in (ROOT / "functions").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in served} <= ours
    assert [name for name in ours if name.startswith(("tests/", "models/training/", "build/", ".venv", ".ci/"))] == []
    # Of what surrounds the functions, what lies in no room of its own.
    assert [name for name in ours if name.startswith("infra/") and name.count("/") > 1] == []
    whole = sum(sizes.values())
    record_property(
        "told", f"Vercel: {whole / 2**20:.0f} MB unpacked in {len(sizes)} files, of {LIMIT_BYTES >> 20} MB allowed"
    )
    assert whole < LIMIT_BYTES


def test_nothing_is_compiled_at_a_start(vercel_output: Output) -> None:
    """Its file system cannot be written to, so each start would compile all that it imports, in twice the time."""
    sources = {Path(name) for name in vercel_output.files if name.endswith(".py") and "/tests/" not in name}
    compiled = {Path(name) for name in vercel_output.files if name.endswith(".pyc")}
    ours = {path for path in sources if path.parts[0] in ("functions", "infra", "layers")}
    theirs = {path for path in sources if path.parts[:2] in (("_vendor", "fastapi"), ("_vendor", "pydantic"))}
    assert ours
    assert theirs
    assert {path.parent / "__pycache__" / f"{path.stem}.cpython-312.pyc" for path in ours | theirs} <= compiled


def test_versions_are_those_of_the_lock_file(vercel_output: Output) -> None:
    locked = set((ROOT / "requirements.lock").read_text().split())
    found = [path.name.removesuffix(".dist-info") for path in (vercel_output.folder / "_vendor").glob("*.dist-info")]
    brought = {"pip", "vercel-runtime"}
    versions = {name.lower().replace("_", "-"): version for name, version in (name.rsplit("-", 1) for name in found)}
    assert {n: v for n, v in versions.items() if n not in brought and f"{n}=={v}" not in locked} == {}


@pytest.fixture(scope="module")
def app(vercel_output: Output, upstash: Upstash, postgres_url: str) -> Iterator[VercelApp]:
    upstash.command("FLUSHALL")
    env = {
        "OPENMANAGER_API_KEY": API_KEY,
        "OPENMANAGER_JWT_KEYS": JWT_KEYS,
        "OPENMANAGER_STREAM_POLL_S": "0.1",
        "OPENMANAGER_STORE_TIMEOUT_S": "20",
        "UPSTASH_REDIS_REST_URL": upstash.url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token,
        "DATABASE_URL": postgres_url,
    }
    with VercelApp(vercel_output, env) as running:
        yield running


@pytest.fixture
def stores_of_app(upstash: Upstash, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same stores in this process, for what people do by other ways than the API."""
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.setenv("UPSTASH_REDIS_REST_URL", upstash.url)
    monkeypatch.setenv("UPSTASH_REDIS_REST_TOKEN", upstash.token)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    for forget in (settings.cache_clear, reset):
        forget()
    yield
    for forget in (settings.cache_clear, reset):
        forget()


@pytest.fixture
def client(app: VercelApp) -> Iterator[httpx.Client]:
    headers = {**CALLER, "Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=app.url, headers=headers, timeout=60) as client:
        yield client


def loaded(app: VercelApp) -> str:
    """The shared objects in the process."""
    return Path(f"/proc/{app.pid}/maps").read_text()


def push(server: str) -> dict[str, Any]:
    return {"server": server, "role": "web", "samples": [{"metrics": {"cpu_utilization": 12.5}}]}


def test_a_request_waits_for_no_more_than_its_function_imports(app: VercelApp, client: httpx.Client) -> None:
    health = client.get("/api/health")
    assert (health.status_code, health.json()["stores"]) == (200, {"redis": "ok"})
    assert "numpy" not in loaded(app)
    assert client.get("/api/servers").status_code == 200
    assert "numpy" in loaded(app)
    assert "litert" not in loaded(app)


def test_somebody_logs_in_and_reads_what_an_agent_pushed(
    client: httpx.Client, app: VercelApp, stores_of_app: None
) -> None:
    people.put("olga", {"role": "operator", "password": PASSWORD}, "test")
    assert client.post("/api/ingest", json=push("web-01")).json()["accepted"] == 1
    logged_in = client.post("/api/auth/token", json={"user": "olga", "password": PASSWORD})
    assert logged_in.status_code == 200
    bearer = {"Authorization": f"Bearer {logged_in.json()['access_token']}"}
    (server,) = client.get("/api/servers", headers=bearer).json()["servers"]
    assert (server["id"], server["metrics"]["cpu_utilization"]) == ("web-01", 12.5)
    assert client.get("/api/servers", headers={"Authorization": "Bearer nobody"}).status_code == 401


def test_the_page_and_what_it_is_made_of_are_served(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    style = next(part for part in page.text.split('"') if part.endswith("app.css"))
    kept = client.get(f"/{style}")
    assert (kept.status_code, kept.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert client.get(f"/{style}", headers={"If-None-Match": kept.headers["etag"]}).status_code == 304
    assert client.get("/no/such/page").status_code == 404


def test_the_stream_arrives_as_it_happens(client: httpx.Client) -> None:
    with client.stream("GET", "/api/stream") as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: snapshot"
        # Pushed while the stream is open, and read from it before it ends.
        assert client.post("/api/ingest", json=push("web-02")).status_code == 200
        told = next(line for line in lines if line.startswith("data:") and "web-02" in line)
        assert told


@pytest.mark.parametrize("path", ["/api/tick", "/api/archive"])
def test_a_cron_opens_its_door_with_its_secret_alone(path: str, client: httpx.Client) -> None:
    assert client.get(path, headers={"Authorization": ""}).status_code == 401
    assert client.get(path).status_code == 401
    reply = client.get(path, headers={"Authorization": f"Bearer {CRON_SECRET}", "User-Agent": "vercel-cron/1.0"})
    assert reply.status_code == 200


def test_who_calls_is_whom_the_edge_names(client: httpx.Client, app: VercelApp) -> None:
    """Six wrong passwords close the door for one address, and for no other one."""
    wrong = {"user": "nobody", "password": "x" * 12}
    first, second = ({"X-Vercel-Forwarded-For": address} for address in ("198.51.100.1", "198.51.100.2"))
    spoofed = {"X-Forwarded-For": "198.51.100.9"}
    statuses = [client.post("/api/auth/token", json=wrong, headers=first | spoofed).status_code for _ in range(30)]
    assert statuses[-1] == 429
    assert client.post("/api/auth/token", json=wrong | {"user": "other"}, headers=second).status_code == 401


def test_nothing_was_logged_as_an_error(app: VercelApp) -> None:
    said = app.said()
    assert "Traceback" not in said, said
    assert "could not be loaded" not in said, said
