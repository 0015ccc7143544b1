"""Our JSON: what is taken, what is refused and with which words, and that one bad sample sinks no other."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.errors import InvalidInput
from openmanager.sources import native
from openmanager.sources.limits import Parsed

NOW_MS = 1_764_000_000_000
NOW_S = NOW_MS / 1000


def parse(document: Any) -> Parsed:
    return native.parse(json.dumps(document).encode(), NOW_MS)


def server(*samples: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"server": "web-01", "samples": list(samples), **more}


def cells(parsed: Parsed) -> dict[tuple[str, str, int], float]:
    return {
        (push.server, series, int(time)): float(value)
        for push in parsed.pushes
        for time, row in zip(push.samples.times, push.samples.values, strict=True)
        for series, value in zip(push.samples.series, row, strict=True)
        if not math.isnan(value)
    }


def test_a_body_written_by_hand() -> None:
    parsed = parse(
        {
            "server": "web-01",
            "hostname": "web-01.example.com",
            "role": "web",
            "environment": "aws",
            "stage": "prod",
            "labels": {"rack": "b4"},
            "samples": [
                {
                    "time": NOW_S,
                    "metrics": {"cpu_utilization": 41.5, "load_1m": 2},
                    "counters": {"network_receive_bytes/eth0": 118208, "cpu_idle_total/0": 3.25},
                },
                {"time": NOW_S - 60, "metrics": {"filesystem_size_bytes//var": 10}},
            ],
        }
    )
    assert cells(parsed) == {
        ("web-01", "cpu_utilization", NOW_MS): 41.5,
        ("web-01", "load_1m", NOW_MS): 2,
        ("web-01", "network_receive_bytes_total/eth0", NOW_MS): 118208,
        ("web-01", "cpu_idle_total/0", NOW_MS): 3.25,
        ("web-01", "filesystem_size_bytes//var", NOW_MS - 60_000): 10,
    }
    assert parsed.pushes[0].attributes == {
        "hostname": "web-01.example.com",
        "role": "web",
        "environment": "aws",
        "stage": "prod",
        "labels.rack": "b4",
    }
    assert (parsed.accepted, parsed.rejected) == (5, [])


@pytest.mark.parametrize(
    ("time", "time_ms"),
    [
        (NOW_S, NOW_MS),
        (NOW_S + 0.5, NOW_MS + 500),
        ("2025-11-24T16:00:00Z", NOW_MS),
        ("2025-11-24T16:00:00", NOW_MS),
        ("2025-11-24T18:00:00.250+02:00", NOW_MS + 250),
        (None, NOW_MS),
    ],
)
def test_times(time: Any, time_ms: int) -> None:
    assert list(cells(parse(server({"time": time, "metrics": {"load_1m": 1}})))) == [("web-01", "load_1m", time_ms)]


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        (NOW_S + 601, "future"),
        (NOW_S - 8 * 86_400, "older than 7 days"),
        (NOW_MS, "not milliseconds"),
        ("yesterday", "ISO 8601"),
        (True, "seconds since 1970"),
        ([], "seconds since 1970"),
        (math.nan, "seconds since 1970"),
    ],
)
def test_a_bad_time_sinks_its_sample_only(time: Any, reason: str) -> None:
    parsed = parse(server({"time": time, "metrics": {"load_1m": 1}}, {"metrics": {"load_5m": 2}}))
    assert list(cells(parsed)) == [("web-01", "load_5m", NOW_MS)]
    (rejection,) = parsed.rejected
    assert rejection.field == "samples[0].time"
    assert reason in rejection.reason


@pytest.mark.parametrize(
    ("group", "key", "value", "reason"),
    [
        ("metrics", "cpu_utilisation", 1, "did you mean cpu_utilization?"),
        ("metrics", "zzz", 1, "unknown metric"),
        ("metrics", "disk_reads_total", 1, "belongs under counters"),
        ("counters", "load_1m", 1, "belongs under metrics"),
        ("counters", "disk_read", 1, "did you mean disk_reads?"),
        ("metrics", "load_1m/", 1, "empty instance"),
        ("counters", "disk_reads/" + "x" * 129, 1, "longer than"),
        ("counters", "disk_reads/a\nb", 1, "cannot be printed"),
        ("counters", "disk_reads/\ud800", 1, "cannot be printed"),
        ("metrics", "load_1m", math.nan, "not a number"),
        ("metrics", "load_1m", math.inf, "above"),
        ("metrics", "load_1m", -math.inf, "negative"),
        ("metrics", "load_1m", 10**400, "above"),
        ("metrics", "load_1m", True, "must be a number"),
        ("metrics", "load_1m", "1", "must be a number"),
        ("metrics", "load_1m", -0.1, "negative"),
        ("counters", "disk_reads/sda", -1, "negative"),
        ("metrics", "cpu_utilization", 110.1, "above 100 %"),
        ("metrics", "network_receive_bytes", 1.1e15, "above 1e+15"),
    ],
)
def test_a_bad_value_sinks_itself_only(group: str, key: str, value: Any, reason: str) -> None:
    sample: dict[str, Any] = {"metrics": {"load_5m": 2}}
    sample.setdefault(group, {})[key] = value
    parsed = parse(server(sample))
    assert list(cells(parsed)) == [("web-01", "load_5m", NOW_MS)]
    (rejection,) = parsed.rejected
    assert rejection.field.startswith(f"samples[0].{group}.")
    assert reason in rejection.reason
    assert rejection.field.isprintable()
    assert rejection.reason.isprintable()


def test_a_share_may_overshoot_a_little_and_is_kept_as_it_came() -> None:
    parsed = parse(server({"metrics": {"cpu_utilization": 100.7}}))
    assert cells(parsed) == {("web-01", "cpu_utilization", NOW_MS): 100.7}


def test_null_is_no_reading() -> None:
    parsed = parse(server({"metrics": {"load_1m": None, "load_5m": 1}, "counters": None}))
    assert (parsed.accepted, parsed.rejected) == (1, [])


@pytest.mark.parametrize(
    ("sample", "field"),
    [
        (5, "samples[0]"),
        ({}, "samples[0]"),
        ({"metrics": []}, "samples[0].metrics"),
        ({"counters": 3}, "samples[0].counters"),
    ],
)
def test_a_sample_of_the_wrong_shape_is_rejected_by_place(sample: Any, field: str) -> None:
    parsed = parse(server(sample, {"metrics": {"load_1m": 1}}))
    assert parsed.accepted == 1
    assert [r.field for r in parsed.rejected] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"\xff\xfe\x00", "body"),
        (b"{", "body"),
        (b"[" * 100_000, "body"),
        (b"[]", "body"),
        (b'{"servers": 3}', "servers"),
        (b'{"servers": [7]}', "servers[0]"),
        (b'{"server": "web-01"}', "samples"),
        (b'{"server": "web-01", "samples": {}}', "samples"),
        (b'{"samples": []}', "server"),
        (b'{"servers": [{"server": "a", "samples": 1}]}', "servers[0].samples"),
    ],
)
def test_a_body_of_the_wrong_shape_names_the_place(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        native.parse(body, NOW_MS)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["", "*", "a*", "a b", "a|b", "-a", "a\n", "x" * 129, "a/b", "ä", 7, None])
def test_server_ids_that_could_be_mistaken_for_something_else_are_refused(name: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse({"server": name, "samples": []})
    assert caught.value.field == "server"


def test_one_unusable_server_does_not_sink_the_others() -> None:
    parsed = parse({"servers": [server({"metrics": {"load_1m": 1}}), {"server": "a*", "samples": []}]})
    assert parsed.accepted == 1
    assert [r.field for r in parsed.rejected] == ["servers[1].server"]


def test_a_server_named_twice_is_one_push() -> None:
    parsed = parse(
        {
            "servers": [
                server({"metrics": {"load_1m": 1}}, role="web"),
                server({"metrics": {"load_5m": 2}}, stage="prod"),
            ]
        }
    )
    (push,) = parsed.pushes
    assert push.attributes == {"role": "web", "stage": "prod"}
    assert len(push.samples) == 1
    assert push.samples.count == 2


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"hostname": "x" * 254}, "hostname"),
        ({"role": 3}, "role"),
        ({"stage": "a\nb"}, "stage"),
        ({"labels": []}, None),
        ({"labels": [1]}, "labels"),
        ({"labels": {"a b": "x"}}, "labels.a b"),
        ({"labels": {"a": "x" * 257}}, "labels.a"),
        ({"labels": {"a": 5}}, "labels.a"),
        ({"labels": {f"l{i}": "x" for i in range(33)}}, "labels"),
    ],
)
def test_a_bad_attribute_is_left_out_and_the_samples_are_kept(attributes: dict[str, Any], field: str | None) -> None:
    parsed = parse(server({"metrics": {"load_1m": 1}}, **attributes))
    assert parsed.accepted == 1
    assert [r.field for r in parsed.rejected] == ([field] if field else [])
    assert all(len(v) <= 256 for v in parsed.pushes[0].attributes.values())


def test_a_table_that_would_be_mostly_holes_is_refused() -> None:
    samples = [{"time": NOW_S - i, "counters": {f"disk_reads/d{i}": 1}} for i in range(1500)]
    with pytest.raises(InvalidInput, match="instants"):
        parse(server(*samples))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["server", "servers", "samples", "time", "metrics", "counters", "labels", "load_1m"])
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values, json_values)
def test_no_json_makes_it_stumble(document: Any, samples: Any) -> None:
    for body in (document, {"server": "a", "samples": [samples, {"metrics": samples}], "labels": document}):
        try:
            parsed = parse(body)
        except InvalidInput:
            continue
        for push in parsed.pushes:
            assert np.isfinite(push.samples.values[~np.isnan(push.samples.values)]).all()
