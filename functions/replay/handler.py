"""POST /api/replay: what a past would have paged."""

import time
from typing import Annotated, Any

from openmanager import spans
from openmanager.errors import InvalidInput
from openmanager.json_body import json_object
from openmanager.stores import config
from openmanager.watch import replaying
from openmanager.web import Depends, Header, Operator, bounded_body, create_app, documented, lambda_handler
from openmanager.web.described import problems

Body = Annotated[bytes, Depends(bounded_body(4 << 20))]
ContentType = Annotated[str, Header(include_in_schema=False)]

app = create_app("replay")


@app.post(
    "/api/replay",
    responses=problems(404),
    openapi_extra=documented(replaying.SCHEMA, also={"text/csv": replaying.CSV}),
)
def post_replay(_: Operator, body: Body, content_type: ContentType = "") -> dict[str, Any]:
    """Run a stored day of a server, or a CSV, through models, rules and ledger; `rules` replace those in force.

    The day before it teaches the models. Answers with what would have paged, the predictions' record, and the cost.
    """
    if content_type.partition(";")[0].strip() == "text/csv":
        return replaying.uploaded(body, None, config.read()).as_dict()
    asked = json_object(body)
    if unknown := sorted(asked.keys() - replaying.SCHEMA["properties"].keys()):
        raise InvalidInput(unknown[0], "is not known here")
    if not isinstance(server := asked.get("server"), str):
        raise InvalidInput("server", "is missing")
    now_ms = int(time.time() * 1000)
    begin, end = (None if asked.get(k) is None else str(asked[k]) for k in ("from", "to"))
    # Whole minutes around it, so one fewer than fit.
    span = spans.span(begin, end, now_ms, 60.0 * (replaying.MOST_MIN - 1))
    return replaying.stored(server, *span, asked.get("rules"), config.read(), now_ms).as_dict()


handler = lambda_handler(app)
