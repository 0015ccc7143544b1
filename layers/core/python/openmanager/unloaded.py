"""Modules of libraries that are there and do not run until one of their names is asked for.

A cold start is imports for the most part, and libraries import more than one use of them needs. Only names that a
library's own code does not touch while it is imported can wait like this; whoever waits for one says which it is and
why (mcp.quick, logs).
"""

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


class _Unloaded(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # Python asks for some such names while it imports; those that a module has are there.
        if name.startswith("__"):
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def unload(name: str, **known: Any) -> None:
    """Have module `name` wait, unless it is loaded. Its parts can be imported; `known` are names it has meanwhile.

    Raises ModuleNotFoundError. A package that `name` is in is imported first, as ever.
    """
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = module_from_spec(spec)
    module.__dict__.update(known)
    module.__class__ = _Unloaded
    sys.modules[name] = module
    package, _, own = name.rpartition(".")
    if package:
        setattr(sys.modules[package], own, module)
