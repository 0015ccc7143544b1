"""The optional model over a real HTTP server that speaks its protocol: bounded, checked, and never needed."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openmanager.assistant import model
from openmanager.settings import settings
from openmanager.tools import table

from infra.local.stack import Upstash
from tests.conftest import API_KEY
from tests.credentials import api_key
from tests.integration import test_assistant as asking
from tests.receivers import Answer, Received, Receiver, running

stored = asking.stored
KEY = "sk-the-models-own-secret"
STRANGE = "what is the capital of France"


@pytest.fixture
def endpoint(stored: Upstash, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with running(Receiver()) as one:
        monkeypatch.setenv("OPENMANAGER_MODEL_URL", f"http://127.0.0.1:{one.server_address[1]}/v1")
        monkeypatch.setenv("OPENMANAGER_MODEL_KEY", KEY)
        monkeypatch.setenv("OPENMANAGER_MODEL_NAME", "a-model")
        settings.cache_clear()
        yield one


def message(content: str | None = None, *calls: tuple[str, Any], tokens: int = 100) -> Answer:
    said: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        said["tool_calls"] = [
            {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for i, (name, arguments) in enumerate(calls)
        ]
    body = {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], "usage": {"total_tokens": tokens}}
    return Answer(headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())


def scripted(*answers: Answer) -> Callable[[Received], Answer]:
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def told_back(endpoint: Receiver, i: int = -1) -> list[Any]:
    """What the tools' results were, as the model's endpoint got them."""
    return [json.loads(m["content"]) for m in endpoint.received[i].json()["messages"] if m["role"] == "tool"]


LOOKS = ("get_server", {"server": "db-01"})


def test_a_model_answers_what_the_rules_do_not_understand_from_the_tools(endpoint: Receiver) -> None:
    endpoint.answers = scripted(message(None, LOOKS), message("db-01: risk 63%.\n**Disk** 42.5%, web-01 not asked."))
    asked = asking.ask("hmm db-01 flurb?", language="en", model=True)
    assert asked["source"] == "model"
    assert asking.said(asked) == "db-01: risk 63%. **Disk** 42.5%, web-01 not asked."
    (looked,) = asked["answer"]["evidence"]
    assert (looked["tool"], looked["arguments"]) == ("get_server", {"server": "db-01"})
    first, second = endpoint.received
    assert first.path == "/v1/chat/completions"
    # Both turns are of the request's trace, each a span of its own.
    sent = [one.headers["traceparent"].split("-") for one in (first, second)]
    assert sent[0][1] == sent[1][1]
    assert sent[0][2] != sent[1][2]
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    body = first.json()
    assert (body["model"], body["tool_choice"], body["max_tokens"]) == ("a-model", "auto", 700)
    assert "Language of the answer: English" in body["messages"][0]["content"]
    assert told_back(endpoint)[0]["verdict"]["risk"]["probability"] == 0.6311
    assert second.json()["messages"][2]["tool_calls"][0]["id"] == second.json()["messages"][3]["tool_call_id"]


def test_it_is_asked_only_where_the_rules_do_not_understand_or_somebody_wants_it(endpoint: Receiver) -> None:
    endpoint.answers = scripted(message(None, LOOKS), message("It is not in the data."))
    for question in ("How is the fleet doing?", "how is web-99?", "What is the GPU temperature of web-01?"):
        assert asking.ask(question)["source"] == "rules"
    assert endpoint.received == []
    assert asking.ask(STRANGE)["source"] == "model"
    assert len(endpoint.received) == 2


@pytest.mark.parametrize(
    "invented", ["db-01 has a risk of 64%.", "web-77 is down.", "db-01 is full at 03:59.", "위험은 97.3%입니다."]
)
def test_an_answer_with_a_figure_of_its_own_is_dropped_and_that_is_said(endpoint: Receiver, invented: str) -> None:
    endpoint.answers = scripted(message(None, LOOKS), message(invented))
    rules = asking.ask("What is the failure risk of db-01?")
    asked = asking.ask("What is the failure risk of db-01?", model=True)
    assert asked["source"] == "rules"
    assert asking.said(asked) == asking.said(rules) + (
        " The model's answer was dropped, as not every figure of it is in the data; this is the rules' answer."
    )


def test_what_it_says_without_looking_is_dropped(endpoint: Receiver) -> None:
    endpoint.answers = scripted(message("Paris."))
    asked = asking.ask(STRANGE)
    assert asked["source"] == "rules"
    assert asking.said(asked).startswith("Not in the data")
    assert "Paris" not in json.dumps(asked)


def test_endless_calls_are_cut_off(endpoint: Receiver) -> None:
    endpoint.answers = scripted(message(None, *[LOOKS] * 9))
    asked = asking.ask("How is db-01?", model=True)
    assert asked["source"] == "rules"
    assert "The model did not answer" in asking.said(asked)
    assert len(endpoint.received) == model.TURNS
    assert endpoint.received[-1].json()["tool_choice"] == "none"
    # Four at once are made; all are answered, as the protocol wants it.
    assert ["error" in one for one in told_back(endpoint, 1)] == [False] * 4 + [True] * 5


def test_results_are_bounded_one_by_one_and_together(endpoint: Receiver, stored: Upstash) -> None:
    latest = {"metrics": {f"m{i}": 1.0 for i in range(99)}, "seen": asking.NOW, "attributes": {"role": "web"}}
    fields = [part for i in range(300) for part in (f"big-{i:03}", json.dumps(latest))]
    stored.command("HSET", "om:0:latest", *fields)
    everything: tuple[str, Any] = ("list_servers", {})
    endpoint.answers = scripted(
        message(None, everything, LOOKS), message(None, *[everything] * 4), message("It is well.")
    )
    assert asking.ask(STRANGE)["source"] == "model"
    seen = [m["content"] for m in endpoint.received[-1].json()["messages"] if m["role"] == "tool"]
    assert max(map(len, seen)) <= 8_000
    assert sum(map(len, seen)) <= 24_000 + 200 * len(seen)
    assert "servers: the first" in seen[0]


NONSENSE: dict[str, Answer] = {
    "refused": Answer(500, body=b"it broke"),
    "sent elsewhere": Answer(302, headers={"Location": "http://127.0.0.1:1/v1/chat/completions"}),
    "a page": Answer(body=b"<html>"),
    "another form": Answer(body=b"[]"),
    "no choice": Answer(body=b'{"choices": []}'),
    "no message": Answer(body=b'{"choices": [{"message": "hello"}]}'),
    "nothing said": message(""),
    "calls out of form": Answer(body=b'{"choices": [{"message": {"tool_calls": [{"function": 1}]}}]}'),
    "calls that are none": Answer(body=b'{"choices": [{"message": {"tool_calls": "x"}}]}'),
    "too much": message("x" * 5_000),
    "not text": Answer(body=b"\xff\xfe"),
    "cut": Answer(cut=True),
    "slow": Answer(drip=True),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_whatever_goes_wrong_the_rules_answer(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(model, "LIMIT_S", 2.0 if kind == "slow" else 10.0)
    endpoint.answers = scripted(NONSENSE[kind])
    rules = asking.said(asking.ask("How is db-01?"))
    asked = asking.ask("How is db-01?", model=True)
    assert asked["source"] == "rules"
    assert asking.said(asked) == f"{rules} The model did not answer; this is the rules' answer."
    assert len(endpoint.received) == 1
    assert KEY not in caplog.text + json.dumps(asked)
    assert "the model's answer is left out" in caplog.text


def test_nobody_there_and_nobody_set_are_told_apart(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENMANAGER_MODEL_URL", "http://127.0.0.1:1/v1")
    settings.cache_clear()
    assert "The model did not answer" in asking.said(asking.ask("How is db-01?", model=True))
    assert KEY not in caplog.text
    for name in ("URL", "KEY", "NAME"):
        monkeypatch.delenv(f"OPENMANAGER_MODEL_{name}")
    settings.cache_clear()
    assert "No model is set up" in asking.said(asking.ask("How is db-01?", model=True))
    # Who did not ask for one hears nothing of it.
    assert "odel" not in asking.said(asking.ask(STRANGE))


def test_a_days_tokens_are_counted_and_used_up(
    endpoint: Receiver, stored: Upstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answers = scripted(message(None, LOOKS, tokens=900), message("It is not in the data.", tokens=1_100))
    asking.ask(STRANGE)
    (name,) = stored.command("KEYS", "om:model|*")
    assert int(stored.command("GET", name)) == 2_000
    assert 0 < stored.command("TTL", name) <= 2 * 86_400
    monkeypatch.setenv("OPENMANAGER_MODEL_DAILY_TOKENS", "2100")
    settings.cache_clear()
    asked = asking.ask("How is db-01?", model=True)
    assert "its tokens are used up" in asking.said(asked)
    assert len(endpoint.received) == 2
    # What was not spent is still there for a question that it is enough for.
    assert int(stored.command("GET", name)) == 2_000


def test_one_answers_tokens_are_bounded(endpoint: Receiver) -> None:
    endpoint.answers = scripted(message(None, LOOKS, tokens=1_000_000), message("It is well."))
    assert "its tokens are used up" in asking.said(asking.ask("How is db-01?", model=True))
    assert len(endpoint.received) == 1


def test_it_may_do_what_the_callers_role_may_and_change_nothing(endpoint: Receiver, stored: Upstash) -> None:
    hour = {"from": "2020-01-01", "to": "2020-01-02"}
    calls = [("read_audit_log", hour), ("acknowledge", {"server": "db-01", "rule": "filesystem"}), ("silence", {}),
             ("get_server", {"server": "web-99"})]  # fmt: skip
    endpoint.answers = scripted(message(None, *calls), message(None, LOOKS), message("It is not in the data."))
    before = stored.command("HGETALL", "om:config")
    asked = asking.ask(STRANGE, api_key("viewer"))
    assert asked["source"] == "model"
    assert ["error" in one for one in told_back(endpoint)] == [True] * 4 + [False]
    offered = {tool["function"]["name"] for tool in endpoint.received[0].json()["tools"]}
    assert offered < {name for name, tool in table.TOOLS.items() if "viewer" in tool.roles and tool.method == "GET"}
    assert stored.command("HGETALL", "om:config") == before
    endpoint.answers = scripted(message(None, ("list_alerts", {})), message("It is well."))
    asking.ask(STRANGE, api_key("viewer"))
    assert asking.WHO not in json.dumps(told_back(endpoint))
    asking.ask(STRANGE, api_key("auditor"))
    assert "read_audit_log" in {tool["function"]["name"] for tool in endpoint.received[-1].json()["tools"]}


def test_its_steps_are_told_as_events(endpoint: Receiver) -> None:
    endpoint.answers = scripted(message(None, LOOKS), message("db-01 has a risk of 63%."))
    reply = asking.send(STRANGE, API_KEY, headers={"accept": "text/event-stream"}).body.decode()
    assert [line[7:] for line in reply.splitlines() if line.startswith("event: ")] == [
        "understood", "looked_up", "answer",
    ]  # fmt: skip
