#!/bin/sh
# How Lambda starts the live stream: the Lambda Web Adapter hands each request to this server, and its reply on as it
# comes. Whatever the caller sent as X-Forwarded-For is not believed (--no-proxy-headers; openmanager/web/client.py).
export PYTHONPATH="${LAMBDA_TASK_ROOT:-.}:/opt/python:${PYTHONPATH:-}:${LAMBDA_RUNTIME_DIR:-}"
exec python3 -m uvicorn functions.live.handler:app --host 127.0.0.1 --port "${PORT:-8080}" --lifespan off \
  --no-proxy-headers --no-server-header --no-access-log --log-level warning --timeout-keep-alive 900 \
  --timeout-graceful-shutdown 1
