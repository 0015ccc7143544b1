"""How a server of the settings is run here: the official npm ones where they are installed, else those that come along.

The settings' file says `npx @modelcontextprotocol/server-filesystem /workspace`, as everywhere. npx would fetch the
package's latest version from the network while somebody waits, on a machine that has Node, and fail on one that has not
(Lambda's Python). So for a server that is started by npx:

1. If npm has installed the package (`node_modules` beside the settings' file, or OPENMANAGER_MCP_PACKAGES), node runs
   just that, whatever its version.
2. If OPENMANAGER_MCP_DOWNLOADS=1, or the file itself says `npx -y`, npx may fetch it, within the call's time. Of the
   two official packages that is the version below, unless the file names another.
3. Else the two official ones are replaced by ours (`sidecar.servers`), which have the same tools for reading files and
   for the memory; of any other npx may use what it has on this machine.

The filesystem server is given the folder of runbooks first, so a path that is not absolute is looked for there, then
those of its settings that exist. Pure but for looking at what is installed.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from openmanager.sidecar.settings import Server
from openmanager.values import frozen

# The version that we test with (tests/outside/package.json).
TESTED = "2026.8.31"
FILESYSTEM, MEMORY = "@modelcontextprotocol/server-filesystem", "@modelcontextprotocol/server-memory"
_READS_FILES = (
    "directory_tree",
    "get_file_info",
    "list_allowed_directories",
    "list_directory",
    "list_directory_with_sizes",
    "read_file",
    "read_multiple_files",
    "read_text_file",
    "search_files",
)
_READS_MEMORY = ("open_nodes", "read_graph", "search_nodes")
# Package -> the tools that are allowed (None for all) and those that only read what is ours.
_OFFICIAL: Mapping[str, tuple[tuple[str, ...] | None, tuple[str, ...]]] = {
    FILESYSTEM: (_READS_FILES, _READS_FILES),
    MEMORY: (None, _READS_MEMORY),
}
_PACKAGE = re.compile(r"((?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+)(?:@(.+))?")
_YES = {"-y", "--yes"}


@frozen
class Place:
    """What this machine has: where npm packages are, the folder of runbooks, whether npx may fetch, its variables."""

    packages: Path
    runbooks: Path
    downloads: bool
    env: Mapping[str, str] = field(default_factory=dict)


@frozen
class Way:
    """How a server is run: `kind` is bundled, npm, program or http; then what it takes.

    `allowed` are its tools that may be called (None for all) and `readers` those that readers may call; `note` says
    what is not as the settings' file has it, for whoever lists the servers.
    """

    kind: str
    package: str = ""
    version: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    folders: tuple[Path, ...] = ()
    allowed: tuple[str, ...] | None = None
    readers: tuple[str, ...] = ()
    note: str = ""


def choose(server: Server, place: Place) -> Way:
    """The way to run a server here."""
    if server.url:
        return Way("http", allowed=server.allowed, readers=server.readers or ())
    way = Way("program", command=server.command, args=server.args, env=server.env, cwd=server.cwd)
    if Path(server.command).name in ("npx", "npx.cmd"):
        way = _npx(way, place)
    allowed, readers = _OFFICIAL.get(way.package, (None, ()))
    return replace(
        way,
        allowed=server.allowed if server.allowed is not None else allowed,
        readers=server.readers if server.readers is not None else readers,
    )


def _npx(way: Way, place: Place) -> Way:
    options = [arg for arg in way.args if arg.startswith("-")]
    at = next((i for i, arg in enumerate(way.args) if not arg.startswith("-")), None)
    found = _PACKAGE.fullmatch(way.args[at]) if at is not None else None
    if found is None or at is None or set(way.args[:at]) - _YES - {"-q", "--quiet"}:
        # npx has been told more than a package; what that means is its own business.
        return way
    package, version = found.groups()
    way = replace(way, package=package, args=way.args[at + 1 :])
    if package == FILESYSTEM:
        way = _with_folders(way, place)
    if package == MEMORY and "MEMORY_FILE_PATH" not in way.env and "OPENMANAGER_DATA" in place.env:
        # Else it would write among the installed packages.
        way = replace(way, env={**way.env, "MEMORY_FILE_PATH": f"{place.env['OPENMANAGER_DATA']}/mcp-memory.jsonl"})
    if installed := _installed(way, place):
        return installed
    if place.downloads or _YES & set(options):
        wanted = version or (TESTED if package in _OFFICIAL else "")
        named = f"{package}@{wanted}" if wanted else package
        return replace(way, kind="npm", version=wanted, command="npx", args=("--yes", named, *way.args))
    if package in _OFFICIAL:
        note = f"{package} is not installed here; ours has the same tools"
        return replace(way, kind="bundled", note="; ".join(filter(None, (note, way.note))))
    note = f"npx may use what it has here and fetch nothing; `npm install {package}` installs it"
    return replace(way, kind="npm", command="npx", args=("--no-install", "--offline", package, *way.args), note=note)


def _with_folders(way: Way, place: Place) -> Way:
    there = [Path(arg) for arg in way.args if Path(arg).is_dir()]
    missing = [arg for arg in way.args if not Path(arg).is_dir()]
    folders = (place.runbooks, *there) if place.runbooks.is_dir() else tuple(there)
    note = f"{', '.join(missing)}: no such folder here; {'the runbooks are' if not there else 'the rest is'} served"
    return replace(way, folders=folders, args=tuple(map(str, folders)), note=note if missing else "")


def _installed(way: Way, place: Place) -> Way | None:
    """The way to run a package that npm has installed, by node itself; npx would only take a second to find it."""
    folder = place.packages / way.package
    node = shutil.which("node", path=place.env.get("PATH", os.defpath))
    try:
        about = json.loads((folder / "package.json").read_text())
        programs = about["bin"]
        program = programs if isinstance(programs, str) else next(iter(programs.values()))
    except (OSError, ValueError, KeyError, StopIteration):
        return None
    if node is None:
        return None
    args = (str(folder / program), *way.args)
    return replace(way, kind="npm", version=str(about.get("version", "")), command=node, args=args)
