"""What osls says when it fails, and what is made of it."""

import os
from pathlib import Path

import pytest

from infra.deploy.cloudformation import run_osls
from infra.deploy.failure import CannotDeploy


@pytest.mark.parametrize(
    ("fault", "what", "do"),
    [
        ("Stack is in ROLLBACK_COMPLETE state", "an earlier first deployment failed", "make remove STAGE=dev"),
        ("it is in UPDATE_IN_PROGRESS state", "another deployment of this stage", "wait until it has ended"),
        ("User x is not authorized to perform: iam:CreateRole", "may not make what", "names the right"),
        ("ExpiredToken: gone", "the session at AWS is over", "log in again"),
        ("openmanager-dev-x already exists", "belongs to no stack", "delete it, or deploy another stage"),
        ("LimitExceeded: functions", "a limit of the AWS account", "Service Quotas"),
        ("ENOENT: build/arm64/layers/core.zip", "an artifact is missing", "make package"),
        ("Cannot resolve serverless.yml", "does not resolve", "for which variable"),
        ("something new", "something new", "see what it says above"),
    ],
)
def test_what_keeps_osls_from_deploying_gets_a_remedy(tmp_path: Path, fault: str, what: str, do: str) -> None:
    program, told = tmp_path / "osls", list[str]()
    program.write_text(f"#!/bin/sh\necho begins; echo '{fault}' >&2; exit 3\n")
    program.chmod(0o755)
    with pytest.raises(CannotDeploy) as caught:
        run_osls(str(program), ["deploy", "--stage", "dev"], {}, tmp_path / "log", told.append)
    assert str(caught.value).startswith("osls deploy ended with 3: ")
    assert what in str(caught.value)
    assert do in caught.value.do
    assert told == ["begins", fault] == (tmp_path / "log").read_text().splitlines()


def test_no_secret_reaches_osls_by_way_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENMANAGER_API_KEY", "UPSTASH_REDIS_REST_TOKEN", "DATABASE_URL"):
        monkeypatch.setenv(name, "secret-marker")
    program = tmp_path / "osls"
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o755)
    said = run_osls(str(program), ["deploy"], {"AWS_PROFILE": "ops"}, tmp_path / "log", lambda _: None)
    assert "AWS_PROFILE=ops" in said
    assert "secret-marker" not in said
    assert os.environ["DATABASE_URL"] == "secret-marker"
