"""What the API's description says of values is what is taken; and what it says of routes follows from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import Depends
from openmanager.alerts.quiet import parse_maintenance
from openmanager.alerts.rules import parse_rule
from openmanager.catalog import PARTS
from openmanager.errors import InvalidInput
from openmanager.oncall.alerts import read_note
from openmanager.sources import native
from openmanager.sources.limits import HIGHEST
from openmanager.telemetry.baselines import quantize
from openmanager.telemetry.samples import Samples, from_points, merge
from openmanager.web import Viewer, bounded_body, create_app, documented
from openmanager.web.described import problems
from openmanager.whole import whole

from infra import openapi

NOW_MS = 1_764_000_000_000
DESCRIPTION: dict[str, Any] = json.loads(Path(openapi.TARGET).read_text())
RULE = {"id": "hot", "kind": "threshold", "metric": "cpu_utilization", "warning": 80}
WINDOW = {"id": "w", "days": ["sat"], "at": "02:00", "minutes": 60}


@pytest.mark.parametrize(
    ("value", "number"), [(5, 5), (5.0, 5), (-0.0, 0), (5.5, None), (True, None), ("5", None), (float("inf"), None)]
)
def test_a_whole_number_may_be_written_with_a_point(value: Any, number: int | None) -> None:
    assert whole(value) == number
    assert type(whole(value)) is (int if number is not None else type(None))


def test_a_rule_and_a_window_take_whole_numbers_as_json_writes_them() -> None:
    assert type(parse_rule(RULE | {"for_min": 10.0}).for_min) is int
    assert type(parse_maintenance(WINDOW | {"minutes": 90.0}).minutes) is int


@pytest.mark.parametrize("name", ["", "급함", "a b", "x" * 65])
def test_a_rule_s_name_is_of_ascii(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_rule(RULE | {"id": name})
    assert refused.value.field == "id"


@pytest.mark.parametrize("at", ["2:00", "02:0", "24:00", "02:00:00", " 02:00"])
def test_a_window_begins_at_a_time_with_all_its_digits(at: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_maintenance(WINDOW | {"at": at})
    assert refused.value.field == "at"


@pytest.mark.parametrize("note", [5, None, "x" * 501])
def test_a_note_that_is_no_short_text_is_refused(note: Any) -> None:
    with pytest.raises(InvalidInput):
        read_note({"note": note})


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_value_that_is_too_large_to_be_kept_is_left_out_and_does_not_sink_the_others(part: str) -> None:
    group = "metrics" if PARTS[part].kind == "gauge" else "counters"
    samples = [{group: {part: value}} for value in (HIGHEST[part], HIGHEST[part] * 1.1)]
    body = {"server": "web-01", "samples": [*samples, {"metrics": {"load_1m": 1}, "time": NOW_MS / 1000 - 1}]}
    parsed = native.parse(json.dumps(body).encode(), NOW_MS)
    assert "samples[1]" in {rejection.field.partition(".")[0] for rejection in parsed.rejected}
    integers, present = quantize(parsed.pushes[0].samples)
    assert present.any()
    assert (np.abs(integers) < 2**62).all()


def test_rows_without_a_series_disappear_among_others() -> None:
    """Such tables are what is left of a frame whose series nobody wanted; one of them ended every live stream."""
    bare = Samples((), np.array([NOW_MS]), np.empty((1, 0)), np.zeros(1, np.bool_))
    known = from_points([("load_1m", NOW_MS + 1000, 0.5)])
    table = merge([bare, known])
    assert table.series == ("load_1m",)
    assert table.times.tolist() == [NOW_MS, NOW_MS + 1000]
    assert np.isnan(table.values[0, 0])
    assert table.values[1, 0] == 0.5


def test_a_route_s_problems_follow_from_what_it_takes() -> None:
    app = create_app("example")

    @app.put("/things/{id}", responses=problems(409), openapi_extra=documented({"type": "object"}))
    def put(_: Viewer, id: str, body: bytes = Depends(bounded_body(10)), more: str | None = None) -> None:
        """A thing."""

    operation = app.openapi()["paths"]["/things/{id}"]["put"]
    assert list(operation["responses"]) == ["200", "409", "400", "401", "403", "404", "413", "415", "429", "503"]
    assert operation["responses"]["429"]["headers"]["Retry-After"]["required"]
    (more,) = (p for p in operation["parameters"] if p["name"] == "more")
    assert (more["schema"]["type"], more["schema"]["pattern"]) == ("string", r"^[^\u0000]*$")


def test_every_body_in_json_says_what_may_be_in_it() -> None:
    vague = [
        f"{method} {path}"
        for path, operations in DESCRIPTION["paths"].items()
        for method, operation in operations.items()
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json"
        and not {"properties", "oneOf", "anyOf", "additionalProperties"} & content["schema"].keys()
    ]
    assert vague == []
