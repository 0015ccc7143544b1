"""Every variable that OpenManager reads, described once, and docs/settings.md made of that.

    PYTHONPATH=layers/core/python .venv/bin/python -m infra.settings_reference

Bounds and defaults that are numbers are those of openmanager.settings. A test looks that nothing is missing here, that
nothing stands here that nobody reads, and that the document is of today.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from openmanager.parameters import name_of
from openmanager.settings import MIN_SECRET_LENGTH, NUMBERS, STREAM_WINDOW_ON_VERCEL

from infra.local.supervisor import PACE

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

# How long the two functions that serve a stream keep it open (serverless.yml).
_ON_LAMBDA = {"OPENMANAGER_STREAM_WINDOW_S": ("Lambda", "0, its live address 120")}
_ON_VERCEL = {"OPENMANAGER_STREAM_WINDOW_S": STREAM_WINDOW_ON_VERCEL}


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable, what it means, what it is unless set, and whether nobody may see it.

    A default "" means that there is none; of a number it is that of NUMBERS.
    """

    name: str
    meaning: str
    default: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Settings that belong together, and where they apply."""

    title: str
    applies: str
    settings: tuple[Setting, ...]


_OURS = "All functions, wherever they run."
GROUPS = (
    Group(
        "Stores and stage",
        _OURS,
        (
            Setting("UPSTASH_REDIS_REST_URL", "the address of Redis' REST interface", "`make run` has its own"),
            Setting("UPSTASH_REDIS_REST_TOKEN", "its token, not the read-only one", "`make run` has its own", True),
            Setting(
                "DATABASE_URL",
                "Postgres: `postgresql://user:password@host/database`, best with `?sslmode=require`",
                "`make run` has its own",
                True,
            ),
            Setting("OPENMANAGER_STORE_TIMEOUT_S", "how long a store may take to answer, in seconds"),
            Setting("OPENMANAGER_STAGE", "`local`, or the name of a deployment", "`prod`; serverless.yml: `dev`"),
            Setting("OPENMANAGER_SHARDS", "groups of servers, each with its own round; one for about 250 servers"),
            Setting("OPENMANAGER_MODELS", "the folder of the models", "`models/`; Lambda: `/opt/models`"),
        ),
    ),
    Group(
        "Who comes in",
        _OURS,
        (
            Setting(
                "OPENMANAGER_API_KEY",
                f"the first administrator's bearer key; outside local use {MIN_SECRET_LENGTH} characters or more",
                "`make run` and `make deploy` make one",
                True,
            ),
            Setting(
                "OPENMANAGER_JWT_KEYS",
                "what tokens are signed with, `id:secret,…` (32 octets or more): the first signs, all verify",
                "nobody logs in; `make run` and `make deploy` make one",
                True,
            ),
            Setting("OPENMANAGER_OIDC_ISSUER", "an identity provider whose tokens (JWT) let people in"),
            Setting("OPENMANAGER_OIDC_AUDIENCE", "the audience that these tokens must have; needed with the issuer"),
            Setting(
                "OPENMANAGER_OIDC_ROLES",
                "which of its roles are which of ours, `ops=operator,sre=admin`; nobody else gets in",
            ),
            Setting(
                "OPENMANAGER_OIDC_ROLES_CLAIM", "where a token names its roles, such as `realm_access.roles`", "`roles`"
            ),
            Setting("OPENMANAGER_OIDC_CLIENTS", "clients whose tokens count, comma-separated", "all"),
            Setting("OPENMANAGER_REQUEST_LIMIT", "calls of one user or key in 15 minutes"),
            Setting("OPENMANAGER_INGEST_LIMIT", "pushes of one key in 15 minutes"),
            Setting(
                "OPENMANAGER_ORIGINS",
                "origins whose pages may call the API, comma-separated, such as `https://ops.example.com`",
            ),
        ),
    ),
    Group(
        "Pushes, rounds and the live feed",
        _OURS,
        (
            Setting("OPENMANAGER_PUSH_INTERVAL_S", "the cadence that senders are told, in seconds"),
            Setting("OPENMANAGER_WATCHED_INTERVAL_S", "the cadence that they are told while somebody watches"),
            Setting("OPENMANAGER_GRACE_S", "how long after its end a minute is judged; longer than a push interval"),
            Setting(
                "OPENMANAGER_CRON_SECRET",
                f"what `/api/tick` and `/api/archive` want; outside local use {MIN_SECRET_LENGTH} characters or more",
                "they are refused; `make deploy` makes one",
                True,
            ),
            Setting("CRON_SECRET", "the same, as Vercel calls it; set one of the two", "", True),
            Setting("OPENMANAGER_STREAM_WINDOW_S", "how long one stream request lasts, in seconds"),
            Setting(
                "OPENMANAGER_STREAM_POLL_S",
                "how often the feed is looked at while somebody watches, in seconds; a command of Redis each",
            ),
        ),
    ),
    Group(
        "Notifications",
        _OURS,
        (
            Setting(
                "OPENMANAGER_ENCRYPTION_KEYS",
                "encrypts secrets of notification targets in both stores, `id:key,…` (32 octets or more): the first "
                "encrypts, all decrypt; `python3 run.py seal` brings what is stored under the first",
                "stored as they are; `make deploy` makes one",
                True,
            ),
            Setting(
                "OPENMANAGER_NOTIFY_ALLOW_PRIVATE",
                "`1`: notifications may go to one's own network, also over plain HTTP and SMTP",
            ),
            Setting(
                "OPENMANAGER_HEARTBEAT_URL",
                "the address of a service outside that pages when it hears nothing, such as "
                "`https://hc-ping.com/<uuid>`: a GET after every round that went well "
                "([Watching OpenManager](watching-openmanager.md))",
                "nobody is told",
                secret=True,
            ),
        ),
    ),
    Group(
        "Cost",
        _OURS,
        (
            Setting("OPENMANAGER_PRICES", "prices other than the list's, and plans by the month, as JSON"),
            Setting(
                "OPENMANAGER_COST_CAP",
                "what a month may cost, in USD: as it would cost more, senders are asked to push less often",
                "no cap",
            ),
        ),
    ),
    Group(
        "The assistant and MCP servers of others",
        "The functions `assistant` and `mcp`.",
        (
            Setting("OPENMANAGER_MODEL_URL", "an endpoint of OpenAI's chat completions, `https://…/v1`", "rules alone"),
            Setting("OPENMANAGER_MODEL_NAME", "its model; needed with the address"),
            Setting("OPENMANAGER_MODEL_KEY", "its key", "", True),
            Setting("OPENMANAGER_MODEL_DAILY_TOKENS", "all that it may read and write in a day (UTC)"),
            Setting("OPENMANAGER_MCP_SETTINGS", "the file of outside MCP servers", "`mcp_settings.json`"),
            Setting(
                "OPENMANAGER_MCP_PACKAGES", "a `node_modules` folder with their packages", "the one beside that file"
            ),
            Setting("OPENMANAGER_MCP_DOWNLOADS", "`1`: `npx` may fetch a package that is not installed"),
            Setting("OPENMANAGER_RUNBOOKS", "a folder of your runbooks in place of ours", "ours"),
        ),
    ),
    Group(
        "On this machine",
        "`make run` and what else `run.py` starts here.",
        (
            Setting("PORT", "the gateway's port; the next free one is taken if it is in use", "8000"),
            Setting("OPENMANAGER_DATA", "the data folder", "`.openmanager/` in the checkout"),
            Setting(
                "OPENMANAGER_LOG_LEVEL",
                "from which level on our own lines are logged, here into `logs/` of the data folder; on Lambda the "
                "parameter `logLevel`",
                "`INFO`",
            ),
        ),
    ),
    Group(
        "For commands",
        "`run.py` export, import, audit, seal, mcp and `doctor --environment`; infra/clients.",
        (
            Setting("OSLS", "the osls that `deploy` and `remove` call", "the version of this checkout"),
            Setting("OPENMANAGER_URL", "the installation that a command speaks to", "what runs here"),
            Setting(
                "OPENMANAGER_TOKEN",
                "an API key or token for it; of an agent, its key",
                "the administrator's of what runs here",
                True,
            ),
        ),
    ),
    Group(
        "Of our agents",
        "infra/agents, beside `OPENMANAGER_URL` and `OPENMANAGER_TOKEN`; each is an option of the same name, too.",
        (
            Setting("OPENMANAGER_INTERVAL", "seconds between samples, 1 to 3600", "15"),
            Setting("OPENMANAGER_SERVER", "the server's id", "its hostname"),
            Setting("OPENMANAGER_ROLE", "web, api, database, cache, storage, …"),
            Setting("OPENMANAGER_ENVIRONMENT", "on-premise, aws, gcp, azure, kubernetes"),
            Setting("OPENMANAGER_LABELS", "labels, `a=b,c=d`"),
            Setting("OPENMANAGER_AGENT_SPOOL", "the folder that keeps what could not be delivered", "until it ends"),
            Setting("OPENMANAGER_AGENT_SPOOL_BYTES", "how large that may grow (shell agent)", "8388608"),
            Setting("OPENMANAGER_PROC", "where the shell agent reads Linux' figures", "`/proc`"),
            Setting("OPENMANAGER_SYS_BLOCK", "where it finds the disks", "`/sys/block`"),
        ),
    ),
    Group(
        "Set by the deployment",
        "serverless.yml and `make run` set these; leave them alone.",
        (
            Setting(
                "OPENMANAGER_PARAMETERS",
                "paths of AWS's Parameter Store below which the other settings stand, comma-separated",
            ),
            Setting("OPENMANAGER_QUEUE_URL", "SQS queue of rounds, used from two shards on", "one after another"),
            Setting("OPENMANAGER_MCP_FUNCTION", "the function that calls outside MCP servers for the assistant"),
            Setting("OPENMANAGER_LIVE_URL", "the live feed's own address, which the dashboard's pages open"),
            Setting("OPENMANAGER_PAGE_ORIGIN", "the origin that may open it: that of the dashboard"),
            Setting("OPENMANAGER_SERVICE", "the service file that the local gateway and scheduler read"),
            Setting("VALKEY_PORT", "of the local Redis, for its REST front"),
            Setting("VALKEY_PASSWORD", "likewise", "", True),
        ),
    ),
    Group(
        "Set by the platform",
        "AWS and Vercel set these; on your own machine, AWS's usual ones say who you are there.",
        (
            Setting("AWS_REGION", "the region; for `deploy` and `doctor`, too", "`deploy`: `eu-central-1`"),
            Setting("AWS_DEFAULT_REGION", "the same, where that is not set"),
            Setting("AWS_ACCESS_KEY_ID", "credentials for the Parameter Store"),
            Setting("AWS_SECRET_ACCESS_KEY", "likewise", "", True),
            Setting("AWS_SESSION_TOKEN", "likewise", "", True),
            Setting("AWS_CONTAINER_CREDENTIALS_FULL_URI", "where they are got, where Lambda starts from a snapshot"),
            Setting("AWS_CONTAINER_AUTHORIZATION_TOKEN", "what is shown there", "", True),
            Setting("AWS_ENDPOINT_URL", "another address of AWS's services, for tests"),
            Setting("AWS_ENDPOINT_URL_SSM", "another address of the Parameter Store alone"),
            Setting("AWS_LAMBDA_FUNCTION_NAME", "there on Lambda"),
            Setting("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "the function's memory in MB, for the bill"),
            Setting("AWS_LAMBDA_EXEC_WRAPPER", "there where the Lambda Web Adapter is"),
            Setting("AWS_LWA_INVOKE_MODE", "there where that streams"),
            Setting("LAMBDA_TASK_ROOT", "where a function's own files are", "`/var/task`"),
            Setting("VERCEL", "`1` on Vercel"),
        ),
    ),
)

_INTRODUCTION = f"""# Settings

Made by `python -m infra.settings_reference`; do not edit.

On AWS settings are parameters below `/openmanager/<stage>` (such as
`{name_of("<stage>", "DATABASE_URL")}`), are read when a function starts, and stand in no template; `make deploy
SETTINGS=<file>` writes them. Elsewhere they are variables; `make run` passes on what it finds. What stands in the
environment counts before a parameter. A value that cannot be used keeps a function from answering, and the error names
the variable. Secret ones (🔒) are never logged.
"""


def document() -> str:
    """docs/settings.md."""
    return "\n".join([_INTRODUCTION, *map(_section, GROUPS)])


def _section(group: Group) -> str:
    rows = (f"| {_name(s)} | {s.meaning} | {_default(s)} | {_bounds(s)} |" for s in group.settings)
    head = ("| setting | meaning | default | bounds |", "| --- | --- | --- | --- |")
    return "\n".join((f"## {group.title}", "", group.applies, "", *head, *rows, ""))


def _name(setting: Setting) -> str:
    return f"`{setting.name}`" + (" 🔒" if setting.secret else "")


def _default(setting: Setting) -> str:
    """Also where it differs by platform."""
    name = setting.name
    bounds = NUMBERS.get(name)
    if bounds is None or setting.default:
        return setting.default or "none"
    local = PACE.get(name) or (bounds.local and f"{bounds.local:,.10g}")
    others = [("local", local)] if local else []
    others += [_ON_LAMBDA[name]] if name in _ON_LAMBDA else []
    others += [("Vercel", f"{_ON_VERCEL[name].default:,.10g}")] if name in _ON_VERCEL else []
    told = "; ".join(f"{where}: {value}" for where, value in others)
    return f"{bounds.default:,.10g}" + (f" ({told})" if told else "")


def _bounds(setting: Setting) -> str:
    bounds, on_vercel = NUMBERS.get(setting.name), _ON_VERCEL.get(setting.name)
    if bounds is None:
        return ""
    told = f"{bounds.low:,.10g} to {bounds.high:,.10g}"
    return told + (f" (Vercel: {on_vercel.high:,.10g})" if on_vercel else "")


def main() -> int:
    """Writes the document."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document())
    return 0


if __name__ == "__main__":
    sys.exit(main())
