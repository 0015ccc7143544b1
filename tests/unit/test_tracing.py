"""Trace contexts: the cases of the specification's own test suite (github.com/w3c/trace-context), and what is ours."""

import hashlib

import pytest
from openmanager import tracing

ID, SPAN = "12345678901234567890123456789012", "1234567890123456"
GOOD = f"00-{ID}-{SPAN}-01"
FUTURE = "what-the-future-will-be-like"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (GOOD, True),
        (f"00-{ID}-{SPAN}-00", False),
        # Flags that are not known yet mean nothing here.
        (f"00-{ID}-{SPAN}-ff", True),
        (f"00-{ID}-{SPAN}-fe", False),
        # A later version may go on after a hyphen, and is read as far as we know it.
        (f"cc-{ID}-{SPAN}-01", True),
        (f"cc-{ID}-{SPAN}-01-{FUTURE}", True),
        (f"01-{ID}-{SPAN}-00-", False),
    ],
)
def test_a_good_traceparent_is_gone_on_with(header: str, sampled: bool) -> None:
    trace = tracing.received([header])
    assert (trace.trace_id, trace.sampled, trace.received) == (ID, sampled, True)
    # Whatever came, what goes out is of the version that we speak, with a span of ours.
    assert trace.span_id != SPAN
    assert tracing.parse(trace.header) == tracing.Trace(ID, trace.span_id, sampled, received=True)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{ID}-{SPAN}",
        f"{GOOD}.",
        f"{GOOD}-{FUTURE}",
        f"cc-{ID}-{SPAN}-01.what-the-future-will-not-be-like",
        f"cc-{ID}-{SPAN}-01\n",
        f"ff-{ID}-{SPAN}-01",
        f".0-{ID}-{SPAN}-01",
        f"0.-{ID}-{SPAN}-01",
        f"000-{ID}-{SPAN}-01",
        f"0000-{ID}-{SPAN}-01",
        f"0-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-.{ID[1:]}-{SPAN}-01",
        f"00-{ID[:-1]}.-{SPAN}-01",
        f"00-{ID}3-{SPAN}-01",
        f"00-{ID[:-1]}-{SPAN}-01",
        f"00-{'A' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID}-.{SPAN[1:]}-01",
        f"00-{ID}-{SPAN[:-1]}.-01",
        f"00-{ID}-{SPAN}7-01",
        f"00-{ID}-{SPAN[:-1]}-01",
        f"00-{ID}-{'B' * 16}-01",
        f"00-{ID}-{SPAN}-.0",
        f"00-{ID}-{SPAN}-0.",
        f"00-{ID}-{SPAN}-001",
        f"00-{ID}-{SPAN}-1",
        f"00-{ID}-{SPAN}-0A",
        f"\u0660\u0660-{ID}-{SPAN}-01",
    ],
)
def test_a_bad_traceparent_is_ignored_and_replaced(header: str) -> None:
    assert tracing.parse(header) is None
    trace = tracing.received([header])
    assert trace.trace_id != ID
    assert not trace.received
    assert tracing.parse(trace.header) is not None


@pytest.mark.parametrize("header", [f" {GOOD}", f"\t{GOOD}", f"{GOOD} ", f"{GOOD}\t", f"\t {GOOD} \t"])
def test_space_around_a_field_is_none_of_it(header: str) -> None:
    assert tracing.received([header]).trace_id == ID


def test_two_fields_are_as_none() -> None:
    other = GOOD.replace("1", "2")
    assert tracing.received([GOOD, other]).trace_id not in (ID, other[3:35])
    assert tracing.received([GOOD, GOOD]).trace_id != ID
    assert not tracing.received([]).received


def test_what_is_begun_is_new_each_time_and_asks_nobody_to_record() -> None:
    begun = [tracing.begun() for _ in range(100)]
    assert len({trace.trace_id for trace in begun} | {trace.span_id for trace in begun}) == 200
    assert not any(trace.sampled for trace in begun)


@pytest.mark.parametrize("known", ["", "0" * 32, ID.upper().replace("1", "A"), ID[:-1], f"{ID}-", "a trace of mine"])
def test_a_trace_is_joined_by_its_id_and_begun_where_that_is_none(known: str) -> None:
    assert tracing.joined(ID).trace_id == ID
    assert tracing.joined(ID).sampled
    assert tracing.parse(tracing.joined(known).header) is not None


def test_a_server_s_minute_has_the_trace_that_is_documented() -> None:
    minute = 29_400_000
    named = tracing.of_minute("web-01", minute)
    assert named == hashlib.sha256(b"web-01|1764000000").digest()[:16].hex()
    assert len({named, tracing.of_minute("web-01", minute + 1), tracing.of_minute("web-02", minute)}) == 3


def test_what_is_asked_of_others_is_of_the_same_trace_and_a_span_of_its_own() -> None:
    assert tracing.outgoing() == {}
    with tracing.within(tracing.received([GOOD])):
        sent = [tracing.parse(tracing.outgoing()["traceparent"]) for _ in range(2)]
        with tracing.within(None):
            assert tracing.current_id() == ""
        assert tracing.current_id() == ID
    assert tracing.current() is None
    assert [one and one.trace_id for one in sent] == [ID, ID]
    assert len({SPAN, *(one.span_id for one in sent if one)}) == 3
