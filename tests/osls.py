"""serverless.yml as osls packs it, offline: what CloudFormation would be given, and all that osls writes beside it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from infra.serverless import read_service
from tests.live import CHECKOUT

HERE = CHECKOUT / "tests/infrastructure"
OSLS = HERE / "node_modules/.bin/osls"
# cfn-lint and the emulator, in an environment of their own.
PYTHON = CHECKOUT / ".venv-infrastructure/bin/python"
LAYERS = ("core", "inference", "postgres", "senders", "mcp", "crypto")
# What nobody may find in a template.
MARKER = "hidden-0123456789abcdef0123456789abcdef"
SECRETS = (
    "DATABASE_URL",
    "OPENMANAGER_API_KEY",
    "OPENMANAGER_CRON_SECRET",
    "OPENMANAGER_ENCRYPTION_KEYS",
    "OPENMANAGER_JWT_KEYS",
    "OPENMANAGER_MODEL_KEY",
    "OPENMANAGER_MODEL_URL",
    "OPENMANAGER_OIDC_ISSUER",
    "UPSTASH_REDIS_REST_TOKEN",
    "UPSTASH_REDIS_REST_URL",
)


def missing() -> str:
    """Why nothing can be packed here; empty if it can."""
    if shutil.which("node") is None:
        return "node is not installed; osls runs on it"
    return "" if OSLS.exists() else "osls is not installed (make infrastructure)"


@dataclass(frozen=True)
class Packed:
    """What `osls package` wrote."""

    folder: Path
    said: str

    def _read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    @property
    def template(self) -> Any:
        return self._read("cloudformation-template-update-stack.json")

    @property
    def bucket(self) -> Any:
        """The template of the stack as it is at first: a bucket for the artifacts."""
        return self._read("cloudformation-template-create-stack.json")

    @property
    def resources(self) -> dict[str, Any]:
        found: dict[str, Any] = self.template["Resources"]
        return found

    def of(self, kind: str) -> dict[str, Any]:
        """The properties of all resources of a type, by their names."""
        return {name: r.get("Properties", {}) for name, r in self.resources.items() if r["Type"] == kind}

    def function(self, name: str) -> Any:
        return self.of("AWS::Lambda::Function")[f"{name.capitalize()}LambdaFunction"]


class NoStack(BaseHTTPRequestHandler):
    """CloudFormation, of which osls asks whether a stack's layers have changed: there is no stack."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        error = b"<Error><Code>ValidationError</Code><Message>Stack does not exist</Message></Error>"
        body = b"<ErrorResponse>" + error + b"</ErrorResponse>"
        self.send_response(400)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def no_stack() -> Iterator[str]:
    """The address of a CloudFormation without stacks."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), NoStack)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def lay_out(folder: Path) -> None:
    """serverless.yml and what it reads, with artifacts that hold nothing, as tests/packaging tries the real ones."""
    folder.mkdir()
    shutil.copy(CHECKOUT / "serverless.yml", folder)
    shutil.copytree(CHECKOUT / "infra/cloud", folder / "infra/cloud")
    names = [f"layers/{name}" for name in LAYERS]
    names += [f"functions/{function.name}" for function in read_service(CHECKOUT / "serverless.yml").functions]
    for name in (f"{arch}/{name}" for arch in ("arm64", "x86_64") for name in names):
        path = folder / f"build/{name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("empty", name)


def package(service: Path, out: Path, endpoint: str, stage: str, parameters: Mapping[str, str]) -> Packed:
    """`osls package` of a stage, with every secret in its environment."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(service),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": endpoint,
        "NODE_NO_WARNINGS": "1",
        **{name: f"{MARKER}-{name}" for name in SECRETS},
    }
    options = [f"--param={name}={value}" for name, value in parameters.items()]
    done = subprocess.run(
        [OSLS, "package", "--stage", stage, "--package", out, *options],
        cwd=service,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return Packed(out, said)


def lint(packed: Packed) -> list[str]:
    """What cfn-lint says, but for dependencies that osls writes although they follow from references (W3005)."""
    template = packed.folder / "cloudformation-template-update-stack.json"
    done = subprocess.run(
        [PYTHON.parent / "cfn-lint", "--region", "eu-central-1", "--ignore-checks", "W3005", "--format", "parseable",
         "--template", template],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    return done.stdout.splitlines() + done.stderr.splitlines()


@contextmanager
def emulator() -> Iterator[str]:
    """The address of moto's server, in a process of the other environment."""
    with subprocess.Popen(
        [PYTHON, HERE / "emulator.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address.startswith("http"), address
        try:
            yield address
        finally:
            # It ends with what it reads.
            process.stdin.close()
            process.wait(60)
