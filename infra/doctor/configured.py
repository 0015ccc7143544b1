"""Settings that are there, well formed, and secret enough."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from openmanager.errors import InvalidSettings
from openmanager.notify import guard
from openmanager.settings import read_settings

from infra.doctor.finding import Finding
from infra.doctor.place import Place

CHECK = "settings"
NEEDED = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "DATABASE_URL")
# Words of examples, at the length that the settings want.
_GUESSED = re.compile(r"change.?me|example|default|password|secret|openmanager|test[-_ ]|1234567890|abcdefgh", re.I)
_FEW_SIGNS = 8
_RESOLVE_S = 5.0
CONSOLE = "copy it from the REST API section of the database in Upstash's console"


def settings(place: Place) -> list[Finding]:
    """Whether the functions would start with these settings, and what of them is weak or left out."""
    found = [*_needed(place), *_addresses(place), *_secrets(place), *_heartbeat(place)]
    try:
        read_settings(place.env)
    except InvalidSettings as error:
        found.append(Finding(CHECK, "failed", str(error), _how_to_set(place)))
    if not any(finding.state == "failed" for finding in found):
        found.insert(0, Finding(CHECK, "ok", f"{len(_given(place))} are set and read well"))
    return found


def _given(place: Place) -> list[str]:
    stores = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "DATABASE_URL")
    return [name for name, value in place.env.items() if value and (name.startswith("OPENMANAGER_") or name in stores)]


def _how_to_set(place: Place) -> str:
    if place.aws:
        return f"correct it in a file and `make deploy STAGE={place.aws.stage} SETTINGS=<file>`, which writes it"
    return "correct the variable and start again"


def _needed(place: Place) -> list[Finding]:
    return [
        Finding(CHECK, "failed", f"{name}: not set", _how_to_set(place)) for name in NEEDED if not place.env.get(name)
    ]


def _addresses(place: Place) -> list[Finding]:
    found = []
    redis, database = place.env.get("UPSTASH_REDIS_REST_URL", ""), place.env.get("DATABASE_URL", "")
    if redis.startswith(("redis://", "rediss://")):
        found.append(
            Finding(
                CHECK,
                "failed",
                "UPSTASH_REDIS_REST_URL: this is the address for Redis' own protocol, not the REST one",
                f"it begins with https://; {CONSOLE}",
            )
        )
    elif redis and not redis.startswith(("https://", "http://")):
        found.append(Finding(CHECK, "failed", "UPSTASH_REDIS_REST_URL: does not begin with https://", CONSOLE))
    elif redis.startswith("http://") and not place.local:
        found.append(
            Finding(CHECK, "warning", "UPSTASH_REDIS_REST_URL: http:// carries the token in clear", "take https://")
        )
    if database and not database.startswith(("postgres://", "postgresql://")):
        found.append(
            Finding(
                CHECK,
                "failed",
                "DATABASE_URL: does not begin with postgresql://",
                "it is the connection string of your Postgres, postgresql://user:password@host/database",
            )
        )
    elif database and not place.local and "sslmode=" not in (urlsplit(database).query or ""):
        found.append(
            Finding(
                CHECK,
                "warning",
                "DATABASE_URL: does not insist on TLS",
                "append ?sslmode=require (or &sslmode=require)",
            )
        )
    return found


def _heartbeat(place: Place) -> list[Finding]:
    """Whether somebody outside would notice that all of it is dead."""
    url = place.env.get("OPENMANAGER_HEARTBEAT_URL", "").strip()
    if place.local and not url:
        return []
    if not url:
        return [
            Finding(
                CHECK,
                "warning",
                "OPENMANAGER_HEARTBEAT_URL: not set, so nobody outside notices when all of it stops",
                "set it to the address of a check that expects a ping a minute, of healthchecks.io or one like it",
            )
        ]
    host = urlsplit(url).hostname or ""
    try:
        found = guard.resolved(host, 443, _RESOLVE_S)
    except guard.Unresolved as error:
        return [Finding(CHECK, "failed", f"OPENMANAGER_HEARTBEAT_URL: {error}", _how_to_set(place))]
    private = place.env.get("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "") == "1"
    if not private and not any(guard.may_receive(ip_address(address)) for address in found):
        what = f"OPENMANAGER_HEARTBEAT_URL: {host} is at {found[0]}, which is not a public address"
        return [Finding(CHECK, "failed", what, "take another, or set OPENMANAGER_NOTIFY_ALLOW_PRIVATE to 1")]
    return []


def _secrets(place: Place) -> list[Finding]:
    """Those that were typed rather than made, and those that serve twice."""
    if place.local:
        return []
    env = place.env
    secrets = {
        name: [part.partition(":")[2] or part for part in env.get(name, "").split(",") if part]
        for name in (
            "OPENMANAGER_API_KEY",
            "OPENMANAGER_CRON_SECRET",
            "OPENMANAGER_JWT_KEYS",
            "OPENMANAGER_ENCRYPTION_KEYS",
        )
    }
    found = []
    for name, values in secrets.items():
        if any(_GUESSED.search(value) or len(set(value)) < _FEW_SIGNS for value in values):
            found.append(
                Finding(
                    CHECK,
                    "failed",
                    f"{name}: is or holds a word that people guess",
                    'make another: python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
                )
            )
        others = [value for other, values in secrets.items() if other != name for value in values]
        if set(values) & set(others) and name != "OPENMANAGER_API_KEY":
            found.append(Finding(CHECK, "warning", f"{name}: is also another secret", "give each its own"))
    if not secrets["OPENMANAGER_JWT_KEYS"] and not env.get("OPENMANAGER_OIDC_ISSUER"):
        found.append(
            Finding(
                CHECK,
                "warning",
                "OPENMANAGER_JWT_KEYS: not set, so nobody can log in",
                "set it to `k1:<32 characters or more>`; `make deploy` makes one where there is none",
            )
        )
    if not secrets["OPENMANAGER_ENCRYPTION_KEYS"]:
        found.append(
            Finding(
                CHECK,
                "warning",
                "OPENMANAGER_ENCRYPTION_KEYS: not set, so secrets of notification targets are stored as they are",
                "set it to `k1:<32 characters or more>`, deploy, then `python3 run.py seal`",
            )
        )
    return found
