"""Hand-written attacks on the doors, by role: the request, the answer it gets, and that nothing else has changed.

Names, texts and numbers are here; `test_attacks_credentials`, `_browser`, `_network` and `_resources` have the others.
"""

from typing import Any

import pytest
from openmanager import archive
from openmanager.oncall import settings as desk
from openmanager.settings import settings
from openmanager.stores import config
from openmanager.watch import rounds

from functions.access.handler import handler as access
from functions.alerts.handler import handler as alerts
from functions.audit.handler import handler as audit
from functions.auth.handler import handler as auth
from functions.demo.handler import handler as demo
from functions.incidents.handler import handler as incidents
from functions.notifications.handler import handler as notifications
from functions.predictions.handler import handler as predictions
from functions.record.handler import handler as record
from functions.replay.handler import handler as replay
from functions.rules.handler import handler as rules
from functions.servers.handler import handler as servers
from functions.silences.handler import handler as silences
from functions.stream.handler import handler as stream
from functions.system.handler import handler as system
from infra.local.stack import Upstash
from tests.attacks import Attack, as_json, holdings, push
from tests.conftest import API_KEY
from tests.credentials import JWT_KEYS
from tests.events import invoke

BEYOND_FLOATS = 10**400
BEYOND_READING = b"9" * 5000
CSV = {"content-type": "text/csv"}
WINDOW = {"days": ["sun"], "at": "02:00", "minutes": 5}
NTFY = b'{"channel": "ntfy", "settings": {"topic": "ops"}, '
INJECTION = "' OR 1=1; DROP TABLE users; --"


@pytest.fixture(autouse=True)
def world(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A server that has been judged, and one that has not."""
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    settings.cache_clear()
    assert push().status == push("db-01").status == 200
    desk.republish()
    latest = '{"metrics":{},"attributes":{},"seen":1.0}'
    verdict = '{"status":"healthy","confidence":1.0,"anomaly":null,"failure":null,"minute":1}'
    config.connect().call("HSET", "om:0:latest", "web-01", latest, "web-01|verdict", verdict)
    return stores_env


REFUSED: dict[str, Attack] = {
    # Names that are more than names in a store.
    "a field of Redis' own for a server": Attack(servers, "GET", "/api/servers/web-01|verdict", status=404),
    "its samples": Attack(servers, "GET", "/api/servers/web-01|verdict/samples", status=404),
    "its prediction": Attack(predictions, "GET", "/api/servers/web-01|verdict/prediction", status=404),
    "its explanation": Attack(incidents, "GET", "/api/servers/web-01|verdict/explanation", status=404),
    "the count of rounds for a server": Attack(servers, "GET", "/api/servers/@round", status=404),
    "ourselves for a server": Attack(servers, "GET", "/api/servers/@openmanager", status=404),
    "a key's separator for a server": Attack(servers, "GET", "/api/servers/0:state", status=404),
    "a pattern for a server": Attack(servers, "GET", "/api/servers/*/samples", status=404),
    "any one sign for a server": Attack(servers, "GET", "/api/servers/web-0?/samples", status=404),
    "a folder up for a server": Attack(servers, "GET", "/api/servers/../samples", status=404),
    "SQL for a server": Attack(servers, "GET", f"/api/servers/{INJECTION}/metrics", status=404),
    "NUL in a path": Attack(servers, "GET", "/api/servers/web-01\0/metrics", status=404),
    "NUL in a query": Attack(record, "GET", "/api/predictions/record", query="server=%00", named="server"),
    "NUL in a query's name": Attack(record, "GET", "/api/predictions/record", query="a%00b=1", said="NUL"),
    "NUL for an incident": Attack(incidents, "GET", "/api/incidents/\0", status=404),
    "NUL for a rule to delete": Attack(rules, "DELETE", "/api/rules/\0", "operator", 404),
    "SQL for a silence to end": Attack(silences, "DELETE", f"/api/silences/{INJECTION}", "operator", 404),
    "a request of ours forged by a name": Attack(
        alerts, "POST", "/api/alerts/web-01|cpu/x/acknowledge", "operator", 404, b"{}"
    ),
    "a part of the configuration for a rule": Attack(
        rules, "PUT", "/api/rules/request|web-01|cpu", "operator", body=b'{"kind": "offline"}', named="id"
    ),
    "a look-alike of a default rule": Attack(
        rules, "PUT", "/api/rules/сpu", "operator", body=b'{"kind": "offline"}', named="id"
    ),
    "an id in the body that is not the address's": Attack(
        rules, "PUT", "/api/rules/cpu", "operator", body=b'{"id": "memory"}', named="id"
    ),
    "a target whose id is a path": Attack(
        notifications, "PUT", "/api/notifications/targets/..", "admin", body=NTFY + b'"id": ".."}', named="id"
    ),
    "a key of Redis for an entry of the outbox": Attack(
        notifications, "POST", "/api/notifications/outbox/om:config/retry", "operator", 404
    ),
    "a file of ours for one of the documentation": Attack(
        system, "GET", "/api/docs/../handler.py", "nobody", 404, said="Not Found"
    ),
    "the same, its slash encoded twice": Attack(system, "GET", "/api/docs/..%2f..%2fserverless.yml", "nobody", 404),
    # Texts that JSON can write and no store can keep.
    "half a sign for a field": Attack(rules, "PUT", "/api/rules/cpu", "operator", body=b'{"\\ud800": 1}'),
    "half a sign for a field of a key": Attack(access, "POST", "/api/keys", "admin", body=b'{"\\udfff": 1}'),
    "half a sign among names": Attack(
        notifications, "PUT", "/api/notifications/targets/a", "admin", body=NTFY + b'"servers": ["\\ud800"]}',
        named="servers",
    ),
    "NUL among names": Attack(
        silences, "POST", "/api/silences", "operator", body=b'{"minutes": 5, "servers": ["\\u0000"]}', named="servers"
    ),
    "half a sign for a password of a receiver": Attack(
        notifications, "PUT", "/api/notifications/targets/a", "admin", named="settings.user",
        body=b'{"channel": "email", "settings": {"host": "a.example", "sender": "a@b.example", "to": ["a@b.example"],'
        b' "user": "\\ud800"}}',
    ),
    "a header hidden in an address for mail": Attack(
        notifications, "PUT", "/api/notifications/targets/a", "admin", named="settings.to",
        body=b'{"channel": "email", "settings": {"host": "a.example", "sender": "a@b.example",'
        b' "to": ["a@b.example\\r\\nBcc: c@d.example"]}}',
    ),
    "a header hidden in a mail server's name": Attack(
        notifications, "PUT", "/api/notifications/targets/a", "admin", named="settings.host",
        body=b'{"channel": "email", "settings": {"host": "a.example\\r\\nRCPT TO:<c@d.example>",'
        b' "sender": "a@b.example", "to": ["a@b.example"]}}',
    ),
    "half a sign for a server to replay": Attack(
        replay, "POST", "/api/replay", "operator", body=b'{"server": "\\ud800"}', named="server"
    ),
    "NUL for a server to replay": Attack(
        replay, "POST", "/api/replay", "operator", body=b'{"server": "\\u0000"}', named="server"
    ),
    "half a sign for who logs in": Attack(
        auth, "POST", "/api/auth/token", "nobody", 401, b'{"user": "\\ud800", "password": "\\ud800"}'
    ),
    "SQL for who logs in": Attack(
        auth, "POST", "/api/auth/token", "nobody", 401, as_json({"user": INJECTION, "password": INJECTION})
    ),
    "an operator of a document store for a password": Attack(
        auth, "POST", "/api/auth/token", "nobody", body=b'{"user": "a", "password": {"$ne": ""}}', named="password"
    ),
    # Numbers that are none, or too many.
    "not a number for a step": Attack(servers, "GET", "/api/servers/web-01/metrics", query="step=nan", named="step"),
    "less than nothing": Attack(servers, "GET", "/api/servers/web-01/metrics", query="step=-inf", named="step"),
    "without end": Attack(servers, "GET", "/api/servers/web-01/metrics", query="step=inf", named="step"),
    "an end beyond every date": Attack(
        servers, "GET", "/api/servers/web-01/metrics", query="from=0&step=1e9&to=99999999999999", named="to"
    ),
    "an end beyond every float": Attack(
        servers, "GET", "/api/servers/web-01/metrics", query="from=0&to=" + "9" * 400, named="to"
    ),
    "a start before every zone's first day": Attack(
        servers, "GET", "/api/servers/web-01/metrics", query="from=0001-01-01T00:00:00%2B14:00&step=1e9", named="from"
    ),
    "other digits for an instant": Attack(
        servers, "GET", "/api/servers/web-01/metrics", query="to=%D9%A1%D9%A2%C2%B2", named="to"
    ),
    "a cursor of more digits than Python reads": Attack(
        servers, "GET", "/api/servers/web-01/samples", query=f"cursor={BEYOND_READING.decode()}", named="cursor"
    ),
    "a cursor of another span": Attack(servers, "GET", "/api/servers/web-01/samples", query="cursor=1", named="cursor"),
    "a cursor that is no number": Attack(
        incidents, "GET", "/api/alerts/history", query="cursor=nan~x", named="cursor"
    ),
    "a cursor beyond every date": Attack(
        incidents, "GET", "/api/alerts/history", query="cursor=1e300~x", named="cursor"
    ),
    "SQL behind a cursor's time": Attack(
        incidents, "GET", "/api/alerts/history", query="cursor=x'%29%20OR%201=1~x", named="cursor"
    ),
    "a row number beyond 64 bits": Attack(audit, "GET", "/api/audit", "auditor", query=f"after={2**63}", named="after"),
    "a row number of 5000 digits": Attack(
        audit, "GET", "/api/audit", "auditor", query=f"after={BEYOND_READING.decode()}", named="after"
    ),
    "a place in the feed beyond 64 bits": Attack(
        stream, "GET", "/api/stream", headers={"last-event-id": "99999999999999999-0"}, named="Last-Event-ID"
    ),
    "a second command in a place of the feed": Attack(
        stream, "GET", "/api/stream", headers={"last-event-id": "0-0 + COUNT 9"}, named="Last-Event-ID"
    ),
    "a level that no float can hold": Attack(
        rules, "PUT", "/api/rules/cpu", "operator", body=as_json({"warning": BEYOND_FLOATS}), named="warning"
    ),
    "a level that is not a number": Attack(
        rules, "PUT", "/api/rules/cpu", "operator", body=b'{"warning": NaN}', named="warning"
    ),
    "an integer longer than Python reads": Attack(
        rules, "PUT", "/api/rules/cpu", "operator", body=b'{"warning": ' + BEYOND_READING + b"}", named="body"
    ),
    "a silence that Postgres takes for no number": Attack(
        silences, "POST", "/api/silences", "operator", named="start",
        body=as_json({"start": BEYOND_FLOATS, "end": BEYOND_FLOATS + 60}),
    ),
    "a silence of more minutes than Python prints": Attack(
        silences, "POST", "/api/silences", "operator", body=b'{"minutes": ' + b"9" * 4300 + b"}", named="minutes"
    ),
    "a silence without end": Attack(
        silences, "POST", "/api/silences", "operator", body=b'{"minutes": Infinity}', named="minutes"
    ),
    "a key for longer than there are dates": Attack(
        access, "POST", "/api/keys", "admin", named="days",
        body=as_json({"name": "a", "role": "viewer", "days": BEYOND_FLOATS}),
    ),
    "a fleet of more servers than Redis holds": Attack(
        demo, "POST", "/api/system/start", "operator", body=as_json({"servers": 10**9}), named="servers"
    ),
    "a run that never ends": Attack(
        demo, "POST", "/api/system/start", "operator", body=b'{"minutes": 1e999}', named="minutes"
    ),
    "a run as fast as nothing": Attack(
        demo, "POST", "/api/system/start", "operator", body=b'{"speed": NaN}', named="speed"
    ),
    "a run whose past is to come": Attack(
        demo, "POST", "/api/system/start", "operator", body=b'{"past": -1}', named="past"
    ),
    # What a time or a zone may be.
    "a file for a time zone": Attack(
        silences, "PUT", "/api/maintenance/a", "operator", named="timezone",
        body=as_json(WINDOW | {"timezone": "../../etc/passwd"}),
    ),
    "a folder for a time zone": Attack(
        silences, "PUT", "/api/maintenance/a", "operator", body=as_json(WINDOW | {"timezone": "."}), named="timezone"
    ),
    "an absolute path for a receiver's time zone": Attack(
        notifications, "PUT", "/api/notifications/targets/a", "admin", body=NTFY + b'"timezone": "/etc/passwd"}',
        named="timezone",
    ),
    "an expression of cron for a time": Attack(
        silences, "PUT", "/api/maintenance/a", "operator", body=as_json(WINDOW | {"at": "*/1 * * * *"}), named="at"
    ),
    "other digits for a time of day": Attack(
        silences, "PUT", "/api/maintenance/a", "operator", body=as_json(WINDOW | {"at": "٠٢:٠٠"}), named="at"
    ),
    # A table that somebody sends.
    "a formula in a cell": Attack(
        replay, "POST", "/api/replay", "operator", body=b"time,cpu_utilization\n60,=1+1\n", headers=CSV, said="=1+1"
    ),
    "a time beyond 64 bits in a cell": Attack(
        replay, "POST", "/api/replay", "operator", body=b"time,cpu_utilization\n1e300,1\n", headers=CSV, said="1e300"
    ),
    "a value that overflows its neighbours": Attack(
        replay, "POST", "/api/replay", "operator", headers=CSV, said="1e308",
        body=b"time,disk_read_bytes_total\n60,1e308\n120,-1e308\n",
    ),
    "a sign that is none in a cell": Attack(
        replay, "POST", "/api/replay", "operator", body=b"time,cpu_\xff\n60,1\n", headers=CSV, said="utf-8"
    ),
    # What JSON can be besides an object of ours.
    "a field twice for which the last one is refused": Attack(
        access, "PUT", "/api/users/eve", "admin", body=b'{"role": "viewer", "role": "root"}', named="role"
    ),
    "brackets without end": Attack(rules, "PUT", "/api/dependencies", "operator", body=b"[" * 60_000, named="body"),
    "objects without end": Attack(
        rules, "PUT", "/api/dependencies", "operator", body=b'{"a":' * 12_000, named="body"
    ),
    "a list for an object": Attack(rules, "PUT", "/api/rules/cpu", "operator", body=b"[]", named="body"),
    "gzip where none is read": Attack(
        rules, "PUT", "/api/rules/cpu", "operator", 415, b"\x1f\x8b", headers={"content-encoding": "gzip"}
    ),
    "a graph of roles that never ends": Attack(
        rules, "PUT", "/api/dependencies", "operator", body=b'{"a": ["b"], "b": ["a"]}', named="dependencies.a"
    ),
    # Fields that are ours to set.
    "a silence in another's name": Attack(
        silences, "POST", "/api/silences", "operator", body=b'{"minutes": 5, "by": "admin"}', named="by"
    ),
    "a key with a secret of one's own": Attack(
        access, "POST", "/api/keys", "admin", body=b'{"name": "a", "role": "viewer", "digest": "00"}', named="digest"
    ),
    "a user made by somebody else": Attack(
        access, "PUT", "/api/users/eve", "admin", body=b'{"role": "viewer", "changed_by": "a"}', named="changed_by"
    ),
    "a prototype for a user": Attack(
        access, "PUT", "/api/users/eve", "admin", body=b'{"role": "viewer", "__proto__": {"role": "admin"}}',
        named="__proto__",
    ),
    "a constructor for a rule": Attack(
        rules, "PUT", "/api/rules/cpu", "operator", body=b'{"constructor": {"prototype": {}}}', named="constructor"
    ),
    "a default rule that says it is one": Attack(
        rules, "PUT", "/api/rules/cpu", "operator", body=b'{"default": true}', named="default"
    ),
    "a run that has sent its minutes": Attack(
        demo, "POST", "/api/system/start", "operator", body=b'{"fed": 99999999}', named="fed"
    ),
    "servers for a key that writes none": Attack(
        access, "POST", "/api/keys", "admin", body=b'{"name": "a", "role": "admin", "servers": ["*"]}', named="servers"
    ),
    # What is another role's.
    "a viewer who drives the demo fleet": Attack(demo, "POST", "/api/system/start", "viewer", 403, b"{}"),
    "an operator who reads who is told": Attack(
        notifications, "GET", "/api/notifications/targets", "operator", 403, said="admin"
    ),
    "an operator who makes himself a key": Attack(
        access, "POST", "/api/keys", "operator", 403, b'{"name": "a", "role": "admin"}'
    ),
    "an auditor who ends a silence": Attack(silences, "DELETE", "/api/silences/a", "auditor", 403),
    "an agent who reads": Attack(servers, "GET", "/api/servers", "agent", 403),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_attack_is_refused_by_name_and_changes_nothing(
    name: str, world: dict[str, str], empty_redis: Upstash
) -> None:
    attack = REFUSED[name]
    bearer = attack.bearer()
    before = holdings(empty_redis, world["DATABASE_URL"])
    reply = attack.send(bearer)
    assert reply.status == attack.status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == attack.status
    assert attack.said in problem["detail"]
    assert problem.get("field", "").startswith(attack.named)
    assert holdings(empty_redis, world["DATABASE_URL"]) == before


def test_the_catalogue_has_its_fifty() -> None:
    assert len(REFUSED) >= 50


def test_a_server_called_as_javascripts_own_is_one_like_any_other() -> None:
    for name in ("constructor", "toString", "hasOwnProperty"):
        assert push(name, labels={"__proto__": "a", "constructor": "b"}).json()["accepted"] == 1
        shown = invoke(servers, "GET", f"/api/servers/{name}", key=API_KEY).json()
        assert (shown["id"], shown["labels"]) == (name, {"__proto__": "a", "constructor": "b"})


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", "{}".encode("utf-16"), "{}".encode("utf-32")], ids=len)
def test_json_in_another_encoding_is_the_same_json(body: bytes) -> None:
    reply = invoke(rules, "PUT", "/api/rules/mine", key=API_KEY, body=body)
    assert (reply.status, reply.json()["field"]) == (400, "kind")


def test_of_a_field_that_stands_twice_one_is_stored_and_shown() -> None:
    body = b'{"role": "viewer", "password": "correct horse battery", "role": "auditor"}'
    assert invoke(access, "PUT", "/api/users/eve", key=API_KEY, body=body).json()["role"] == "auditor"
    (user,) = invoke(access, "GET", "/api/users", key=API_KEY).json()["users"]
    assert user["role"] == "auditor"


def test_no_role_that_an_agent_says_stops_the_round() -> None:
    # 61 octets, of which the round keeps 48: the last sign is cut in half.
    assert push("web-02", role="a" + "é" * 30).json()["accepted"] == 1
    assert push("web-03", role="\U0001f480" * 16).json()["accepted"] == 1
    now_ms = 60_000 * (invoke(servers, "GET", "/api/servers/web-02", key=API_KEY).json()["seen"] // 60 + 3)
    report = rounds.tick(int(now_ms), lambda: False)
    assert report.verdicts >= 2


def test_no_silence_that_is_let_in_stops_the_archive(world: dict[str, str]) -> None:
    latest: dict[str, Any] = {"start": 10**11 - 60, "end": 10**11}
    assert invoke(silences, "POST", "/api/silences", key=API_KEY, body=as_json(latest)).status == 201
    archive.run(1_800_000_000_000, lambda: False)


def test_what_an_agent_says_of_itself_besides_its_samples_is_nothing() -> None:
    forged = {"status": "healthy", "verdict": {"status": "healthy"}, "seen": 9e9, "judged": 1, "id": "db-01"}
    assert push("web-09", **forged).json()["accepted"] == 1
    shown = invoke(servers, "GET", "/api/servers/web-09", key=API_KEY).json()
    assert (shown["id"], shown["status"], shown["verdict"], shown["judged"]) == ("web-09", "unknown", None, None)
    assert shown["seen"] < 9e9
