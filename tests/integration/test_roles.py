"""Every route × every role × every credential that must not be let in. Routes come from serverless.yml."""

import importlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from fastapi import FastAPI
from openmanager.security import issuer
from openmanager.security.roles import ROLES
from openmanager.settings import settings
from openmanager.web.auth import check_declared, routes_of

from infra.openapi import ROOT
from infra.serverless import read_service
from tests.conftest import API_KEY
from tests.credentials import BAD, GOOD, JWT_KEYS
from tests.events import invoke
from tests.issuer import Issuer, environment
from tests.receivers import running

READ = {"viewer", "operator", "admin", "auditor"}
# What each route is for, written down apart from the code; what is not named here is for readers if it is a GET, and
# for operators if it is not.
PUBLIC = {"/api/health", "/api/docs", "/api/docs/{asset}", "/api/openapi.json", "/api/auth/token"}
PUBLIC |= {"/", "/assets/{version}/{path+}"}
# For who has a token, whoever made it; and for those whom we gave theirs.
TOKEN = {"/api/auth/logout"}
OWN_TOKEN = {"/api/auth/refresh", "/api/auth/password"}
CRON = {"/api/tick", "/api/archive"}
AGENT = {"/api/ingest", "/api/v1/write", "/v1/metrics"}
ADMIN = ("/api/users", "/api/keys", "/api/notifications/targets")
OPERATOR = {"/api/notifications/outbox"}
# Of an outside tool: what only reads is for readers, and which do is the tool's own affair (test_mcp_routes.py).
READER = {"/api/stream/ticket", "/api/assistant/ask", "/api/mcp/tools/{server}/{tool}", "/mcp"}


def allowed(method: str, path: str) -> set[str]:
    """The roles that a route is for; `anyone`, `token`, `own token` and `cron` stand for themselves."""
    if path in PUBLIC:
        return {"anyone"}
    if path in TOKEN:
        return {"token"}
    if path in OWN_TOKEN:
        return {"own token"}
    if path in CRON:
        return {"cron"}
    if path in AGENT:
        return {"agent", "admin"}
    if path.startswith(ADMIN):
        return {"admin"}
    if path == "/api/audit":
        return {"auditor", "admin"}
    reads = (method == "GET" and path not in OPERATOR) or path in READER
    return READ if reads else {"operator", "admin"}


@lru_cache(maxsize=1)
def doors() -> tuple[tuple[Any, str, str], ...]:
    """(function's module, method, path) of every route, and of the one behind a function URL of its own."""
    behind_the_api = tuple(
        (importlib.import_module(function.module), route.method, route.path)
        for function in read_service(ROOT / "serverless.yml").functions
        for route in function.routes
        if route.method != "OPTIONS"
    )
    return (*behind_the_api, (importlib.import_module("functions.live.handler"), "GET", "/api/stream"))


@pytest.fixture
def stage(stores_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OPENMANAGER_JWT_KEYS", JWT_KEYS)
    monkeypatch.setenv("OPENMANAGER_CRON_SECRET", "the-schedulers-secret-0123456789")
    monkeypatch.setenv("OPENMANAGER_STREAM_WINDOW_S", "0")
    with running(Issuer()) as provider:
        for name, value in environment(provider.url).items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        issuer.forget()
        yield
    settings.cache_clear()
    issuer.forget()


def answer(module: Any, method: str, path: str, bearer: str | None) -> int:
    concrete = path.replace("{asset}", "swagger-ui.css").replace("{", "no-such-").replace("}", "")
    return invoke(module.handler, method, concrete, key=bearer).status


def test_every_route_says_who_may_call_it() -> None:
    for module, method, path in doors():
        check_declared(module.app.routes)
        declared = {(m, r.path) for r in routes_of(module.app.routes) for m in r.methods or ()}
        # The two write the rest of a path differently.
        assert (method, path.replace("+}", ":path}")) in declared


def test_a_route_that_says_nothing_keeps_its_function_from_loading() -> None:
    app = FastAPI()
    app.add_api_route("/forgotten", lambda: None)
    with pytest.raises(LookupError, match="/forgotten"):
        check_declared(app.routes)


@pytest.mark.parametrize("name", GOOD)
def test_a_role_reaches_what_is_for_it_and_nothing_else(name: str, stage: None) -> None:
    role = name.rpartition(" ")[2]
    wrong = []
    for module, method, path in doors():
        may = allowed(method, path)
        status = answer(module, method, path, GOOD[name]())
        theirs, ours = name.startswith("provider's token"), name.startswith("token")
        if "anyone" in may or role in may or ("token" in may and (ours or theirs)) or ("own token" in may and ours):
            right = status not in (401, 403, 500)
        elif "own token" in may and theirs:
            right = status == 403
        else:
            # Somebody known is told so; where no role counts, their credential is none.
            right = status == (403 if may <= set(ROLES) else 401)
        if not right:
            wrong.append((method, path, status))
    assert wrong == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_credential_opens_nothing(name: str, stage: None) -> None:
    bearer, wrong = BAD[name](), []
    for module, method, path in doors():
        status = answer(module, method, path, bearer)
        right = status not in (401, 403, 500) if "anyone" in allowed(method, path) else status == 401
        if not right:
            wrong.append((method, path, status))
    assert wrong == []


def test_the_key_of_the_settings_is_an_administrators(stage: None) -> None:
    statuses = {path: answer(module, method, path, API_KEY) for module, method, path in doors()}
    refused = {path for path, status in statuses.items() if status in (401, 403)}
    assert refused == TOKEN | OWN_TOKEN | CRON
