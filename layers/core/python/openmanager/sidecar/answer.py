"""What the sidecar tells of outside servers' tools and answers. Pure."""

from collections.abc import Mapping
from typing import Any

from openmanager.values import frozen


@frozen
class Result:
    """A tool's answer.

    `text` is all its texts. `is_error` says that the tool itself refused, such as for a file that is not there, and
    `text` why. `cut` says that the answer was longer than allowed; then `text` ends in a notice and `structured`,
    which has the same as a JSON value where the server gives it, is None.
    """

    server: str
    tool: str
    text: str
    structured: Any = None
    is_error: bool = False
    cut: bool = False


@frozen
class ToolInfo:
    """A tool that may be called, with the roles that may call it."""

    server: str
    name: str
    description: str
    input_schema: Mapping[str, Any]
    roles: tuple[str, ...]


@frozen
class Tools:
    """The tools of all servers that answered, and why the others did not."""

    tools: tuple[ToolInfo, ...]
    failed: Mapping[str, str]
