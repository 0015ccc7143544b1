"""osls at work: what it says is shown and kept, and what usually goes wrong has a remedy."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.deploy.failure import CannotDeploy

CHECKOUT = Path(__file__).resolve().parents[2]
# Nothing that is secret reaches the template by way of its environment.
_SECRET = ("OPENMANAGER_", "UPSTASH_", "DATABASE_URL")

Say = Callable[[str], None]

_REMEDIES = (
    (
        r"ROLLBACK_COMPLETE state|is in ROLLBACK_COMPLETE|ROLLBACK_FAILED",
        "an earlier first deployment failed half-way",
        "make remove STAGE={stage}, then deploy again",
    ),
    (
        r"_IN_PROGRESS state",
        "another deployment of this stage is under way",
        "wait until it has ended, then deploy again",
    ),
    (
        r"AccessDenied|not authorized to perform|UnauthorizedOperation",
        "these credentials may not make what the stack needs",
        "the line above names the right that is missing; docs/operations.md lists all of them",
    ),
    (r"ExpiredToken", "the session at AWS is over", "log in again, then deploy again"),
    (
        r"already exists",
        "something of that name is there and belongs to no stack",
        "the line above names it: delete it, or deploy another stage",
    ),
    (
        r"(?i)limit ?exceeded|UnreservedConcurrentExecution|quota",
        "a limit of the AWS account is reached",
        "the line above names it: have it raised in the Service Quotas console",
    ),
    (r"(?i)ENOENT|no such file.*build/", "an artifact is missing", "make package, then deploy again"),
    (r"\$\{param:|Cannot resolve", "serverless.yml does not resolve", "see the line above for which variable"),
)


def run_osls(program: str, argv: Sequence[str], env: Mapping[str, str], log: Path, say: Say) -> str:
    """Run it, say what it says line by line, keep that in `log`, and return it. Raises CannotDeploy."""
    log.parent.mkdir(parents=True, exist_ok=True)
    clean = {k: v for k, v in {**os.environ, **env}.items() if not k.startswith(_SECRET)}
    said: list[str] = []
    with (
        log.open("w") as kept,
        subprocess.Popen(
            [program, *argv], cwd=CHECKOUT, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            said.append(line)
            if line.strip():
                say(line.rstrip())
    text = "".join(said)
    if process.returncode:
        stage = argv[argv.index("--stage") + 1] if "--stage" in argv else ""
        what, do = _explained(text, stage)
        raise CannotDeploy(f"osls {argv[0]} ended with {process.returncode}: {what}", f"{do} (all of it: {log})")
    return text


def _explained(text: str, stage: str) -> tuple[str, str]:
    for pattern, what, do in _REMEDIES:
        if re.search(pattern, text):
            return what, do.format(stage=stage)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1][:300] if lines else "it says nothing"), "see what it says above, then deploy again"
