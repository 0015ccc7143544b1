"""Cold starts of the packaged functions: from the start of a process to its first answer, through Lambda's client.

Rows of reference come from the same run: a bare handler, one with numpy, one with the interpreter and all models too.
"0.29" and "0.58" hold the whole process to that much of a CPU (Linux's cpu controller, periods of 20 ms), which is what
512 and 1,024 MB get; Lambda's own start is quicker than that, since it lends a whole CPU to imports. What is not
measured: fetching and unpacking the zips, and disks that nobody has read yet.
"""

import asyncio
import json
import os
import re
import statistics
import subprocess
import tempfile
import textwrap
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from infra.packaging.failure import CannotPackage
from tests.bench.commands import stores
from tests.bench.output import say
from tests.events import Context, http_event
from tests.packaging.artifacts import Artifacts, Declared, declared, make
from tests.packaging.cloud import SCHEDULED
from tests.packaging.function import LambdaFunction

STARTS = 15
KEY = "bench-settings-key-0123456789abcdef"
_PERIOD_US = 20_000
QUOTAS = (1.0, 0.58, 0.29)
# Row -> what its handler imports and does before it is asked.
REFERENCES = {
    "bare handler": "",
    "+ numpy": "import numpy",
    "+ interpreter, models": """
        import numpy
        from ai_edge_litert.interpreter import Interpreter
        import glob, os
        for path in sorted(glob.glob(os.environ["OPENMANAGER_MODELS"] + "/*.tflite")):
            Interpreter(model_path=path).allocate_tensors()
    """,
    "the same with psycopg": """
        import numpy
        from ai_edge_litert.interpreter import Interpreter
        import glob, os
        for path in sorted(glob.glob(os.environ["OPENMANAGER_MODELS"] + "/*.tflite")):
            Interpreter(model_path=path).allocate_tensors()
        import psycopg
        psycopg.connect(os.environ["DATABASE_URL"]).close()
    """,
    "the same as plain FastAPI": """
        import numpy
        from ai_edge_litert.interpreter import Interpreter
        import glob, os
        for path in sorted(glob.glob(os.environ["OPENMANAGER_MODELS"] + "/*.tflite")):
            Interpreter(model_path=path).allocate_tensors()
        from fastapi import FastAPI
        from mangum import Mangum
        app = FastAPI()
        @app.get("/api/health")
        def health():
            return {}
        handler = Mangum(app, lifespan="off")
    """,
}
# Budgets are multiples of this one.
REFERENCE = "+ interpreter, models"
POSTGRES = "the same with psycopg"
# Function -> how many times what its row of reference takes at 0.29 of a CPU. The budgets in seconds (1.0 predictions,
# 0.6 workers, 0.9 health, 2.4 mcp) were set on a machine where REFERENCE took 0.34; nobody waits for the archive, which
# cannot do without psycopg.
BUDGETS = {
    "predictions": (3.0, REFERENCE),
    "tick": (0.6 / 0.34, REFERENCE),
    "predict": (0.6 / 0.34, REFERENCE),
    "archive": (0.6 / 0.34, POSTGRES),
    "system": (0.9 / 0.34, REFERENCE),
    "mcp": (2.4 / 0.34, REFERENCE),
}
ASKED = {"predictions": "/api/servers/web-01/prediction", "system": "/api/health", "mcp": "/mcp"}
MCP = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/list",
}


def main() -> None:
    """The tables."""
    with tempfile.TemporaryDirectory() as folder, stores() as redis:
        say("Building the artifacts")
        try:
            artifacts = make(Path(folder), lambda _: None)
        except CannotPackage as error:
            say(f"  not measured: {error}")
            return
        env = {
            "OPENMANAGER_STAGE": "local",
            "OPENMANAGER_API_KEY": KEY,
            "UPSTASH_REDIS_REST_URL": redis.url,
            "UPSTASH_REDIS_REST_TOKEN": redis.token,
            "DATABASE_URL": os.environ["DATABASE_URL"],
            "OPENMANAGER_STORE_TIMEOUT_S": "20",
        }
        _references(artifacts)
        _judged(artifacts, env, Path(folder))
        _starts(artifacts, env, Path(folder))
        for name in ("predictions", "tick"):
            _where(artifacts, env, name)
        _warm()


def _references(artifacts: Artifacts) -> None:
    for i, code in enumerate(REFERENCES.values()):
        path = artifacts.built / "functions" / f"reference{i}.zip"
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("reference.py", "def handler(event, context):\n    return {}\n" + textwrap.dedent(code))
        # With bytecode, as ours has.
        task = artifacts.task(f"reference{i}")
        subprocess.run([artifacts.python, "-S", "-m", "compileall", "-q", str(task)], check=True)


def _judged(artifacts: Artifacts, env: Mapping[str, str], folder: Path) -> None:
    """A server with a verdict, so that there is something to answer."""
    now, known = int(time.time()), declared()
    samples = [{"time": now - 60 * i, "metrics": {"cpu_utilization": 50, "memory_used": 40}} for i in range(5, 1, -1)]
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    body = json.dumps({"server": "web-01", "samples": samples}).encode()
    for name, event in (("ingest", http_event("POST", "/api/ingest", headers=headers, body=body)), ("tick", SCHEDULED)):
        with LambdaFunction(artifacts, name, known[name], {**env, "OPENMANAGER_GRACE_S": "0"}, folder / "log") as made:
            told = made(event)
            assert not told.failed, told.payload
    with LambdaFunction(artifacts, "predictions", known["predictions"], env, folder / "log") as made:
        assert made(_event("predictions")).payload["statusCode"] == 200


def _starts(artifacts: Artifacts, env: Mapping[str, str], folder: Path) -> None:
    known = declared()
    rows: dict[str, tuple[str, Declared, Any]] = {
        row: (
            f"reference{i}",
            Declared("reference.handler", 512, 30, ("core", "inference", "postgres")),
            _event("system"),
        )
        for i, row in enumerate(REFERENCES)
    }
    rows |= {name: (name, known[name], _event(name)) for name in sorted(known) if name != "live"}
    quotas = [quota for quota in QUOTAS if quota == 1.0 or _can_limit()]
    if len(quotas) < len(QUOTAS):
        say("  held to nothing less than a CPU: the cpu controller cannot be used here")
    spent: dict[tuple[str, float], list[float]] = {}
    for _ in range(STARTS):
        # In turn, so that what else the machine does meets all rows alike.
        for row, (function, about, event) in rows.items():
            for quota in quotas:
                seconds = _start(artifacts, function, about, event, env, folder, quota)
                spent.setdefault((row, quota), []).append(seconds)
    medians = {key: statistics.median(values) for key, values in spent.items()}
    say(f"Process start to first answer, median of {STARTS} starts in s (over the reference {REFERENCE!r})")
    say("  " + f"{'':<24}" + "".join(f"{f'at {quota:g} CPU':>18}" for quota in quotas) + "   budget")
    for row in rows:
        cells = [f"{medians[row, q]:.3f} ({medians[row, q] / medians[REFERENCE, q]:.2f})" for q in quotas]
        say(f"  {row:<24}" + "".join(f"{cell:>18}" for cell in cells) + f"   {_budget(row, medians)}")


def _budget(row: str, medians: Mapping[tuple[str, float], float]) -> str:
    if row not in BUDGETS or (row, 0.29) not in medians:
        return ""
    most, base = BUDGETS[row]
    times = medians[row, 0.29] / medians[base, 0.29]
    return f"{'holds' if times <= most else 'BROKEN'} {times:.2f} of {most:.2f} times {base!r} at 0.29"


def _event(name: str) -> Any:
    if name in ("tick", "archive"):
        return SCHEDULED
    if name == "predict":
        message = json.dumps({"shard": 0, "minute": int(time.time()) // 60 - 2})
        return {"Records": [{"messageId": "1", "body": message, "eventSource": "aws:sqs", "attributes": {}}]}
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    if name == "mcp":
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
        return http_event("POST", "/mcp", headers={**headers, **MCP}, body=body)
    return http_event("GET", ASKED.get(name, "/api/nothing"), headers=headers)


def _start(
    artifacts: Artifacts,
    function: str,
    about: Declared,
    event: Any,
    env: Mapping[str, str],
    folder: Path,
    quota: float,
) -> float:
    with _held(quota) as before:
        made = LambdaFunction(artifacts, function, about, env, folder / "log", before=before)
        with made:
            told = made(event)
            assert not told.failed, told.payload
            return told.at - made.started_at


# Both generations of Linux's control groups.
_V1, _V2 = Path("/sys/fs/cgroup/cpu/openmanager-bench"), Path("/sys/fs/cgroup/openmanager-bench")


def _can_limit() -> bool:
    try:
        with _held(0.5):
            return True
    except OSError:
        return False


@contextmanager
def _held(quota: float) -> Iterator[Sequence[str]]:
    """What to put before a command, so that it and all it starts have this much of a CPU."""
    if quota == 1.0:
        yield ()
        return
    group = _V1 if _V1.parent.is_dir() else _V2
    group.mkdir(exist_ok=True)
    allowed = int(quota * _PERIOD_US)
    if group is _V1:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(allowed))
    else:
        (group / "cpu.max").write_text(f"{allowed} {_PERIOD_US}")
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    finally:
        group.rmdir()


def _where(artifacts: Artifacts, env: Mapping[str, str], name: str) -> None:
    """The ten imports that take longest by themselves, of one instrumented start."""
    about = declared()[name]
    made = LambdaFunction(artifacts, name, about, env, Path(os.devnull))
    module = about.handler.rpartition(".")[0].replace("/", ".")
    told = subprocess.run(
        [artifacts.python, "-S", "-X", "importtime", "-c", f"import awslambdaric.bootstrap, {module}"],
        env=made.env,
        cwd=artifacts.task(name),
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    rooms: Counter[str] = Counter()
    for own, package in re.findall(r"import time: +(\d+) \| +\d+ \| +([\w.]+)", told):
        deep = 2 if package.startswith(("openmanager", "fastapi", "pydantic")) else 1
        rooms[".".join(package.split(".")[:deep])] += int(own)
    whole = sum(rooms.values())
    say(f"Where {name}'s start goes: the ten dearest of {len(rooms)} packages, of {whole / 1000:.0f} ms of imports")
    say("  " + ", ".join(f"{room} {100 * spent / whole:.0f} %" for room, spent in rooms.most_common(10)))


def _warm() -> None:
    """What a request costs when everything is loaded: our whole stack beside a bare answer, both through Mangum."""
    from mangum import Mangum
    from openmanager.settings import settings
    from openmanager.web import Viewer, create_app, lambda_handler

    os.environ.update(OPENMANAGER_API_KEY=KEY)
    settings.cache_clear()
    app = create_app("bench")

    @app.get("/api/servers")
    async def _whole(_: Viewer) -> dict[str, Any]:
        return {"servers": []}

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b'{"servers":[]}'})

    asyncio.set_event_loop(asyncio.new_event_loop())
    event = http_event("GET", "/api/servers", headers={"authorization": f"Bearer {KEY}"})
    reference = _microseconds(Mangum(cast(Any, bare), lifespan="off"), event)
    spent = _microseconds(lambda_handler(app), event)
    say("A warm request through the handler: routing, role, limits, header fields, caching and compression")
    say(f"  bare ASGI answer {reference:.0f} us, ours {spent:.0f} us ({spent / reference:.1f} times)")


def _microseconds(handler: Callable[[Any, Any], Any], event: Any, times: int = 2_000) -> float:
    assert handler(event, Context())["statusCode"] == 200
    rounds = []
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(times):
            handler(event, Context())
        rounds.append((time.perf_counter() - began) / times * 1e6)
    return min(rounds)
