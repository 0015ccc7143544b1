"""Values compare, hash and print as dataclasses do."""

import json
from dataclasses import asdict, dataclass, field, fields, replace

import pytest
from openmanager.ledger.track import Track
from openmanager.notify.notice import Notice, read_notice
from openmanager.values import frozen, known_fields, mutable
from openmanager.watch.book import Book


@frozen
class Point:
    """Two numbers, a secret that is not printed and a remark that is not compared."""

    x: int
    y: int = 2
    secret: str = field(default="s", repr=False)
    remark: str = field(default="", compare=False)

    @property
    def sum(self) -> int:
        return self.x + self.y


@frozen
class Nothing:
    """No fields."""


@frozen(eq=False)
class Thing:
    """Itself only."""

    x: int


@mutable
class Counter:
    """A number that changes."""

    n: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """As the standard library makes it."""

    x: int
    y: int = 2


def test_a_value_says_its_fields_as_a_dataclass_does() -> None:
    assert repr(Point(1, remark="r")) == "Point(x=1, y=2, remark='r')"
    assert repr(Told(1)).replace("Told", "Point") + "" == repr(Point(1)).replace(", remark=''", "")
    assert [f.name for f in fields(Point)] == ["x", "y", "secret", "remark"]
    assert asdict(Counter(1, ["a"])) == {"n": 1, "names": ["a"]}
    assert replace(Point(1), x=5).sum == 7


def test_values_are_equal_by_the_fields_that_are_compared() -> None:
    assert Point(1) == Point(1, remark="other")
    assert Point(1) != Point(1, secret="other")
    assert Point(1) != Told(1)
    assert Nothing() == Nothing()
    assert Thing(1) != Thing(1)
    assert Counter(1) == Counter(1) != Counter(2)


def test_only_what_does_not_change_has_a_hash_of_its_fields() -> None:
    assert {Point(1): "a"}[Point(1, remark="other")] == "a"
    assert hash(Nothing()) == hash(Nothing())
    assert len({Thing(1), Thing(1)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter())


@pytest.mark.parametrize("value", [Point(1), Counter(1)])
def test_nothing_but_its_fields_fits_into_a_value(value: object) -> None:
    with pytest.raises(AttributeError):
        value.other = 1  # type: ignore[attr-defined]


def test_what_a_later_version_added_does_not_keep_this_one_from_reading() -> None:
    assert known_fields(Point, {"x": 1, "later": 2}) == {"x": 1}
    alert = {"server": "web-01", "rule": "cpu", "state": "firing", "severity": "critical", "since": 1, "changed": 2}
    book = Book.read(json.dumps({"alerts": [alert | {"later": 1}], "paged": {}}))
    assert book.alerts["cpu"].state == "firing"
    notice = Notice("n", "firing", "web-01", "cpu", "critical", 1, 2, "CPU high")
    assert read_notice(notice.as_dict() | {"later": 1}) == notice
    assert Track.of(Track().as_dict() | {"later": 1}) == Track()
