"""/api/incidents/{id}/report: what happened, as JSON or Markdown."""

import time
from typing import Annotated, Literal

from openmanager.oncall.report import described, markdown, report
from openmanager.security.fields import hidden
from openmanager.web import APIRouter, Header, JSONResponse, Query, Response, Viewer

PATH = "/api/incidents/{id}/report"
Format = Annotated[Literal["json", "markdown"] | None, Query(description="else by the Accept header")]
Language = Annotated[Literal["en", "ko"], Query(description="of the Markdown")]
Accept = Annotated[str, Header(include_in_schema=False)]

router = APIRouter()


@router.get(PATH, responses=described.ANSWERS)
def get_report(who: Viewer, id: str, format: Format = None, language: Language = "en", accept: Accept = "") -> Response:
    """What happened in an incident, from stored evidence only, and what of it is not in the data.

    When what happened, servers with what they need and affect, how early it was announced, who took care of it, metrics
    around it, how it ended and who was told; each part with its source and window. The same data give the same octets.
    """
    # Markdown is beyond what leaves fields out of JSON on its way, so they are left out before.
    found = report(id, int(time.time() * 1000), hidden(PATH, who.role))
    if format == "markdown" or (format is None and "text/markdown" in accept.lower()):
        return Response(markdown(found, language), media_type="text/markdown")
    return JSONResponse(found)
