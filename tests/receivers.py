"""Receivers of notifications that keep what they are sent: one for HTTP, one for mail. Both can speak TLS."""

import base64
import json
import socket
import socketserver
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CERTIFICATE = Path(__file__).parent / "tls" / "receiver.pem"  # for receiver.test, and its own authority
NAME = "receiver.test"


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What the receiver answers; `cut` takes the request and answers nothing, `drip` answers without ever ending."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    cut: bool = False
    drip: bool = False


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


class Receiver(ThreadingHTTPServer):
    """Keeps every request and answers as `answers` says, OK without one; `names` are the names that TLS asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.names: list[str | None] = []
        self.answers: Callable[[Received], Answer] = lambda _: Answer()
        self.ended = threading.Event()
        self._context = context
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)
        super().__init__(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def keys(self) -> Counter[str]:
        """How often each idempotency key came."""
        return Counter(one.key for one in self.received)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, *_: Any) -> None:
        """A client that went away, or did not trust the certificate."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            one = Received(self.path, dict(self.headers), body)
            answer = receiver.answers(one)
            receiver.received.append(one)
            self.close_connection = True
            if answer.cut:
                return
            with suppress(OSError):
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.drip:
                    self.end_headers()
                    while not receiver.ended.wait(0.02):
                        self.wfile.write(b".")
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def running(server: Any) -> Iterator[Any]:
    """The server on a thread of its own, while this is open."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Mailbox(socketserver.ThreadingTCPServer):
    """As much of SMTP (RFC 5321, 3207, 4954) as a client that submits mail needs. `refuses` maps a verb, or a
    recipient, to the answer that it gets instead; `logins` are those that came, `plain` what was said before TLS."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, context: ssl.SSLContext | None = None, implicit: bool = False) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[str] = []
        self.plain: list[str] = []
        self.refuses: dict[str, str] = {}
        self.ended = threading.Event()
        self.context, self.implicit = context, implicit
        super().__init__(("127.0.0.1", 0), _Session)

    def handle_error(self, *_: Any) -> None:
        """A client that went away, or did not trust the certificate."""


class _Session(socketserver.BaseRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.encrypted = False
        if self.server.implicit:
            self.encrypt()
        self.file = self.request.makefile("rb")
        self.to: list[str] = []
        self.say(self.server.refuses.get("greeting", "220 receiver.test ESMTP"))
        while line := self.file.readline():
            text = line.decode().strip()
            if not self.encrypted:
                self.server.plain.append(text)
            verb, _, rest = text.partition(" ")
            if (refusal := self.server.refuses.get(verb.upper())) is not None:
                self.say(refusal)
                continue
            getattr(self, verb.lower(), self.other)(rest)
            if verb.upper() == "QUIT":
                return

    def finish(self) -> None:
        # TLS put another socket in the place of the one that the server closes.
        self.file.close()
        self.request.close()

    def say(self, text: str) -> None:
        self.request.sendall(text.encode() + b"\r\n")

    def encrypt(self) -> None:
        assert self.server.context is not None
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.encrypted = True

    def ehlo(self, _: str) -> None:
        offers = ["receiver.test", "SMTPUTF8", "8BITMIME", "AUTH PLAIN"]
        if self.server.context is not None and not self.encrypted:
            offers.append("STARTTLS")
        for offer in offers[:-1]:
            self.say(f"250-{offer}")
        self.say(f"250 {offers[-1]}")

    def starttls(self, _: str) -> None:
        self.say("220 go ahead")
        self.encrypt()
        self.file = self.request.makefile("rb")

    def auth(self, rest: str) -> None:
        self.server.logins.append(base64.b64decode(rest.split()[1]).decode())
        self.say("235 welcome")

    def rcpt(self, rest: str) -> None:
        address = rest[rest.index("<") + 1 : rest.index(">")]
        refusal = self.server.refuses.get(address)
        if refusal is None:
            self.to.append(address)
        self.say(refusal or "250 ok")

    def data(self, _: str) -> None:
        self.say("354 go ahead")
        lines = []
        while (line := self.file.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.server.mails.append(message_from_bytes(b"".join(lines), policy=default))
        self.server.recipients.append(self.to)
        self.say("250 taken")

    def quit(self, _: str) -> None:
        self.say("221 bye")

    def other(self, _: str) -> None:
        self.say("250 ok")


def resolving(**names: str) -> Callable[..., Any]:
    """A resolver of these names (`_` for `.`), counting in `.asked`; it asks the real one for all others."""
    real = socket.getaddrinfo
    known = {name.replace("_", "."): address for name, address in names.items()}

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in known:
            return real(host, port, *args, **kwargs)
        resolve.asked[host] += 1  # type: ignore[attr-defined]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], port))]

    resolve.asked = Counter()  # type: ignore[attr-defined]
    return resolve
