"""Settings from the environment and, on AWS, the Parameter Store: read and checked once, at first use.

Every error names the variable. A process keeps what it has read, and its clients with it: another value takes effect
in processes that start after it, all of which a deployment with another `settings` (serverless.yml) starts anew.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path

from openmanager import parameters
from openmanager.errors import InvalidSettings
from openmanager.values import frozen

MIN_SECRET_LENGTH = 24
# RFC 7518 3.2: a key for HS256 is at least as long as what it makes. As long as what AES-256 takes, too.
_MIN_KEY_BYTES = 32
# What an identity provider's users can be, the weakest first: of several roles the last of these counts.
OIDC_ROLES = ("viewer", "auditor", "operator", "admin")
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")


@frozen
class Oidc:
    """An identity provider whose tokens are taken: `claim` is where in them roles are found (a path of names with dots
    between them), `roles` what its values mean here, `clients` those that may have asked for the token, any if empty.
    """

    issuer: str
    audience: str
    claim: str
    roles: Mapping[str, str]
    clients: tuple[str, ...]


@frozen
class Model:
    """A model that speaks the protocol of OpenAI's chat completions, behind `url` + /chat/completions.

    `daily_tokens` are all that it may read and write for us in a day (UTC).
    """

    url: str
    key: str = field(repr=False)
    name: str
    daily_tokens: int


@frozen
class Settings:
    """Everything a function may be told from outside."""

    stage: str
    api_key: str
    redis_url: str
    redis_token: str
    database_url: str
    shards: int
    grace_s: int
    push_interval_s: int
    watched_interval_s: int
    stream_window_s: float
    stream_poll_s: float
    store_timeout_s: float
    queue_url: str
    cron_secret: str
    jwt_keys: Mapping[str, str]
    oidc: Oidc | None
    encryption_keys: Mapping[str, str]
    notify_allow_private: bool
    request_limit: int
    ingest_limit: int
    origins: tuple[str, ...]
    mcp_settings: str
    mcp_function: str
    mcp_packages: str
    mcp_downloads: bool
    runbooks: str
    model: Model | None
    vercel: bool
    web_adapter: bool
    prices: str
    cost_cap_usd: float | None
    heartbeat_url: str


@frozen
class Number:
    """What a setting that is a number is unless told, and what it may be; `local` is its default on one machine."""

    default: float
    low: float
    high: float
    local: float | None = None


# docs/settings.md says what each means, and is made from here (infra.settings_reference).
NUMBERS: Mapping[str, Number] = {
    "OPENMANAGER_SHARDS": Number(1, 1, 4096),
    # A minute is judged this long after its end; it must cover one push interval and the way here.
    "OPENMANAGER_GRACE_S": Number(75, 0, 600),
    "OPENMANAGER_PUSH_INTERVAL_S": Number(60, 1, 3600),
    # The same while somebody watches the live feed.
    "OPENMANAGER_WATCHED_INTERVAL_S": Number(10, 1, 3600),
    "OPENMANAGER_STREAM_WINDOW_S": Number(25, 0, 900),
    # How often the live feed is looked at, one command each time, while somebody reads it.
    "OPENMANAGER_STREAM_POLL_S": Number(2, 0.05, 10),
    "OPENMANAGER_STORE_TIMEOUT_S": Number(3, 0.05, 60),
    # Calls of one caller in 15 minutes. On one's own machine a dashboard and its tests are one caller.
    "OPENMANAGER_REQUEST_LIMIT": Number(100, 1, 1e6, local=10_000),
    # Pushes of one key in 15 minutes: some 200 a second.
    "OPENMANAGER_INGEST_LIMIT": Number(200_000, 1, 1e9, local=10_000_000),
    "OPENMANAGER_MODEL_DAILY_TOKENS": Number(200_000, 0, 1e9),
    "OPENMANAGER_COST_CAP": Number(0, 0.01, 1e9),
}
# A request may take 300 s there (vercel.json), and what waits is not paid for by the processor.
STREAM_WINDOW_ON_VERCEL = Number(240, 0, 290)


def models_dir(env: Mapping[str, str]) -> Path:
    """The models' folder: OPENMANAGER_MODELS, else `models/` of the checkout, else the inference layer's on Lambda."""
    named = env.get("OPENMANAGER_MODELS")
    return Path(named) if named else _installed_models_dir()


def live_url(env: Mapping[str, str]) -> str:
    """Where the live feed streams if that is another address than the API's: OPENMANAGER_LIVE_URL, else "". Apart from
    all else, so that whoever serves files only needs no secret. Raises InvalidSettings.
    """
    url = env.get("OPENMANAGER_LIVE_URL", "").rstrip("/")
    if url and not _ORIGIN.fullmatch(url):
        raise InvalidSettings(f"OPENMANAGER_LIVE_URL: {url!r} is not an address such as https://live.example.com")
    return url


@lru_cache(maxsize=1)
def _installed_models_dir() -> Path:
    for parent in Path(__file__).resolve().parents:
        if (parent / "models" / "manifest.json").is_file():
            return parent / "models"
    return Path("/opt/models")


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings from a mapping of variables. Raises InvalidSettings naming the first unusable one."""

    stage = env.get("OPENMANAGER_STAGE", "prod")
    api_key = env.get("OPENMANAGER_API_KEY", "")
    if stage != "local" and len(api_key) < MIN_SECRET_LENGTH:
        raise InvalidSettings(f"OPENMANAGER_API_KEY: needs at least {MIN_SECRET_LENGTH} characters")
    # Set by the platform: https://vercel.com/docs/environment-variables/system-environment-variables
    vercel = env.get("VERCEL", "") == "1"
    # For receivers on one's own network: private addresses and plain http.
    private = env.get("OPENMANAGER_NOTIFY_ALLOW_PRIVATE", "") == "1"

    def number(name: str) -> float:
        here = vercel and name == "OPENMANAGER_STREAM_WINDOW_S"
        return _number(env, name, STREAM_WINDOW_ON_VERCEL if here else NUMBERS[name], stage)

    return Settings(
        stage=stage,
        api_key=api_key,
        redis_url=env.get("UPSTASH_REDIS_REST_URL", ""),
        redis_token=env.get("UPSTASH_REDIS_REST_TOKEN", ""),
        database_url=env.get("DATABASE_URL", ""),
        shards=int(number("OPENMANAGER_SHARDS")),
        grace_s=int(number("OPENMANAGER_GRACE_S")),
        push_interval_s=int(number("OPENMANAGER_PUSH_INTERVAL_S")),
        watched_interval_s=int(number("OPENMANAGER_WATCHED_INTERVAL_S")),
        stream_window_s=number("OPENMANAGER_STREAM_WINDOW_S"),
        stream_poll_s=number("OPENMANAGER_STREAM_POLL_S"),
        store_timeout_s=number("OPENMANAGER_STORE_TIMEOUT_S"),
        queue_url=env.get("OPENMANAGER_QUEUE_URL", ""),
        cron_secret=_cron_secret(env, stage),
        jwt_keys=_keys("OPENMANAGER_JWT_KEYS", env.get("OPENMANAGER_JWT_KEYS", "")),
        oidc=_oidc(env, stage),
        encryption_keys=_keys("OPENMANAGER_ENCRYPTION_KEYS", env.get("OPENMANAGER_ENCRYPTION_KEYS", "")),
        notify_allow_private=private,
        request_limit=int(number("OPENMANAGER_REQUEST_LIMIT")),
        ingest_limit=int(number("OPENMANAGER_INGEST_LIMIT")),
        # The second is what our own page has where the feed streams from another address than the page comes from.
        origins=_origins("OPENMANAGER_ORIGINS", env) + _origins("OPENMANAGER_PAGE_ORIGIN", env),
        # Where mcp_settings.json is, if not at the top of the checkout or of the function.
        mcp_settings=env.get("OPENMANAGER_MCP_SETTINGS", ""),
        # The Lambda function that calls outside MCP servers; empty where all functions share a process.
        mcp_function=env.get("OPENMANAGER_MCP_FUNCTION", ""),
        # Where npm has installed MCP servers, if not beside mcp_settings.json.
        mcp_packages=env.get("OPENMANAGER_MCP_PACKAGES", ""),
        # Whether npx may fetch a server that is not installed.
        mcp_downloads=env.get("OPENMANAGER_MCP_DOWNLOADS", "") == "1",
        # The folder that the filesystem server shows beside those of its settings, if not the one that comes along.
        runbooks=env.get("OPENMANAGER_RUNBOOKS", ""),
        # Whom the assistant asks where its rules do not understand; nobody unless all of it is set.
        model=_model(env, stage, int(number("OPENMANAGER_MODEL_DAILY_TOKENS"))),
        vercel=vercel,
        # Where the Lambda Web Adapter stands between a function URL and our server (functions/live).
        web_adapter=bool(env.get("AWS_LWA_INVOKE_MODE")),
        # What costs differently from the price list that comes along (openmanager/bill/prices.py).
        prices=env.get("OPENMANAGER_PRICES", ""),
        # What a month may cost, in USD; as it would cost more, senders are asked to push less often.
        cost_cap_usd=number("OPENMANAGER_COST_CAP") or None,
        # Whom a round that went well is told to, for somebody outside to notice when none is (notify.heartbeat).
        heartbeat_url=_heartbeat(env.get("OPENMANAGER_HEARTBEAT_URL", "").strip(), private),
    )


def _heartbeat(url: str, private: bool) -> str:
    """The error does not repeat the address: whoever knows it can say that all is well."""
    if url and not (re.fullmatch(r"https?://[^\s/?#@]{1,255}(/[!-~]{0,1024})?", url) and (url[4] == "s" or private)):
        raise InvalidSettings("OPENMANAGER_HEARTBEAT_URL: is not an address such as https://hc-ping.com/<uuid>")
    return url


def _number(env: Mapping[str, str], name: str, bounds: Number, stage: str) -> float:
    raw = env.get(name, "")
    usual = bounds.local if stage == "local" and bounds.local is not None else bounds.default
    try:
        value = float(raw) if raw else usual
    except ValueError:
        raise InvalidSettings(f"{name}: {raw!r} is not a number") from None
    if raw and not bounds.low <= value <= bounds.high:
        raise InvalidSettings(f"{name}: {raw} is outside {bounds.low:g} to {bounds.high:g}")
    return value


def _cron_secret(env: Mapping[str, str], stage: str) -> str:
    """Under our name, or under the one that Vercel's crons send: https://vercel.com/docs/cron-jobs/manage-cron-jobs"""
    ours, vercels = "OPENMANAGER_CRON_SECRET", "CRON_SECRET"
    found = {name: env[name] for name in (ours, vercels) if env.get(name)}
    for name, secret in found.items():
        if stage != "local" and len(secret) < MIN_SECRET_LENGTH:
            raise InvalidSettings(f"{name}: needs at least {MIN_SECRET_LENGTH} characters")
    if len(set(found.values())) > 1:
        raise InvalidSettings(f"{vercels}: is not the same as {ours}; set one of them")
    return next(iter(found.values()), "")


def _origins(variable: str, env: Mapping[str, str]) -> tuple[str, ...]:
    origins = tuple(_listed(env.get(variable, "")))
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise InvalidSettings(f"{variable}: {origin!r} is not an origin such as https://ops.example.com")
    return origins


def _model(env: Mapping[str, str], stage: str, daily_tokens: int) -> Model | None:
    """None where none of it is set; an address without a name is taken for a mistake. Errors do not repeat the key."""
    url, key, name = (env.get(f"OPENMANAGER_MODEL_{part}", "").strip() for part in ("URL", "KEY", "NAME"))
    if not (url or key or name):
        return None
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url) or not (url[4] == "s" or stage == "local"):
        raise InvalidSettings(f"OPENMANAGER_MODEL_URL: {url!r} is not an address such as https://models.example.com/v1")
    if not name:
        raise InvalidSettings("OPENMANAGER_MODEL_NAME: needed with OPENMANAGER_MODEL_URL, and not set")
    # It goes into a header.
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise InvalidSettings("OPENMANAGER_MODEL_KEY: has signs that no header takes")
    return Model(url.rstrip("/"), key, name, daily_tokens)


def _keys(variable: str, text: str) -> dict[str, str]:
    """`id:secret,id2:secret2`, the first of which makes while all of them read. Errors do not repeat a secret."""
    keys: dict[str, str] = {}
    for i, part in enumerate(filter(None, text.split(",")), 1):
        identity, _, secret = part.strip().partition(":")
        if not identity or identity in keys:
            raise InvalidSettings(f"{variable}: key {i} needs an id of its own, as in `id:secret`")
        if len(secret.encode()) < _MIN_KEY_BYTES:
            raise InvalidSettings(f"{variable}: key {i} needs at least {_MIN_KEY_BYTES} octets")
        keys[identity] = secret
    return keys


def _oidc(env: Mapping[str, str], stage: str) -> Oidc | None:
    """None where none of it is set; half of it is taken for a mistake."""
    names = ("ISSUER", "AUDIENCE", "ROLES", "ROLES_CLAIM", "CLIENTS")
    issuer, audience, roles, claim, clients = (env.get(f"OPENMANAGER_OIDC_{name}", "").strip() for name in names)
    if not (issuer or audience or roles or claim or clients):
        return None
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", issuer) or not (issuer[4] == "s" or stage == "local"):
        raise InvalidSettings(f"OPENMANAGER_OIDC_ISSUER: {issuer!r} is not an issuer such as https://id.example.com")
    if not audience:
        raise InvalidSettings("OPENMANAGER_OIDC_AUDIENCE: needed with OPENMANAGER_OIDC_ISSUER, and not set")
    return Oidc(issuer, audience, claim or "roles", _oidc_roles(roles), tuple(_listed(clients)))


def _oidc_roles(text: str) -> dict[str, str]:
    """`ops=operator,sre=admin`: values of the claim, and the role that each of them gives."""
    roles: dict[str, str] = {}
    for part in _listed(text):
        value, _, role = part.rpartition("=")
        if not value or value in roles or role not in OIDC_ROLES:
            raise InvalidSettings(
                f"OPENMANAGER_OIDC_ROLES: {part!r} is not `value=role` of a value of its own and one of the roles"
                f" {', '.join(OIDC_ROLES)}"
            )
        roles[value] = role
    if not roles:
        raise InvalidSettings(
            "OPENMANAGER_OIDC_ROLES: needed with OPENMANAGER_OIDC_ISSUER: without it nobody has a role"
        )
    return roles


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, read at the first call and kept."""
    env = {name: value for name, value in os.environ.items() if value}
    # What stands in the environment is nearer.
    return read_settings({**parameters.read(env), **env} if parameters.VARIABLE in env else env)
