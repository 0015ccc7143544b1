"""What a model is offered, what of its calls is taken, what it sees of results, and which of its figures are there."""

import json
from typing import Any

import pytest
from openmanager.assistant import offered
from openmanager.assistant.founded import unfounded
from openmanager.assistant.offered import bounded, listed, read, shown, written
from openmanager.errors import InvalidInput
from openmanager.settings import read_settings
from openmanager.tools.call import Call
from openmanager.tools.table import TOOLS

SEEN = [
    {
        "servers": [
            {"id": "web-01", "metrics": {"load_5m": 1.234, "network_receive_bytes": 1_234_567.0}},
            {"id": "db-01"},
        ],
        "risk": 0.6311,
        "earliest_s": 1740,
        "cut": "servers: the first 2 of 500; ask for less",
        "seen": "2026-11-28 06:20",
    }
]


@pytest.mark.parametrize(
    "text",
    [
        "web-01 has load_5m 1.23.", "load_5m of web-01 is about 1.2", "The risk is 63%, or 0.63.", "위험은 63%입니다",
        "It may be full in 29 minutes, 1,740 s or 0.5 h.", "It receives 1.2 MB/s, that is 1,234,567 B/s.",
        "There are 2 of 500 servers.", "Seen at 06:20 on 2026-11-28, at 6:20.", "1. web-01\n2. b\n3) nothing",
        "in the last 24 hours", "두 서버 모두 정상입니다", "It fell by -1.23.",
    ],
)  # fmt: skip
def test_figures_that_were_shown_are_founded(text: str) -> None:
    assert unfounded(text, "how is web-01 in the last 24 hours?", SEEN) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("The risk is 64%.", ["64"]),
        ("load_5m is 1.24", ["1.24"]),
        ("약97%입니다", ["97"]),
        ("web-07 is down", ["07"]),
        ("CPU97 p99", ["97", "99"]),
        ("between 20-30", ["20", "30"]),
        ("at 06:21 on 2026-11-27", ["06:21", "2026-11-27"]),
        ("1,740,000 s", ["1,740,000"]),
        ("full in 30 minutes", ["30"]),
        ("web-01 will be at 99.", ["99"]),
        ("42", ["42"]),
    ],
)
def test_figures_that_were_not_are_found(text: str, wrong: list[str]) -> None:
    assert unfounded(text, "how is web-01?", SEEN) == wrong


def test_a_model_is_offered_what_reads_and_nothing_else() -> None:
    assert {name for name in offered.NAMES if TOOLS[name].method != "GET"} == set()
    assert set(offered.NAMES) <= set(TOOLS)
    (one,) = listed(("get_server",))
    assert one["function"]["parameters"]["required"] == ["server"]
    # All of them cost less than a thousand tokens.
    assert len(json.dumps(listed(offered.NAMES))) < 4_000


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("acknowledge", "{}", "name"),
        (None, "{}", "name"),
        ("get_server", "{", "arguments"),
        ("get_server", "[]", "arguments"),
        ("get_server", '{"server": "web-01", "more": 1}', "arguments"),
        ("get_server", "{}", "server"),
        ("get_server", None, "server"),
        ("get_server", '{"server": 1}', "server"),
        ("get_server", json.dumps({"server": "x" * 129}), "server"),
        ("query_metrics", '{"server": "a", "metrics": "x", "from": "2026-01-01", "to": "2026-01-02"}', "metrics"),
        ("alert_history", '{"from": "yesterday", "to": "2026-01-02"}', "from"),
        ("alert_history", '{"from": "2026-01-03", "to": "2026-01-02"}', "from"),
        ("alert_history", '{"from": "0001-01-01", "to": "2026-01-02"}', "from"),
        ("alert_history", '{"from": "1999-01-01", "to": "2026-01-02"}', "from"),
    ],
)
def test_a_call_that_is_none_is_told_so(name: Any, arguments: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(name, arguments, offered.NAMES)
    assert caught.value.field == field


def test_a_metric_is_asked_for_in_few_points_and_shown_with_what_people_want_to_know() -> None:
    asked = {"server": "a", "metrics": "cpu_utilization", "from": "2026-11-28T00:00:00Z", "to": "2026-11-29"}
    call = read("query_metrics", json.dumps(asked), offered.NAMES)
    assert call.arguments["to"] - call.arguments["from"] == 86_400
    assert call.arguments["step"] == 2_880
    result = {"from": call.arguments["from"], "times": [1], "metrics": {"cpu_utilization": [1.0, None, 4.0]}}
    seen = shown(call, result, 540)
    assert seen["summary"]["cpu_utilization"] == {
        "min": 1.0, "max": 4.0, "mean": 2.5, "first": 1.0, "last": 4.0, "change": 3.0,
    }  # fmt: skip
    assert seen["from"] == "2026-11-28 09:00"
    assert "times" not in seen


@pytest.mark.parametrize("most", [100, 1_000, 5_000])
def test_a_long_result_is_cut_between_items_and_says_so(most: int) -> None:
    whole = {"n": 1, "servers": [{"id": f"web-{i:03}", "cpu": i + 0.125} for i in range(500)]}
    seen = bounded(whole, most)
    assert len(written(seen)) <= most
    assert seen["servers"] == whole["servers"][: len(seen["servers"])]  # type: ignore[index]
    assert seen["cut"].startswith(f"servers: the first {len(seen['servers'])} of 500")
    deep = bounded({"a": {"b": list(range(10_000))}}, most)
    assert len(deep) <= most
    assert deep.endswith("[cut here: ask for less, such as one server]")
    # No number is cut in two.
    assert all(int(n) < 10_000 for n in deep.partition("[cut")[0].partition("[")[2].strip(",").split(","))


def test_what_fits_is_shown_as_it_is() -> None:
    assert bounded({"a": [1]}, 100) == {"a": [1]}
    assert shown(Call("list_alerts"), {"alerts": [{"since": None, "fired": 60, "acknowledged": True}]}, 0) == {
        "alerts": [{"since": None, "fired": "1970-01-01 00:01", "acknowledged": True}]
    }


NAMED = {"OPENMANAGER_MODEL_URL": "https://x/v1", "OPENMANAGER_MODEL_NAME": "m"}
LOCAL = {"OPENMANAGER_STAGE": "local"}
DEPLOYED = {"OPENMANAGER_API_KEY": "k" * 24}


def test_a_model_is_set_by_address_and_name() -> None:
    assert read_settings(LOCAL).model is None
    given = {"OPENMANAGER_MODEL_URL": "http://127.0.0.1:11434/v1/", "OPENMANAGER_MODEL_NAME": "m"}
    model = read_settings(LOCAL | given).model
    assert model is not None
    assert (model.url, model.key, model.name, model.daily_tokens) == ("http://127.0.0.1:11434/v1", "", "m", 200_000)
    secret = read_settings(LOCAL | given | {"OPENMANAGER_MODEL_KEY": "sk-secret"})
    assert "sk-secret" not in repr(secret.model)


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        (DEPLOYED | {"OPENMANAGER_MODEL_URL": "http://x/v1", "OPENMANAGER_MODEL_NAME": "m"}, "OPENMANAGER_MODEL_URL"),
        (LOCAL | {"OPENMANAGER_MODEL_URL": "ftp://x", "OPENMANAGER_MODEL_NAME": "m"}, "OPENMANAGER_MODEL_URL"),
        (LOCAL | {"OPENMANAGER_MODEL_URL": "https://u:p@x", "OPENMANAGER_MODEL_NAME": "m"}, "OPENMANAGER_MODEL_URL"),
        (LOCAL | {"OPENMANAGER_MODEL_KEY": "sk-secret"}, "OPENMANAGER_MODEL_URL"),
        (LOCAL | {"OPENMANAGER_MODEL_URL": "https://x/v1"}, "OPENMANAGER_MODEL_NAME"),
        (LOCAL | NAMED | {"OPENMANAGER_MODEL_KEY": "sk-secret\n1"}, "OPENMANAGER_MODEL_KEY"),
        (LOCAL | {"OPENMANAGER_MODEL_DAILY_TOKENS": "-1"}, "OPENMANAGER_MODEL_DAILY_TOKENS"),
    ],
)  # fmt: skip
def test_half_a_model_is_a_mistake_that_does_not_tell_its_key(env: dict[str, str], variable: str) -> None:
    with pytest.raises(Exception, match=variable) as caught:
        read_settings(env)
    assert "sk-secret" not in str(caught.value)
