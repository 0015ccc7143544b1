"""The first answers of what was deployed: everything that must work before anybody is told that it does."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx
from openmanager.stores.segments import SEGMENT_MS, frames_key

from infra.deploy.failure import CannotDeploy
from infra.doctor.place import Addresses
from infra.doctor.rest import Rest, Unusable

SERVER = "openmanager-smoke"
USER = "openmanager-smoke"
TIMEOUT_S = 35
# A role that was made just now is known everywhere only some seconds later.
PATIENCE_S = 60.0
FIRST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Installation:
    """Where it answers and with what; `redis` and `shards` are there to take back what was pushed."""

    at: Addresses
    key: str = field(repr=False)
    redis: Rest
    shards: int
    patience_s: float = PATIENCE_S
    sleep: Callable[[float], None] = time.sleep


def smoke(there: Installation) -> Iterator[str]:
    """What works, one line each. Raises CannotDeploy at the first that does not."""
    headers = {"Authorization": f"Bearer {there.key}"}
    with ExitStack() as opened:
        http = opened.enter_context(httpx.Client(base_url=there.at.api, headers=headers, timeout=TIMEOUT_S))
        yield _health(there, http)
        with _visitor(there, http) as token:
            yield "a person logs in"
            pushes = opened.enter_context(
                httpx.Client(base_url=there.at.push or there.at.api, headers=headers, timeout=TIMEOUT_S)
            )
            with _pushed(there, pushes):
                yield "a push is taken"
                yield _listed(there, http)
                visitor = {"Authorization": f"Bearer {token}"}
                yield _stream(http, visitor, "the feed answers")
                if there.at.live:
                    live = opened.enter_context(httpx.Client(base_url=there.at.live, timeout=TIMEOUT_S))
                    yield _stream(live, visitor, "the live feed streams")
        yield _page(there, http)


def _ask(there: Installation, http: httpx.Client, method: str, path: str, **more: object) -> httpx.Response:
    """An answer that is no outage of a moment; what starts may need some tries. Raises CannotDeploy."""
    pause_s, waited_s = FIRST_PAUSE_S, 0.0
    while True:
        why = ""
        try:
            answer = http.request(method, path, **more)  # type: ignore[arg-type]
            if answer.status_code < 500:
                return answer
            why = f"{answer.status_code} {_detail(answer)}"
        except httpx.HTTPError as error:
            why = f"{type(error).__name__}: {error}"
        if waited_s + pause_s > there.patience_s:
            raise CannotDeploy(
                f"{method} {http.base_url.join(path)} answers {why}",
                "the log of its function says why; make doctor looks for the usual reasons",
            )
        there.sleep(pause_s)
        waited_s, pause_s = waited_s + pause_s, 2 * pause_s


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError, httpx.ResponseNotRead):
        return answer.reason_phrase


def _wanted(answer: httpx.Response, what: str, do: str, *statuses: int) -> httpx.Response:
    if answer.status_code not in (statuses or (200,)):
        raise CannotDeploy(f"{what}: {answer.url.path} answers {answer.status_code} {_detail(answer)}", do)
    return answer


def _health(there: Installation, http: httpx.Client) -> str:
    answer = _ask(there, http, "GET", "/api/health")
    what = f"{there.at.api} is not OpenManager"
    try:
        state = _wanted(answer, what, "see that nothing stands before the address").json()["status"]
    except (ValueError, KeyError, TypeError):
        raise CannotDeploy(what, "see that nothing stands before the address") from None
    return f"health says {state}"


@contextmanager
def _visitor(there: Installation, http: httpx.Client) -> Iterator[str]:
    """A viewer who is there for the test alone; what they are let in by."""
    user = f"/api/users/{USER}"
    do = "the functions know another OPENMANAGER_API_KEY, or Postgres refuses them: make doctor"
    made = _wanted(_ask(there, http, "PUT", user, json={"role": "viewer"}), "no user can be made", do)
    try:
        login = {"user": USER, "password": made.json().get("password") or _renewed(there, http)}
        answer = _ask(there, http, "POST", "/api/auth/token", json=login, headers={"Authorization": ""})
        do = "see OPENMANAGER_JWT_KEYS: make doctor"
        yield str(_wanted(answer, "nobody can log in", do).json()["access_token"])
    finally:
        _ask(there, http, "DELETE", user)


def _renewed(there: Installation, http: httpx.Client) -> str:
    """The user was left by a test that was killed, and keeps a password that nobody knows."""
    _ask(there, http, "DELETE", f"/api/users/{USER}")
    return str(_ask(there, http, "PUT", f"/api/users/{USER}", json={"role": "viewer"}).json()["password"])


@contextmanager
def _pushed(there: Installation, http: httpx.Client) -> Iterator[None]:
    """A sample of an invented server, taken back before a round judges it and misses it later."""
    began_ms = int(time.time() * 1000)
    push = {"server": SERVER, "labels": {"smoke": "true"}, "samples": [{"metrics": {"cpu_utilization": 1.0}}]}
    try:
        answer = _wanted(_ask(there, http, "POST", "/api/ingest", json=push), "no push is taken", "make doctor")
        if answer.json().get("accepted") != 1:
            raise CannotDeploy(f"a push is not taken whole: {answer.text[:300]}", "the log of ingest says more")
        yield
    finally:
        _take_back(there, began_ms)


def _take_back(there: Installation, began_ms: int) -> None:
    """Its frames, and what a round may have made of them meanwhile. Baselines stay: a warm ingest counts on them."""
    now_ms = int(time.time() * 1000)
    segments = sorted({ms // SEGMENT_MS * SEGMENT_MS // 1000 for ms in (began_ms, now_ms)})
    keys = [frames_key(shard, segment) for shard in range(there.shards) for segment in segments]
    try:
        fields = there.redis.run(*(["HKEYS", key] for key in keys)).results
        for key, names in zip(keys, fields, strict=True):
            ours = [n for n in names if n.startswith(f"{SERVER}|") and not n.startswith(f"{SERVER}|baseline|")]
            if ours:
                shard = key.split(":")[1]
                latest = [SERVER, *(f"{SERVER}|{part}" for part in ("verdict", "said", "outlook"))]
                there.redis.run(
                    ["HDEL", key, *ours],
                    ["HDEL", f"om:{shard}:state", SERVER],
                    ["HDEL", f"om:{shard}:coarse", SERVER],
                    ["HDEL", f"om:{shard}:latest", *latest],
                )
    except Unusable as error:
        what = f"the sample of the server {SERVER} could not be taken back: {error}"
        raise CannotDeploy(what, "silence that server, or people may be told that it is offline") from error


def _listed(there: Installation, http: httpx.Client) -> str:
    do = "ingest and servers have different stores: make doctor, then deploy again"
    answer = _wanted(_ask(there, http, "GET", "/api/servers"), "the fleet cannot be read", do)
    if SERVER not in {server["id"] for server in answer.json()["servers"]}:
        raise CannotDeploy("what was pushed is not among the servers", do)
    return "what was pushed is among the servers"


def _stream(http: httpx.Client, visitor: dict[str, str], works: str) -> str:
    do = "the log of stream or live says why"
    try:
        with http.stream("GET", "/api/stream", headers={**visitor, "Accept": "text/event-stream"}) as answer:
            if answer.status_code != 200:
                answer.read()
                _wanted(answer, "the feed does not open", do)
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    if line.partition(":")[2].strip() != "snapshot":
                        break
                    return works
    except httpx.HTTPError as error:
        raise CannotDeploy(f"{http.base_url}/api/stream breaks off: {type(error).__name__}: {error}", do) from error
    raise CannotDeploy(f"{http.base_url}/api/stream does not begin with a snapshot", do)


def _page(there: Installation, http: httpx.Client) -> str:
    do = "the log of dashboard says why"
    answer = _wanted(_ask(there, http, "GET", "/", headers={"Authorization": ""}), "the dashboard is away", do)
    if "text/html" not in answer.headers.get("Content-Type", ""):
        raise CannotDeploy(f"{there.at.api}/ is no page", do)
    return "the dashboard's page is there"
