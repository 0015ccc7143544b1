"""Lambda's Runtime API for one process, over HTTP: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"""

import itertools
import json
import queue
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

ARN = "arn:aws:lambda:eu-central-1:000000000000:function:openmanager"
_PATH = re.compile(r"/2018-06-01/runtime/(?:init/(error)|invocation/(?:(next)|([^/]+)/(response|error)))")


class Ended(Exception):
    """The process was gone, or said that it could not start, before it answered. The message has what it said."""


@dataclass(frozen=True)
class Answer:
    """What the process sent for an event: its answer, or the error that it ended with, and when that was here (s)."""

    payload: Any
    failed: bool
    at: float


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that is killed leaves in the middle of its question, which is no finding."""


class RuntimeApi:
    """Hands events to whoever asks for the next one. `address` goes into AWS_LAMBDA_RUNTIME_API."""

    def __init__(self) -> None:
        self._events: queue.Queue[tuple[str, bytes, float]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Answer]] = queue.Queue()
        self._ids = itertools.count(1)
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._events.put(("", b"", 0))
        self._server.shutdown()
        self._server.server_close()

    def hand_out(self, event: Any, timeout_s: float) -> str:
        """Put an event in line; its request id."""
        identity = f"00000000-0000-0000-0000-{next(self._ids):012}"
        self._events.put((identity, json.dumps(event).encode(), time.time() + timeout_s))
        return identity

    def answer_of(self, identity: str, timeout_s: float) -> Answer:
        """The answer to an event. Raises Ended for an error of the start, TimeoutError when none came."""
        try:
            found, answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"no answer within {timeout_s:g} s") from None
        if found == "init":
            raise Ended(json.dumps(answer.payload))
        assert found == identity
        return answer

    def next_event(self) -> tuple[Mapping[str, str], bytes]:
        """For the process: the next event's header fields and body, once there is one."""
        identity, body, deadline = self._events.get()
        return {
            "Lambda-Runtime-Aws-Request-Id": identity,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0",
            "Content-Type": "application/json",
        }, body

    def answered(self, identity: str, answer: Answer) -> None:
        """From the process: what became of an event, or of its start (`init`)."""
        self._answers.put((identity, answer))


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Header fields and body in one packet, at once; else each answer waits for an acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            fields, body = api.next_event()
            self._reply(200, body, fields)

        def do_POST(self) -> None:
            at = time.perf_counter()
            body = self._body()
            found = _PATH.fullmatch(self.path)
            assert found, self.path
            api.answered(found[3] or "init", Answer(json.loads(body or b"null"), "error" in (found[1], found[4]), at))
            self._reply(202, b"{}", {})

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _reply(self, status: int, body: bytes, fields: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
