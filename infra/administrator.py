"""The first administrator of an installation, made through the API once it answers."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

NAME = "admin"


def first_administrator(url: str, key: str, password: str) -> str:
    """Make the user `admin` where nobody can log in yet. Their password, or "" where they have another by now."""
    try:
        users = _ask(url, key, "GET", "/api/users")["users"]
        if not users:
            users = [_ask(url, key, "PUT", f"/api/users/{NAME}", {"role": "admin", "password": password})]
    except (OSError, ValueError, KeyError):  # URLError and HTTPError are OSErrors
        return ""
    unchanged = any(user["name"] == NAME and user["created"] == user["changed"] for user in users)
    return password if unchanged else ""


def has_nobody(url: str, key: str) -> bool:
    """Whether nobody can log in yet, as far as that can be known."""
    try:
        return not _ask(url, key, "GET", "/api/users")["users"]
    except (OSError, ValueError, KeyError):
        return False


def _ask(url: str, key: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    # A proxy cannot reach this machine's own address.
    here = urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost")
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if here else []))
    octets = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with opener.open(urllib.request.Request(url + path, octets, headers, method=method), timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
        return answer
