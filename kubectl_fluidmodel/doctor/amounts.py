"""How much of a model a cache holds, by what Fluid's objects say. Pure; bytes throughout.

Fluid rounds its sizes to two decimals of their unit, so every comparison leaves room for that.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.fluid import names, state
from kubectl_fluidmodel.kube.kind import Object, annotations_of, at
from kubectl_fluidmodel.kube.quantity import to_int
from kubectl_fluidmodel.overview.cached import Cached


@dataclass(frozen=True)
class Held:
    """What the store has of a model, and what of that is cached."""

    total: int
    cached: int
    copies: int
    slack: int
    """What rounding may hide."""

    @property
    def whole(self) -> bool:
        return self.cached + self.slack >= self.total * self.copies

    @property
    def percent(self) -> float:
        return 100.0 * self.cached / (self.total * self.copies) if self.total else 100.0


def held(cache: Cached) -> Held | None:
    """None where Fluid does not say yet, or never will (autoSync off)."""
    told = state.dataset(cache.dataset)
    if told.total is None or told.cached is None:
        return None
    copies = copies_of(cache.runtime)
    off = told.cached_rounding + state.rounding(at(cache.dataset, "status", "ufsTotal")) * copies
    return Held(told.total, told.cached, copies, off * 2)


def whole(cache: Cached) -> bool:
    """Whether all of the model is known to be cached."""
    found = held(cache)
    return found is not None and found.whole


def copies_of(runtime: Object | None) -> int:
    """How many workers hold each block: never more than there are."""
    workers = to_int(at(runtime, "spec", "replicas", default=1)) or 1
    return max(1, min(workers, to_int(at(runtime, "spec", "data", "replicas", default=1)) or 1))


def expected(cache: Cached) -> int | None:
    """The model's bytes when `cache` measured or planned it; None where it did not make it."""
    if cache.dataset is None:
        return None
    text = annotations_of(cache.dataset).get(names.BYTES_ANNOTATION, "")
    return int(text) if str(text).isdigit() else None


def size_of(cache: Cached) -> int | None:
    """The model's bytes: as the store has them today, else as they were when it was cached."""
    told = state.dataset(cache.dataset).total
    return told if told is not None else expected(cache)
