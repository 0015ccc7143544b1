"""The sidecar over settings of a test's own, and what it needs for that."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from openmanager.settings import settings
from openmanager.sidecar import service

from functions.mcp import handler

HERE = Path(__file__).parent / "outside"
PACKAGES = HERE / "node_modules"
ODD = {"command": sys.executable, "args": [str(HERE / "odd.py")]}


def app() -> FastAPI:
    """The mcp function's routes alone, for a process of their own (infra.local.serve)."""
    return handler.app


def gone(process: int) -> bool:
    """Whether no process has this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def npm_missing() -> str:
    """Why the official servers cannot be used here; empty where they can."""
    if shutil.which("node") is None:
        return "no node here"
    if not (PACKAGES / "@modelcontextprotocol/server-memory/package.json").is_file():
        return "the npm servers are not installed: npm ci --prefix tests/outside"
    return ""


@contextmanager
def sidecar(monkeypatch: pytest.MonkeyPatch, folder: Path, servers: dict[str, Any], **env: str) -> Iterator[None]:
    """While this is open, the process's sidecar has these servers and these variables."""
    file = folder / "mcp_settings.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.setenv("OPENMANAGER_MCP_SETTINGS", str(file))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    service.close()
    try:
        yield
    finally:
        service.close()
        settings.cache_clear()
