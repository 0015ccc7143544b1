"""A module that waits behaves as one that does not, and everything of it is there once it is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest
from openmanager.unloaded import unload

CORE = Path(__file__).resolve().parents[2] / "layers/core/python"


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(CORE)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_part_is_imported_without_its_package_and_the_package_runs_when_it_is_asked() -> None:
    told = run(
        "import sys\n"
        "from openmanager.unloaded import unload\n"
        "unload('mcp'); unload('mcp.server')\n"
        "import mcp.server.caching, mcp.shared.exceptions\n"
        "before = 'mcp.client.session' in sys.modules, 'mcp.server.mcpserver' in sys.modules\n"
        "from mcp import MCPError, types\n"
        "from mcp.server import MCPServer\n"
        "import mcp\n"
        "print(before, MCPError is mcp.shared.exceptions.MCPError, MCPServer.__name__, type(mcp).__name__,"
        " mcp.client.session.__name__, mcp.__file__.endswith('__init__.py'))"
    )
    assert told == "(False, False) True MCPServer module mcp.client.session True"


def test_a_name_known_before_runs_nothing_and_another_does() -> None:
    told = run(
        "import sys\n"
        "from openmanager.unloaded import unload\n"
        "class Nothing: pass\n"
        "unload('html', escape=Nothing)\n"
        "from html import escape\n"
        "first = escape is Nothing, 'html.entities' in sys.modules\n"
        "from html import unescape\n"
        "from html import escape\n"
        "print(first, unescape('&lt;'), escape('<'))"
    )
    assert told == "(True, False) < &lt;"


def test_a_missing_name_of_a_module_is_an_attribute_error() -> None:
    told = run(
        "from openmanager.unloaded import unload\n"
        "unload('html')\n"
        "import html\n"
        "print(hasattr(html, '__nothing__'), hasattr(html, 'nothing'), hasattr(html, 'escape'))"
    )
    assert told == "False False True"


def test_what_is_loaded_stays_and_what_is_not_there_is_said() -> None:
    unload("sys")
    assert sys.modules["sys"] is sys
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        unload("no_such_library")


def test_typed_dictionaries_are_real_again_once_the_edge_is_imported() -> None:
    told = run(
        "import typing, typing_extensions\n"
        "before = typing.TypedDict, typing_extensions.TypedDict\n"
        "import openmanager.web, pydantic\n"
        "from pydantic_core import core_schema\n"
        "class Point(typing_extensions.TypedDict):\n"
        "    x: int\n"
        "class Line(pydantic.BaseModel):\n"
        "    start: Point\n"
        "print((typing.TypedDict, typing_extensions.TypedDict) == before, core_schema.IntSchema.__mro__[-2].__name__,"
        " Line(start={'x': '1'}).start)\n"
        "try:\n"
        "    Line(start={'x': 'one'})\n"
        "except pydantic.ValidationError as error:\n"
        "    print(error.errors()[0]['loc'])"
    )
    assert told == "True dict {'x': 1}\n('start', 'x')"
