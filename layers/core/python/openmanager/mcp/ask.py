"""A tool of ours as it is being called: by whom, when, with what, and what it may ask for itself."""

from collections.abc import Mapping
from typing import Any

from openmanager.errors import NotFound
from openmanager.mcp.answer import instant
from openmanager.tools.call import Call, Caller
from openmanager.values import frozen


@frozen
class Asked:
    """`arguments` have been checked against the tool's schema; what was left out has its default."""

    arguments: Mapping[str, Any]
    caller: Caller

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    def use(self, tool: str, **arguments: Any) -> Any:
        """What a route answers this caller, by the one table of tools. Raises as `tools.table.use`."""
        # With it comes all that our routes answer from, numpy too. To list tools, which clients begin with, takes none.
        from openmanager.tools.table import use

        return use(Call(tool, arguments), self.caller)

    def use_or_none(self, tool: str, **arguments: Any) -> Any:
        """The same, None where there is nothing."""
        try:
            return self.use(tool, **arguments)
        except NotFound:
            return None

    @property
    def now_ms(self) -> int:
        return self.caller.now_ms

    @property
    def begun(self) -> dict[str, Any]:
        """What every answer begins with."""
        return {"as_of": instant(self.caller.now_ms / 1000)}
