"""`dataclass`, but quick to create: a command creates up to a hundred, and most are never compared.

`dataclasses.dataclass` compiles the source of up to six methods for each class, which takes 0.3 to
0.4 ms. Here only `__init__` is compiled; the other methods are the same functions for all classes.
Measured in `docs/performance.md`.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(
        cls: type | None = None, /, *, frozen: bool = False, order: bool = False, **options: Any
    ) -> Any:
        """Create a dataclass; takes the arguments of `dataclasses.dataclass`.

        It differs in two details that no caller should rely on: `__dataclass_params__` says neither
        `frozen` nor `eq`, and a frozen instance has each attribute set once instead of never.
        """
        if cls is None:
            return lambda cls: dataclass(cls, frozen=frozen, order=order, **options)
        if order or not _DEFAULTS.issuperset(options):
            return dataclasses.dataclass(cls, frozen=frozen, order=order, **options)
        dataclasses.dataclass(cls, repr=False, eq=False, **options)
        fields = dataclasses.fields(cls)
        compared = [field.name for field in fields if field.compare]
        cls._record_values = attrgetter(*compared) if compared else staticmethod(lambda _: ())
        cls._record_shown = tuple(field.name for field in fields if field.repr)
        for name, method in (_FROZEN_METHODS if frozen else _METHODS).items():
            if name not in cls.__dict__:
                setattr(cls, name, method)
        return cls


_DEFAULTS = frozenset({"kw_only"})
"""Options that do not change which methods a class has."""


def _repr(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._record_shown)
    return f"{type(self).__qualname__}({values})"


def _eq(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return self._record_values(self) == self._record_values(other)


def _hash(self: Any) -> int:
    return hash(self._record_values(self))


def _set(self: Any, name: str, value: object) -> None:
    if name in self.__dict__ or name not in self.__dataclass_fields__:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _delete(_: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS = {"__repr__": _repr, "__eq__": _eq, "__hash__": None}
_FROZEN_METHODS = {
    **_METHODS,
    "__hash__": _hash,
    "__setattr__": _set,
    "__delattr__": _delete,
}
