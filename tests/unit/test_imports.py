"""What a function does not need, it must not import; and inside the domain imports point down only."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.serverless import read_service

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "layers/core/python"
HEAVY = frozenset(
    {
        "fastapi",
        "numpy",
        "tflite_runtime",
        "ai_edge_litert",
        "psycopg",
        "google.protobuf",
        "cramjam",
        "mcp",
        "boto3",
        "httpx",
        "mangum",
        "aws_lambda_powertools",
        "jwt",
        "cryptography",
        "openmanager.inference.runtime",
    }
)
# What each function needs of the heavy ones; all others must be absent once its module is imported.
NEEDS = {
    # It logs every push.
    "ingest": {"fastapi", "mangum", "numpy", "google.protobuf", "cramjam", "aws_lambda_powertools"},
    "servers": {"fastapi", "mangum", "numpy", "psycopg"},
    "predictions": {"fastapi", "mangum"},
    "stream": {"fastapi", "mangum", "numpy"},
    "live": {"fastapi", "mangum", "numpy"},
    "dashboard": {"fastapi", "mangum"},
    "cost": {"fastapi", "mangum"},
    "metrics": {"fastapi", "mangum", "numpy"},
    "demo": {"fastapi", "mangum", "psycopg"},
    "system": {"fastapi", "mangum"},
    "tick": {
        "numpy",
        "tflite_runtime",
        "ai_edge_litert",
        "aws_lambda_powertools",
        "openmanager.inference.runtime",
    },
    "predict": {
        "numpy",
        "tflite_runtime",
        "ai_edge_litert",
        "aws_lambda_powertools",
        "openmanager.inference.runtime",
    },
    "cron": {
        "fastapi",
        "mangum",
        "numpy",
        # The archive reads and writes history.
        "psycopg",
        "tflite_runtime",
        "ai_edge_litert",
        "openmanager.inference.runtime",
    },
    "notifications": {"fastapi", "mangum", "httpx", "psycopg"},
    # It replays lost pasts through the models.
    "archive": {
        "numpy",
        "psycopg",
        "tflite_runtime",
        "ai_edge_litert",
        "aws_lambda_powertools",
        "openmanager.inference.runtime",
    },
    "audit": {"fastapi", "mangum", "psycopg"},
    # PyJWT reaches for cryptography where it is installed.
    "auth": {"fastapi", "mangum", "psycopg", "jwt", "cryptography"},
    "access": {"fastapi", "mangum", "psycopg", "jwt", "cryptography"},
    "assistant": {"fastapi", "mangum", "numpy", "psycopg"},
    # The library mcp it loads when it is first asked (functions/mcp/handler.py says why).
    "mcp": {"fastapi", "mangum"},
    "alerts": {"fastapi", "mangum", "psycopg"},
    "incidents": {"fastapi", "mangum", "numpy", "psycopg"},
    "record": {"fastapi", "mangum", "psycopg"},
    "replay": {
        "fastapi",
        "mangum",
        "numpy",
        "psycopg",
        "tflite_runtime",
        "ai_edge_litert",
        "openmanager.inference.runtime",
    },
    "rules": {"fastapi", "mangum", "psycopg"},
    "silences": {"fastapi", "mangum", "psycopg"},
}
FUNCTIONS = sorted(p.parent.name for p in (ROOT / "functions").glob("*/handler.py"))


def test_every_function_of_serverless_yml_has_its_folder_and_its_import_list() -> None:
    declared = read_service(ROOT / "serverless.yml").functions
    assert sorted(f.name for f in declared) == FUNCTIONS == sorted(NEEDS)
    assert all((f.module, f.attribute) == (f"functions.{f.name}.handler", "handler") for f in declared)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_nothing_heavy_that_it_does_not_need(function: str) -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(CORE)!r}]\n"
        f"import functions.{function}.handler\n"
        f"print(' '.join(m for m in {sorted(HEAVY)!r} if m in sys.modules))"
    )
    # Without the variables of a deployment: nothing may read them at import.
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:openmanager", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) - NEEDS[function] == set()


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if "fastapi" in NEEDS[name]])
def test_what_makes_fastapi_s_import_shorter_runs_before_it(function: str) -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(CORE)!r}]\n"
        f"import functions.{function}.handler\n"
        "from fastapi.openapi import models\n"
        "print(type(models).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert (done.stdout, done.stderr) == ("_StandIn\n", "")


def test_only_the_edge_imports_fastapi() -> None:
    found = [
        str(path.relative_to(ROOT))
        for folder in (ROOT / "functions", CORE / "openmanager")
        for path in folder.rglob("*.py")
        if path.parent.name != "web" and re.search(r"^(from|import) fastapi", path.read_text(), re.MULTILINE)
    ]
    assert found == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_stays_a_door(function: str) -> None:
    assert len((ROOT / "functions" / function / "handler.py").read_text().splitlines()) <= 60


FLOORS = [
    {"__main__"},
    {"assistant", "cli", "mcp"},
    {"tools", "sidecar"},
    {"watch", "demo"},
    {
        "fleet",
        "exposition",
        "predictions",
        "charts",
        "archive",
        "intake",
        "web",
        "metering",
        "bill",
        "notify",
        "evaluation",
        "oncall",
        "security",
        "feed",
    },
    {"sources", "inference", "stores", "alerts", "ledger"},
    {"telemetry", "audit"},
    {
        "catalog",
        "suppliers",
        "settings",
        "parameters",
        "signature",
        "tls",
        "errors",
        "logs",
        "measures",
        "acting",
        "whole",
        "names",
        "spans",
        "json_body",
        "unloaded",
        "values",
        "zones",
        "meter",
        "tracing",
        "stages",
    },
]
# Neighbours on one floor that may know each other, and in which direction.
SIDEWAYS = {
    ("cli", "mcp"),
    ("web", "fleet"),
    ("web", "security"),
    ("web", "feed"),
    ("web", "metering"),
    ("feed", "oncall"),
    ("feed", "security"),
    ("archive", "intake"),
    ("archive", "notify"),
    ("archive", "oncall"),
    ("oncall", "charts"),
    ("oncall", "notify"),
    ("oncall", "security"),
    ("notify", "security"),
    ("watch", "watch"),
}


def _room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def test_inside_the_domain_imports_point_down_only() -> None:
    floor = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for path in sorted((CORE / "openmanager").rglob("*.py")):
        here = path.relative_to(CORE / "openmanager").parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("openmanager"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.startswith("openmanager")]
            for there in map(_room, names):
                if there == here or (here, there) in SIDEWAYS:
                    continue
                same_ground = floor[here] == floor[there] == len(FLOORS) - 1
                if floor[there] <= floor[here] and not same_ground:
                    wrong.append(f"{path.name}: {here} imports {there}")
    assert wrong == []
