"""Who has an identity provider's token comes in; its keys are read when needed, and no oftener."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from openmanager.security import events, issuer, revocations
from openmanager.settings import settings
from openmanager.stores import audit

from functions.auth.handler import handler as auth
from functions.rules.handler import handler as rules
from functions.servers.handler import handler as servers
from tests.conftest import API_KEY
from tests.events import Reply, invoke
from tests.issuer import DISCOVERY, EC, ED, KEYS, RSA, Answer, Issuer, claims, environment, jwk, token
from tests.receivers import CERTIFICATE, NAME, resolving, running, tls

NEXT = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def configure(monkeypatch: pytest.MonkeyPatch, provider: Issuer, **more: str) -> None:
    for name, value in (environment(provider.url) | more).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    issuer.forget()
    events.forget()


@pytest.fixture
def provider(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    with running(Issuer()) as one:
        configure(monkeypatch, one)
        yield one
    issuer.forget()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that keys' ages go by; everybody else keeps the machine's."""
    now = [time.monotonic()]
    monkeypatch.setattr(issuer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def asks(bearer: str) -> Reply:
    return invoke(servers, "GET", "/api/servers", key=bearer)


def reads(bearer: str) -> int:
    return asks(bearer).status


@pytest.mark.parametrize(("algorithm", "key", "kid"), [("RS256", RSA, "rsa"), ("ES256", EC, "ec"), ("EdDSA", ED, "ed")])
def test_a_token_of_each_kind_lets_in(provider: Issuer, algorithm: str, key: Any, kid: str) -> None:
    assert reads(token(key=key, algorithm=algorithm, kid=kid)) == 200


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "application/at+jwt"])
def test_access_tokens_and_id_tokens_let_in(provider: Issuer, typ: str | None) -> None:
    assert reads(token(typ=typ, aud=["account", "https://openmanager.example"])) == 200


def test_a_token_that_another_library_made_lets_in(provider: Issuer) -> None:
    key = joserfc_jwk.RSAKey.import_key(RSA)
    text = joserfc_jwt.encode({"alg": "RS256", "kid": "rsa"}, claims("viewer"), key, algorithms=["RS256"])
    assert reads(text) == 200


def test_a_change_is_recorded_under_the_subjects_name_which_nobody_chooses(provider: Issuer) -> None:
    bearer = token("operator", sub="auth0|5f7c", preferred_username="admin", name="api key")
    reply = invoke(rules, "PUT", "/api/rules/cpu", key=bearer, body=json.dumps({"warning": 70}).encode())
    assert reply.status == 200
    rows = [(row["actor"], row["action"], row["target"]) for row in audit.read(0, 10)]
    assert rows == [("oidc:auth0|5f7c", "login", "oidc:auth0|5f7c"), ("oidc:auth0|5f7c", "rule.put", "cpu")]


def test_a_subject_longer_than_the_standard_allows_is_refused(provider: Issuer) -> None:
    assert (reads(token(sub="s" * 255)), reads(token(sub="s" * 256))) == (200, 401)


def test_only_clients_that_are_named_may_have_asked_for_the_token(
    provider: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, provider, OPENMANAGER_OIDC_CLIENTS="dashboard,cli")
    said = [{"azp": "cli"}, {"client_id": "dashboard"}, {"azp": "shop"}, {"azp": "shop", "client_id": "cli"}, {}]
    assert [reads(token(**more)) for more in said] == [200, 200, 401, 401, 401]


def test_clocks_may_differ_by_half_a_minute(provider: Issuer) -> None:
    now = int(time.time())
    assert reads(token(iat=now + 20, nbf=now + 20)) == 200
    assert reads(token(iat=now - 600, exp=now - 10)) == 200


def test_keys_are_read_once_however_many_ask(provider: Issuer) -> None:
    assert [reads(token()) for _ in range(5)] == [200] * 5
    assert provider.asked == {DISCOVERY: 1, KEYS: 1}


def test_forged_key_ids_make_nobody_hammer_the_provider(provider: Issuer, clock: list[float]) -> None:
    assert reads(token()) == 200
    for pause in (issuer.AGAIN_S + 1, 0, 0, 0, issuer.AGAIN_S - 1, 0):
        clock[0] += pause
        assert reads(token(kid=f"forged-{clock[0]}")) == 401
    assert provider.asked[KEYS] == 2


def test_a_new_key_is_found_when_a_token_names_it(provider: Issuer, clock: list[float]) -> None:
    assert reads(token()) == 200
    provider.keys.append(jwk("next", "RS256", NEXT))
    clock[0] += issuer.AGAIN_S + 1
    assert (reads(token(key=NEXT, kid="next")), reads(token())) == (200, 200)


def test_a_withdrawn_key_is_refused_ten_minutes_later_at_most(provider: Issuer, clock: list[float]) -> None:
    assert reads(token()) == 200
    provider.keys = [jwk("next", "RS256", NEXT)]
    clock[0] += issuer.FRESH_S - 1
    assert reads(token()) == 200
    clock[0] += 2
    assert (reads(token()), reads(token(key=NEXT, kid="next"))) == (401, 200)


def test_while_the_provider_is_away_its_keys_are_kept_for_a_day(provider: Issuer, clock: list[float]) -> None:
    assert reads(token()) == 200
    provider.answers[DISCOVERY] = lambda: None
    clock[0] += issuer.FRESH_S + 1
    assert [reads(token()) for _ in range(3)] == [200] * 3
    assert provider.asked[DISCOVERY] == 2
    clock[0] += issuer.KEPT_S
    assert reads(token()) == 503
    del provider.answers[DISCOVERY]
    clock[0] += issuer.AGAIN_S + 1
    assert reads(token()) == 200


def test_a_new_process_without_keys_says_503_and_lets_others_in(provider: Issuer) -> None:
    provider.answers[DISCOVERY] = lambda: None
    reply = asks(token())
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert "identity provider" in reply.json()["detail"]
    assert reads(API_KEY) == 200


def answer(body: Any, status: int = 200, **fields: str) -> Callable[[], Answer]:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: (status, fields, octets)


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (DISCOVERY, answer({}, 500)),
        (DISCOVERY, answer({}, 302, Location=KEYS)),
        (DISCOVERY, answer(b"<html>")),
        (DISCOVERY, answer(b"[" * 100_000)),
        (DISCOVERY, answer([])),
        (DISCOVERY, answer({"issuer": "https://elsewhere.example", "jwks_uri": "https://elsewhere.example/keys"})),
        (DISCOVERY, answer(b" " * (issuer.MAX_ANSWER_BYTES + 1))),
        (KEYS, answer({"keys": []})),
        (KEYS, answer({"keys": "rsa"})),
        (KEYS, answer({"keys": [{"kid": "rsa", "kty": "oct", "k": "AAAA", "alg": "HS256"}, "rsa", {"kid": "rsa"}]})),
        (KEYS, answer({"keys": [jwk("rsa", "RS256", RSA, use="enc")]})),
        (KEYS, answer({"keys": [jwk("rsa", "RS256", RSA, alg="RS512")]})),
        (KEYS, answer({"keys": [jwk("rsa", "RS256", RSA) | {"kid": 7}]})),
    ],
)
def test_what_the_provider_should_not_answer_gives_no_keys(
    provider: Issuer, path: str, given: Callable[[], Answer]
) -> None:
    provider.answers[path] = given
    assert reads(token()) == 503


@pytest.mark.parametrize("where", ["ftp://127.0.0.1/keys", "file:///etc/passwd", "", "https://[", None])
def test_keys_are_read_from_the_web_alone(provider: Issuer, where: Any) -> None:
    provider.described["jwks_uri"] = where
    assert reads(token()) == 503


def test_keys_that_do_not_fit_are_passed_over(provider: Issuer) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    provider.keys[:0] = [
        jwk("short", "RS256", short),
        jwk("odd", "RS256", RSA) | {"n": "!"},
        {"kid": "x", "kty": "AKP"},
    ]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        weak = token(key=short, kid="short")
    assert (reads(token()), reads(weak)) == (200, 401)


def test_a_provider_that_never_ends_its_answer_does_not_hold_the_request(
    provider: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def wait() -> Answer:
        held.wait(60)
        return None

    provider.answers[DISCOVERY] = wait
    monkeypatch.setenv("OPENMANAGER_STORE_TIMEOUT_S", "2")
    settings.cache_clear()
    try:
        assert "identity provider" in asks(token()).json()["detail"]
        assert not held.is_set()
    finally:
        held.set()


@pytest.mark.parametrize(("trusted", "status"), [(True, 200), (False, 503)])
def test_its_certificate_is_checked(
    stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, trusted: bool, status: int
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", resolving(**{NAME.replace(".", "_"): "127.0.0.1"}))
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with running(Issuer(tls(), NAME)) as provider:
        configure(monkeypatch, provider)
        assert reads(token()) == status
        if trusted:
            provider.described["jwks_uri"] = provider.url.replace("https", "http") + KEYS
            issuer.forget()
            assert reads(token()) == 503


def _mirrored(text: str) -> str:
    """Another ES256 signature of the same, which anybody can make: (r, n - s) is as good as (r, s)."""
    body, _, mark = text.rpartition(".")
    octets = jwt.utils.base64url_decode(mark)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = order - int.from_bytes(octets[32:])
    return f"{body}.{jwt.utils.base64url_encode(octets[:32] + s.to_bytes(32)).decode()}"


def test_a_token_that_is_logged_out_stays_out_with_another_signature_too(provider: Issuer) -> None:
    text, unharmed = (token(key=EC, algorithm="ES256", kid="ec") for _ in range(2))
    assert (reads(text), reads(_mirrored(text))) == (200, 200)
    assert invoke(auth, "POST", "/api/auth/logout", key=text).status == 204
    revocations.forget()
    assert (reads(text), reads(_mirrored(text)), reads(unharmed)) == (401, 401, 200)


def test_renewing_and_passwords_are_the_providers_business(provider: Issuer) -> None:
    body = json.dumps({"current": "x", "new": "correct horse battery"}).encode()
    for method, path in (("POST", "/api/auth/refresh"), ("PUT", "/api/auth/password")):
        reply = invoke(auth, method, path, key=token(), body=body)
        assert (reply.status, "identity provider" in reply.json()["detail"]) == (403, True)
