"""docs/settings.md names every variable that the code reads, and no other."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from openmanager.settings import NUMBERS, read_settings

from infra.agents.openmanager_agent import options
from infra.settings_reference import DOCUMENT, GROUPS, document

ROOT = Path(__file__).resolve().parents[2]
# For other programs, or passed on to children as they are; and the name of a secret in the data folder.
NOT_OURS = {"PYTHONPATH", "PATH", "NO_PROXY", "no_proxy", "PYDANTIC_DISABLE_PLUGINS", "OPENMANAGER_JWT_KEY"}
NOT_OURS |= {"MEMORY_FILE_PATH"}  # of an MCP server, in mcp_settings.json
NOT_OURS |= {"NO_COLOR", "TERM", "LANG", "LC_ALL", "LC_MESSAGES"}  # a terminal's, which the command heeds
OURS = re.compile(r"(OPENMANAGER|UPSTASH|VALKEY)_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL|CRON_SECRET|VERCEL")
MAPPINGS = {"environ", "env", "_env"}


class Asked(dict[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self, held: Mapping[str, str]) -> None:
        super().__init__(held)
        self.names: set[str] = set()

    def get(self, name: str, *default: str) -> str:  # type: ignore[override]
        self.names.add(name)
        return super().get(name, *default)  # type: ignore[return-value]


def sources() -> Iterator[Path]:
    for folder in ("layers/core/python", "functions", "infra"):
        yield from (ROOT / folder).rglob("*.py")
    yield ROOT / "run.py"


def named(tree: ast.AST) -> Iterator[str]:
    """Names that a file looks up in an environment, and constants that are names of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
            yield node.value
        match node:
            case ast.Subscript(value=mapping, slice=ast.Constant(value=str(key))):
                yield from looked_up(mapping, key)
            case ast.Call(func=ast.Attribute(value=mapping, attr="get"), args=[ast.Constant(value=str(key)), *_]):
                yield from looked_up(mapping, key)
            case ast.Compare(left=ast.Constant(value=str(key)), ops=[ast.In() | ast.NotIn()], comparators=[mapping]):
                yield from looked_up(mapping, key)


def looked_up(mapping: ast.AST, key: str) -> Iterator[str]:
    name = mapping.attr if isinstance(mapping, ast.Attribute) else getattr(mapping, "id", "")
    if name in MAPPINGS and re.fullmatch("[A-Z][A-Z_]+", key):
        yield key


def read_by_settings() -> set[str]:
    """What is read under names that are put together."""
    env = Asked({"OPENMANAGER_STAGE": "local"})
    read_settings(env)
    return env.names


def read_by_agents() -> set[str]:
    env = Asked({})
    options(["--url", "http://om.example.com", "--token", "x"], env)
    shell = (ROOT / "infra/agents/openmanager-agent.sh").read_text()
    return env.names | set(re.findall(r"\$\{(OPENMANAGER_[A-Z_]+)", shell))


def test_every_variable_that_is_read_is_described_and_no_other() -> None:
    found = {name for path in sources() if path.name != "settings_reference.py" for name in named(parse(path))}
    read = (found | read_by_settings() | read_by_agents()) - NOT_OURS
    described = {setting.name for group in GROUPS for setting in group.settings}
    assert read - described == set()
    assert described - read == set()


def parse(path: Path) -> ast.AST:
    return ast.parse(path.read_text())


def test_every_number_with_bounds_is_described() -> None:
    assert NUMBERS.keys() <= {setting.name for group in GROUPS for setting in group.settings}


def test_no_variable_is_described_twice() -> None:
    names = [setting.name for group in GROUPS for setting in group.settings]
    assert len(names) == len(set(names))


def test_the_document_is_of_today() -> None:
    assert DOCUMENT.read_text() == document()


def test_defaults_differ_by_platform_where_they_do() -> None:
    (window,) = (line for line in document().splitlines() if line.startswith("| `OPENMANAGER_STREAM_WINDOW_S`"))
    assert window.endswith("| 25 (local: 300; Lambda: 0, its live address 120; Vercel: 240) | 0 to 900 (Vercel: 290) |")
    (limit,) = (line for line in document().splitlines() if line.startswith("| `OPENMANAGER_REQUEST_LIMIT`"))
    assert limit.endswith("| 100 (local: 10,000) | 1 to 1,000,000 |")
