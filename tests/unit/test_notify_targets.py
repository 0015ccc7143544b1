"""Targets: what is taken, what is refused and by which name, what is shown, and which notices go where."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidInput
from openmanager.notify import route
from openmanager.notify.notice import Notice, read_notice
from openmanager.notify.targets import SETTINGS, Target, dump, keep_secrets, masked, parse, read_target

HOOK: dict[str, Any] = {
    "id": "hook",
    "channel": "webhook",
    "settings": {"url": "https://example.org/x", "secret": "s" * 20 + "1234"},
}
MAIL: dict[str, Any] = {
    "id": "mail",
    "channel": "email",
    "settings": {"host": "mail.example.org", "sender": "a@example.org", "to": ["b@example.org"], "password": "hunter2"},
}


def notice(**more: Any) -> Notice:
    plain = {"id": "n", "event": "firing", "server": "web-01", "rule": "cpu", "severity": "warning"}
    return Notice(**{**plain, "since": 0.0, "at": 60.0, "title": "", **more})


def test_targets_survive_being_published() -> None:
    targets = [read_target(HOOK), read_target({**MAIL, "language": "ko", "timezone": "Asia/Seoul", "roles": ["web"]})]
    assert parse(dump(targets)) == targets
    assert parse("") == parse(None) == parse("[]") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "a b"}, "id"),
        ({"channel": "fax"}, "channel"),
        ({"language": "de"}, "language"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"severity": "fatal"}, "severity"),
        ({"classes": []}, "classes"),
        ({"classes": [["measured"]]}, "classes"),
        ({"servers": "web-01"}, "servers"),
        ({"resolved": "no"}, "resolved"),
        ({"color": "red"}, "color"),
        ({"settings": None}, "settings"),
        ({"settings": {**HOOK["settings"], "urll": "x"}}, "settings.urll"),
        ({"settings": {"secret": "s" * 20}}, "settings.url"),
        ({"settings": {"url": "https://example.org/x"}}, "settings.secret"),
        ({"settings": {**HOOK["settings"], "secret": "short"}}, "settings.secret"),
        *(
            ({"settings": {**HOOK["settings"], "url": url}}, "settings.url")
            for url in (
                "ftp://example.org/",
                "file:///etc/passwd",
                "https://user:pass@example.org/",
                "https://example.org@evil.example/",
                "https:///x",
                "https://example.org:99999/",
                "https://example.org/ x",
                "https://example.org/\r\nHost: x",
                "https://exämple.org/",
                "https://example.org/#x",
                7,
            )
        ),
    ],
)
def test_a_target_that_cannot_be_is_refused_by_the_field_that_is_wrong(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(json.dumps([MAIL, {**HOOK, **change}]))
    assert caught.value.field == f"targets[1].{field}"


@pytest.mark.parametrize(
    "bad", [{"to": []}, {"to": ["a@example.org, b@example.org"]}, {"to": ["a@example.org\r\nBcc: x@y"]}, {"port": 0}]
)
def test_a_mail_target_takes_addresses_and_nothing_else(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_target({**MAIL, "settings": {**MAIL["settings"], **bad}})
    assert caught.value.field == f"settings.{next(iter(bad))}"


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Target.__dataclass_fields__, "x"]), json_values), json_values)
def test_whatever_json_comes_it_is_a_target_or_invalid_input(item: dict[str, Any], settings: Any) -> None:
    for candidate in (item, {**HOOK, **item}, {**HOOK, "settings": settings}, settings):
        with suppress(InvalidInput):
            assert isinstance(read_target(candidate), Target)


@given(json_values)
def test_whatever_json_comes_it_is_a_notice_or_invalid_input(item: Any) -> None:
    known = notice().as_dict()
    for candidate in (item, known | item if isinstance(item, dict) else item, *({**known, k: item} for k in known)):
        with suppress(InvalidInput):
            assert isinstance(read_notice(candidate), Notice)


def test_secrets_show_their_end_at_most() -> None:
    assert masked(read_target(HOOK))["settings"] == {
        "url": "https://example.org/x",
        "secret": "…1234",
        "previous_secret": None,
    }
    assert masked(read_target(MAIL))["settings"]["password"] == "…"
    secrets = {
        "slack": {"url"},
        "discord": {"url"},
        "telegram": {"token"},
        "pagerduty": {"routing_key"},
        "ntfy": {"token"},
        "email": {"password"},
        "webhook": {"secret", "previous_secret"},
    }
    assert {channel: {n for n, s in known.items() if s.secret} for channel, known in SETTINGS.items()} == secrets


def changed(**settings: Any) -> dict[str, Any]:
    return keep_secrets({**HOOK, "settings": settings}, read_target(HOOK))["settings"]


def test_secrets_that_are_left_out_or_shown_masked_stay() -> None:
    url, secret = HOOK["settings"]["url"], HOOK["settings"]["secret"]
    assert changed(url=url)["secret"] == secret
    assert changed(url=url, secret="…1234")["secret"] == secret
    assert changed(url=url, secret="n" * 20)["secret"] == "n" * 20


def test_secrets_do_not_follow_to_another_place() -> None:
    assert "secret" not in changed(url="https://evil.example/")
    assert changed(url="https://evil.example/", secret="…1234")["secret"] == "…1234"
    with pytest.raises(InvalidInput, match="secret"):
        read_target({**HOOK, "settings": changed(url="https://evil.example/", secret="…1234")})
    known = read_target({**MAIL, "settings": {**MAIL["settings"], "port": 465}})
    for moved in (
        {"host": "evil.example", "port": 465},
        {"host": "mail.example.org"},
        {"host": "mail.example.org", "port": 25},
    ):
        item = {**MAIL, "settings": {**moved, "sender": "a@example.org", "to": ["b@example.org"]}}
        assert "password" not in keep_secrets(item, known)["settings"]


def told(target: dict[str, Any], **more: Any) -> bool:
    return bool(route(notice(**more), [read_target({**HOOK, **target})]))


def test_an_entry_has_the_notice_and_an_idempotency_key() -> None:
    fields = route(notice(), [read_target(HOOK), read_target(MAIL)])
    assert sorted(fields) == ["n|hook", "n|mail"]
    entry = json.loads(fields["n|hook"])
    assert entry == {"notice": notice().as_dict(), "target": "hook", "tries": 0, "due": 0}
    assert read_notice(entry["notice"]) == notice()


def test_a_target_hears_of_what_it_asked_for_only() -> None:
    assert told({})
    assert not told({"enabled": False})
    assert not told({"severity": "critical"})
    assert told({"severity": "critical"}, severity="critical")
    assert not told({"classes": ["measured"]}, predictive=True)
    assert told({"classes": ["predictive"]}, predictive=True)
    assert not told({"servers": ["db-01"]})
    assert told({"servers": ["db-01", "web-01"]})
    assert not told({"roles": ["web"]})
    assert told({"roles": ["web"]}, role="web")
    assert not told({"resolved": False}, event="resolved")
    assert told({"resolved": False}, event="acknowledged")


def test_whoever_was_told_of_the_worst_is_told_of_the_end() -> None:
    eased = {"severity": "warning", "facts": {"worst_severity": "critical"}}
    assert told({"severity": "critical"}, event="resolved", **eased)
    assert told({"severity": "critical"}, event="acknowledged", **eased)
    assert not told({"severity": "critical"}, event="repeated", **eased)
