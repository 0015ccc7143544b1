"""A line between the browser and the stack that can go bad: it passes, it is cut, or something else answers."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit

_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class Proxy:
    """Carries connections to `target`. `cut()`, `page_502()`, `freeze()` spoil it and `heal()` makes it good again.

    `spoil(prefix, status, headers)` answers requests whose path begins so by itself.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._mode = "pass"
        self._flows = threading.Event()
        self._flows.set()
        self._spoilt: dict[bytes, bytes] = {}
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def heal(self) -> None:
        self._mode = "pass"
        self._spoilt = {}
        self._flows.set()

    def cut(self) -> None:
        """End all connections and take none that lasts."""
        self._mode = "cut"
        self._end_all()

    def page_502(self) -> None:
        """End all connections and answer what comes with a page of HTML."""
        self._mode = "502"
        self._end_all()

    def freeze(self) -> None:
        """Keep connections open and let nothing through."""
        self._flows.clear()

    def spoil(self, path: str, status: int, **headers: str) -> None:
        """Answer requests for this path with a problem of this status; connections begin anew, so that it counts."""
        body = b'{"title": "spoilt", "status": %d, "detail": "the test says no"}' % status
        lines = [f"HTTP/1.1 {status} Spoilt", "Content-Type: application/problem+json", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._spoilt = {
            **self._spoilt,
            path.encode(): "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body,
        }

    def close(self) -> None:
        self._flows.set()
        self._mode = "cut"
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            for line in self._open:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[line], daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            if self._mode == "cut":
                return
            first = line.recv(65536)
            if self._mode == "502":
                head = f"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: {len(_PAGE)}\r\n"
                line.sendall(head.encode() + b"Connection: close\r\n\r\n" + _PAGE)
                return
            with socket.create_connection(self._target) as other:
                with self._lock:
                    self._open |= {line, other}
                back = threading.Thread(target=self._pump, args=[other, line], daemon=True)
                back.start()
                try:
                    self._forward(first, line, other)
                finally:
                    with contextlib.suppress(OSError):
                        other.shutdown(socket.SHUT_RDWR)
                    back.join()
                    with self._lock:
                        self._open -= {line, other}

    def _forward(self, first: bytes, line: socket.socket, other: socket.socket) -> None:
        """Requests to the stack, each seen by its first line: the browser sends one at a time on a connection."""
        data = first
        while data:
            path = data.split(b" ", 2)[1] if data.count(b" ") > 1 else b""
            for prefix, answer in self._spoilt.items():
                if path.startswith(prefix):
                    line.sendall(answer)
                    return
            self._flows.wait()
            other.sendall(data)
            data = line.recv(65536)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
