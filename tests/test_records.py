"""`records.dataclass` behaves like `dataclasses.dataclass`, and compiles less."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields
from typing import Any

import pytest

from kubectl_fluidmodel import records

Decorator = Callable[..., Any]
DECORATORS = pytest.mark.parametrize(
    "dataclass",
    [dataclasses.dataclass, records.dataclass],
    ids=["the standard library's", "ours"],
)


def point(dataclass: Decorator, **options: Any) -> Any:
    """A class with fields of all sorts."""

    @dataclass(**options)
    class Point:
        x: int
        y: int = 0
        tags: tuple[str, ...] = field(default=(), compare=False)
        secret: str = field(default="", repr=False)
        notes: list[str] = field(default_factory=list, compare=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x")

        @property
        def sum(self) -> int:
            return self.x + self.y

    return Point


@DECORATORS
def test_fields_are_compared_and_hashed_unless_excluded(dataclass: Decorator) -> None:
    cls = point(dataclass, frozen=True)
    assert cls(1, 2) == cls(1, 2, ("a",)) != cls(2, 1)
    assert hash(cls(1, 2)) == hash(cls(1, 2, ("a",)))
    assert cls(1, secret="s") != cls(1)
    assert cls(1) != (1, 0) and cls(1) != point(dataclass, frozen=True)(1)


@DECORATORS
def test_an_instance_shows_its_fields_unless_they_are_hidden(dataclass: Decorator) -> None:
    shown = repr(point(dataclass, frozen=True)(1, secret="s"))
    assert shown.endswith("Point(x=1, y=0, tags=(), notes=[])")


@DECORATORS
def test_a_frozen_instance_does_not_change(dataclass: Decorator) -> None:
    made = point(dataclass, frozen=True)(1)
    for name in ("x", "unknown"):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, 2)
        with pytest.raises(FrozenInstanceError):
            delattr(made, name)
    assert made.x == 1


@DECORATORS
def test_an_instance_that_is_not_frozen_changes_and_has_no_hash(dataclass: Decorator) -> None:
    made = point(dataclass)(1)
    made.x = 2
    assert made.sum == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)


@DECORATORS
def test_it_works_with_the_functions_of_dataclasses(dataclass: Decorator) -> None:
    cls = point(dataclass, frozen=True)
    assert dataclasses.is_dataclass(cls)
    assert [each.name for each in fields(cls)] == ["x", "y", "tags", "secret", "notes"]
    assert dataclasses.replace(cls(1), y=5).sum == 6
    assert dataclasses.asdict(cls(1)) == vars(cls(1))
    assert copy.deepcopy(cls(1, 2)) == cls(1, 2)
    assert cls(1).notes is not cls(1).notes
    with pytest.raises(ValueError, match="x"):
        cls(-1)


@DECORATORS
def test_a_subclass_adds_fields(dataclass: Decorator) -> None:
    base = point(dataclass, frozen=True, kw_only=True)

    @dataclass(frozen=True)
    class Named(base):
        name: str

        def __repr__(self) -> str:
            return self.name

    made = Named("n", x=1)
    assert (made.sum, repr(made)) == (1, "n")
    assert made == Named("n", x=1) != Named("m", x=1)
    assert made != base(x=1)
    with pytest.raises(FrozenInstanceError):
        made.name = "m"


@DECORATORS
def test_a_class_without_fields_has_one_value(dataclass: Decorator) -> None:
    @dataclass(frozen=True)
    class Nothing:
        pass

    assert Nothing() == Nothing() and hash(Nothing()) == hash(Nothing())


@DECORATORS
def test_classes_in_an_order_are_sorted(dataclass: Decorator) -> None:
    cls = point(dataclass, frozen=True, order=True)
    assert sorted([cls(2), cls(1, 1), cls(1)]) == [cls(1), cls(1, 1), cls(2)]


@records.dataclass(frozen=True)
class Sent:
    """Of a module, as pickle needs it."""

    text: str


def test_an_instance_is_pickled() -> None:
    assert pickle.loads(pickle.dumps(Sent("x"))) == Sent("x")  # noqa: S301 - our own bytes


def compiled_methods(cls: type) -> set[str]:
    """The methods of a class that were compiled when it was created."""
    here = sys._getframe().f_code.co_filename
    return {
        name
        for name, value in vars(cls).items()
        if (code := getattr(value, "__code__", None)) is not None
        and code.co_filename not in (here, records.__file__, dataclasses.__file__)
    }


def test_only_the_constructor_is_compiled() -> None:
    assert compiled_methods(point(records.dataclass, frozen=True)) == {"__init__"}
    assert "__eq__" in compiled_methods(point(dataclasses.dataclass, frozen=True))
