"""All packaged functions behind one address of their own: what API Gateway and EventBridge do for them, and no more."""

import base64
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from infra.gateway import compile_path, rank
from infra.serverless import read_service
from tests.behaviour.target import Answer
from tests.events import http_event
from tests.packaging.artifacts import ROOT, Artifacts, declared
from tests.packaging.function import LambdaFunction, cannot_isolate

# As EventBridge Scheduler sends it where a schedule says nothing else.
SCHEDULED = {
    "version": "0",
    "id": "00000000-0000-0000-0000-000000000000",
    "detail-type": "Scheduled Event",
    "source": "aws.scheduler",
    "account": "000000000000",
    "time": "2026-01-01T00:00:00Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:scheduler:eu-central-1:000000000000:schedule/default/tick"],
    "detail": "{}",
}


class Cloud:
    """A target of the behaviour suite. Each function starts with its first event and stays warm."""

    def __init__(self, artifacts: Artifacts, folder: Path, env: Mapping[str, str]) -> None:
        self._artifacts, self._folder, self._env = artifacts, folder, env
        self._declared = declared()
        self._running: dict[str, LambdaFunction] = {}
        self._stack = ExitStack()
        functions = [f for f in read_service(ROOT / "serverless.yml").functions if f.routes]
        rows = [(rank(r.path), r.method, compile_path(r.path), r.path, f.name) for f in functions for r in f.routes]
        self._routes = sorted(rows, key=lambda row: row[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()

    def function(self, name: str) -> LambdaFunction:
        """A function, started if it is not."""
        if name not in self._running:
            log = self._folder / f"{name}.log"
            isolated = cannot_isolate() is None
            made = LambdaFunction(self._artifacts, name, self._declared[name], self._env, log, isolated=isolated)
            self._running[name] = self._stack.enter_context(made)
        return self._running[name]

    @property
    def running(self) -> Mapping[str, LambdaFunction]:
        """Those that were asked so far."""
        return self._running

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        bare, _, query = path.partition("?")
        decoded = unquote(bare)
        for _, wanted, pattern, route, name in self._routes:
            if wanted in ("*", method) and pattern.fullmatch(decoded):
                fields = {field.lower(): value for field, value in headers.items()}
                event = http_event(method, decoded, query=query, headers=fields, body=body)
                event["routeKey"] = f"{method} {route}"
                return self._answer(self.function(name)(event))
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
        return Answer(404, {"content-type": "application/json"}, b'{"message":"Not Found"}')

    @staticmethod
    def _answer(told: Any) -> Answer:
        assert not told.failed, told.payload
        answer = told.payload
        octets = base64.b64decode(answer["body"]) if answer.get("isBase64Encoded") else answer["body"].encode()
        fields = {name.lower(): value for name, value in answer["headers"].items()}
        for name, values in answer.get("multiValueHeaders", {}).items():
            fields[name.lower()] = ", ".join(values)
        return Answer(answer["statusCode"], fields, octets)

    def tick(self) -> None:
        told = self.function("tick")(SCHEDULED)
        assert not told.failed, told.payload

    def archive(self) -> None:
        told = self.function("archive")(SCHEDULED)
        assert not told.failed, told.payload
