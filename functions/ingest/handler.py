"""POST /api/ingest and POST /api/v1/write: samples in."""

import time
from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Request, Response
from openmanager import intake
from openmanager.errors import InvalidInput, UnsupportedMediaType
from openmanager.settings import settings
from openmanager.sources import native, prometheus
from openmanager.web import Caller, bounded_body, create_app, documented, lambda_handler

MAX_JSON_BYTES = 8 << 20
MAX_SNAPPY_BYTES = 8 << 20
MAX_NAMED = 100
EXAMPLE = {"server": "web-01", "role": "web", "samples": [{"metrics": {"cpu_utilization": 12.5, "load_1m": 0.4}}]}

app = create_app("ingest")


@app.post("/api/ingest", openapi_extra=documented("application/json", EXAMPLE))
def ingest(_: Caller, body: Annotated[bytes, Depends(bounded_body(MAX_JSON_BYTES))]) -> dict[str, object]:
    """Samples in our JSON. Answers how many were taken, which were not and why, and when to push next."""
    now_ms = int(time.time() * 1000)
    parsed = native.parse(body, now_ms)
    intake.keep(parsed.pushes, now_ms)
    return {
        "accepted": parsed.accepted,
        "rejected": [asdict(r) for r in parsed.rejected[:MAX_NAMED]],
        "rejected_count": parsed.rejected_count,
        "next_push_s": settings().push_interval_s,
    }


@app.post("/api/v1/write", status_code=204, openapi_extra=documented("application/x-protobuf"))
def remote_write(
    _: Caller,
    request: Request,
    body: Annotated[bytes, Depends(bounded_body(MAX_SNAPPY_BYTES, "snappy"))],
) -> Response:
    """Prometheus remote write 1.0. What can be stored is stored; what cannot is named in a 400."""
    kind = request.headers.get("content-type", "").replace(" ", "").lower()
    if kind not in ("application/x-protobuf", "application/x-protobuf;proto=prometheus.writerequest"):
        raise UnsupportedMediaType(f"Content-Type: {kind!r} is not remote write 1.0")
    now_ms = int(time.time() * 1000)
    parsed = prometheus.parse(body, now_ms)
    intake.keep(parsed.pushes, now_ms)
    if parsed.rejected:
        first = parsed.rejected[0]
        raise InvalidInput(first.field, f"{first.reason} ({parsed.rejected_count} samples rejected in all)")
    return Response(status_code=204)


handler = lambda_handler(app)
