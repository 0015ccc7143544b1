"""Fifty clients at once, through the gateway that people start and a real Valkey."""

import re
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from openmanager.web.limits import WINDOW_S

from infra.local.process import free_port
from tests.live import LiveStack

CLIENTS, REQUESTS, LIMIT = 50, 4, 100


def remaining(stack: LiveStack) -> int:
    """How many more requests the budget has room for, as an answer says."""
    request = urllib.request.Request(stack.url + "/api/servers", headers={"Authorization": f"Bearer {stack.token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = re.search(r'"people";r=(\d+)', answer.headers["RateLimit"])
    assert said is not None
    return int(said[1])


def preflight(stack: LiveStack, origin: str) -> str:
    """What a browser is told before it calls from this origin: the status, and whom it lets in."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    answer = httpx.options(stack.url + "/api/rules/memory", headers=headers, timeout=30)
    return f"{answer.status_code} {answer.headers.get('access-control-allow-origin')}"


def test_of_fifty_clients_at_once_exactly_as_many_requests_are_let_in_as_the_limit_says(tmp_path: Path) -> None:
    stack = LiveStack(tmp_path, free_port())
    stack.env["OPENMANAGER_REQUEST_LIMIT"] = str(LIMIT)
    stack.env["OPENMANAGER_ORIGINS"] = "http://localhost:5173"
    stack.start()
    try:
        begun, left = time.time(), remaining(stack)
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = Counter(
                status for status, _ in clients.map(lambda _: stack.ask("/api/servers"), range(CLIENTS * REQUESTS))
            )
        ended = time.time()
        health, nowhere = stack.ask("/api/health")[0], stack.ask("/api/nowhere")[0]
        preflights = [preflight(stack, origin) for origin in ("http://localhost:5173", "http://localhost:5174")]
    finally:
        stack.stop()
    # After a window's end the share of it that is left falls by one request every nine seconds.
    more = int((ended - begun) * LIMIT / WINDOW_S) + 1 if begun // WINDOW_S != ended // WINDOW_S else 0
    assert left <= answers[200] <= left + more, answers
    assert answers[200] + answers[429] == CLIENTS * REQUESTS
    assert health == 200
    assert preflights == ["200 http://localhost:5173", "400 None"]
    assert nowhere == 404
