"""One notice, one real receiver: over HTTP and over SMTP, and every way in which it can go wrong."""

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from openmanager.notify import http, send
from openmanager.notify.notice import Notice
from openmanager.notify.outcome import Outcome
from openmanager.notify.targets import read_target
from openmanager.settings import settings

from tests.receivers import CERTIFICATE, NAME, Answer, Mailbox, Receiver, resolving, running, tls

NOW_S = 1_764_000_000.0
NOTICE = Notice("n-1", "firing", "web-01", "cpu", "warning", NOW_S, NOW_S, "", {"silent_s": 240})


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Receivers on this machine are allowed, and their certificate is trusted."""
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    settings.cache_clear()
    http.tls.cache_clear()
    yield
    settings.cache_clear()
    http.tls.cache_clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as one:
        yield one


def told(channel: str, notice: Notice = NOTICE, language: str = "en", **own: Any) -> Outcome:
    target = read_target({"id": "ops", "channel": channel, "settings": own, "language": language})
    return send.send(notice, target, f"{notice.id}|ops", NOW_S)


def hooked(receiver: Receiver, path: str = "/hook", scheme: str = "http", host: str = "127.0.0.1") -> Outcome:
    url = f"{scheme}://{host}:{receiver.server_port}{path}"
    return told("webhook", url=url, secret="s" * 24)


def test_every_channel_reaches_its_receiver(receiver: Receiver) -> None:
    home = f"http://127.0.0.1:{receiver.server_port}"
    token = "123456:" + "A" * 35
    paths = [
        ("webhook", {"url": f"{home}/hook", "secret": "s" * 24}, "/hook"),
        ("slack", {"url": f"{home}/services/T/B/x"}, "/services/T/B/x"),
        ("discord", {"url": f"{home}/api/webhooks/1/x?thread_id=5"}, "/api/webhooks/1/x?thread_id=5&wait=true"),
        ("telegram", {"server": home, "token": token, "chat_id": "1"}, f"/bot{token}/sendMessage"),
        ("pagerduty", {"url": f"{home}/v2/enqueue", "routing_key": "R" * 32}, "/v2/enqueue"),
        ("ntfy", {"server": home, "topic": "ops"}, "/"),
    ]
    for channel, own, path in paths:
        assert told(channel, **own) == Outcome("delivered", "answered 200", 200)
        one = receiver.received[-1]
        assert one.path == path
        assert one.key == "n-1|ops"
        assert one.headers["Content-Type"] == "application/json; charset=utf-8"
        assert one.headers["Host"] == f"127.0.0.1:{receiver.server_port}"
    assert len(receiver.received) == len(paths)


def test_korean_arrives_as_korean(receiver: Receiver) -> None:
    own = {"url": f"http://127.0.0.1:{receiver.server_port}/", "secret": "s" * 24}
    assert told("webhook", language="ko", **own).kind == "delivered"
    assert receiver.received[0].json()["title"] == "[경고] web-01: 4분째 데이터 수신 중단"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(429, {"Retry-After": "17"}, b"slow down"), Outcome("later", "answered 429: slow down", 429, 17.0)),
        (Answer(500, {}, b""), Outcome("later", "answered 500", 500)),
        (Answer(404, {}, b"no_service\n"), Outcome("refused", "answered 404: no_service", 404)),
    ],
)
def test_the_receivers_word_is_kept(receiver: Receiver, answer: Answer, outcome: Outcome) -> None:
    receiver.answers = lambda _: answer
    assert hooked(receiver) == outcome


def test_a_redirect_is_not_followed_wherever_it_leads(receiver: Receiver) -> None:
    elsewhere = f"http://127.0.0.1:{receiver.server_port}/elsewhere"
    for place in ("http://169.254.169.254/latest/meta-data/", elsewhere):
        receiver.answers = lambda _, place=place: Answer(307, {"Location": place}, b"")  # type: ignore[misc]
        outcome = hooked(receiver)
        assert (outcome.kind, outcome.status) == ("refused", 307)
        assert "redirect" in outcome.detail
    assert [one.path for one in receiver.received] == ["/hook", "/hook"]


def test_a_receiver_that_is_away_or_hangs_up_is_tried_later(receiver: Receiver) -> None:
    receiver.answers = lambda _: Answer(cut=True)
    assert hooked(receiver).kind == "later"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert told("webhook", url=f"http://127.0.0.1:{port}/", secret="s" * 24).kind == "later"


def test_an_answer_without_end_costs_no_more_than_the_limit(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "LIMIT_S", 2.0)
    receiver.answers = lambda _: Answer(drip=True)
    outcome = hooked(receiver)
    assert (outcome.kind, outcome.detail.split(":")[0]) == ("later", "ReadTimeout")


def test_an_answer_is_read_no_further_than_its_bound(receiver: Receiver) -> None:
    receiver.answers = lambda _: Answer(400, {}, b"x" * 3_000_000)
    outcome = hooked(receiver)
    assert outcome == Outcome("refused", "answered 400: " + "x" * 200, 400)
    reply = http.post(f"http://127.0.0.1:{receiver.server_port}/", {}, b"", 10)
    assert len(reply.body) == http.MAX_ANSWER_BYTES


def test_over_tls_the_checked_address_is_used_and_the_name_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver: Any = resolving(receiver_test="127.0.0.1", other_test="127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with running(Receiver(tls())) as receiver:
        assert hooked(receiver, scheme="https", host=NAME).kind == "delivered"
        assert (receiver.names, resolver.asked) == ([NAME], {NAME: 1})
        assert receiver.received[0].headers["Host"] == f"{NAME}:{receiver.server_port}"
        refused = hooked(receiver, scheme="https", host="other.test")
        assert refused.kind == "later"
        assert "certificate" in refused.detail.lower()
        assert len(receiver.received) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "receiver.test", "[::1]", "[::ffff:127.0.0.1]"])
def test_nothing_goes_to_a_private_address(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE")
    settings.cache_clear()
    monkeypatch.setattr(socket, "getaddrinfo", resolving(receiver_test="127.0.0.1"))
    with running(Receiver(tls())) as receiver:
        outcome = hooked(receiver, scheme="https", host=host)
        assert (outcome.kind, receiver.received, receiver.names) == ("refused", [], [])
        assert "not a public address" in outcome.detail
    with running(Mailbox()) as mailbox:
        outcome = mailed(mailbox, host=host.strip("[]"))
        assert (outcome.kind, mailbox.plain) == ("refused", [])


def mailed(mailbox: Mailbox, **own: Any) -> Outcome:
    place = {"host": NAME, "port": mailbox.server_address[1], "sender": "watch@example.org"}
    return told("email", **{**place, "to": ["a@example.org", "b@example.org"], **own})


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving(receiver_test="127.0.0.1", other_test="127.0.0.1"))


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_is_handed_over_encrypted(named: None, security: str) -> None:
    with running(Mailbox(tls(), implicit=security == "tls")) as mailbox:
        outcome = mailed(mailbox, security=security, user="me", password="pass word")
        assert outcome == Outcome("delivered", "taken", 250)
        assert mailbox.logins == ["\0me\0pass word"]
        assert mailbox.recipients == [["a@example.org", "b@example.org"]]
        assert mailbox.mails[0]["Subject"] == "[Warning] web-01: No data received for 4 min"
        before_tls = {line.split()[0].upper() for line in mailbox.plain}
        assert before_tls == ({"EHLO", "STARTTLS"} if security == "starttls" else set())


def test_a_mail_is_never_handed_over_in_the_clear_or_to_another_name(named: None) -> None:
    with running(Mailbox()) as mailbox:
        outcome = mailed(mailbox, user="me", password="secret")
        assert (outcome.kind, mailbox.mails, mailbox.logins) == ("refused", [], [])
        assert "STARTTLS" in outcome.detail
    with running(Mailbox(tls())) as mailbox:
        outcome = mailed(mailbox, host="other.test", user="me", password="secret")
        assert (outcome.kind, mailbox.mails, mailbox.logins) == ("later", [], [])
        assert "certificate" in outcome.detail


def test_unencrypted_mail_is_for_ones_own_network_only(named: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Mailbox()) as mailbox:
        assert mailed(mailbox, security="none").kind == "delivered"
        assert len(mailbox.mails) == 1
        monkeypatch.delenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE")
        settings.cache_clear()
        assert mailed(mailbox, security="none").kind == "refused"
        assert len(mailbox.mails) == 1


@pytest.mark.parametrize(
    ("refuses", "kind", "status"),
    [
        ({"greeting": "421 busy"}, "later", 421),
        ({"greeting": "554 go away"}, "refused", 554),
        ({"AUTH": "535 wrong password"}, "refused", 535),
        ({"AUTH": "454 later"}, "later", 454),
        ({"MAIL": "550 not you"}, "refused", 550),
        ({"DATA": "451 later"}, "later", 451),
        ({"a@example.org": "550 no", "b@example.org": "550 no"}, "refused", 550),
        ({"a@example.org": "450 greylisted", "b@example.org": "550 no"}, "later", 550),
        ({"a@example.org": "550 no"}, "delivered", 250),
    ],
)
def test_what_a_mail_server_says_decides(named: None, refuses: dict[str, str], kind: str, status: int) -> None:
    with running(Mailbox(tls())) as mailbox:
        mailbox.refuses = refuses
        outcome = mailed(mailbox, user="me", password="secret")
        assert (outcome.kind, outcome.status) == (kind, status)
        assert len(mailbox.mails) == (kind == "delivered")
        if kind == "delivered":
            assert outcome.detail == "taken; refused: a@example.org"


def test_an_error_of_ours_is_an_outcome_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(send.REQUESTS, "webhook", broken)
    outcome = told("webhook", url="https://example.org/", secret="s" * 24)
    assert outcome == Outcome("later", "an error on our side: ZeroDivisionError")


def test_the_certificate_of_the_tests_is_what_it_says() -> None:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    names = [dict(pair for part in one["subject"] for pair in part)["commonName"] for one in context.get_ca_certs()]
    assert json.dumps(names) == f'["{NAME}"]'


def test_a_receiver_that_repeats_a_secret_does_not_get_it_into_our_stores(receiver: Receiver) -> None:
    home, token = f"http://127.0.0.1:{receiver.server_port}", "123456:" + "A" * 35
    receiver.answers = lambda r: Answer(403, {}, f"no {'x' * 150} {r.path} {r.headers.get('Authorization')}".encode())
    outcomes = [
        told("slack", url=f"{home}/services/T/B/x-slack-secret"),
        told("telegram", server=home, token=token, chat_id="1"),
        told("ntfy", server=home, topic="ops", token="tk_0123456789abcdef"),
    ]
    assert [o.status for o in outcomes] == [403, 403, 403]
    assert all("…" in o.detail for o in outcomes)
    assert not any(secret in o.detail for o in outcomes for secret in ("services", "x-slack", token[:12], "tk_0123"))
