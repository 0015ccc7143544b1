"""A scripted server for senders: it keeps what it is sent and answers what the test says."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

OK: tuple[int, dict[str, str], Any] = (200, {}, {"accepted": 1, "rejected": [], "next_push_s": 60})


class Sink:
    """An HTTP server that keeps what it is sent and answers from a script, whose last line repeats."""

    def __init__(self, *script: tuple[int, dict[str, str], Any]) -> None:
        self.script = list(script)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = threading.Event()
        self.hold = threading.Event()
        self.hold.set()
        self.lenient = True
        self.now_s: Callable[[], float] = time.time
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                # The question for the time that comes before the first samples is no part of the script:
                if body["samples"] or not sink.lenient:
                    sink.headers.append({"path": self.path, **dict(self.headers)})
                    sink.bodies.append(body)
                    sink.arrived.set()
                    sink.hold.wait(20)
                    status, headers, answer = sink.script.pop(0) if len(sink.script) > 1 else sink.script[0]
                else:
                    status, headers, answer = OK
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                # The sender may be gone by now:
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in {**headers, "Content-Length": str(len(content))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(int(sink.now_s()), usegmt=True)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def times(self) -> list[list[int]]:
        return [[sample["time"] for sample in body["samples"]] for body in self.bodies]

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
