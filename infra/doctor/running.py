"""Whether it runs: the API, the rounds of every minute, those who push, the archive, what people are told."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from openmanager.errors import InvalidInput
from openmanager.notify.entries import read_entry
from openmanager.stores.outbox import FAILED, OUTBOX

from infra.doctor.finding import Finding
from infra.doctor.place import Place
from infra.doctor.rest import Rest, Unusable

TIMEOUT_S = 35  # a gateway gives up after 30
SILENT_S = 600
ARCHIVE_LATE_S = 3600
NOTICE_LATE_S = 900
# A tick leaves a lease of two minutes, named after the newest minute whose grace (ten minutes at most) was over.
LEASE_MINUTES = 13


@contextmanager
def client(place: Place) -> Iterator[httpx.Client]:
    """The installation's API, with the first administrator's key."""
    headers = {"Authorization": f"Bearer {place.key}"} if place.key else {}
    with httpx.Client(base_url=place.url, headers=headers, timeout=TIMEOUT_S) as http:
        yield http


def api(place: Place) -> tuple[list[dict[str, Any]] | None, list[Finding]]:
    """Whether the API answers and takes the key; the servers that it knows, None if it does not say."""
    if not place.url:
        return None, [Finding("api", "skipped", "its address is not known")]
    try:
        with client(place) as http:
            health = http.get("/api/health")
            answer = http.get("/api/servers")
        state = health.json()
        servers = answer.json().get("servers") if answer.status_code == 200 else None
    except httpx.HTTPError as error:
        how = "start it with `make run`" if place.local else "see whether the deployment ended well, and its address"
        return None, [Finding("api", "failed", f"{place.url} does not answer: {type(error).__name__}", how)]
    except (json.JSONDecodeError, AttributeError):
        do = "something else answers there: correct the address"
        return None, [Finding("api", "failed", f"{place.url} does not answer as OpenManager does", do)]
    found = []
    if health.status_code != 200:
        do = "see the lines on Redis; if those are well, the functions have other settings: deploy again"
        found.append(Finding("api", "failed", f"{place.url} runs, and says that it is {state.get('status')}", do))
    if answer.status_code in (401, 403):
        do = "the functions know another OPENMANAGER_API_KEY: they read it at their start, so deploy again"
        found.append(Finding("api", "failed", f"{place.url} does not take the key", do))
    elif answer.status_code != 200:
        detail = answer.json().get("detail", "")
        found.append(Finding("api", "failed", f"GET /api/servers answers {answer.status_code}: {detail}", _logs(place)))
    return servers, found or [Finding("api", "ok", f"{place.url} answers and takes the key")]


def _logs(place: Place, function: str = "servers") -> str:
    if place.aws:
        name = f"/aws/lambda/{place.aws.stack_name}-{function}"
        return f"see its log: aws logs tail {name} --since 15m --region {place.aws.region}"
    return "see the logs in the data folder" if place.local else "see the log of its function"


def senders(place: Place, servers: list[dict[str, Any]] | None) -> list[Finding]:
    """Whether anybody pushes."""
    if servers is None:
        return [Finding("senders", "skipped", "the API did not say which servers there are")]
    how = f"docs/senders.md: curl -H 'Authorization: Bearer <key>' {place.url}/api/ingest -d '…'"
    if not servers:
        return [Finding("senders", "warning", "no server has sent anything yet", how)]
    now = time.time()
    silent = [server["id"] for server in servers if now - server["seen"] > SILENT_S]
    newest = max(servers, key=lambda server: server["seen"])
    if len(silent) == len(servers):
        what = f"nobody pushes: the last was {newest['id']}, {(now - newest['seen']) / 60:.0f} minutes ago"
        do = "see the agents' logs: wrong address, an expired key, or no network"
        return [Finding("senders", "failed", what, do)]
    if silent:
        some = ", ".join(sorted(silent)[:5]) + (", …" if len(silent) > 5 else "")
        what = f"{len(silent)} of {len(servers)} servers have sent nothing for {SILENT_S // 60} minutes: {some}"
        return [Finding("senders", "warning", what, "see their agents, or silence them if they are meant to be off")]
    return [Finding("senders", "ok", f"{len(servers)} servers push")]


def rounds(place: Place, rest: Rest, servers: list[dict[str, Any]] | None) -> list[Finding]:
    """Whether ticks come: each leaves a lease for two minutes."""
    minute = int(time.time() // 60)
    try:
        leases = [f"om:lease:tick:{m}" for m in range(minute - LEASE_MINUTES, minute + 1)]
        (count,) = rest.run(["EXISTS", *leases]).results
    except Unusable as error:
        return [Finding("rounds", "skipped", f"Redis: {error}")]
    if count:
        return [Finding("rounds", "ok", "a tick came within the last two minutes")]
    judged = max((server["judged"] or 0 for server in servers or ()), default=0)
    what = "no tick within the last two minutes"
    if judged:
        what += f"; the newest verdict is of {time.strftime('%Y-%m-%d %H:%M', time.gmtime(judged))} UTC"
    if place.aws:
        do = f"{_logs(place, 'tick')}, and whether its schedule is enabled"
    elif place.local:
        do = "see logs/schedule.log in the data folder"
    else:
        do = "have a scheduler call POST /api/tick every minute, with OPENMANAGER_CRON_SECRET as its bearer"
    return [Finding("rounds", "failed", what, do)]


def archive(place: Place, rest: Rest, shards: int) -> list[Finding]:
    """Whether the archive keeps up in moving samples to Postgres."""
    try:
        (*marks,) = rest.run(*(["GET", f"om:{shard}:archived"] for shard in range(shards))).results
    except Unusable as error:
        return [Finding("archive", "skipped", f"Redis: {error}")]
    known = [int(mark) for mark in marks if mark]
    if not known:
        return [Finding("archive", "ok", "nothing was archived yet; it begins half an hour after the first push")]
    behind_s = time.time() - min(known)
    if behind_s > ARCHIVE_LATE_S:
        do = f"{_logs(place, 'archive')}; mostly Postgres is away or full, and see OPENMANAGER_SHARDS"
        return [Finding("archive", "failed", f"it is {behind_s / 3600:.1f} hours behind", do)]
    return [Finding("archive", "ok", "it keeps up")]


def notices(rest: Rest) -> list[Finding]:
    """Whether what people are to be told reaches them."""
    try:
        waiting, failed = rest.run(["HGETALL", OUTBOX], ["HLEN", FAILED]).results
    except Unusable as error:
        return [Finding("notices", "skipped", f"Redis: {error}")]
    firsts = [_first_failure(key, text) for key, text in zip(waiting[::2], waiting[1::2], strict=True)]
    late_s = max((time.time() - first / 1000 for first in firsts if first), default=0.0)
    do = "GET /api/notifications/outbox says why; POST …/{key}/retry tries again"
    found = []
    if failed:
        found.append(Finding("notices", "warning", f"{failed} notices were given up", do))
    if late_s > NOTICE_LATE_S:
        found.append(Finding("notices", "warning", f"a notice has failed for {late_s / 60:.0f} minutes", do))
    return found or [Finding("notices", "ok", f"{len(firsts)} wait, none was given up")]


def _first_failure(key: str, text: str) -> int:
    try:
        return read_entry(key, text).first
    except InvalidInput:
        return 0
