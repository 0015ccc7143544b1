"""The command `openmanager` as a person types it, against the gateway on real stores."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openmanager.cli.exits import DONE, FAILED, INTERRUPTED, NOT_ALLOWED, PARTLY, UNREACHABLE

from infra.local.process import free_port
from infra.local.stack import Upstash
from tests.behaviour.conftest import pushed, within_a_minute
from tests.behaviour.target import local_gateway
from tests.conftest import API_KEY, truncate
from tests.feed import Event, check
from tests.live import CHECKOUT, PATIENCE_S

HANGUL = re.compile("[가-힣]")


class Installation:
    """A gateway, and the command as it is called beside it."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(CHECKOUT), str(CHECKOUT / "layers/core/python"))),
            "OPENMANAGER_DATA": str(data),
            "LANG": "C.UTF-8",
        }

    def start(self, *argv: str, **how: Any) -> subprocess.Popen[str]:
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.env} | how
        return subprocess.Popen([sys.executable, "-m", "infra.command", *argv], text=True, **how)

    def call(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        with self.start(*argv, env=self.env | env) as running:
            out, err = running.communicate(timeout=PATIENCE_S)
        return subprocess.CompletedProcess(argv, running.returncode, out, err)

    def done(self, *argv: str, **env: str) -> str:
        said = self.call(*argv, **env)
        assert (said.returncode, said.stderr) == (DONE, ""), said
        return said.stdout

    def read(self, *argv: str) -> Any:
        """The one JSON document that it prints."""
        return json.loads(self.done(*argv, "--json"))


@pytest.fixture(scope="module")
def here(upstash: Upstash, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two judged servers, one of them with an alert that fires; found by its credentials.json."""
    upstash.command("FLUSHALL")
    truncate(postgres_url)
    stores: Mapping[str, str] = {
        "UPSTASH_REDIS_REST_URL": upstash.url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token,
        "DATABASE_URL": postgres_url,
    }
    folder = tmp_path_factory.mktemp("command")
    with local_gateway(folder, stores) as gateway:
        url = f"http://{gateway._host}"
        (folder / "credentials.json").write_text(json.dumps({"url": url, "token": API_KEY}))

        def ask(method: str, path: str, body: Any) -> Any:
            headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
            answer = gateway.request(method, path, headers, json.dumps(body).encode())
            assert answer.status == 200, answer
            return answer.json()

        ask("PUT", "/api/rules/cpu", {"for_min": 0})

        def push_and_judge() -> None:
            ask("POST", "/api/ingest", {"servers": [pushed("web-01", "web", 99.0), pushed("db-01", "database", 20.0)]})
            gateway.tick()

        within_a_minute(push_and_judge)
        yield Installation(url, folder)


# What is asked


@pytest.mark.parametrize(
    ("command", "says", "keys"),
    [
        ("status", "2 servers: 1 critical, 1 healthy", {"health", "fleet", "newest_verdict"}),
        ("servers", "web-01  web       critical", {"servers"}),
        ("servers --status healthy", "db-01", {"servers"}),
        ("servers --status offline", "no server is offline", {"servers"}),
        ("server web-01", "cpu_utilization", {"server", "alerts"}),
        ("metrics web-01 --metric cpu_utilization", "most 99 %", {"server", "metrics", "times", "step", "from", "to"}),
        ("predictions", "web-01", {"servers", "columns", "alerts", "models"}),
        ("prediction web-01", "risk", {"server", "minute", "status", "risk", "forecasts"}),
        ("alerts", "web-01/cpu", {"alerts"}),
        ("alerts --server db-01", "no alert is open", {"alerts"}),
        ("alerts --all --from 1d", "nothing happened", {"events", "next"}),
        ("incidents", "web-01/cpu", {"incidents"}),
        ("record", "exhaustion", {"models", "probabilities", "forecasts", "from", "to"}),
        ("bill", "Redis commands", {"so_far", "projected", "month"}),
        ("ask which servers are critical?", "web-01", {"understood", "answer", "source"}),
        ("silences", "no silence is set", {"silences"}),
        ("users list", "nobody can log in yet", {"users"}),
        ("keys list", "there is no key yet", {"keys"}),
    ],
)
def test_a_command_prints_for_people_and_the_api_s_own_json(
    here: Installation, command: str, says: str, keys: set[str]
) -> None:
    for_people = here.done(*command.split())
    assert says in for_people
    assert "\033" not in for_people
    assert keys <= here.read(*command.split()).keys()


def test_json_is_what_the_api_answers(here: Installation) -> None:
    answered = here.read("alerts")["alerts"]
    assert [(a["server"], a["rule"], a["state"]) for a in answered] == [("web-01", "cpu", "firing")]
    assert here.read("servers", "--status", "critical")["servers"][0]["metrics"]["cpu_utilization"] == 99.0


def test_status_can_be_asked_for_an_exit_code(here: Installation) -> None:
    assert here.call("status", "--check").returncode == PARTLY


def test_an_alert_is_taken_and_given_back(here: Installation) -> None:
    assert "web-01/cpu is acknowledged" in here.done("ack", "web-01/cpu", "--note", "on it")
    assert "api key: on it" in here.done("alerts")
    identity = here.read("alerts")["alerts"][0]["id"]
    assert here.read("ack", identity, "--undo")["state"] == "firing"
    none = here.call("ack", "db-01/cpu")
    assert (none.returncode, none.stderr) == (FAILED, "ack: no alert of rule 'cpu' is open for server 'db-01'\n")


def test_a_silence_begins_and_ends(here: Installation) -> None:
    everything = here.call("silence", "--for", "1h")
    assert everything.returncode == FAILED
    assert "or everything with --all" in everything.stderr
    made = here.read("silence", "--for", "90m", "--role", "web", "--rule", "cpu", "--reason", "deployment")
    assert (made["end"] - made["start"], made["roles"], made["rules"]) == (5400, ["web"], ["cpu"])
    assert "roles web, rules cpu" in here.done("silences")
    assert here.done("silence", "--end", made["id"]) == f"silence {made['id']} has ended\n"
    assert here.read("silences") == {"silences": []}
    assert here.call("silence", "--until", "2020-01-01", "--all").returncode == FAILED


def test_people_and_programs_are_let_in_and_out(here: Installation, tmp_path: Path) -> None:
    assert "password, shown this once: " in here.done("users", "add", "ann", "--role", "viewer")
    assert "ann" in here.done("users", "list")
    here.done("users", "remove", "ann")
    made = here.read("keys", "add", "grafana", "--role", "viewer", "--days", "7")
    (tmp_path / "key").write_text(made["key"] + "\n")
    as_viewer = ("--url", here.url, "--token-file", str(tmp_path / "key"))
    assert "web-01" in here.done("servers", *as_viewer)
    refused = here.call("ack", "web-01/cpu", *as_viewer)
    assert refused.returncode == NOT_ALLOWED
    assert refused.stderr.startswith(f"ack: {here.url} does not allow this to the key: ")
    assert refused.stderr.count("\n") == 1
    assert "refused everywhere" in here.done("keys", "revoke", made["id"])
    agent = here.done("keys", "add", "web agents", "--role", "agent", "--server", "web-*")
    assert "om_" in agent


def test_texts_of_the_api_come_in_korean(here: Installation) -> None:
    assert HANGUL.search(here.done("ask", "which servers are critical?", "--language", "ko"))
    assert HANGUL.search(here.done("ask", "which servers are critical?", LANG="ko_KR.UTF-8"))
    assert not HANGUL.search(here.done("ask", "which servers are critical?"))
    incident = here.read("incidents")["incidents"][0]["id"]
    assert here.done("report", incident, "--language", "ko").startswith("# 장애 보고서")
    assert here.read("report", incident)["id"] == incident


# What goes wrong


def test_a_locale_without_the_letters_is_no_reason_to_fail(here: Installation) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    assert "\\u2588" in here.done("status", **ascii_only)
    said = json.loads(here.done("ask", "hello", "--language", "ko", "--json", **ascii_only))
    assert HANGUL.search(said["answer"]["text"][0][0]["text"])


def test_each_mistake_is_one_line_and_an_exit_code_of_its_own(here: Installation, tmp_path: Path) -> None:
    unknown = here.call("server", "nope")
    assert (unknown.returncode, unknown.stderr) == (FAILED, "server: server 'nope' has sent nothing\n")
    (tmp_path / "key").write_text("wrong")
    refused = here.call("status", "--url", here.url, "--token-file", str(tmp_path / "key"))
    # Health is for everybody; what follows is not.
    assert refused.returncode == NOT_ALLOWED
    assert refused.stderr.startswith(f"status: {here.url} does not accept the key: ")
    nobody = f"http://127.0.0.1:{free_port()}"
    away = here.call("servers", OPENMANAGER_URL=nobody, OPENMANAGER_TOKEN="x")
    assert away.returncode == UNREACHABLE
    assert away.stderr == f"servers: {nobody} does not answer as OpenManager does ([Errno 111] Connection refused)\n"
    field = here.call("metrics", "web-01", "--metric", "load_1m", "--from", "1h", "--to", "2h")
    assert (field.returncode, "from: must lie before `to`" in field.stderr) == (FAILED, True)
    for said in (unknown, refused, away, field):
        assert said.stdout == ""
        assert said.stderr.count("\n") == 1


def test_a_store_that_is_away_is_said(here: Installation, upstash: Upstash) -> None:
    with upstash.away():
        said = here.call("status")
    assert said.returncode == FAILED
    assert "redis" in said.stderr.lower()


@pytest.mark.parametrize("command", ["servers", "servers --json", "--help", "follow"])
def test_a_reader_that_has_seen_enough_ends_it_quietly(here: Installation, command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    with here.start(*command.split(), stdout=write) as running:
        os.close(write)
        _, said = running.communicate(timeout=PATIENCE_S)
    assert (running.returncode, said) == (DONE, "")


# The feed


def lines_until_interrupted(here: Installation, *argv: str) -> tuple[list[str], subprocess.Popen[str], str]:
    """The first line of `follow`, after which somebody presses Ctrl-C; the process, and what it said then."""
    with here.start("follow", *argv) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
        said = running.stderr.read()
        running.wait(PATIENCE_S)
    return [first, *rest.splitlines()], running, said


def test_the_feed_is_followed_until_ctrl_c_and_goes_on_from_there(here: Installation) -> None:
    lines, running, said = lines_until_interrupted(here)
    assert "2 servers: 1 critical, 1 healthy; 1 alerts open" in lines[0]
    assert running.returncode == INTERRUPTED
    last = re.search(r"--after (\S+) goes on from here", said)
    assert last is not None
    # With the place to go on from nothing comes until something happens.
    with here.start("follow", "--after", last[1], "--topics", "metrics", "--json") as going_on:
        assert going_on.stdout is not None
        body = {"server": "web-02", "samples": [{"metrics": {"cpu_utilization": 5.0}}]}
        with contextlib.ExitStack() as stack:
            stack.callback(going_on.wait, PATIENCE_S)
            stack.callback(going_on.send_signal, signal.SIGINT)
            post(here, body)
            event = json.loads(going_on.stdout.readline())
    assert event["event"] == "metrics"
    check(Event(event["event"], event["id"], event["data"]))
    assert "web-02" in event["data"]["servers"]


def post(here: Installation, body: Any) -> None:
    argv = ["curl", "-sf", "-H", f"Authorization: Bearer {API_KEY}", "-d", json.dumps(body), f"{here.url}/api/ingest"]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)


def test_json_of_the_feed_is_a_line_an_event(here: Installation) -> None:
    lines, running, _ = lines_until_interrupted(here, "--json", "--topics", "alerts", "--servers", "web-*")
    event = json.loads(lines[0])
    check(Event(event["event"], event["id"], event["data"]))
    assert [s["id"] for s in event["data"]["servers"] if s["id"] == "db-01"] == []
    assert running.returncode == INTERRUPTED


def test_a_feed_that_was_never_there_is_a_mistake_and_not_waited_for(here: Installation) -> None:
    nobody = here.call("follow", OPENMANAGER_URL=f"http://127.0.0.1:{free_port()}", OPENMANAGER_TOKEN="x")
    assert nobody.returncode == UNREACHABLE
    stranger = here.call("follow", OPENMANAGER_URL=here.url, OPENMANAGER_TOKEN="x")
    assert stranger.returncode == NOT_ALLOWED
    topic = here.call("follow", "--topics", "weather")
    assert (topic.returncode, "topics" in topic.stderr) == (FAILED, True)


# Completion


def test_bash_completes_what_is_typed(here: Installation, tmp_path: Path) -> None:
    program = tmp_path / "openmanager"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m infra.command "$@"\n')
    program.chmod(0o755)
    (tmp_path / "recorded.csv").touch()
    script = here.done("completion", "bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)

    def completed(*words: str) -> list[str]:
        typed = " ".join(f"'{word}'" for word in ("openmanager", *words))
        tab = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _openmanager"
        code = f"{script}\n{tab}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        env = here.env | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        argv = ["bash", "--norc", "-c", code]
        said = subprocess.run(argv, capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
        assert said.stderr == ""
        return said.stdout.split()

    assert completed("sil") == ["silence", "silences"]
    assert set(completed("server", "we")) >= {"web-01"}
    assert completed("ack", "") == ["web-01/cpu"]
    assert completed("evaluate", "rec") == ["recorded.csv"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_read_their_scripts(here: Installation, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    subprocess.run([shell, "-n"], input=here.done("completion", shell), text=True, check=True)
