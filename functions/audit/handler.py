"""GET /api/audit: who changed what."""

from typing import Annotated, Any

from openmanager.stores import audit
from openmanager.web import Auditor, Query, create_app, lambda_handler
from openmanager.web.caching import NEVER

PAGE = 500

app = create_app("audit", kept=NEVER)


@app.get("/api/audit")
def list_rows(
    _: Auditor,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="`next` of the page before; else from the start")] = 0,
) -> dict[str, Any]:
    """The audit log, oldest first, a page at a time; `head` is the last row's number and hash."""
    rows = audit.read(after, PAGE)
    return {
        "rows": rows,
        "next": rows[-1]["seq"] if len(rows) == PAGE else None,
        "head": str(audit.head()),
    }


handler = lambda_handler(app)
