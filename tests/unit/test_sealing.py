"""Sealed secrets: they open where they belong, under a key that is there, and say why where they do not."""

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidInput, InvalidSettings
from openmanager.notify.secrecy import opened, readable, sealed
from openmanager.notify.targets import SETTINGS, Target, dump, keep_secrets, masked, parse, read_stored, read_target
from openmanager.security.sealing import CannotOpen, Sealed, open_sealed, seal
from openmanager.settings import read_settings, settings

OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32
Configure = Callable[[str], None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Sets OPENMANAGER_ENCRYPTION_KEYS, to one key at first."""

    def to(keys: str) -> None:
        monkeypatch.setenv("OPENMANAGER_STAGE", "local")
        monkeypatch.setenv("OPENMANAGER_ENCRYPTION_KEYS", keys)
        settings.cache_clear()

    to(OLD)
    yield to
    settings.cache_clear()


TARGETS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "https://example.org/x", "secret": "webhook-secret-0123456789", "previous_secret": "p" * 20},
    "slack": {"url": "https://hooks.slack.com/services/T000/B000/slack-0123456789"},
    "discord": {"url": "https://discord.com/api/webhooks/1/discord-0123456789"},
    "telegram": {"token": "123456789:telegram-token-0123456789", "chat_id": "42"},
    "pagerduty": {"routing_key": "0123456789abcdef0123456789abcdef"},
    "ntfy": {"topic": "alerts", "token": "ntfy-token-0123456789"},
    "email": {
        "host": "mail.example.org", "user": "om", "password": "hunter2-0123456789", "sender": "a@example.org",
        "to": ["b@example.org"],
    },
}  # fmt: skip


def target(channel: str = "email", identity: str = "ops", **settings: Any) -> Target:
    return read_target({"id": identity, "channel": channel, "settings": {**TARGETS[channel], **settings}})


def secrets_in(one: Target) -> dict[str, str]:
    return {n: v for n, v in one.settings.items() if SETTINGS[one.channel][n].secret and v is not None}


@pytest.mark.parametrize("channel", TARGETS)
def test_what_is_stored_of_a_channel_holds_none_of_its_secrets_and_gives_all_back(
    channel: str, configure: Configure
) -> None:
    known = target(channel)
    text = dump([sealed(known)])
    assert secrets_in(known)
    assert [s for s in secrets_in(known).values() if s in text] == []
    assert [readable(one) for one in parse(text)] == [known]


def test_the_same_secret_is_never_sealed_alike(configure: Configure) -> None:
    assert sealed(target()) != sealed(target())


def test_without_a_key_all_is_as_it_was(configure: Configure) -> None:
    configure("")
    assert sealed(target()) == target() == readable(target())


def test_clear_text_of_before_is_read_beside_sealed_secrets(configure: Configure) -> None:
    assert readable(parse(dump([target()]))[0]) == target()
    mixed = replace(target("webhook"), settings=target("webhook").settings | {"secret": sealed_secret("webhook")})
    assert readable(read_stored(mixed.as_dict())) == target("webhook")


def sealed_secret(channel: str, name: str = "secret") -> Any:
    return sealed(target(channel)).settings[name]


@pytest.mark.parametrize(
    ("moved", "name"),
    [
        (target("webhook", "other"), "secret"),
        (target("webhook"), "previous_secret"),
        (target("webhook", url="https://evil.example/"), "secret"),
    ],
)
def test_a_sealed_secret_opens_at_no_other_place(moved: Target, name: str, configure: Configure) -> None:
    stolen = replace(moved, settings={**moved.settings, name: sealed_secret("webhook")})
    with pytest.raises(CannotOpen, match=rf"settings\.{name} does not open"):
        readable(stolen)


def test_a_secret_opens_neither_in_another_channel_nor_where_it_would_be_led_elsewhere(configure: Configure) -> None:
    address = sealed_secret("slack", "url")
    discord = target("discord")
    assert set(opened(replace(discord, settings={**discord.settings, "url": address}))[1]) == {"url"}
    mail = sealed(target())
    for change in ({"host": "evil.example"}, {"port": 2525}, {"security": "none"}, {"user": "somebody"}):
        assert set(opened(replace(mail, settings={**mail.settings, **change}))[1]) == {"password"}
    assert opened(replace(mail, settings={**mail.settings, "to": ["c@example.org"]}))[1] == {}


def test_every_changed_or_missing_octet_is_noticed(configure: Configure) -> None:
    box = seal("a-secret", b"here")
    assert isinstance(box, Sealed)
    assert open_sealed(box, b"here") == "a-secret"
    whole = b64decode(box.box)
    bent = [bytes(b ^ (j == i) for j, b in enumerate(whole)) for i in range(len(whole))]
    cut = [whole[:length] for length in range(len(whole))]
    for damaged in [*(b64encode(octets).decode() for octets in bent + cut), "no Base64", "ä"]:
        with pytest.raises(CannotOpen) as caught:
            open_sealed(Sealed(box.key, damaged), b"here")
        assert not caught.value.may_pass


def test_all_keys_open_and_the_first_seals(configure: Configure) -> None:
    before = sealed(target())
    configure(f"{NEW},{OLD}")
    assert readable(before) == target()
    assert sealed(target()).settings["password"].key == "new"
    configure(NEW)
    with pytest.raises(CannotOpen, match="'old', which OPENMANAGER_ENCRYPTION_KEYS does not have") as caught:
        readable(before)
    assert caught.value.may_pass
    # The same id with another key behind it:
    configure("old:" + "x" * 32)
    with pytest.raises(CannotOpen, match="does not open"):
        readable(before)


def test_what_does_not_open_is_hidden_wholly_and_stays_as_it_is(configure: Configure) -> None:
    before = sealed(target())
    assert masked(opened(before)[0])["settings"]["password"] == "…6789"
    configure(NEW)
    found, stuck = opened(before)
    assert set(stuck) == {"password"}
    assert masked(found)["settings"]["password"] == "…"
    kept = read_target(keep_secrets({**masked(found), "language": "ko"}, found))
    assert sealed(kept) == replace(before, language="ko")


def test_people_cannot_send_what_is_sealed(configure: Configure) -> None:
    item = sealed(target("webhook")).as_dict()
    with pytest.raises(InvalidInput) as caught:
        read_target(json.loads(json.dumps(item)))
    assert caught.value.field == "settings.secret"


@given(st.dictionaries(st.sampled_from(["key", "sealed", "x"]), st.one_of(st.none(), st.integers(), st.text())))
def test_whatever_lies_in_a_store_it_is_a_target_or_invalid_input(box: dict[str, Any]) -> None:
    item = {"id": "ops", "channel": "slack", "settings": {"url": box}}
    with suppress(InvalidInput):
        assert isinstance(read_stored(item).settings["url"], Sealed)


def test_without_the_library_the_variable_is_named_and_nothing_is_stored_in_clear(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sealed(target())
    # What Python takes for a module that cannot be imported:
    for name in [*(m for m in sys.modules if m.startswith("cryptography.")), "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    for act in (sealed, readable):
        with pytest.raises(InvalidSettings, match=r"OPENMANAGER_ENCRYPTION_KEYS: needs the package cryptography"):
            act(before if act is readable else target())
    configure("")
    assert sealed(target()) == target()


@pytest.mark.parametrize("keys", ["short:secret", "x" * 40, f"{OLD},{OLD}", ":" + "x" * 40])
def test_unusable_keys_are_refused_by_the_variables_name_and_not_repeated(keys: str) -> None:
    with pytest.raises(InvalidSettings, match="OPENMANAGER_ENCRYPTION_KEYS: key ") as caught:
        read_settings({"OPENMANAGER_STAGE": "local", "OPENMANAGER_ENCRYPTION_KEYS": keys})
    assert not any(secret in str(caught.value) for secret in ("secret,", "x" * 40, "o" * 32))
