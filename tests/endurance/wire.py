"""A door for any protocol over TCP: between the functions and Postgres, between readers and the gateway."""

import socket
import socketserver
import threading
import time
from contextlib import suppress

from tests.faults import Asked

SLOW_S = 1.5


class Wire(socketserver.ThreadingTCPServer):
    """Hands octets on both ways and does to them what `fault` says; `before` gets the caller's port and octets."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        self.upstream = ("127.0.0.1", port)
        self.fault = ""
        self.before: Asked = lambda *_: None
        self._lines: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Line)
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, args=(0.05,), name="wire", daemon=True).start()

    def cut(self) -> None:
        """End all connections that there are."""
        with self._lock:
            lines, self._lines = self._lines, set()
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """No more of it."""
        self.cut()
        self.shutdown()
        self.server_close()

    def hold(self, *lines: socket.socket) -> None:
        with self._lock:
            self._lines.update(lines)

    def let_go(self, *lines: socket.socket) -> None:
        with self._lock:
            self._lines.difference_update(lines)

    def handle_error(self, *_: object) -> None:
        """One of the two has gone."""


class _Line(socketserver.BaseRequestHandler):
    server: Wire

    def handle(self) -> None:
        if self.server.fault == "refuses":
            return
        with socket.create_connection(self.server.upstream, timeout=30) as behind:
            behind.settimeout(None)
            self.server.hold(self.request, behind)
            answers = threading.Thread(target=self._answers, args=[behind], daemon=True)
            answers.start()
            try:
                while octets := self.request.recv(65536):
                    if self.server.fault == "is slow":
                        time.sleep(SLOW_S)
                    self.server.before(self.client_address[1], octets)
                    behind.sendall(octets)
            finally:
                self._end(behind)
                answers.join()
                self.server.let_go(self.request, behind)

    def _answers(self, behind: socket.socket) -> None:
        with suppress(OSError):
            while octets := behind.recv(65536):
                if self.server.fault == "loses its answers":
                    break
                self.request.sendall(octets)
        self._end(behind)

    def _end(self, behind: socket.socket) -> None:
        for line in (self.request, behind):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
