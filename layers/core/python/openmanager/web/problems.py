"""The one place where errors become HTTP: RFC 9457 problem details."""

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from openmanager import errors, tracing

log = logging.getLogger(__name__)

_STATUS: dict[type[errors.OpenManagerError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Full: HTTPStatus.CONFLICT,
    errors.Disabled: HTTPStatus.CONFLICT,
    errors.ServerFailed: HTTPStatus.BAD_GATEWAY,
    errors.ServerTimedOut: HTTPStatus.GATEWAY_TIMEOUT,
    errors.PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.SlowDown: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IssuerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
# What is wrong is not in our code.
_ELSEWHERE = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}
_RETRY_AFTER_S = 5


def phrase(status: int) -> str:
    """A status in words, the same on every Python: some were renamed by RFC 9110, which 3.13 follows."""
    return _RENAMED.get(status, HTTPStatus(status).phrase)


def problem(status: int, detail: str, **more: object) -> Response:
    """A problem details answer."""
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    body = {**_body(status, detail), **more}
    # In ASCII, because what is wrong may be a half of a surrogate pair, which UTF-8 cannot write.
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status, headers, media_type="application/problem+json")


def problem_of(error: errors.OpenManagerError) -> dict[str, Any]:
    """One of our errors as a problem, where its answer has begun already and an event is all that can be sent."""
    status = _STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    log.warning("while answering: %s", *_on_one_line(error))
    return _body(int(status), public_words(error))


def _body(status: int, detail: str) -> dict[str, Any]:
    """What every problem says; `trace_id` is for whoever reports it, and stands in the log lines of the request."""
    body = {"type": "about:blank", "title": phrase(status), "status": status, "detail": detail}
    trace_id = tracing.current_id()
    return body | {"trace_id": trace_id} if trace_id else body


def _on_one_line(*said: object) -> list[str]:
    """Words that a caller may have chosen, such that they forge no line of a log and colour no terminal."""
    return [
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(part)[:1000])
        for part in said
    ]


def public_words(error: Exception) -> str:
    """An error in words for strangers: drivers say at which host and as whom they were turned away."""
    store, _, _ = str(error).partition(":")
    away = isinstance(error, errors.StoreUnavailable) and store in ("Redis", "Postgres")
    return f"{store} does not answer" if away else str(error)


def add_problem_handlers(app: FastAPI) -> None:
    """Map our errors, validation errors and everything unforeseen."""

    def ours(request: Request, error: Exception) -> Response:
        status = _STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)  # type: ignore[arg-type]
        if status in _ELSEWHERE:
            # Every request says it again while a store is away; where in our code is of no interest.
            log.warning("%s %s: %s", request.method, *_on_one_line(request.url.path, error))
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("%s %s: %s", request.method, *_on_one_line(request.url.path, error), exc_info=error)
        else:
            path, what = _on_one_line(request.url.path, error)
            log.info("%s %s: %d %s", request.method, path, status, what)
        more = {"field": error.field} if isinstance(error, errors.InvalidInput) else {}
        answer = problem(status, public_words(error), **more)
        if isinstance(error, errors.TooManyRequests):
            answer.headers["Retry-After"] = str(error.retry_after_s)
        return answer

    def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = ".".join(str(p) for p in first["loc"] if p not in ("query", "path", "body", "header"))
        return problem(HTTPStatus.BAD_REQUEST, f"{field}: {first['msg']}", field=field)

    def framework(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = problem(error.status_code, str(error.detail))
        # Of a 405: what is allowed.
        answer.headers.update(error.headers or {})
        return answer

    def unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, *_on_one_line(request.url.path), exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error on our side; it has been logged")

    app.add_exception_handler(errors.OpenManagerError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(Exception, unforeseen)
