"""The two stores in one process, for tests and benchmarks.

with Stack(folder) as stack:
    os.environ.update(stack.environment)
    ...
    stack.upstash.stats()["commands"]
"""

import asyncio
import json
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from infra.local.postgres import Postgres
from infra.local.process import free_port, listen
from infra.local.resp import Client
from infra.local.upstash import Front
from infra.local.valkey import Valkey
from infra.migrations.apply import apply


class Upstash:
    """Valkey and the REST front before it; the front runs on a thread of this process."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.token = secrets.token_urlsafe(24)
        self.valkey = Valkey(folder, secrets.token_urlsafe(24), free_port(), durable=durable)
        self._socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._client = Client("127.0.0.1", self.valkey.port, self.valkey.password)
        self._front = Front(self._client, self.token)
        config = uvicorn.Config(self._front, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="upstash-front", daemon=True)

    def _serve(self) -> None:
        async def serve() -> None:
            await self._server.serve([self._socket])
            self._client.close()

        asyncio.run(serve())

    def start(self) -> None:
        self.valkey.start()
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self.valkey.stop()

    def restart(self) -> None:
        """Kill the server as a power cut would and start it again on its data."""
        self.valkey.kill()
        self.valkey.start()

    @contextmanager
    def away(self) -> Iterator[None]:
        """While this is open the front answers 503, as Upstash does in an outage."""
        self.valkey.stop()
        try:
            yield
        finally:
            self.valkey.start()

    def stats(self) -> dict[str, Any]:
        """{"requests", "commands", "by_name"} since the last reset."""
        return self._front.stats()

    def reset_stats(self) -> None:
        self._front.reset_stats()

    def command(self, *arguments: str | int | float) -> Any:
        """One command, for arranging and inspecting. It counts like any other."""
        request = urllib.request.Request(
            self.url, json.dumps(arguments).encode(), {"Authorization": f"Bearer {self.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["error"]) from None


class Stack:
    """Both stores, migrated, in a folder."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.upstash = Upstash(folder, durable=durable)
        self.postgres = Postgres(folder, secrets.token_urlsafe(24), free_port(), durable=durable)

    @property
    def environment(self) -> dict[str, str]:
        """What a function needs to find them."""
        return {
            "OPENMANAGER_STAGE": "local",
            "UPSTASH_REDIS_REST_URL": self.upstash.url,
            "UPSTASH_REDIS_REST_TOKEN": self.upstash.token,
            "DATABASE_URL": self.postgres.url,
        }

    def __enter__(self) -> Self:
        self.upstash.start()
        self.postgres.start()
        apply(self.postgres.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.postgres.stop()
        self.upstash.stop()
