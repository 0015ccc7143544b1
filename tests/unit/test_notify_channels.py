"""What each channel makes of a notice, octet for octet, and within the vendor's limits whatever the notice says."""

import hashlib
import hmac
import json
import re
import time
from email import message_from_bytes
from email.policy import default
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.notify.channels import email, request, webhook
from openmanager.notify.message import compose
from openmanager.notify.notice import EVENTS, SEVERITIES, Notice
from openmanager.notify.send import REQUESTS
from openmanager.notify.targets import read_target

ROOT = Path(__file__).resolve().parents[2]
AT = 1_764_000_000  # 2025-11-24 16:00:00 UTC
SETTINGS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "https://example.org/hook?a=1", "secret": "new-secret-0123456789"},
    "slack": {"url": "https://hooks.slack.com/services/T0/B0/xyz"},
    "discord": {"url": "https://discord.com/api/webhooks/1/abc"},
    "telegram": {"token": "123456:" + "A" * 35, "chat_id": "-100123", "thread_id": 7},
    "pagerduty": {"routing_key": "R" * 32},
    "ntfy": {"topic": "ops-9f3", "token": "tk_0123456789abcdef"},
    "email": {"host": "mail.example.org", "sender": "watch@example.org", "to": ["ops@example.org", "b@example.org"]},
}
FIRING = Notice(
    id="web-01|cpu|29400000|29400005|firing",
    event="firing",
    server="web-01",
    rule="cpu",
    severity="critical",
    since=AT - 300,
    at=AT,
    title="CPU utilization is high",
    facts={"metric": "cpu_utilization", "value": 93.14, "limit": 90.0, "suppressed": 2},
    incident="web-01|29400005",
    links={"Dashboard": "https://om.example.org/?server=web-01&x=<1>"},
    role="web",
)


def order(channel: str, notice: Notice = FIRING, **more: Any) -> request.Order:
    target = read_target({"id": "ops", "channel": channel, "settings": {**SETTINGS[channel], **more}})
    message = compose(notice, target.language, target.timezone)
    return request.Order(notice, target, message, f"{notice.id}|ops", AT + 0.5)


def sent(channel: str, notice: Notice = FIRING, **more: Any) -> tuple[request.Request, Any]:
    made = REQUESTS[channel](order(channel, notice, **more))
    assert made.headers["Content-Type"] == "application/json; charset=utf-8"
    assert made.headers["Idempotency-Key"] == f"{notice.id}|ops"
    return made, json.loads(made.body)


LINES = [
    "Value: 93.1% (limit 90%)",
    "Since: 2025-11-24 15:55 UTC",
    "Alerts held back as its consequences: 2",
    "Role: web",
    "Rule: cpu",
]
TITLE = "[Critical] web-01: CPU utilization 93.1% (limit 90%)"


def test_a_webhook_gets_the_whole_notice_signed_over_its_time_and_body() -> None:
    made, document = sent("webhook")
    assert made.url == "https://example.org/hook?a=1"
    link = "Dashboard: https://om.example.org/?server=web-01&x=<1>"
    assert document == {
        "key": "web-01|cpu|29400000|29400005|firing|ops",
        "notice": FIRING.as_dict(),
        "title": TITLE,
        "text": "\n".join([*LINES, link]),
    }
    digest = hmac.new(b"new-secret-0123456789", b"%d." % AT + made.body, hashlib.sha256).hexdigest()
    assert made.headers[webhook.SIGNATURE] == f"t={AT},v1={digest}"


def test_while_a_secret_is_replaced_a_webhook_is_signed_under_both() -> None:
    made, _ = sent("webhook", previous_secret="old-secret-0123456789")
    time, *signatures = made.headers[webhook.SIGNATURE].split(",")
    digests = [
        hmac.new(secret, f"{time[2:]}.".encode() + made.body, hashlib.sha256).hexdigest()
        for secret in (b"new-secret-0123456789", b"old-secret-0123456789")
    ]
    assert signatures == [f"v1={digest}" for digest in digests]


def test_the_guide_tells_how_to_verify_a_signature() -> None:
    (code,) = re.findall(r"```python\n(import hashlib.*?)```", (ROOT / "docs/alerts.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    verify = names["is_ours"]
    now = int(time.time())
    header = webhook.signature(b"body", now, ["new-secret", "old-secret"])
    assert verify(b"body", header, "new-secret")
    assert verify(b"body", header, "old-secret")
    assert not verify(b"body", header, "other")
    assert not verify(b"other", header, "new-secret")
    assert not verify(b"body", webhook.signature(b"body", now - 3600, ["new-secret"]), "new-secret")


def test_slack_gets_blocks_of_plain_text_and_escaped_links() -> None:
    made, document = sent("slack")
    assert made.url == SETTINGS["slack"]["url"]
    fields = [{"type": "plain_text", "text": line, "emoji": False} for line in LINES]
    link = "<https://om.example.org/?server=web-01&amp;x=&lt;1&gt;|Dashboard>"
    assert document == {
        "text": TITLE,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": TITLE, "emoji": False}},
            {"type": "section", "fields": fields},
            {"type": "section", "text": {"type": "mrkdwn", "text": link}},
        ],
        "unfurl_links": False,
    }


def test_discord_gets_an_embed_that_mentions_nobody() -> None:
    made, document = sent("discord")
    assert made.url == "https://discord.com/api/webhooks/1/abc?wait=true"
    assert document == {
        "content": r"\[Critical\] web-01: CPU utilization 93.1% \(limit 90%\)",
        "embeds": [
            {
                "color": 0xDC2626,
                "timestamp": "2025-11-24T16:00:00+00:00",
                "fields": [
                    {"name": "Value", "value": r"93.1% \(limit 90%\)", "inline": True},
                    {"name": "Since", "value": "2025-11-24 15:55 UTC", "inline": True},
                    {"name": "Alerts held back as its consequences", "value": "2", "inline": True},
                    {"name": "Role", "value": "web", "inline": True},
                    {"name": "Rule", "value": "cpu", "inline": True},
                    {
                        "name": "Dashboard",
                        "value": "https://om.example.org/?server=web-01&x=<1>",
                        "inline": False,
                    },
                ],
            }
        ],
        "allowed_mentions": {"parse": []},
    }


def test_telegram_gets_escaped_html_in_the_right_thread() -> None:
    made, document = sent("telegram")
    assert made.url == f"https://api.telegram.org/bot{SETTINGS['telegram']['token']}/sendMessage"
    link = "Dashboard: https://om.example.org/?server=web-01&amp;x=&lt;1&gt;"
    assert document == {
        "chat_id": "-100123",
        "message_thread_id": 7,
        "text": "\n".join([f"<b>{TITLE}</b>", *LINES, link]),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": False,
    }


def test_pagerduty_opens_acknowledges_and_resolves_one_alert() -> None:
    made, document = sent("pagerduty")
    assert made.url == "https://events.pagerduty.com/v2/enqueue"
    assert document == {
        "routing_key": "R" * 32,
        "event_action": "trigger",
        "dedup_key": "web-01|cpu",
        "client": "OpenManager",
        "payload": {
            "summary": TITLE,
            "source": "web-01",
            "severity": "critical",
            "timestamp": "2025-11-24T16:00:00.000+00:00",
            "class": "cpu",
            "group": "web",
            "custom_details": {**dict(line.split(": ", 1) for line in LINES), "incident": "web-01|29400005"},
        },
        "links": [{"href": "https://om.example.org/?server=web-01&x=<1>", "text": "Dashboard"}],
    }
    for event, action in (("acknowledged", "acknowledge"), ("resolved", "resolve")):
        later = Notice(**{**FIRING.as_dict(), "event": event})
        expected = {"routing_key": "R" * 32, "event_action": action, "dedup_key": "web-01|cpu"}
        assert sent("pagerduty", later)[1] == expected


def test_ntfy_gets_priority_and_tag_by_severity_and_replaces_what_comes_twice() -> None:
    made, document = sent("ntfy")
    assert made.url == "https://ntfy.sh/"
    assert made.headers["Authorization"] == "Bearer tk_0123456789abcdef"
    link = "Dashboard: https://om.example.org/?server=web-01&x=<1>"
    assert document == {
        "topic": "ops-9f3",
        "title": TITLE,
        "message": "\n".join([*LINES, link]),
        "priority": 5,
        "tags": ["rotating_light"],
        "sequence_id": request.short_key(f"{FIRING.id}|ops"),
        "click": "https://om.example.org/?server=web-01&x=<1>",
    }
    resolved = Notice(**{**FIRING.as_dict(), "event": "resolved"})
    quiet = sent("ntfy", resolved)[1]
    assert (quiet["priority"], quiet["tags"]) == (3, ["white_check_mark"])


def test_an_email_is_one_message_in_the_thread_of_its_alert() -> None:
    octets = email.mail(order("email")).as_bytes()
    read = message_from_bytes(octets, policy=default)
    key = request.short_key(f"{FIRING.id}|ops")
    assert {name: read[name] for name in ("Subject", "From", "To", "Message-ID", "References", "Auto-Submitted")} == {
        "Subject": TITLE,
        "From": "OpenManager <watch@example.org>",
        "To": "ops@example.org, b@example.org",
        "Message-ID": f"<{key}@example.org>",
        "References": f"<{request.short_key('web-01|cpu')}@example.org>",
        "Auto-Submitted": "auto-generated",
    }
    assert read["Date"].datetime.timestamp() == AT
    plain, html = read.iter_parts()
    link = "Dashboard: https://om.example.org/?server=web-01&x=<1>"
    assert plain.get_content().splitlines() == [TITLE, "", *LINES, link]
    assert "<td>93.1% (limit 90%)</td>" in html.get_content()
    assert "<a href='https://om.example.org/?server=web-01&amp;x=&lt;1&gt;'>Dashboard</a>" in html.get_content()


def test_a_test_notice_opens_an_alert_of_its_own_at_pagerduty() -> None:
    test = Notice("test|ops|1", "test", "", "test", "info", AT, AT, "Test")
    _, document = sent("pagerduty", test)
    assert document["dedup_key"] == "test|ops|1"
    assert "group" not in document["payload"]


texts = st.text(max_size=6000)
notices = st.builds(
    Notice,
    id=st.text(min_size=1, max_size=300),
    event=st.sampled_from(EVENTS),
    server=st.text(max_size=400),
    rule=st.text(max_size=400),
    severity=st.sampled_from(SEVERITIES),
    since=st.floats(0, 4e9),
    at=st.floats(0, 4e9),
    title=texts,
    facts=st.dictionaries(
        st.sampled_from(["kind", "metric", "value", "limit", "silent_s", "earliest_s", "latest_s", "note", "by"]),
        st.one_of(st.none(), st.booleans(), st.floats(-1e12, 1e12), texts),
    ),
    links=st.dictionaries(st.text(max_size=300), st.one_of(texts, st.just("https://x.example/" + "a" * 3000))),
    role=st.text(max_size=400),
)


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(notices)
def test_no_notice_outgrows_or_escapes_what_a_vendor_takes(notice: Notice) -> None:
    made = {channel: REQUESTS[channel](order(channel, notice)) for channel in REQUESTS}
    for one in made.values():
        assert all(value.isascii() and value.isprintable() for value in one.headers.values())
    slack = json.loads(made["slack"].body)
    assert 1 <= units(slack["blocks"][0]["text"]["text"]) <= 150
    for block in slack["blocks"][1:]:
        assert len(block.get("fields", [])) <= 10
        assert all(1 <= units(field["text"]) <= 2000 for field in block.get("fields", []))
        assert len(block.get("text", {}).get("text", "")) <= 3000
    assert "<!" not in slack["text"]
    discord = json.loads(made["discord"].body)
    assert 1 <= units(discord["content"]) <= 2000
    fields = discord["embeds"][0]["fields"]
    assert len(fields) <= 25
    assert all(units(f["name"]) <= 256 and units(f["value"]) <= 1024 for f in fields)
    assert sum(len(f["name"]) + len(f["value"]) for f in fields) <= 6000
    telegram = json.loads(made["telegram"].body)["text"]
    seen = unescape(telegram.removeprefix("<b>").replace("</b>", "", 1))
    assert 1 <= units(seen) <= 4096
    assert "<" not in telegram.removeprefix("<b>").replace("</b>", "", 1)
    duty = json.loads(made["pagerduty"].body)
    assert 1 <= len(duty["dedup_key"]) <= 255
    assert units(duty.get("payload", {"summary": "x"})["summary"]) <= 1024
    ntfy = json.loads(made["ntfy"].body)
    assert 1 <= len(ntfy["message"].encode()) <= 4096
    mail = message_from_bytes(email.mail(order("email", notice)).as_bytes(), policy=default)
    assert mail["To"] == "ops@example.org, b@example.org"
    assert len(mail.get_all("Subject")) == 1
    assert mail["Bcc"] is None


@pytest.mark.parametrize("key", ["서버|cpu|1|ops", "a\r\nX-Evil: 1|ops", "x" * 4000])
def test_any_key_becomes_a_header_of_its_own(key: str) -> None:
    made = request.header_key(key)
    assert made.isascii()
    assert made.isprintable()
    assert len(made) <= 3 * 512
    assert made != request.header_key(key + "!")
