"""How much of a model there is, and how much of it is cached: honest about what is not known. Pure.

Fluid writes sizes with two decimals, so that a whole cache and one that lacks a megabyte can look
the same: `whole` is as sure as these digits, and 100% is never the rounding of less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects.access import annotations_of, at


@dataclass(frozen=True)
class Amount:
    """Bytes of one cache; None where nobody says."""

    total: int | None = None
    """Of the source."""
    exact: bool = False
    """Whether `total` was measured at the source, and not rounded by Fluid."""
    counted: int | None = None
    """Of the source by Fluid's count, rounded."""
    counted_rounding: int = 0
    cached: int | None = None
    """In all workers together, rounded."""
    rounding: int = 0
    """How far off `cached` may be."""
    capacity: int | None = None
    """Of all workers together."""
    copies: int = 1
    """Workers that shall each hold all of it."""
    calculating: bool = False
    """Whether Fluid still counts the source."""
    files: int | None = None
    lacking: int | None = None
    """Files that are not whole in the cache, where its master listed them."""
    left_out: int = 0
    """Bytes beside the model that Fluid counts and we do not."""

    @property
    def whole(self) -> bool | None:
        """Whether every copy is there, as far as Fluid's digits go; None where it cannot be told.

        Fluid's own two numbers are rounded alike, so the slack of both counts. A file that is
        known to lack something settles it.
        """
        if self.lacking:
            return False
        if self.total is None or self.cached is None:
            return None
        slack = self.rounding + (0 if self.exact else self.counted_rounding)
        return self.cached + slack >= self.total * self.copies

    @property
    def percent(self) -> float | None:
        """The share of the wanted copies, one decimal, rounded down: 100 only where it is whole.

        More than 100 where blocks are held that nobody asked for.
        """
        if self.whole is None or not self.total:
            return 100.0 if self.whole else None
        share = 100.0 * (self.cached or 0) / (self.total * self.copies)
        if self.whole and share < 100.05:
            return 100.0
        floor = math.floor(share * 10) / 10
        return floor if self.whole else min(floor, 99.9)

    @property
    def changed(self) -> bool:
        """Whether the source is another size now than when it was measured."""
        if not self.exact or self.total is None or self.counted is None:
            return False
        return abs(self.counted - self.total - self.left_out) > self.counted_rounding


def amount(cache: Cached) -> Amount:
    """What is known of a cache's bytes."""
    dataset, runtime = cache.dataset, cache.runtime
    if dataset is None:
        return Amount(copies=runtimes.copies(runtime))
    said = status.dataset(dataset)
    text = at(dataset, "status", "ufsTotal")
    measured = whole_number(annotations_of(dataset).get(names.BYTES_ANNOTATION))
    files = whole_number(annotations_of(dataset).get(names.FILES_ANNOTATION))
    if files is None:
        files = whole_number(at(dataset, "status", "fileNum"))
    nothing = runtimes.traits(runtime).share_of == runtimes.NOTHING and cache.origin is None
    return Amount(
        total=said.total if measured is None else measured,
        exact=measured is not None,
        counted=said.total,
        counted_rounding=status.rounding(text),
        cached=None if nothing else said.cached,
        rounding=said.cached_rounding,
        left_out=whole_number(annotations_of(dataset).get(names.LEFT_OUT_ANNOTATION)) or 0,
        capacity=said.capacity,
        copies=runtimes.copies(runtime),
        calculating=str(text) == "[Calculating]",
        files=files,
    )


def whole_number(text: object) -> int | None:
    """The count that an annotation or a status field holds as text; None for anything else."""
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
