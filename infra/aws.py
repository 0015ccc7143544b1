"""One stage of OpenManager on AWS, as an operator sees it: its parameters, its stack, its queues.

Functions read the parameters by themselves (openmanager.parameters) and need none of this.
"""

import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

SERVICE = "openmanager"
# As in serverless.yml.
REGION = "eu-central-1"
STAGE = re.compile(r"[a-z][a-z0-9-]{0,19}")
# botocore's own patience is a minute a call.
_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})

_CREDENTIALS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with `aws sso login`"
_CODES = {
    "InvalidClientTokenId": ("AWS does not know the access key", _CREDENTIALS),
    "UnrecognizedClientException": ("AWS does not know the access key", _CREDENTIALS),
    "ExpiredToken": ("the session at AWS is over", "log in again (`aws sso login`)"),
    "ExpiredTokenException": ("the session at AWS is over", "log in again (`aws sso login`)"),
    "SignatureDoesNotMatch": (
        "AWS does not take the signature",
        "AWS_SECRET_ACCESS_KEY is mistyped, or this machine's clock is off by more than five minutes",
    ),
    "RequestTimeTooSkewed": ("this machine's clock is off by more than five minutes", "switch time synchronisation on"),
}


def region_of(wanted: str) -> str:
    """The region to work in: what was asked for, else what AWS's own programs would take, else ours."""
    return wanted or os.environ.get("AWS_REGION") or REGION


class AwsRefused(Exception):
    """AWS did not do it; `do` is what to do about it."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.do = do


@dataclass(frozen=True, slots=True)
class Stack:
    """A CloudFormation stack: its status and what it says of itself."""

    status: str
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Queue:
    """An SQS queue of the stack: how many messages wait, and for how long the oldest did of late (None: not known)."""

    name: str
    waiting: int
    oldest_s: float | None


class Aws:
    """A stage in a region, with the credentials that boto3 finds."""

    def __init__(self, stage: str, region: str) -> None:
        """Raises AwsRefused for a name that no stage can have."""
        if not STAGE.fullmatch(stage):
            raise AwsRefused(f"{stage!r} is no name for a stage", "take up to 20 of a-z, 0-9 and -, a letter first")
        self.stage, self.region = stage, region
        self.stack_name = f"{SERVICE}-{stage}"
        self.path = f"/{SERVICE}/{stage}"
        # Beside the path that the functions read.
        self.login_parameter = f"/{SERVICE}-first-login/{stage}"

    @cached_property
    def _session(self) -> Any:
        try:
            return boto3.Session(region_name=self.region)
        except ProfileNotFound as error:
            raise AwsRefused(str(error), _CREDENTIALS) from error

    def _client(self, service: str, region: str = "") -> Any:
        return self._session.client(service, region_name=region or self.region, config=_CONFIG)

    def identity(self) -> tuple[str, str]:
        """(account, who we are there). Raises AwsRefused."""
        answer = _asked(self._client("sts").get_caller_identity)
        return str(answer["Account"]), str(answer["Arn"])

    def parameters(self) -> dict[str, str]:
        """The settings of the stage by their variable. Raises AwsRefused."""
        return {p["Name"].rpartition("/")[2]: p["Value"] for p in self._stored(decrypted=True)}

    def versions(self) -> list[tuple[str, int]]:
        """(full name, how often it was written) of each setting. Raises AwsRefused."""
        return sorted((p["Name"], int(p["Version"])) for p in self._stored(decrypted=False))

    def _stored(self, decrypted: bool) -> list[dict[str, Any]]:
        pages = self._client("ssm").get_paginator("get_parameters_by_path")
        found = _asked(lambda: list(pages.paginate(Path=self.path, Recursive=True, WithDecryption=decrypted)))
        return [parameter for page in found for parameter in page["Parameters"]]

    def put_parameter(self, name: str, value: str) -> None:
        """Write an encrypted parameter under its full name. Raises AwsRefused."""
        _asked(lambda: self._client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True))

    def parameter(self, name: str) -> str | None:
        """One parameter by its full name, None if there is none. Raises AwsRefused."""
        try:
            answer = self._client("ssm").get_parameter(Name=name, WithDecryption=True)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise _refused(error) from error
        except BotoCoreError as error:
            raise _refused(error) from error
        return str(answer["Parameter"]["Value"])

    def stack(self, region: str = "") -> Stack | None:
        """The stage's stack, here or in another region. Raises AwsRefused."""
        try:
            (found,) = self._client("cloudformation", region).describe_stacks(StackName=self.stack_name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise _refused(error) from error
        except BotoCoreError as error:
            raise _refused(error) from error
        outputs = {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", ())}
        return Stack(found["StackStatus"], outputs)

    def elsewhere(self) -> list[str]:
        """Other regions that have a stack of this name; those that do not answer are left out."""
        regions = [r for r in self._session.get_available_regions("cloudformation") if r != self.region]

        def has(region: str) -> bool:
            try:
                return self.stack(region) is not None
            except AwsRefused:
                return False  # a region that the account has not switched on

        # A client costs some time of its own, so not all at once, nor one after the other.
        with ThreadPoolExecutor(8) as pool:
            return [region for region, there in zip(regions, pool.map(has, regions), strict=True) if there]

    def queues(self) -> list[Queue]:
        """The queues of the stack. Raises AwsRefused."""
        found: list[Queue] = _asked(lambda: list(self._queues()))
        return found

    def _queues(self) -> Iterator[Queue]:
        pages = self._client("cloudformation").get_paginator("list_stack_resources")
        sqs, watch = self._client("sqs"), self._client("cloudwatch")
        now = datetime.now(UTC)
        for page in pages.paginate(StackName=self.stack_name):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceType"] != "AWS::SQS::Queue":
                    continue
                url = resource["PhysicalResourceId"]
                about = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
                ages = watch.get_metric_statistics(
                    Namespace="AWS/SQS",
                    MetricName="ApproximateAgeOfOldestMessage",
                    Dimensions=[{"Name": "QueueName", "Value": urlsplit(url).path.rpartition("/")[2]}],
                    StartTime=now - timedelta(minutes=10),
                    EndTime=now,
                    Period=60,
                    Statistics=["Maximum"],
                )["Datapoints"]
                newest = max(ages, key=lambda point: point["Timestamp"], default=None)
                yield Queue(
                    resource["LogicalResourceId"],
                    int(about["Attributes"]["ApproximateNumberOfMessages"]),
                    newest and float(newest["Maximum"]),
                )

    def endpoint(self) -> str:
        """An address in the region that answers anybody, to measure the way there."""
        return str(self._client("sts").meta.endpoint_url)


def _asked(call: Any) -> Any:
    try:
        return call()
    except (ClientError, BotoCoreError) as error:
        raise _refused(error) from error


def _refused(error: Exception) -> AwsRefused:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return AwsRefused("there are no AWS credentials", _CREDENTIALS)
    if isinstance(error, EndpointConnectionError):
        return AwsRefused(
            "AWS cannot be reached", "see that this machine is online, and that REGION is the name of a region"
        )
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        if code in _CODES:
            return AwsRefused(*_CODES[code])
        if code in ("AccessDenied", "AccessDeniedException"):
            return AwsRefused(
                f"these credentials may not do it: {error.response['Error'].get('Message', code)}",
                "ask for the rights that docs/operations.md names, or take other credentials",
            )
    return AwsRefused(f"AWS: {error}", "see what it says; nothing here was changed by it")
