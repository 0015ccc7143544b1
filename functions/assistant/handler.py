"""POST /api/assistant/ask: a question in Korean or English, answered from the data by rules."""

from typing import Annotated

from openmanager.assistant import conversation, described
from openmanager.json_body import json_object
from openmanager.web import Depends, Header, Response, Viewer, bounded_body, create_app, documented, lambda_handler
from openmanager.web.steps import told

Body = Annotated[bytes, Depends(bounded_body(8 << 10))]
Accept = Annotated[str, Header(include_in_schema=False)]

app = create_app("assistant")


@app.post("/api/assistant/ask", responses=described.ANSWERS, openapi_extra=documented(described.QUESTION))
def ask(who: Viewer, body: Body, accept: Accept = "") -> Response:
    """What the data say to a question: every figure with its source and window, and what is not in the data said so."""
    asked = described.read(json_object(body))
    return told(conversation.ask(asked, who), accept)


handler = lambda_handler(app)
