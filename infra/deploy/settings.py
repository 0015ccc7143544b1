"""The settings of a stage: read from a file, completed by made secrets, compared with what is stored. Pure but for the
reading of the file.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openmanager.errors import InvalidSettings
from openmanager.settings import read_settings

from infra.deploy.failure import CannotDeploy

# What serverless.yml gives each function by itself.
_GIVEN = (
    "OPENMANAGER_STAGE",
    "OPENMANAGER_QUEUE_URL",
    "OPENMANAGER_MCP_FUNCTION",
    "OPENMANAGER_STREAM_WINDOW_S",
    "OPENMANAGER_PAGE_ORIGIN",
    "VERCEL",
    "AWS_LWA_INVOKE_MODE",
)
# A parameter of the standard tier; the next one costs.
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings will be, which of them are to be written, and which of those were made here."""

    env: Mapping[str, str]
    written: tuple[str, ...]
    made: tuple[str, ...]


def known_names() -> frozenset[str]:
    """Every variable that the functions read and a file may set."""
    asked: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            asked.add(name)
            return super().get(name, default)

    # Locally nothing is required, so that all is asked for.
    read_settings(Recorder(OPENMANAGER_STAGE="local"))
    return frozenset(asked - set(_GIVEN))


def read_file(path: Path) -> dict[str, str]:
    """NAME=value lines; blank ones and those with # are passed over. Raises CannotDeploy, never repeating a value."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotDeploy(f"{path} cannot be read: {error}", "name a file of NAME=value lines") from None
    found: dict[str, str] = {}
    names = known_names()
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        name, value = name.strip(), _unquoted(value.strip())
        where = f"{path}, line {number}"
        if not equals:
            raise CannotDeploy(f"{where}: is not NAME=value", "one setting a line; lines with # are comments")
        if name in _GIVEN:
            raise CannotDeploy(f"{where}: {name} is set by serverless.yml", "leave the line out")
        if name not in names:
            raise CannotDeploy(f"{where}: {name} is no setting", "docs/settings.md lists them")
        if name in found:
            raise CannotDeploy(f"{where}: {name} stands there twice", "leave one of them out")
        if len(value.encode()) > _LONGEST:
            raise CannotDeploy(f"{where}: {name} is longer than {_LONGEST} octets", "shorten it")
        found[name] = value
    return found


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def plan(stage: str, stored: Mapping[str, str], given: Mapping[str, str]) -> Plan:
    """What is to be written. A secret that can be made, and is neither stored nor given, is made.

    An empty value in the file leaves what is stored: what is gone from the Parameter Store cannot be got back.
    """
    env = {**stored, **{name: value for name, value in given.items() if value}}
    made = {name: value for name, value in _new_secrets().items() if not env.get(name)}
    env |= made
    written = tuple(sorted(name for name, value in env.items() if stored.get(name) != value))
    return Plan({**env, "OPENMANAGER_STAGE": stage}, written, tuple(made))


def _new_secrets() -> dict[str, str]:
    return {
        "OPENMANAGER_API_KEY": secrets.token_urlsafe(32),
        "OPENMANAGER_JWT_KEYS": f"k1:{secrets.token_urlsafe(32)}",
        "OPENMANAGER_ENCRYPTION_KEYS": f"k1:{secrets.token_urlsafe(32)}",
        "OPENMANAGER_CRON_SECRET": secrets.token_urlsafe(32),
    }


def shards(env: Mapping[str, str]) -> int:
    """Raises CannotDeploy naming the setting that cannot be read."""
    try:
        return read_settings(env).shards
    except InvalidSettings as error:
        raise CannotDeploy(str(error), "correct it in the file of SETTINGS=") from None
