"""The dependency audit of CI says what pip-audit found, and does not take silence for an answer."""

import importlib.util
import json
import subprocess
from typing import Any

import pytest

from infra.openapi import ROOT

SKIPPED = {"name": "wrapt", "skip_reason": "Dependency not found on PyPI and could not be audited: wrapt (2.5.2)"}
GOOD = {"name": "mangum", "version": "0.20.0", "vulns": []}
BAD = {
    "name": "werkzeug",
    "version": "3.0.0",
    "vulns": [{"id": "PYSEC-2024-1", "fix_versions": ["3.0.6"], "aliases": [], "description": "…"}],
}


def audit(monkeypatch: pytest.MonkeyPatch, said: str) -> int:
    spec = importlib.util.spec_from_file_location("dependency_audit", ROOT / ".ci/dependency_audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answer = subprocess.CompletedProcess([], 0, said, "no way out")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: answer)
    code: int = module.main()
    return code


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([GOOD], 0, "1 packages audited, 0 advisories; not audited: none"),
        ([GOOD, SKIPPED], 0, "1 packages audited, 0 advisories; not audited: wrapt"),
        ([GOOD, BAD], 1, "werkzeug 3.0.0: PYSEC-2024-1, fixed in 3.0.6"),
        ([SKIPPED], 0, "NOT AUDITED: no advisories of 1 packages"),
    ],
)
def test_it_fails_for_advisories_and_admits_that_it_asked_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], packages: list[Any], code: int, says: str
) -> None:
    assert audit(monkeypatch, json.dumps({"dependencies": packages, "fixes": []})) == code
    assert says in capsys.readouterr().out


def test_it_admits_that_pip_audit_could_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(monkeypatch, "") == 0
    assert "NOT AUDITED: pip-audit could not ask anybody\nno way out" in capsys.readouterr().out
