"""The API's description, from the functions that serverless.yml names: `python -m infra.openapi` rewrites the file.

On Lambda every function knows its own routes only, so the whole is made here and shipped with the system function.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

# Before any function: with them FastAPI's models of OpenAPI are stand-ins (openmanager/web/quick.py).
import fastapi.openapi.models  # noqa: F401

from infra.serverless import read_service

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "functions/system/openapi.json"


def describe() -> dict[str, Any]:
    """One OpenAPI document of all routes that serverless.yml exposes."""
    whole: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "OpenManager",
            "version": "0.1.0",
            "description": "Watches a fleet of servers and says what will break next. Errors are RFC 9457 problems.",
        },
        "paths": {},
        "components": {},
    }
    for function in read_service(ROOT / "serverless.yml").functions:
        if not function.routes:
            continue
        described = importlib.import_module(function.module).app.openapi()
        exposed = {(r.path, r.method.lower()) for r in function.routes}
        for path, operations in described["paths"].items():
            kept = {
                method: o | {"tags": [function.name]} for method, o in operations.items() if (path, method) in exposed
            }
            whole["paths"].setdefault(path, {}).update(kept)
        for kind, entries in described.get("components", {}).items():
            whole["components"].setdefault(kind, {}).update(entries)
    return whole


def text() -> str:
    """The document as it stands in the file."""
    return json.dumps(describe(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "layers/core/python"))
    TARGET.write_text(text())
