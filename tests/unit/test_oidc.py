"""Settings of an identity provider; the roles and names of its users; what is loaded for whom."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidSettings
from openmanager.security import oidc, programs
from openmanager.security.roles import USER_NAME, USER_ROLES
from openmanager.settings import OIDC_ROLES, Oidc, read_settings

ROOT = Path(__file__).resolve().parents[2]
SET = {
    "OPENMANAGER_STAGE": "prod",
    "OPENMANAGER_API_KEY": "a-key-of-24-characters-or-more",
    "OPENMANAGER_OIDC_ISSUER": "https://id.example.com/realms/ops/",
    "OPENMANAGER_OIDC_AUDIENCE": "openmanager",
    "OPENMANAGER_OIDC_ROLES": "watch=viewer, sre=admin,cn=ops=operator",
}


def provider(claim: str = "roles") -> Oidc:
    mapped = {"watch": "viewer", "check": "auditor", "ops": "operator", "sre": "admin"}
    return Oidc("https://id.example.com", "openmanager", claim, mapped, ())


def test_a_provider_is_issuer_audience_and_what_its_values_mean() -> None:
    read = read_settings(SET).oidc
    roles = {"watch": "viewer", "sre": "admin", "cn=ops": "operator"}
    assert read == Oidc("https://id.example.com/realms/ops/", "openmanager", "roles", roles, ())
    more = {"OPENMANAGER_OIDC_ROLES_CLAIM": "realm_access.roles", "OPENMANAGER_OIDC_CLIENTS": "web, cli"}
    read = read_settings(SET | more).oidc
    assert read is not None
    assert (read.claim, read.clients) == ("realm_access.roles", ("web", "cli"))


def test_without_a_setting_there_is_no_provider() -> None:
    assert read_settings({"OPENMANAGER_STAGE": "local", "OPENMANAGER_OIDC_ISSUER": ""}).oidc is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ISSUER", ""),
        ("ISSUER", "id.example.com"),
        ("ISSUER", "http://id.example.com"),
        ("ISSUER", "ftp://id.example.com"),
        ("ISSUER", "https://"),
        ("ISSUER", "https:///path"),
        ("ISSUER", "https://id.example.com?tenant=1"),
        ("ISSUER", "https://id.example.com#x"),
        ("ISSUER", "https://user:word@id.example.com"),
        ("AUDIENCE", ""),
        ("ROLES", ""),
        ("ROLES", "sre"),
        ("ROLES", "=admin"),
        ("ROLES", "sre=root"),
        ("ROLES", "collector=agent"),
        ("ROLES", "sre=admin,sre=viewer"),
    ],
)
def test_half_a_provider_or_a_wrong_one_is_refused_by_the_variables_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"^OPENMANAGER_OIDC_{name}: "):
        read_settings(SET | {f"OPENMANAGER_OIDC_{name}": value})


def test_plain_http_is_for_ones_own_machine() -> None:
    plain = {"OPENMANAGER_OIDC_ISSUER": "http://127.0.0.1:9000", "OPENMANAGER_STAGE": "local"}
    assert read_settings(SET | plain).oidc is not None


def test_a_provider_gives_every_role_that_a_user_may_have() -> None:
    assert sorted(OIDC_ROLES) == sorted(USER_ROLES)


@pytest.mark.parametrize(
    ("claim", "said", "role"),
    [
        ("roles", {"roles": ["watch"]}, "viewer"),
        ("roles", {"roles": "ops"}, "operator"),
        ("roles", {"roles": ["watch", "sre", "ops", "check"]}, "admin"),
        ("roles", {"roles": ["check", "watch"]}, "auditor"),
        ("realm_access.roles", {"realm_access": {"roles": ["ops"]}}, "operator"),
        ("https://om.example/roles", {"https://om.example/roles": ["ops"]}, "operator"),
        ("roles", {}, None),
        ("roles", {"roles": []}, None),
        ("roles", {"roles": ["admin", "SRE", "sre "]}, None),
        # One value with a blank in it, not two values:
        ("roles", {"roles": "sre emeritus"}, None),
        ("roles", {"roles": {"sre": True}}, None),
        ("roles", {"roles": [["sre"], {"sre": 1}, 7, None]}, None),
        ("realm_access.roles", {"realm_access": ["roles"], "roles": ["sre"]}, None),
    ],
)
def test_a_role_comes_of_mapped_values_and_is_the_strongest_of_them(claim: str, said: Any, role: str | None) -> None:
    assert oidc.role(said, provider(claim)) == role


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_two_subjects_have_two_names(subjects: list[str]) -> None:
    try:
        first, second = map(oidc.name, subjects)
    except UnicodeEncodeError:
        # Half a surrogate pair is no text that JSON in UTF-8 can carry, and gets nobody in.
        return
    assert first != second


@given(st.text(st.characters(codec="utf-8")) | st.from_regex(r"[a-z ]{1,9} \([0-9a-f]{12}\)", fullmatch=True))
def test_no_subject_has_the_name_of_a_user_or_a_key(subject: str) -> None:
    name = oidc.name(subject)
    assert not USER_NAME.fullmatch(name)
    assert " (" not in name
    assert name.isascii()
    assert name.isprintable()
    assert programs._NAME.fullmatch("oidc:ann")


def python(code: str, **env: str) -> str:
    """What a new process prints, which has our code and these variables."""
    paths = f"{ROOT}:{ROOT / 'layers/core/python'}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PYTHONPATH": paths} | env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
import asyncio, sys
from openmanager.errors import OpenManagerError
from openmanager.web.auth import identify
def ask(bearer):
    try:
        return asyncio.run(identify(bearer, "")).role
    except OpenManagerError as error:
        return f"{type(error).__name__} {error}"
"""
LOADED = "print([m for m in ('jwt', 'cryptography', 'openmanager.security.oidc') if m in sys.modules])"
# {"alg":"RS256","kid":"a"} . {"iss":"https://id.example.com/realms/ops/"} . nothing
OF_PROVIDER = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tL3JlYWxtcy9vcHMvIn0."
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'cryptography':
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def test_who_sends_a_key_loads_nothing_for_tokens_whatever_is_configured() -> None:
    assert python(f"{ASK}\nask('{SET['OPENMANAGER_API_KEY']}')\n{LOADED}", **SET) == "[]"


def test_without_a_provider_its_part_is_not_loaded() -> None:
    env = {name: value for name, value in SET.items() if "OIDC" not in name}
    assert "oidc" not in python(f"{ASK}\nask('{OF_PROVIDER}')\n{LOADED}", **env)


def test_without_cryptography_a_provider_is_a_mistake_of_the_settings_and_our_tokens_go_on() -> None:
    said = python(f"{WITHOUT}{ASK}\nprint(ask('{OF_PROVIDER}'))", **SET)
    assert said.startswith("InvalidSettings OPENMANAGER_OIDC_ISSUER: needs the package cryptography")
    ours = "from openmanager.security import tokens\ntext = tokens.issue('ann', 'viewer', time.time())[0]\n"
    keys = {"OPENMANAGER_JWT_KEYS": "a:0123456789abcdef0123456789abcdef"}
    assert python(f"{WITHOUT}{ASK}\nimport time\n{ours}print(tokens.read(text).role)", **SET, **keys) == "viewer"
