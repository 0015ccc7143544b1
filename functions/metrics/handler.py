"""GET /api/metrics: the fleet and ourselves, for Prometheus to scrape."""

from openmanager import fleet
from openmanager.exposition import CONTENT_TYPE, exposition
from openmanager.meter import BUCKETS_MS
from openmanager.oncall.standing import open_alerts
from openmanager.stages import STAGES
from openmanager.stores import stages, usage
from openmanager.web import Response, Viewer, create_app, lambda_handler
from openmanager.web.app import VERSION
from openmanager.web.caching import NEVER

app = create_app("metrics", kept=NEVER)


@app.get(
    "/api/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(_: Viewer) -> Response:
    """Servers with their newest values and verdicts, open alerts, and what all functions have counted, as gauges,
    counters and a histogram in Prometheus' text format. Counters are over all instances and some minutes behind.
    """
    objectives = {stage: stages.objective_s(stage) for stage in STAGES}
    text = exposition(fleet.listing(), open_alerts(), usage.ever(), BUCKETS_MS, VERSION, objectives)
    return Response(text, media_type=CONTENT_TYPE)


handler = lambda_handler(app)
