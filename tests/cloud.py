"""AWS as moto speaks it, with an osls that makes a stack there and writes down how it was called."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3

from tests.sqs import REGION

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": REGION,
}

# It makes what the doctor and the deployment look for in a stack, and no function.
_OSLS = """#!{python}
import json, os, sys
from pathlib import Path

if sys.argv[1] == "--version":
    sys.exit(print("Framework Core: 4.3.1"))
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    print(json.dumps({{"argv": sys.argv[1:], "env": sorted(os.environ)}}), file=calls)
print("Deploying to stage", sys.argv[3])
if (fault := here / "fault").exists():
    sys.exit(print(fault.read_text()) or 1)
import boto3
client = boto3.client("cloudformation", region_name=sys.argv[5])
name = "openmanager-" + sys.argv[3]
if sys.argv[1] == "remove":
    client.delete_stack(StackName=name)
else:
    template = (here / "template").read_text()
    try:
        client.create_stack(StackName=name, TemplateBody=template)
    except client.exceptions.ClientError:
        client.delete_stack(StackName=name)
        client.create_stack(StackName=name, TemplateBody=template)
"""


@dataclass(frozen=True)
class Cloud:
    """An AWS of our own, and an osls: `fault` is what that says when it is to fail."""

    endpoint: str
    folder: Path

    def client(self, service: str, region: str = REGION) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def osls(self) -> str:
        return str(self.folder / "osls")

    def fault(self, says: str) -> None:
        (self.folder / "fault").write_text(says)

    def heal(self) -> None:
        (self.folder / "fault").unlink(missing_ok=True)

    def calls(self) -> list[dict[str, Any]]:
        calls = self.folder / "calls"
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    def stack_of(self, outputs: Mapping[str, str]) -> None:
        """What the next deployment makes."""
        template = {
            "Resources": {
                "RoundsQueue": {"Type": "AWS::SQS::Queue"},
                "RoundsDeadLetters": {"Type": "AWS::SQS::Queue"},
            },
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        (self.folder / "template").write_text(json.dumps(template))


def cloud(folder: Path, url: str) -> Cloud:
    """The emulator at an address, emptied, and an osls in a folder."""
    osls = folder / "osls"
    osls.write_text(_OSLS.format(python=sys.executable))
    osls.chmod(0o755)
    urlopen(f"{url}/moto-api/reset", b"").close()
    it = Cloud(url, folder)
    it.stack_of({"HttpApiUrl": "http://127.0.0.1:1"})
    return it


def environment(there: Cloud) -> dict[str, str]:
    """What a program needs to find it."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": there.endpoint, "OSLS": there.osls, "PATH": os.environ["PATH"]}
