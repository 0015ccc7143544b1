"""The command `openmanager`: help, what it says of mistakes, how answers look, what a TAB may become."""

import argparse
import io
import json
import re
import shlex
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from openmanager.cli.exits import DONE, FAILED, NOT_ALLOWED, UNREACHABLE, USAGE
from openmanager.cli.progress import Progress
from openmanager.telemetry.rollups import STATS

from infra.command import client, completion, past, screen
from infra.command.main import main, text
from infra.command.table import COMMANDS, GROUPS, subcommands

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "fastapi", "psycopg", "httpx", "pydantic", "boto3", "yaml", "psutil")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def wide(columns: int | None, env: dict[str, str] | None = None) -> tuple[screen.Screen, io.StringIO]:
    """A screen of this many columns, a pipe for None, and what is written on it."""
    out = io.StringIO() if columns is None else Terminal()
    made = screen.Screen(out, env or {})
    made.width = columns
    return made, out


# Help and mistakes


def test_help_names_every_command_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == DONE
    said = capsys.readouterr().out
    for command in COMMANDS.values():
        title, rest = GROUPS[command.group], said.partition(f"{GROUPS[command.group]}:")[2]
        assert f"\n  {command.name} " in rest.partition("\n\n")[0], (command.name, title)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_with_examples_and_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else colours stand between the words from Python 3.14 on.
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert f"openmanager {name}" in said
    nested = subcommands(COMMANDS[name].parser())
    for one in [said] if name == "audit" or not nested else [p.format_help() for p in nested.values()]:
        assert "exit codes:" in one
        assert "examples" in one or f"    openmanager {name}" in one
        assert "--token TOKEN" not in one


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["stats"], "'stats' is not a command; did you mean status?"),
        (["sever"], "did you mean server"),
        (["xyzzy"], "`openmanager --help` lists them"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(
    typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == USAGE
    assert said in capsys.readouterr().err


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == DONE
    assert f'version = "{capsys.readouterr().out.split()[1]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "argv",
    [
        ["servers", "--status", "ill"],
        ["metrics", "web-01"],
        ["metrics", "web-01", "--metric", "cpu"],
        ["metrics", "web-01", "--metric", "load_1m", "--from", "noon"],
        ["silence", "--server", "web-01"],
        ["silence", "--for", "1h", "--until", "2027-01-01"],
        ["silence", "--for", "0m", "--all"],
        ["ack", "web-01"],
        ["keys"],
        ["keys", "add", "x"],
        ["alerts", "--open", "--all"],
        ["completion", "tcsh"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2_and_nothing_is_asked(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == USAGE
    assert "usage: openmanager" in capsys.readouterr().err


def test_where_nothing_runs_and_nothing_is_named_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENMANAGER_DATA", str(tmp_path))
    monkeypatch.delenv("OPENMANAGER_URL", raising=False)
    monkeypatch.delenv("OPENMANAGER_TOKEN", raising=False)
    assert main(["status"]) == UNREACHABLE
    assert "Set OPENMANAGER_URL" in capsys.readouterr().err
    assert main(["status", "--url", "ftp://x"]) == FAILED
    assert main(["status", "--url", "http://x", "--token-file", str(tmp_path / "none")]) == FAILED
    (tmp_path / "key").write_text("two\nlines\n")
    assert main(["status", "--url", "http://x", "--token-file", str(tmp_path / "key")]) == FAILED
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in said] == ["status"] * 3


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["fly"], ["servers", "--help"], ["export", "--help"]])
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    paths = [str(ROOT), str(ROOT / "layers/core/python")]
    code = (
        f"import sys; sys.path[:0] = {paths!r}\n"
        "from infra.command.main import main, text\n"
        f"try: main({argv!r})\n"
        "except SystemExit: pass\n"
        f"print('LOADED', *(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.stdout.endswith("LOADED\n"), done.stdout + done.stderr


def test_statistics_are_those_that_the_api_knows() -> None:
    assert past.STATS == STATS


def examples() -> list[str]:
    """Every call of the command in its own helps and in its documentation."""
    texts = [(ROOT / "docs/command-line.md").read_text(), text()]
    for command in COMMANDS.values():
        parser = command.parser()
        texts += [p.epilog or "" for p in (parser, *subcommands(parser).values())]
    call = re.compile(r"^ *(?:\./)?openmanager ([a-z].*?)(?:  .*| [|].*)?$", re.MULTILINE)
    return sorted({found[1] for one in texts for found in call.finditer(one)})


def test_there_are_examples_of_every_command_that_asks() -> None:
    shown = {shlex.split(example)[0] for example in examples()}
    assert {c.name for c in COMMANDS.values() if c.group in ("ask", "act")} <= shown


@pytest.mark.parametrize("example", examples())
def test_an_example_is_one_that_the_command_takes(example: str) -> None:
    words = shlex.split(example.partition(" || ")[0].partition(" > ")[0].partition(" #")[0], comments=True)
    command = COMMANDS[words[0]]
    if words[1:] != ["--help"]:
        command.parser().parse_args(words[1:])


# Times


@pytest.mark.parametrize(("text", "length_s"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1w", 604_800)])
def test_a_length_of_time(text: str, length_s: int) -> None:
    assert client.seconds(text) == length_s
    assert client.instant(text) == pytest.approx(time.time() - length_s, abs=60)


@pytest.mark.parametrize("text", ["", "h", "-1h", "1.5h", "1y", "0s", "nan", "inf", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is n"):
        client.instant(text)


def test_an_instant_is_utc_unless_it_says_otherwise() -> None:
    assert client.instant("2026-11-28T18:00") == client.instant("2026-11-28T20:00+02:00") == 1_795_888_800
    assert client.instant("1795888800.5") == 1_795_888_800.5


# How it looks


def test_a_table_is_cut_to_the_terminal_and_whole_in_a_pipe() -> None:
    rows = [("web-01", "a very long remark that fits nowhere", "7"), ("db-01", "short", "12345")]
    narrow, out = wide(30)
    narrow.table(("server", "remark", "n"), rows, right=("n",))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 30 for line in lines if "\033" not in line)
    assert lines[1] == "web-01  a very long re…      7"
    pipe, out = wide(None)
    pipe.table(("server", "remark", "n"), rows, right=("n",))
    assert "a very long remark that fits nowhere      7" in out.getvalue()


def test_korean_letters_take_two_columns() -> None:
    to, out = wide(None)
    to.table(("a", "b"), [("운영", "x"), ("ops", "y")])
    assert out.getvalue().splitlines() == ["A     B", "운영  x", "ops   y"]


@pytest.mark.parametrize(
    ("columns", "env", "coloured"),
    [(80, {}, True), (None, {}, False), (80, {"NO_COLOR": "1"}, False), (80, {"TERM": "dumb"}, False)],
)
def test_colours_show_on_a_terminal_only(columns: int | None, env: dict[str, str], coloured: bool) -> None:
    to, out = wide(columns, env)
    to.line(screen.status("critical"))
    assert out.getvalue() == ("\033[31mcritical\033[0m\n" if coloured else "critical\n")


def test_what_others_chose_moves_no_cursor() -> None:
    to, out = wide(80, {"NO_COLOR": "1"})
    to.table(("server",), [("\033[2J\x07evil\u202e",)])
    to.line("a\rb")
    to.pairs([("labels", "x=\033]0;title\x07")])
    assert not {"\033", "\r", "\x07", "\u202e"} & set(out.getvalue())
    assert "\\x1b[2J\\x07evil\\u202e" in out.getvalue()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0, 50, 100], "▁▅█"),
        ([5, 5], "▁▁"),
        ([None, 1, None, 2], "·▁·█"),
        ([None], "·"),
        ([], "·"),
        ([0, 0, 10, 10], "▁█"),
    ],
)
def test_a_chart_of_blocks(values: list[float | None], line: str) -> None:
    assert screen.sparkline(values, 2 if values == [0, 0, 10, 10] else 40) == line


def test_a_chart_with_given_ends_keeps_within_them() -> None:
    assert screen.sparkline([-5, 0, 50, 100, 400], 5, low=0, high=100) == "▁▁▅██"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "%", "-"),
        (12.34, "%", "12.34 %"),
        (123456.0, "B/s", "123.5 kB/s"),
        (2e9, "", "2.0 G"),
        (90, "s", "90 s"),
    ],
)
def test_numbers_are_short(value: float | None, unit: str, text: str) -> None:
    assert screen.number(value, unit) == text


@pytest.mark.parametrize(("length_s", "text"), [(-1, "0 s"), (119, "119 s"), (120, "2 min"), (1e6, "12 d")])
def test_how_long_in_words(length_s: float, text: str) -> None:
    assert screen.duration(length_s) == text


def test_a_bar_shows_on_a_terminal_and_goes_when_all_is_done() -> None:
    out = Terminal()
    with Progress("minutes", stream=out) as progress:
        progress(500, 1000)
        assert out.getvalue().endswith("50 %  500 of 1,000 minutes")
        progress(1000, 1000)
    assert out.getvalue().endswith("\r\033[K")
    for silent in (Progress("minutes", stream=io.StringIO()), Progress("minutes", wanted=False, stream=Terminal())):
        silent(1, 2)
        silent.clear()
        assert silent._stream.getvalue() == ""  # type: ignore[attr-defined]


# The feed


class Breaking(BaseHTTPRequestHandler):
    """A stream that breaks within its second event, gives that whole when it is asked to go on, then ends the key."""

    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        if self.path == "/api/health":
            self.answer(200, b'{"status":"ok"}')
            return
        self.asked.append(self.headers["Last-Event-ID"])
        event = b'event: model\nid: %d\ndata: {"models":{}}\n\n'
        if len(self.asked) == 1:
            self.answer(200, b"retry: 1\n\n" + event % 1 + (event % 2)[:20])
        elif len(self.asked) == 2:
            self.answer(200, b"retry: 1\n\n" + event % 2)
        else:
            self.answer(401, b'{"detail":"the key was revoked"}')

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test says what it saw."""


def test_the_feed_goes_on_after_the_last_whole_event_and_ends_with_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Breaking.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("OPENMANAGER_URL", f"http://127.0.0.1:{server.server_port}")
            monkeypatch.setenv("OPENMANAGER_TOKEN", "key")
            code = main(["follow", "--json", "--after", "0"])
        finally:
            server.shutdown()
            thread.join()
    said = capsys.readouterr()
    assert [json.loads(line)["id"] for line in said.out.splitlines()] == ["1", "2"]
    assert Breaking.asked == ["0", "1", "2"]
    assert (code, said.err.rpartition("answered ")[2]) == (NOT_ALLOWED, "401: the key was revoked\n")


# Completion


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs that could be asked."""
    monkeypatch.setenv("OPENMANAGER_DATA", str(tmp_path))
    monkeypatch.delenv("OPENMANAGER_URL", raising=False)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ([""], list(COMMANDS)),
        (["sil"], ["silence", "silences"]),
        (["fly", ""], []),
        (["servers", "--status", ""], ["critical", "offline", "warning", "unknown", "maintenance", "healthy"]),
        (["servers", "--st"], ["--status"]),
        (["metrics", "web-01", "--metric", "disk_b"], ["disk_busy"]),
        (["metrics", "web-01", "--step", ""], []),
        (["keys", ""], ["list", "add", "revoke"]),
        (["keys", "add", "grafana", "--role", "v"], ["viewer"]),
        (["audit", "v"], ["verify"]),
        (["completion", "z"], ["zsh"]),
        (["evaluate", ""], [completion.FILES]),
        (["import", "hist"], [completion.FILES]),
        (["deploy", "--settings", ""], [completion.FILES]),
        (["completion", "bash", ""], []),
        # Nobody answers, and nobody complains.
        (["server", "w"], []),
        (["ack", ""], []),
    ],
)
def test_what_a_word_may_become(alone: None, typed: list[str], words: list[str]) -> None:
    assert [word for word, _ in completion.words(typed)] == words
