"""Whom our own connections trust."""

import ssl
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from openmanager import tls


class Paths(NamedTuple):
    """Of `ssl.get_default_verify_paths`, what counts here."""

    cafile: str | None
    capath: str | None


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


def test_names_and_certificates_are_checked() -> None:
    made = tls.context()
    assert (made.check_hostname, made.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert tls.context() is made


def test_a_system_without_authorities_has_mozillas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: Paths(None, None))
    assert tls.context().cert_store_stats()["x509_ca"] > 50


def test_a_system_s_own_authorities_are_not_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: Paths("/system.pem", None))
    assert tls.context().cert_store_stats()["x509_ca"] == 0
