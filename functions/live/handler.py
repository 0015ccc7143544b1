"""GET /api/stream as it happens: the stream's door behind a function URL, since an HTTP API holds replies back.

uvicorn serves `app` on Lambda (run.sh), with the Lambda Web Adapter before it.
"""

from openmanager.web import create_app, lambda_handler
from openmanager.web.feed import router

app = create_app("live")
app.include_router(router)
# The same as one buffered reply, for whoever calls the function without the adapter.
handler = lambda_handler(app)
