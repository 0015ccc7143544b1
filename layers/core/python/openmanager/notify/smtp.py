"""One mail over SMTP: to a checked address, encrypted, within a time limit as a whole."""

import smtplib
import socket
import threading
import time
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from openmanager.notify import guard
from openmanager.notify.http import tls
from openmanager.settings import settings as own_settings


class _Checked(smtplib.SMTP):
    """Connects to checked addresses only; TLS still verifies the name."""

    deadline = 0.0
    _host: str

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        return guard.connect(host, port, self.deadline)


class _CheckedTls(smtplib.SMTP_SSL, _Checked):
    """The same with TLS from the first octet on: SMTP_SSL wraps what _Checked connects."""


def deliver(settings: Mapping[str, Any], mail: EmailMessage, limit_s: float) -> list[str]:
    """Hand the mail to the server; the recipients it refused while it took others.

    Raises guard.Refused, guard.Unresolved, smtplib.SMTPException, OSError.
    """
    if settings["security"] == "none" and not own_settings().notify_allow_private:
        raise guard.Refused("mail is handed over encrypted only: starttls or tls")
    client = _client(settings, limit_s)
    # Time limits of a socket hold for one read each:
    ends = threading.Timer(limit_s, _abort, [client])
    ends.daemon = True
    ends.start()
    try:
        status, greeting = client.connect(settings["host"], settings["port"])
        if status != 220:
            raise smtplib.SMTPConnectError(status, greeting)
        if settings["security"] == "starttls":
            client.starttls(context=tls())
        if settings["user"]:
            client.login(settings["user"], settings["password"] or "")
        refused = client.send_message(mail, settings["sender"], settings["to"])
        _goodbye(client)
        return sorted(refused)
    finally:
        ends.cancel()
        client.close()


def _client(settings: Mapping[str, Any], limit_s: float) -> _Checked:
    client = _CheckedTls(context=tls()) if settings["security"] == "tls" else _Checked()
    client.deadline = time.monotonic() + limit_s
    # The name that TLS verifies; smtplib sets it only for a host given to the constructor.
    client._host = settings["host"]
    return client


def _goodbye(client: smtplib.SMTP) -> None:
    try:
        client.quit()
    except (smtplib.SMTPException, OSError):
        # The mail was taken; how the server says goodbye changes nothing.
        return


def _abort(client: smtplib.SMTP) -> None:
    if client.sock is not None:
        try:
            client.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
