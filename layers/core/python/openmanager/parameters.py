"""Settings that a deployment keeps in the Parameter Store of AWS, where its secrets stand encrypted.

OPENMANAGER_PARAMETERS names the paths, with commas between them; a parameter's last name is the variable that it
stands for. Paths are neighbours, because who may read a path may read all below it, and a function's role is given
those that it needs:

    /openmanager/<stage>/common/UPSTASH_REDIS_REST_TOKEN
    /openmanager/<stage>/database/DATABASE_URL

One signed request a path, over the standard library: importing boto3 takes longer than a whole cold start may.
"""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from openmanager import tls
from openmanager.errors import InvalidSettings
from openmanager.signature import Credentials, sign

VARIABLE = "OPENMANAGER_PARAMETERS"
# For all pages of all paths, so that a request is still answered with what is wrong.
LIMIT_S = 3.0
# As many as one answer holds.
_PAGE = 10
# What passes: forty requests a second are allowed, and a burst of starting functions asks for more.
_AGAIN = ("ThrottlingException", "TooManyUpdates", "InternalServerError", "HTTP 5")
_FIRST_PAUSE_S = 0.1
# What stands apart from `common`; the roles in serverless.yml say who reads it.
_GROUPS = {
    "DATABASE_URL": "database",
    "OPENMANAGER_ENCRYPTION_KEYS": "encryption",
    "OPENMANAGER_CRON_SECRET": "cron",
    "OPENMANAGER_MODEL_URL": "model",
    "OPENMANAGER_MODEL_KEY": "model",
    "OPENMANAGER_MODEL_NAME": "model",
    "OPENMANAGER_MODEL_DAILY_TOKENS": "model",
}


class _Refused(Exception):
    """What AWS, or the way there, answered instead; without anything secret."""


def name_of(stage: str, variable: str) -> str:
    """Where a variable stands: the full name of its parameter."""
    return f"/openmanager/{stage}/{_GROUPS.get(variable, 'common')}/{variable}"


def read(env: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> dict[str, str]:
    """The variables below the paths that `env` names; region, endpoint and credentials are found there as AWS's own
    clients find them. Raises InvalidSettings naming the path that cannot be read, and why.
    """
    deadline, found = clock() + LIMIT_S, dict[str, str]()
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
    paths = [path.strip().rstrip("/") for path in env[VARIABLE].split(",") if path.strip()]
    path = paths[0] if paths else ""
    try:
        if not region:
            raise _Refused("AWS_REGION is not set")
        with _Store(env, region, deadline, clock) as store:
            for path in paths:
                found.update(store.below(path))
    except (_Refused, OSError, http.client.HTTPException) as error:
        raise InvalidSettings(f"{VARIABLE}: {path} cannot be read: {str(error) or type(error).__name__}") from None
    if not found:
        raise InvalidSettings(f"{VARIABLE}: nothing stands below {', '.join(paths)} in {region}")
    return found


class _Store:
    """A connection to the Parameter Store."""

    def __init__(self, env: Mapping[str, str], region: str, deadline: float, clock: Callable[[], float]) -> None:
        # Those of China are reached under another name.
        usual = f"https://ssm.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        self._url = env.get("AWS_ENDPOINT_URL_SSM") or env.get("AWS_ENDPOINT_URL") or usual
        self._region, self._deadline, self._clock = region, deadline, clock
        self._credentials = _credentials(env, self._left())
        self._line = _connect(self._url, self._left())

    def __enter__(self) -> "_Store":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def below(self, path: str) -> Iterator[tuple[str, str]]:
        """(variable, value) of every parameter of this path."""
        asked: dict[str, Any] = {"Path": path, "WithDecryption": True, "MaxResults": _PAGE}
        while True:
            answer = self._patiently(asked)
            for parameter in answer.get("Parameters", ()):
                yield parameter["Name"].rpartition("/")[2], parameter["Value"]
            if not answer.get("NextToken"):
                return
            asked["NextToken"] = answer["NextToken"]

    def _patiently(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        pause_s, broken = _FIRST_PAUSE_S, False
        while True:
            try:
                return self._ask(json.dumps(asked).encode())
            except _Refused as refused:
                if not str(refused).startswith(_AGAIN) or self._left() < 2 * pause_s:
                    raise
            except (OSError, http.client.HTTPException):
                # A connection that was closed between two requests is found out by the second, once.
                if broken:
                    raise
                broken = True
            self._line.close()
            # Not all at once again.
            time.sleep(pause_s * (0.5 + os.urandom(1)[0] / 255))
            pause_s *= 2

    def _ask(self, body: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParametersByPath"}
        signed = sign("ssm", self._region, self._credentials, self._url, headers, body, time.time())
        if self._line.sock is not None:
            self._line.sock.settimeout(self._left())
        self._line.request("POST", "/", body, signed)
        reply = self._line.getresponse()
        return _answer(reply.status, reply.read())

    def _left(self) -> float:
        left = self._deadline - self._clock()
        if left <= 0:
            raise _Refused(f"it took longer than {LIMIT_S:g} s")
        return left


def _answer(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status == http.client.OK and isinstance(answer, dict):
        return answer
    said = answer if isinstance(answer, dict) else {}
    kind = str(said.get("__type", f"HTTP {status}")).rpartition("#")[2]
    text = str(said.get("message") or said.get("Message") or "")[:300]
    raise _Refused(f"{kind}: {text}" if text else kind)


def _credentials(env: Mapping[str, str], limit_s: float) -> Credentials:
    if env.get("AWS_ACCESS_KEY_ID"):
        return Credentials(
            env["AWS_ACCESS_KEY_ID"], env.get("AWS_SECRET_ACCESS_KEY", ""), env.get("AWS_SESSION_TOKEN", "")
        )
    # Where Lambda starts from a snapshot, variables of its time would be too old.
    where = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not where:
        raise _Refused("there are no credentials of AWS here")
    line = _connect(where, limit_s)
    try:
        parts = urlsplit(where)
        asked = {"Authorization": env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")}
        line.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=asked)
        reply = line.getresponse()
        given = _answer(reply.status, reply.read())
    finally:
        line.close()
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given.get("Token", ""))


def _connect(url: str, limit_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=limit_s, context=tls.context())
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=limit_s)
