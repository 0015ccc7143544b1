"""Passwords, roles and scopes; settings of signing keys. Tokens and their forgeries: integration/test_roles.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidInput, InvalidSettings
from openmanager.security import keys, passwords
from openmanager.security.roles import Identity
from openmanager.security.scope import own
from openmanager.settings import read_settings
from openmanager.sources.limits import Parsed
from openmanager.telemetry.samples import Push, Samples

GOOD = "a-secret-of-32-octets-or-more-0123456789"


def test_a_password_opens_only_what_was_made_of_it() -> None:
    stored = passwords.hash_password("correct horse")
    assert passwords.verify_password("correct horse", stored)
    assert not passwords.verify_password("correct horsE", stored)
    assert not passwords.verify_password("correct horse", None)
    assert "correct" not in stored
    assert passwords.hash_password("correct horse") != stored


def test_one_password_is_the_same_however_a_keyboard_composes_it() -> None:
    assert passwords.verify_password("pa\u0308sswort-lang", passwords.hash_password("p\u00e4sswort-lang"))


def test_a_password_of_an_older_strength_still_opens() -> None:
    # RFC 7914, section 12, N = 16384, r = 8, p = 1: the first 32 octets of its vector.
    stored = "scrypt$14$8$1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI="
    assert passwords.verify_password("pleaseletmein", stored)


@pytest.mark.parametrize("text", ["", "eleven char", "x" * 257, 12345678901234, None, ["a"] * 20])
def test_a_password_that_is_no_text_of_a_fair_length_is_refused_without_repeating_it(text: object) -> None:
    with pytest.raises(InvalidInput) as fault:
        passwords.read_password(text)
    assert not text or str(text) not in str(fault.value)


@given(st.text("abw-01*", max_size=6), st.text("abw-01", min_size=1, max_size=8))
def test_a_scope_is_a_name_or_what_a_name_begins_with(pattern: str, server: str) -> None:
    may = Identity("k", "agent", (pattern,)).may_write(server)
    assert may == (server == pattern or (pattern.endswith("*") and server.startswith(pattern[:-1])))
    assert Identity("k", "admin").may_write(server)
    assert not Identity("k", "agent", ()).may_write(server)


def push(server: str, n: int) -> Push:
    table = Samples(("load_1m",), np.arange(n, dtype=np.int64), np.ones((n, 1)), np.zeros(n, np.bool_))
    return Push(server, table)


def test_what_is_none_of_the_senders_is_rejected_by_name_and_the_rest_is_kept() -> None:
    parsed = Parsed([push("web-01", 3), push("db-01", 2)], 5)
    kept = own(parsed, Identity("web agents (1)", "agent", ("web-*",)))
    assert [p.server for p in kept.pushes] == ["web-01"]
    assert (kept.accepted, kept.rejected_count) == (3, 2)
    assert [r.field for r in kept.rejected] == ["db-01"]
    assert own(parsed, Identity("root", "admin")) is parsed


def test_keys_are_of_256_random_bits_and_stored_as_their_digest() -> None:
    made = {keys.make() for _ in range(20)}
    assert len({identifier for identifier, _, _ in made}) == 20
    for identifier, key, digest in made:
        assert key.startswith(f"om_{identifier}_")
        assert len(key.partition(identifier)[2]) == 1 + 43
        assert digest == keys.digest(key)
        assert key not in keys.document("n", "agent", ["*"], digest, 1.0)


def test_signing_keys_are_read_in_order_and_the_first_one_signs() -> None:
    env = {"OPENMANAGER_STAGE": "local", "OPENMANAGER_JWT_KEYS": f"new:{GOOD}, old:{GOOD}x"}
    assert list(read_settings(env).jwt_keys.items()) == [("new", GOOD), ("old", GOOD + "x")]
    assert read_settings({"OPENMANAGER_STAGE": "local"}).jwt_keys == {}


@pytest.mark.parametrize("text", ["short:secret", GOOD, f":{GOOD}", f"a:{GOOD},a:{GOOD}", f"a:{GOOD},b:x"])
def test_a_signing_key_without_id_or_strength_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidSettings, match="OPENMANAGER_JWT_KEYS") as fault:
        read_settings({"OPENMANAGER_STAGE": "local", "OPENMANAGER_JWT_KEYS": text})
    assert GOOD not in str(fault.value)
