"""All doors as one ASGI app, as Vercel runs it; pyproject.toml names it ([tool.vercel]).

It is no door itself, so it stands not among the functions but beside the local gateway, which it is but for one thing:
a function's module is imported at its first request, so that a request waits for no more than it needs. Routes and
plain settings are those of serverless.yml; duration, memory and crons stand in vercel.json.
"""

import os
import sys
from pathlib import Path

from infra.gateway import OnDemand, create_gateway
from infra.serverless import read_service

ROOT = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(ROOT / "layers/core/python"))
_service = read_service(ROOT / "serverless.yml")
for _name, _value in _service.environment.items():
    os.environ.setdefault(_name, _value)

# Only now is our package found.
from openmanager import logs  # noqa: E402

logs.configure("gateway")
app = create_gateway(_service, OnDemand)
