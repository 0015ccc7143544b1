"""Classes of plain values: dataclasses with slots, made in a quarter of the time.

`dataclasses` compiles the text of every method of every class while it is imported, which was a quarter of a worker's
cold start. Here it makes the constructor only; comparing, hashing and printing are closures over the field names.
Nothing at run time stops an assignment to a field of a `frozen` class: the type checker does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(made: type[T]) -> type[T]: ...
@overload
def frozen(*, eq: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(made: Any = None, *, eq: bool = True) -> Any:
    """A class of values that nobody changes. With `eq` it compares and hashes by its fields, else by identity."""

    def finish(plain: type[Any]) -> Any:
        finished = _slotted(plain)
        if eq:
            key = _compared(finished)
            finished.__hash__ = lambda self: hash(key(self))
        return finished

    return finish if made is None else finish(made)


@overload
def mutable(made: type[T]) -> type[T]: ...
@overload
def mutable(*, eq: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def mutable(made: Any = None, *, eq: bool = True) -> Any:
    """A class of values that change. With `eq` it compares by its fields and has no hash, else by identity."""

    def finish(plain: type[Any]) -> Any:
        finished = _slotted(plain)
        if eq:
            _compared(finished)
            finished.__hash__ = None
        return finished

    return finish if made is None else finish(made)


def known_fields(of: type[Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """`item` without what `of` has no field for.

    While a version is deployed, or taken back, the one before reads what a later one wrote, which may have added some.
    """
    names = of.__dataclass_fields__
    return {name: value for name, value in item.items() if name in names}


def _slotted(plain: type[Any]) -> Any:
    finished: Any = dataclass(repr=False, eq=False, slots=True)(plain)
    names = [about.name for about in fields(finished) if about.repr]

    def text(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    finished.__repr__ = text
    return finished


def _compared(finished: Any) -> Callable[[Any], Any]:
    """Has the class compare by its fields; what it compares."""
    names = [about.name for about in fields(finished) if about.compare]
    key: Callable[[Any], Any] = attrgetter(*names) if names else lambda _: ()

    def equal(self: Any, other: object) -> Any:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    finished.__eq__ = equal
    return key
