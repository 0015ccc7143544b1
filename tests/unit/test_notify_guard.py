"""Where notifications do not go, however the address is written and whatever a name resolves to."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from openmanager.notify import guard
from openmanager.settings import settings


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENMANAGER_STAGE", "local")
    monkeypatch.delenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


REFUSED = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::10.0.0.1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not guard.may_receive(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_a_public_address_is_taken(address: str) -> None:
    assert guard.may_receive(ip_address(address))


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    asked: list[str] = []

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "fd00::1"])
def test_a_name_at_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolving(monkeypatch, address)
    with pytest.raises(guard.Refused, match=r"hooks\.example\.org is at"):
        guard.addresses("hooks.example.org", 443, 5)


def test_of_a_name_with_both_only_the_public_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "127.0.0.1", "8.8.8.8")
    assert guard.addresses("hooks.example.org", 443, 5) == ["8.8.8.8"]


# The system's own resolver takes all of these for an address (inet_aton), without asking anybody.
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "2852039166",
        "0xa9fea9fe",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "localhost",
    ],
)
def test_every_way_to_write_a_private_address_is_refused(host: str) -> None:
    with pytest.raises(guard.Refused):
        guard.addresses(host, 443, 5)


def test_a_name_that_resolves_to_nothing_may_do_so_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(guard.Unresolved, match="Temporary failure"):
        guard.addresses("hooks.example.org", 443, 5)
    resolving(monkeypatch)
    with pytest.raises(guard.Unresolved):
        guard.addresses("hooks.example.org", 443, 5)
    with pytest.raises(guard.Unresolved):
        guard.addresses("a" * 64 + ".example.org", 443, 5)


def test_only_https_unless_private_receivers_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    guard.check_scheme("https://example.org/")
    with pytest.raises(guard.Refused):
        guard.check_scheme("http://example.org/")
    monkeypatch.setenv("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "1")
    settings.cache_clear()
    guard.check_scheme("http://example.org/")
    assert guard.addresses("127.0.0.1", 80, 5) == ["127.0.0.1"]
    with pytest.raises(guard.Refused):
        guard.check_scheme("ftp://example.org/")
