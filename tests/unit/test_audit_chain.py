"""Whatever is done to a chain of audit rows, the first row that does not fit is named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openmanager.audit import START, Broken, Head, digest, row_hash, verify
from openmanager.audit.chain import FIELDS

texts = st.text(st.characters(codec="utf-8"), max_size=20)
contents = st.fixed_dictionaries(
    {"at": texts, "actor": texts, "address": texts, "action": texts, "target": texts, "before": st.none() | texts}
)


def chain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows, previous = [], START
    for seq, content in enumerate(found, 1):
        row = {"seq": seq, **content, "after": None, "previous": previous}
        previous = row["hash"] = row_hash(row)
        rows.append(row)
    return rows


def lines(rows: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(row) + "\n" for row in rows]


chains = st.lists(contents, min_size=2, max_size=6).map(chain)


@given(chains)
def test_a_whole_chain_holds_and_tells_its_head(rows: list[dict[str, Any]]) -> None:
    head = Head(len(rows), rows[-1]["hash"])
    assert verify(lines(rows)) == verify(lines(rows), head) == Head.parse(str(head)) == head


def test_an_empty_log_is_whole_until_a_row_was_noted() -> None:
    assert verify([]) == Head(0, START)
    with pytest.raises(Broken, match="line 1: the log ends with row 0"):
        verify([], Head(1, START))


@given(chains, st.data())
def test_a_changed_field_is_found_in_its_row(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    field = data.draw(st.sampled_from(FIELDS))
    value = data.draw(st.none() | texts | st.integers(-3, 9) | st.booleans())
    before = rows[at][field]
    rows[at][field] = value
    if json.dumps(before) != json.dumps(value):
        with pytest.raises(Broken, match=f"^line {at + 1}: "):
            verify(lines(rows))


@given(chains, st.data())
def test_a_removed_row_is_found_where_the_next_one_follows(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 2))
    del rows[at]
    with pytest.raises(Broken, match=f"^line {at + 1}: "):
        verify(lines(rows))


@given(chains, st.data())
def test_rows_in_another_order_are_found_at_the_first(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    first = next((i for i, place in enumerate(order) if i != place), None)
    if first is not None:
        with pytest.raises(Broken, match=f"^line {first + 1}: "):
            verify(lines([rows[place] for place in order]))


@given(chains, contents, st.data())
def test_an_inserted_row_is_found_by_the_one_that_follows(
    rows: list[dict[str, Any]], content: dict[str, Any], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    made = chain([*({name: row[name] for name in content} for row in rows[:at]), content])[-1]
    rows.insert(at, made)
    with pytest.raises(Broken, match=f"^line {at + 2}: "):
        verify(lines(rows))


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"seq": 1}', "[" * 100_000])
def test_what_is_no_row_is_named_and_not_fallen_over(text: str) -> None:
    with pytest.raises(Broken, match=r"^line 1: is not"):
        verify([text])


def test_digests_do_not_depend_on_the_order_of_fields() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    assert digest(None) is None
    # Of `{"a":1}` by sha256sum.
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize("text", ["", "1", "1:abc", f"-1:{START}", f"x:{START}", START])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SEQ:HASH"):
        Head.parse(text)
