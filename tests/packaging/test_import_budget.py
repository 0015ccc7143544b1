"""How many modules a packaged function may load before its first event: nearly all of a cold start is imports.

A count does not depend on the machine, as seconds do (`python -m tests.bench cold` has those). What no function may
load is in tests/unit/test_imports.py.
"""

import subprocess
from pathlib import Path

import pytest

from tests.packaging.artifacts import Artifacts, declared
from tests.packaging.function import LambdaFunction

WEB = 400  # FastAPI, pydantic, Starlette, anyio, asyncio and what they need of the standard library
NUMPY = 150
POSTGRES = 95  # psycopg
LOGS = 20  # powertools' logger; all others but the workers load it with their first line
RUNTIME = 25  # LiteRT and what it needs
DOMAIN = 135  # all of openmanager, at most
WORKER = 110  # of the standard library, without FastAPI
# Function -> the most, as a sum of what it is for; the last number is its own share.
BUDGETS = {
    "dashboard": WEB + 30,
    "predictions": WEB + 35,
    "system": WEB + 30,
    "cost": WEB + 35,
    "metrics": WEB + NUMPY,
    "demo": WEB + POSTGRES + 30,
    "record": WEB + POSTGRES + 25,
    "audit": WEB + POSTGRES + 25,
    "rules": WEB + POSTGRES + 40,
    "alerts": WEB + POSTGRES + 40,
    "silences": WEB + POSTGRES + 40,
    # Tokens are made and read: jwt.
    "auth": WEB + POSTGRES + 50,
    "access": WEB + POSTGRES + 50,
    # Secrets are sealed, receivers asked: httpx.
    "notifications": WEB + POSTGRES + 145,
    # The fleet's newest samples are decoded.
    "stream": WEB + NUMPY,
    "live": WEB + NUMPY,
    # Postgres is reached for when Redis is away; every push is logged.
    "ingest": WEB + NUMPY + LOGS + 35,
    "servers": WEB + NUMPY + POSTGRES,
    "incidents": WEB + NUMPY + POSTGRES + 35,
    "assistant": WEB + NUMPY + POSTGRES + 70,
    "tick": WORKER + NUMPY + RUNTIME + 55,
    "predict": WORKER + NUMPY + RUNTIME + 50,
    "archive": WORKER + NUMPY + RUNTIME + POSTGRES + DOMAIN + 25,
    "cron": WEB + NUMPY + RUNTIME + DOMAIN,
    "replay": WEB + NUMPY + RUNTIME + POSTGRES + 30,
    # A server of the library mcp belongs to the start; what tools answer from comes with the first call.
    "mcp": WEB + 175,
}
ABOUT = declared()


@pytest.mark.parametrize("name", sorted(ABOUT))
def test_a_function_loads_no_more_than_its_budget(name: str, lambda_artifacts: Artifacts) -> None:
    made = LambdaFunction(lambda_artifacts, name, ABOUT[name], {}, Path("/dev/null"))
    code = f"import sys; before = len(sys.modules); import functions.{name}.handler; print(len(sys.modules) - before)"
    done = subprocess.run(
        [lambda_artifacts.python, "-S", "-c", code],
        env=made.env,
        cwd=lambda_artifacts.task(name),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = int(done.stdout)
    assert loaded <= BUDGETS[name], f"{name} loads {loaded} modules"
    # A budget that is far too wide keeps nothing out.
    assert loaded > 0.9 * BUDGETS[name], f"{name} loads {loaded} modules only; lower its budget"
