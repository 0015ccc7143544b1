"""POST /api/ingest, /api/v1/write and /v1/metrics: samples in."""

import time
from http import HTTPStatus
from typing import Annotated

from openmanager import intake, logs
from openmanager.security.scope import own
from openmanager.sources import described, native, otlp, otlp_wire, prometheus, remote_write
from openmanager.watch import deadman
from openmanager.web import Agent, Depends, Header, Response, bounded_body, create_app, documented, lambda_handler
from openmanager.web.problems import problem

MAX_BYTES = 8 << 20
Body = Annotated[bytes, Depends(bounded_body(MAX_BYTES, "identity", "gzip"))]
SnappyBody = Annotated[bytes, Depends(bounded_body(MAX_BYTES, "snappy"))]
ContentType = Annotated[str, Header(include_in_schema=False)]

# Every push is worth a line, so that what writes lines is loaded with the rest.
logs.logger("ingest")
app = create_app("ingest")


@app.post("/api/ingest", openapi_extra=documented(described.INGEST))
def ingest(who: Agent, body: Body) -> dict[str, object]:
    """Samples in our JSON. Answers how many were taken, which were not and why, and when to push next."""
    now_ms = int(time.time() * 1000)
    parsed = own(native.parse(body, now_ms), who)
    watched = deadman.keep(parsed.pushes, now_ms)
    return {**native.answer(parsed), "next_push_s": intake.next_push_s(watched)}


@app.post("/api/v1/write", status_code=204, openapi_extra=described.WRITE)
def write(who: Agent, body: SnappyBody, content_type: ContentType = "") -> Response:
    """Prometheus remote write 1.0 and 2.0. What can be stored is stored; what cannot is named in a 400."""
    version = remote_write.version_of(content_type)
    now_ms = int(time.time() * 1000)
    parsed = own(prometheus.parse(body, now_ms, version), who)
    deadman.keep(parsed.pushes, now_ms)
    refusal = prometheus.refusal(parsed)
    response = problem(HTTPStatus.BAD_REQUEST, **refusal) if refusal else Response(status_code=204)
    if version == 2:
        response.headers.update(remote_write.written(parsed.accepted))
    return response


@app.post("/v1/metrics", responses=described.METRICS_ANSWER, openapi_extra=described.METRICS)
def metrics(who: Agent, body: Body, content_type: ContentType = "") -> Response:
    """OpenTelemetry metrics (OTLP/HTTP) in protobuf or JSON, which the answer is in as well."""
    encoding = otlp_wire.encoding_of(content_type)
    now_ms = int(time.time() * 1000)
    parsed = own(otlp.parse(body, encoding, now_ms), who)
    deadman.keep(parsed.pushes, now_ms)
    return Response(otlp.answer(parsed, encoding), media_type=encoding)


handler = lambda_handler(app)
