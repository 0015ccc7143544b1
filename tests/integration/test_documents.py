"""Every fenced block of the documents is run, or checked by what reads it; one that fits nowhere fails.

Shell runs against a stack of this module, document by document and in order, as a reader would type it. What cannot run
here stands in NOT_RUN with the reason; its syntax, targets, modules and options are looked up all the same. Blocks of
other languages have a reader each. Whoever adds a block that none of it fits says here what becomes of it.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from openmanager.bill.prices import price_list

from infra.deploy.settings import read_file
from infra.local.process import free_port
from tests.documents import KOREAN, PLACEHOLDER, ROOT, Block, blocks, commands, named, spans
from tests.live import LiveStack
from tests.receivers import Receiver, running

LOCAL = "http://127.0.0.1:8000"
PATIENCE_S = 120  # before it is given up; nothing is judged by it
PUSH_S, WATCHED_PUSH_S = 10, 5  # what senders are told on one machine, and while somebody watches
DOCUMENTS = [path for path in named() if path != KOREAN]
ALL = [block for path in DOCUMENTS for block in blocks(path)]

MISSING = [program for program in ("bash", "curl", "make") if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")

# Of our commands: these stay, change AWS, or start the whole suite. Each has tests of its own.
LONG = {"up", "test", "demo", "install", "deploy", "remove"}
# What a block that runs may call. Whatever else a block calls has it stand in NOT_RUN.
RUNS = {
    *("om", "curl", "python3", "sh", "openmanager", "jq", "credential", "hostname"),
    *(
        "[",
        "cat",
        "cd",
        "cp",
        "cut",
        "echo",
        "eval",
        "export",
        "grep",
        "head",
        "ls",
        "mkdir",
        "printf",
        "rm",
        "sha256sum",
    ),
    *("shift", "sleep", "sort", "tail"),
}
_AWS = "needs an account at AWS; tests/integration/test_deploy.py deploys to an emulator"
_NEWCOMER = "tests/newcomer.py does it, from a fresh clone"
# (document, how the block begins) → why it cannot run here.
NOT_RUN = {
    ("docs/backup.md", "python3 run.py backup"): "names deployments too; tests/integration/test_backup.py does both",
    ("docs/backup.md", "0 3 * * *"): "a line for cron",
    ("docs/backup.md", "gpg"): "asks for a passphrase",
    ("docs/command-line.md", "./openmanager --help"): "puts a link into the reader's home",
    ("docs/observability.md", "grep -h"): "looks for a trace that is the reader's",
    ("docs/observability.md", "for function in"): _AWS,
    ("docs/first-hour.md", "git clone"): _NEWCOMER,
    ("docs/first-hour.md", "for processor in"): f"would load this machine; {_NEWCOMER}",
    ("docs/first-hour.md", "kill $(jobs -p)"): f"ends that load; {_NEWCOMER}",
    # The stack here has no agent, so this machine is none of its servers.
    ("docs/first-hour.md", 'om "/api/servers/$ME/prediction"'): _NEWCOMER,
    ("docs/operations.md", "git clone"): _NEWCOMER,
    ("docs/operations.md", "git pull"): _AWS,
    ("docs/operations.md", "git checkout"): _AWS,
    ("docs/operations.md", 'curl -sS -H "Authorization: Bearer $KEY" https://…'): _AWS,
    ("docs/operations.md", "OPENMANAGER_URL=https://…"): "needs an installation on Vercel",
}
# Those that go on until they are ended: run until this machine is a server.
STAYS = {("README.md", "OPENMANAGER_URL=")}
# Plain text that is shown.
SHOWN = {
    ("README.md", "Prometheus ─"): "a diagram",
    ("docs/architecture.md", "functions/"): "the map: tests/unit/test_documents.py",
    ("docs/operations.md", "OpenManager dev"): _AWS,
}
# Code that a test of its own takes out of the document and uses.
USED = {
    ("docs/alerts.md", "import hashlib"): "tests/unit/test_notify_channels.py",
    ("docs/predictions.md", "from openmanager.evaluation"): "tests/unit/test_evaluation.py",
}


def entry(block: Block, table: Any) -> Any:
    """The key of a table that is about this block, if one is."""
    return next((k for k in table if k[0] == block.document and block.begins.startswith(k[1])), None)


def only_assigns(block: Block) -> bool:
    return not list(commands(block.text))


def command_of_ours(words: list[str]) -> list[str] | None:
    """What follows `python3 run.py` or `openmanager`, None for another program."""
    if words[1:2] == ["run.py"]:
        return words[4:] if words[2:3] == ["--venv"] else words[2:]
    return words[1:] if words[0].rpartition("/")[2] == "openmanager" else None


def is_looked_up(words: list[str]) -> bool:
    """Whether this command starts too much to be run here, and is looked up instead."""
    program = words[0].rpartition("/")[2]
    if (ours := command_of_ours(words)) is not None:
        return ours[:1] != [] and ours[0] in LONG
    return program == "make" or (program.startswith("python") and words[1:2] == ["-m"])


def lane(block: Block) -> str:
    """What becomes of a block: the name of how it is tested, "" if nothing fits."""
    if block.language == "sh":
        if entry(block, NOT_RUN) or (not only_assigns(block) and all(map(is_looked_up, commands(block.text)))):
            return "looked up"
        if only_assigns(block):
            return "assignments"
        fit = all(words[0].rpartition("/")[2] in RUNS and not is_looked_up(words) for words in commands(block.text))
        return "run" if fit or entry(block, STAYS) else ""
    if block.language == "":
        return "shown" if entry(block, SHOWN) or follows_what_runs(block) else ""
    if entry(block, USED):
        return "used"
    return block.language if block.language in ("yaml", "json", "python", "mermaid") else ""


def follows_what_runs(block: Block) -> bool:
    before = [other for other in ALL if other.document == block.document and other.line < block.line]
    return bool(before) and lane(before[-1]) == "run"


def of(*lanes: str) -> Any:
    """A test for each block of these lanes."""
    return pytest.mark.parametrize("block", [block for block in ALL if lane(block) in lanes], ids=str)


@pytest.mark.parametrize("block", ALL, ids=str)
def test_no_block_goes_untested(block: Block) -> None:
    assert lane(block), f"nothing here runs or checks it:\n{block.text}\nsay what does in {Path(__file__).name}"


@pytest.mark.parametrize("table", [NOT_RUN, SHOWN, USED, STAYS], ids=["NOT_RUN", "SHOWN", "USED", "STAYS"])
def test_what_is_left_out_is_there(table: Any) -> None:
    there = [key for key in table if (ROOT / key[0]).exists()]
    assert [key for key in there if not any(entry(block, [key]) for block in ALL)] == []


@of("run", "looked up", "assignments")
def test_shell_is_shell(block: Block) -> None:
    text = PLACEHOLDER.sub("placeholder", block.text)
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# What is looked up


def python(*argv: str) -> str:
    """What a program of ours says about itself; PYTHONPATH as run.py sets it."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "layers/core/python"))), "COLUMNS": "200"}
    argv = (sys.executable, *argv)
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@cache
def help_of(command: tuple[str, ...]) -> str:
    """The help of a command of ours, and of its own command (`audit verify`), as they are today."""
    return python("-c", BOOTSTRAP, *command, "--help")


def listed(command: str) -> bool:
    """Whether the help has a line for it."""
    return re.search(rf"^ +{re.escape(command)} ", help_of(()), re.MULTILINE) is not None


@cache
def help_of_module(name: str, below: tuple[str, ...]) -> str:
    """Its help and that of its part, and its text for those whose packages are not here (training needs TensorFlow)."""
    found = importlib.util.find_spec(name)
    package = found is not None and found.submodule_search_locations
    path = Path(next(iter(package))) / "__main__.py" if package else Path(str(found and found.origin))
    return python("-m", name, "--help") + python("-m", name, *below, "--help") + path.read_text()


@cache
def targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def unknown(words: list[str]) -> list[str]:
    """Of a command of ours: options, targets and modules that do not exist."""
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    if words[0] == "make":
        goals = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        # A text may name a target without the stage that it wants.
        argv, env = ["make", "-n", *words[1:]], {"STAGE": "dev"} | os.environ
        made = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        wrong = [goal for goal in goals if goal not in targets()] + [made.stderr] * bool(made.returncode)
        return wrong + [name for own in commands(made.stdout) for name in unknown(own) if own[0] != "make"]
    if (ours := command_of_ours(words)) is not None:
        command = ours[:1]
        options &= {word.partition("=")[0] for word in ours}
        if command == ["--help"]:
            return []
        if not options or not listed(command[0]):
            return [word for word in command if not listed(word)]
        below = [word for word in ours[1:2] if not word.startswith("-") and f"  {word} " in help_of(tuple(command))]
        return [option for option in options if option not in help_of((*command, *below))]
    if words[1:2] == ["-m"] and words[2].partition(".")[0] in ("infra", "tests", "openmanager", "models"):
        if importlib.util.find_spec(words[2]) is None or not options:
            return [words[2]] * (importlib.util.find_spec(words[2]) is None)
        below = tuple(word for word in words[3:4] if not word.startswith("-"))
        return [option for option in options if option not in help_of_module(words[2], below)]
    return []


@of("run", "looked up")
def test_what_a_command_names_exists(block: Block) -> None:
    assert [wrong for words in commands(block.text) for wrong in unknown(words)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_command_within_the_text_names_exists(document: Path) -> None:
    own = ("make ", "python3 run.py ", "python -m ", ".venv/bin/python -m ")
    # A word in capitals stands for another.
    said = [words for span in spans(document) if span.startswith(own) for words in commands(span)]
    said = [words for words in said if not any(word.isalpha() and word.isupper() for word in words)]
    assert [wrong for words in said for wrong in unknown(words)] == []


@pytest.mark.parametrize(
    "command",
    ["python3 run.py cost --nothing 1", "python3 run.py nothing", "make nothing", "python -m tests.nothing"],
)
def test_what_does_not_exist_is_found(command: str) -> None:
    (words,) = commands(command)
    assert unknown(words) != []


# What is run

# `python3 run.py …` in the environment of the tests, which it would else make anew in a checkout of another lock file.
BOOTSTRAP = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import run
run.Venv.ready = lambda self: None
sys.exit(run.main("--venv", sys.prefix, *sys.argv[1:]))
"""
PYTHON3 = f"""#!/bin/sh
if [ "$1" = run.py ]; then shift; exec {sys.executable} "${{0%/*}}/bootstrap.py" "$@"; fi
exec {sys.executable} "$@"
"""
OPENMANAGER = '#!/bin/sh\nexec python3 run.py "$@"\n'
# A refusal is a failure here; the shorthand is what the guide says it is.
(SHORTHAND,) = [block.text for block in ALL if block.begins.startswith("credential()")]
PREAMBLE = 'set -eu -o pipefail\ncurl() { command curl --fail-with-body "$@"; }\n' + SHORTHAND


class Reader:
    """Somebody who follows the documents on a stack of their own, in a folder that looks like the checkout."""

    def __init__(self, folder: Path, stack: LiveStack, receiver: Receiver) -> None:
        self.stack = stack
        self.folder = folder / "checkout"
        self.folder.mkdir()
        for path in ROOT.iterdir():
            if path.name[0] != "." and path.name != "openmanager":
                (self.folder / path.name).symlink_to(path)
        (self.folder / "openmanager").write_text(OPENMANAGER)
        (self.folder / "openmanager").chmod(0o755)
        # A server's minutes, which the guides call by this name.
        shutil.copy(ROOT / "infra/local/recordings/host.csv", self.folder / "web-01.csv")
        programs = folder / "programs"
        programs.mkdir()
        (programs / "python3").write_text(PYTHON3)
        (programs / "python3").chmod(0o755)
        (programs / "bootstrap.py").write_text(BOOTSTRAP)
        self.env = stack.env | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        # What stands for something of the reader's own.
        self.own = {
            LOCAL: stack.url,
            "<key>": stack.token,
            "https://hooks.slack.com/services/T0/B0/xyz": receiver.url + "/slack",
            "SEQ:HASH": "$(python3 run.py audit verify audit.jsonl | grep -o '[0-9]*:[0-9a-f]*' | tail -1)",
        }

    def typed(self, text: str) -> list[str]:
        for theirs, own in self.own.items():
            text = text.replace(theirs, own)
        return ["bash", "-c", PREAMBLE + text]

    def run(self, block: Block) -> str:
        """What a block prints; a failure of any of its commands fails the test."""
        done = subprocess.run(
            self.typed(block.text), cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, f"{block}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run_until(self, block: Block, came: Callable[[], object]) -> None:
        """Run a block that goes on, until something came of it."""
        argv = self.typed(block.text)
        with subprocess.Popen(argv, cwd=self.folder, env=self.env, start_new_session=True) as going:
            try:
                self.stack.wait_for(came, PATIENCE_S)
            finally:
                os.killpg(going.pid, signal.SIGTERM)

    def servers(self) -> set[str]:
        return {server["id"] for server in json.loads(self.stack.ask("/api/servers")[1])["servers"]}

    def push(self, server: str, cpu: float) -> None:
        """A quarter of an hour of a server, up to now."""
        now = time.time()
        samples = [
            {"time": now - 60 * i, "metrics": {"cpu_utilization": cpu, "filesystem_utilization": 40 + i / 10}}
            for i in range(15)
        ]
        body = {"server": server, "role": server.partition("-")[0], "samples": samples}
        status, text = self.stack.ask("/api/ingest", "POST", json.dumps(body).encode())
        assert status == 200, text

    def start_the_demo(self) -> None:
        status, text = self.stack.ask("/api/system/start", "POST", b'{"scenario": "normal", "servers": 12}')
        assert status < 300, text
        self.stack.wait_for(lambda: "demo-db-01" in self.servers(), PATIENCE_S, every_s=1)

    def wait_for_an_alert(self) -> None:
        """Have web-01's CPU alert fire, which people then take care of."""
        assert self.stack.ask("/api/rules/cpu", "PUT", b'{"for_min": 0}')[0] == 200

        def fires() -> bool:
            self.push("web-01", 99)
            return '"firing"' in self.stack.ask("/api/alerts")[1]

        self.stack.wait_for(fires, PATIENCE_S, every_s=2)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("documents")
    stack = LiveStack(folder, free_port())
    # A machine under load is no fault of the stores, and the receiver is on this one.
    stack.env |= {"OPENMANAGER_STORE_TIMEOUT_S": "20", "OPENMANAGER_NOTIFY_ALLOW_PRIVATE": "1"}
    stack.start()
    try:
        with running(Receiver()) as receiver:
            follows = Reader(folder, stack, receiver)
            for server in ("web-01", "api-01", "db-01"):
                follows.push(server, 20)
            yield follows
    finally:
        stack.stop()


# What a document takes for granted.
BEFORE: dict[str, Callable[[Reader], None]] = {
    "docs/alerts.md": Reader.wait_for_an_alert,
    "docs/command-line.md": Reader.start_the_demo,
    "docs/first-hour.md": lambda reader: reader.push(socket.gethostname(), 20),
}


@pytest.mark.parametrize("document", [path.relative_to(ROOT).as_posix() for path in DOCUMENTS])
def test_what_a_document_says_to_type_does_what_it_says(document: str, reader: Reader) -> None:
    own = [block for block in ALL if block.document == document]
    if not any(lane(block) == "run" for block in own):
        return
    BEFORE.get(document, lambda _: None)(reader)
    printed = ""
    for block in own:
        if lane(block) == "run":
            printed = run(block, reader)
        elif block.language == "json" and answers(block):
            came = json.loads(printed.strip().splitlines()[-1])
            if came.get("next_push_s") == WATCHED_PUSH_S:
                # A document before this one followed the feed, and for a while somebody seems to watch.
                came["next_push_s"] = PUSH_S
            assert json.loads(block.text) == came, str(block)
        elif block.language == "" and not entry(block, SHOWN):
            assert shows(block.text, printed), f"{block} shows\n{block.text}\nand what came is\n{printed}"


def run(block: Block, reader: Reader) -> str:
    if not entry(block, STAYS):
        return reader.run(block)
    name = socket.gethostname()
    reader.run_until(block, lambda: name in reader.servers())
    return ""


def answers(block: Block) -> bool:
    """Whether a block of JSON is what the block before it was answered."""
    return not any(name in block.text for name in READ_BY)


def shows(shown: str, printed: str) -> bool:
    """Whether the lines that are shown came, in order and together; a lone … stands for any others."""
    pieces = [re.escape(piece.strip("\n")) for piece in re.split(r"^ *… *$", shown.rstrip(), flags=re.MULTILINE)]
    return re.search(".*".join(pieces), printed, re.DOTALL) is not None


def test_what_is_shown_is_compared() -> None:
    assert shows("a\n  …\nd\n", "x\na\nb\nc\nd\n")
    assert not shows("a\nc\n", "a\nb\nc\n")


# What has a reader of its own


@of("assignments")
def test_settings_are_known(block: Block, reader: Reader, tmp_path: Path) -> None:
    if block.begins.startswith("OTEL_"):
        env = dict(line.split("=", 1) for line in block.text.splitlines())
        env = {name: value.strip('"') for name, value in env.items()}
        for theirs, own in reader.own.items():
            env = {name: value.replace(theirs, own) for name, value in env.items()}
        server = f"otel-{block.document.rpartition('/')[2].partition('.')[0].lower()}"
        done = subprocess.run(
            [sys.executable, "-c", EXPORTS, server], env=os.environ | env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert server in reader.servers()
    else:
        path = tmp_path / "settings.env"
        path.write_text(block.text)
        assert len(read_file(path)) == len(block.text.splitlines())


# One number by the SDK, which is told nothing but what the document says.
EXPORTS = """
import sys
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

exports = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=3_600_000)
provider = MeterProvider([exports], Resource({"host.name": sys.argv[1]}))
meter = provider.get_meter("documents")
meter.create_observable_gauge("system.cpu.load_average.1m", [lambda _: [Observation(1.5)]])
assert provider.force_flush()
provider.shutdown()
"""


@of("yaml")
def test_yaml_is_what_its_reader_takes(block: Block, tmp_path: Path) -> None:
    text = PLACEHOLDER.sub("placeholder", block.text)
    keys = set(yaml.safe_load(text))
    if keys == {"receivers", "processors", "exporters", "service"}:
        document = yaml.safe_load(text)
        for pipeline in document["service"]["pipelines"].values():
            assert all(set(pipeline[kind]) <= set(document[kind]) for kind in ("receivers", "processors", "exporters"))
        return
    of_prometheus = {"remote_write", "scrape_configs", "rule_files", "global", "alerting", "groups"}
    assert keys <= of_prometheus, "whose configuration is it?"
    if shutil.which("promtool") is None:
        pytest.skip("promtool, of Debian's package prometheus, is not here")
    kind = "rules" if "groups" in keys else "config"
    path = tmp_path / "prometheus.yml"
    # The key's file is the reader's.
    path.write_text(re.sub(r"credentials_file: \S+?(?=[,}\s])", f"credentials_file: {__file__}", text))
    done = subprocess.run(["promtool", "check", kind, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def speaks_mcp(text: str, reader: Reader) -> None:
    """An MCP server is started as a host would, and answers to the handshake."""
    (told,) = json.loads(text.replace("/path/to/openmanager/", ""))["mcpServers"].values()
    begin = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "documents", "version": "1"},
        },
    }
    argv = ["bash", "-c", 'exec "$0" "$@"', told["command"], *told["args"]]
    done = subprocess.run(
        argv,
        input=json.dumps(begin) + "\n",
        cwd=reader.folder,
        env=reader.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    answer = json.loads(done.stdout.splitlines()[0])
    assert (answer["id"], answer["result"]["serverInfo"]["name"]) == (1, "openmanager"), done.stderr


def is_a_price_list(text: str, _: Reader) -> None:
    """The bill takes it, and by it something costs what it says."""
    prices = price_list(text)
    assert prices.as_of == json.loads(text)["as_of"]


def is_a_line_of_our_logs(text: str, reader: Reader) -> None:
    """It has the fields of a line that this stack's functions wrote about a request."""
    fields = list(json.loads(text))
    written = [line for log in (reader.stack.data / "logs").glob("*.log") for line in log.read_text().splitlines()]
    ours = [list(json.loads(line)) for line in written if line.startswith('{"timestamp"') and '"traceId"' in line]
    assert fields in ours


READ_BY: dict[str, Callable[[str, Reader], None]] = {
    "mcpServers": speaks_mcp,
    '"prices"': is_a_price_list,
    '"traceId"': is_a_line_of_our_logs,
}


@of("json")
def test_json_is_what_its_reader_takes(block: Block, reader: Reader) -> None:
    readers = [read for name, read in READ_BY.items() if name in block.text]
    for read in readers:
        read(block.text, reader)
    # Else it is an answer, and compared where the command before it is run.
    assert readers or follows_what_runs(block), "who reads it?"


@of("python")
def test_python_runs(block: Block, reader: Reader) -> None:
    argv = [sys.executable, "-c", block.text]
    done = subprocess.run(argv, cwd=reader.folder, env=reader.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@of("used")
def test_code_is_used_by_the_test_that_is_named(block: Block) -> None:
    assert block.document in (ROOT / USED[entry(block, USED)]).read_text()


_NODE = r"\w+(\[\(?[^\[\]()]+\)?\])?"
_EDGE = rf"{_NODE}( (--> |-- [\w ,]+ --> ){_NODE})+"


@of("mermaid")
def test_a_diagram_is_one(block: Block) -> None:
    """Its part of Mermaid: a flowchart of boxes, stores and arrows, each on a line of its own."""
    kind, *lines = block.text.strip().splitlines()
    assert re.fullmatch(r"flowchart (LR|TB|TD|RL)", kind)
    assert [line for line in lines if not re.fullmatch(_EDGE, line.strip())] == []
