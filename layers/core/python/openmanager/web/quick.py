"""Makes FastAPI's import shorter: `openmanager.web` imports this before anything of FastAPI.

A cold start is imports for the most part, and half of those are FastAPI's. Its models of the OpenAPI specification are
the dearest of them, and no request needs one: the description is written ahead (infra.openapi), and whoever writes it
imports the real ones first. Next is pydantic's description of its own schemas. `python -m tests.bench cold` says what a
start takes.
"""

import importlib
import os
import sys
import types
import typing
from typing import Any

_MODELS = "fastapi.openapi.models"

# pydantic would read what every installed distribution says of itself, in search of plugins.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from openmanager.unloaded import unload  # noqa: E402


def _version(name: str) -> str:
    from importlib import metadata

    # This runs the module, whose own `version` then stands in place of this one.
    return metadata.distribution(name).version


# pydantic asks for a version where a field is an e-mail address. None is.
unload("importlib.metadata", version=_version)

import typing_extensions  # noqa: E402


class _Schema(dict[str, Any]):
    def __init_subclass__(cls, *, total: bool = True) -> None:
        """As a TypedDict is made."""


class _TypedDict:
    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (_Schema,)


# pydantic describes its own schemas by a hundred TypedDicts for type checkers: nothing reads their fields while a
# program runs, and each of those would be compiled. Python 3.11's are made by the other module.
if "pydantic_core" not in sys.modules:
    _made_by = {module: module.TypedDict for module in (typing, typing_extensions)}
    try:
        for module in _made_by:
            module.TypedDict = _TypedDict()  # type: ignore[attr-defined]
        importlib.import_module("pydantic_core")
    finally:
        for module, real in _made_by.items():
            module.TypedDict = real  # type: ignore[attr-defined]

# It is set here, for all, because the models are the libraries' own. One that is used is finished then.
import pydantic  # noqa: E402

pydantic.BaseModel.model_config["defer_build"] = True


# Lambda gives a process one request at a time, so a thread that does the work while the loop waits for nothing else is
# only a delay, and what starts one takes a twentieth of a cold start. A server (functions/live) has many at a time.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ and "AWS_LAMBDA_EXEC_WRAPPER" not in os.environ:
    import starlette.concurrency

    async def _here(func: Any, *args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    starlette.concurrency.run_in_threadpool = _here


class _StandIn(types.ModuleType):
    """The module, until somebody needs it: classes that keep what they are made with."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (types.SimpleNamespace,), {"__module__": _MODELS})
        setattr(self, name, made)
        return made


if _MODELS not in sys.modules:
    sys.modules[_MODELS] = _StandIn(_MODELS)


def must_be_real() -> None:
    """Raises RuntimeError where the stand-in is: with it an app cannot describe itself."""
    if isinstance(sys.modules[_MODELS], _StandIn):
        raise RuntimeError(f"import {_MODELS} before openmanager.web, whoever describes an API")
