"""Attacks that have our network asked: what whoever has an administrator's key sets for a notification target."""

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from openmanager.notify import http
from openmanager.settings import settings

from functions.notifications.handler import handler as notifications
from infra.local.stack import Upstash
from tests.attacks import as_json, holdings
from tests.conftest import API_KEY
from tests.events import Reply, invoke
from tests.receivers import Answer, Receiver, running

SECRET = "s" * 24
TARGET = "/api/notifications/targets/ops"


@pytest.fixture(autouse=True)
def connections(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every address but our own Redis' that something tried to connect to; none of them is reached."""
    tried: list[str] = []
    real = socket.create_connection
    redis = urlsplit(stores_env["UPSTASH_REDIS_REST_URL"])

    def connect(address: tuple[str, int], *args: Any, **kwargs: Any) -> Any:
        if address == (redis.hostname, redis.port):
            return real(address, *args, **kwargs)
        tried.append(address[0])
        raise ConnectionRefusedError

    # Both httpcore and the mail sender come to this.
    monkeypatch.setattr(socket, "create_connection", connect)
    yield tried
    settings.cache_clear()


def put(url: str) -> Reply:
    body = as_json({"channel": "webhook", "settings": {"url": url, "secret": SECRET}})
    return invoke(notifications, "PUT", TARGET, key=API_KEY, body=body)


def tried() -> dict[str, Any]:
    reply = invoke(notifications, "POST", f"{TARGET}/test", key=API_KEY)
    assert reply.status == 200
    answer: dict[str, Any] = reply.json()
    return answer


HOSTS = {
    "the metadata address": "169.254.169.254",
    "in one number": "2852039166",
    "in one hexadecimal number": "0xA9FEA9FE",
    "in octal": "0251.0376.0251.0376",
    "in mixed parts": "169.0xfe.43518",
    "with noughts in front": "0000251.0000376.0251.0376",
    "with a dot behind": "169.254.169.254.",
    "as IPv4-mapped IPv6": "[::ffff:169.254.169.254]",
    "as IPv4-mapped IPv6 in hexadecimal": "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "as IPv4-compatible IPv6": "[::169.254.169.254]",
    "through NAT64": "[64:ff9b::a9fe:a9fe]",
    "through 6to4": "[2002:a9fe:a9fe::1]",
    "through Teredo": "[2001:0:a9fe:a9fe::]",
    "the metadata address of IPv6": "[fd00:ec2::254]",
    "a link of our own": "[fe80::1]",
    "a link with its zone": "[fe80::1%25lo]",
    "this machine": "localhost",
    "this machine with a dot behind": "localhost.",
    "this machine in IPv6": "[::1]",
    "this machine's other number": "127.8.8.8",
    "nowhere, which is this machine": "0.0.0.0",
    "nowhere in IPv6": "[::]",
    "everybody": "255.255.255.255",
    "many": "239.255.255.250",
    "the provider's network": "100.64.0.1",
    "Azure's host": "168.63.129.16",
    "Oracle's metadata": "192.0.0.192",
    "fullwidth digits": "169。254。169。254",
}


@pytest.mark.parametrize("name", HOSTS)
def test_no_spelling_of_a_private_address_is_connected_to(name: str, connections: list[str]) -> None:
    stored = put(f"https://{HOSTS[name]}/latest/meta-data/")
    assert stored.status in (200, 400)
    if stored.status == 200:
        answer = tried()
        assert (answer["delivered"], answer["status"]) == (False, None)
    assert connections == []


URLS = [
    "http://hooks.example.org/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:6379/info",
    "//169.254.169.254/",
    "https:/169.254.169.254/",
    "https:169.254.169.254",
    "https:///latest",
    "https://",
    "https://user:word@hooks.example.org/",
    "https://hooks.example.org@169.254.169.254/",
    "https://@169.254.169.254/",
    "https://hooks.example.org\\@169.254.169.254/",
    "https://169.254.169.254#@hooks.example.org/",
    "https://hooks.example.org:443@169.254.169.254:80/",
    "https://hooks.example.org:99999/",
    "https://hooks.example.org:-1/",
    "https://hooks.example.org/ HTTP/1.1\r\nX-Forged: yes\r\n\r\n",
    "https://hooks.example.org\r\n.evil.example/",
    "https://hooks.example.org/\u2028",
    "https://hooks。example。org/",
    "https://[::1/",
    "HTTPS://" + "a" * 3000 + "/",
]


@pytest.mark.parametrize("url", URLS)
def test_an_address_that_means_two_things_is_none(
    url: str, connections: list[str], stores_env: dict[str, str], empty_redis: Upstash
) -> None:
    before = holdings(empty_redis, stores_env["DATABASE_URL"])
    reply = put(url)
    assert (reply.status, reply.json()["field"]) == (400, "settings.url")
    assert holdings(empty_redis, stores_env["DATABASE_URL"]) == before
    assert connections == []


def test_a_name_that_changes_its_address_is_asked_for_once_and_goes_to_what_was_checked(
    connections: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["8.8.8.8", "169.254.169.254", "169.254.169.254"]
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example.org":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(asked) - 1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert put("https://rebind.example.org/").status == 200
    assert asked == []
    assert tried()["delivered"] is False
    assert (asked, connections) == (["rebind.example.org"], ["8.8.8.8"])
    # The second time the name is private from the start.
    assert "not a public address" in tried()["detail"]
    assert connections == ["8.8.8.8"]


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1", "0x7f000001", "localhost", "::1", "[::1]"])
def test_mail_goes_to_no_private_address_either(host: str, connections: list[str]) -> None:
    own = {"host": host, "port": 25, "sender": "a@b.example", "to": ["c@d.example"]}
    body = as_json({"channel": "email", "settings": own})
    stored = invoke(notifications, "PUT", TARGET, key=API_KEY, body=body)
    assert stored.status in (200, 400)
    if stored.status == 200:
        assert tried()["delivered"] is False
    assert connections == []


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/",
        "file:///etc/passwd",
        "/elsewhere",
        "\\\\host\\c",
    ],
)
@pytest.mark.parametrize("status", [301, 303, 307, 308])
def test_no_answer_leads_us_anywhere_else(
    status: int, place: str, stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for name, value in {**stores_env, "OPENMANAGER_NOTIFY_ALLOW_PRIVATE": "1"}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    with running(Receiver()) as receiver:
        receiver.answers = lambda _: Answer(status, {"Location": place}, b"instance-id: i-0")
        assert put(f"http://127.0.0.1:{receiver.server_port}/hook").status == 200
        answer = tried()
        assert (answer["delivered"], answer["status"]) == (False, status)
        assert [one.path for one in receiver.received] == ["/hook"]


def test_secrets_do_not_move_to_a_place_that_asks_for_them(connections: list[str]) -> None:
    assert put("https://hooks.example.org/").status == 200
    moved = as_json({"channel": "webhook", "settings": {"url": "https://evil.example/"}})
    reply = invoke(notifications, "PUT", TARGET, key=API_KEY, body=moved)
    assert (reply.status, reply.json()["field"]) == (400, "settings.secret")
    shown = invoke(notifications, "GET", TARGET, key=API_KEY)
    assert SECRET.encode() not in shown.body
    assert shown.json()["settings"]["url"] == "https://hooks.example.org/"
    assert connections == []


def test_the_answer_of_a_receiver_is_bounded_and_no_page(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for name, value in {**stores_env, "OPENMANAGER_NOTIFY_ALLOW_PRIVATE": "1"}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    with running(Receiver()) as receiver:
        page = b"<script>alert(1)</script>\r\n\0" * 10_000
        receiver.answers = lambda _: Answer(400, {"Content-Type": "text/html"}, page)
        assert put(f"http://127.0.0.1:{receiver.server_port}/hook").status == 200
        reply = invoke(notifications, "POST", f"{TARGET}/test", key=API_KEY)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert len(reply.body) < 2000
    assert len(page) > http.MAX_ANSWER_BYTES
