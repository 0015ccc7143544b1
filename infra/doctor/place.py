"""What is looked at: the stack on this machine, a deployment, or the stores that the environment names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.aws import Aws, Stack

SETTINGS_FILE = "environment.json"


@dataclass(frozen=True, slots=True)
class Place:
    """An installation: its settings as the functions read them, its addresses ("" where there are none)."""

    name: str
    env: Mapping[str, str] = field(repr=False)
    url: str = ""
    live_url: str = ""
    aws: Aws | None = None

    @property
    def key(self) -> str:
        """The first administrator's bearer."""
        return self.env.get("OPENMANAGER_API_KEY", "")

    @property
    def local(self) -> bool:
        """Whether it is the stack of one machine."""
        return self.env.get("OPENMANAGER_STAGE") == "local"


class NoPlace(Exception):
    """There is nothing to look at; the message says what to do."""


def this_machine(data: Path) -> Place:
    """What `make run` runs on a data folder. Raises NoPlace."""
    try:
        env = json.loads((data / SETTINGS_FILE).read_text())
        url = json.loads((data / "credentials.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        raise NoPlace(f"nothing runs on {data}: start it with `make run`, or name a deployment with STAGE=…") from None
    return Place(f"this machine ({data})", env, url)


def named_by(env: Mapping[str, str]) -> Place:
    """The stores of the environment, and the API of OPENMANAGER_URL if that is set too."""
    return Place("the environment's stores", dict(env), env.get("OPENMANAGER_URL", ""))


def deployed(aws: Aws) -> Place:
    """A stage on AWS, as far as it is there."""
    stack = aws.stack()
    env = {"OPENMANAGER_STAGE": aws.stage, **aws.parameters()}
    at = addresses(stack)
    return Place(f"{aws.stage} in {aws.region}", env, at.api, at.live, aws)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a stack answers, "" where it does not: its HTTP API, its live stream, and where pushes cost least."""

    api: str
    live: str
    push: str


def addresses(stack: Stack | None) -> Addresses:
    """The addresses of a stack; osls gives the outputs these names."""
    outputs = stack.outputs if stack else {}
    live, push = (outputs.get(f"{name}LambdaFunctionUrl", "").rstrip("/") for name in ("Live", "Ingest"))
    return Addresses(outputs.get("HttpApiUrl", ""), live, push)
