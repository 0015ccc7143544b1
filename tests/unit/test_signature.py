"""AWS's signature, beside the one that botocore makes of the same request."""

import json
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from hypothesis import given
from hypothesis import strategies as st
from openmanager.signature import Credentials, sign

NOW = datetime(2026, 11, 28, 10, 9, 24, tzinfo=UTC)
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParametersByPath"}


def theirs(region: str, who: Credentials, url: str, body: bytes, now: datetime) -> str:
    request = AWSRequest("POST", url + "/", HEADERS, body)
    # It asks the clock by itself, under a name of its own.
    with patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        SigV4Auth(TheirCredentials(who.key, who.secret, who.token or None), "ssm", region).add_auth(request)
    return str(request.headers["Authorization"])


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(
    who=st.builds(Credentials, TEXT, TEXT, st.just("") | TEXT),
    body=st.binary(),
    region=st.sampled_from(["eu-central-1", "us-gov-west-1", "cn-north-1"]),
    later=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9999)),
)
def test_it_is_what_botocore_signs(who: Credentials, body: bytes, region: str, later: timedelta) -> None:
    url, now = f"https://ssm.{region}.amazonaws.com", NOW + later
    ours = sign("ssm", region, who, url, HEADERS, body, now.timestamp())
    assert ours["Authorization"] == theirs(region, who, url, body, now)


@pytest.mark.parametrize("url", ["http://127.0.0.1:4566", "https://vpce-1.ssm.eu-central-1.vpce.amazonaws.com"])
def test_another_endpoint_is_signed_with_its_port(url: str) -> None:
    who, body = Credentials("AKID", "secret", ""), json.dumps({"Path": "/a"}).encode()
    ours = sign("ssm", "eu-central-1", who, url, HEADERS, body, NOW.timestamp())
    assert ours["Authorization"] == theirs("eu-central-1", who, url, body, NOW)


def test_what_is_secret_is_not_shown() -> None:
    assert "hidden" not in repr(Credentials("AKID", "hidden-secret", "hidden-token"))
