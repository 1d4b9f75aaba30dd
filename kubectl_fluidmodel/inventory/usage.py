"""The size of a model, and how much of it is cached. Pure.

Fluid writes sizes with two decimals, so a complete cache and one without its last megabyte can look
the same. `is_complete` is as exact as these digits, and a smaller value is never rounded up to
100%.
"""

from __future__ import annotations

import math

from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import annotations_of, get_path
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class CacheUsage:
    """Bytes of a cache; None if unknown."""

    source_bytes: int | None = None
    """Size of the source."""
    is_exact: bool = False
    """Whether `source_bytes` was measured at the source, and not rounded by Fluid."""
    fluid_bytes: int | None = None
    """Size of the source by Fluid's count, rounded."""
    fluid_precision: int = 0
    cached_bytes: int | None = None
    """In all workers together, rounded."""
    cached_precision: int = 0
    """Maximum rounding error of `cached_bytes`."""
    capacity_bytes: int | None = None
    """Of all workers together."""
    copies: int = 1
    """Number of workers that should each hold all of it."""
    is_calculating: bool = False
    """Whether Fluid is still counting the source."""
    files: int | None = None
    incomplete_files: int | None = None
    """Files that are not completely cached, if its master listed them."""
    skipped_bytes: int = 0
    """Bytes of files in the source that Fluid counts but that do not belong to the model."""

    @property
    def is_complete(self) -> bool | None:
        """Whether every copy is complete, as far as Fluid's digits show; None if unknown.

        Both of Fluid's numbers are rounded, so the rounding errors of both count. A file that is
        known to be incomplete decides it.
        """
        if self.incomplete_files:
            return False
        if self.source_bytes is None or self.cached_bytes is None:
            return None
        slack = self.cached_precision + (0 if self.is_exact else self.fluid_precision)
        return self.cached_bytes + slack >= self.source_bytes * self.copies

    @property
    def percent(self) -> float | None:
        """The cached percentage of the desired copies, rounded down to one decimal.

        It is more than 100 if there are more copies than desired, and 100 only if complete.
        """
        if self.is_complete is None or not self.source_bytes:
            return 100.0 if self.is_complete else None
        share = 100.0 * (self.cached_bytes or 0) / (self.source_bytes * self.copies)
        if self.is_complete and share < 100.05:
            return 100.0
        floor = math.floor(share * 10) / 10
        return floor if self.is_complete else min(floor, 99.9)

    @property
    def source_changed(self) -> bool:
        """Whether the source has another size now than when it was measured."""
        if not self.is_exact or self.source_bytes is None or self.fluid_bytes is None:
            return False
        return abs(self.fluid_bytes - self.source_bytes - self.skipped_bytes) > self.fluid_precision


def cache_usage(cache: Cache) -> CacheUsage:
    """Return what is known of a cache's bytes."""
    dataset, runtime = cache.dataset, cache.runtime
    if dataset is None:
        return CacheUsage(copies=runtimes.wanted_copies(runtime))
    state = status.parse_dataset(dataset)
    text = get_path(dataset, "status", "ufsTotal")
    measured = parse_count(annotations_of(dataset).get(names.BYTES_ANNOTATION))
    files = parse_count(annotations_of(dataset).get(names.FILES_ANNOTATION))
    if files is None:
        files = parse_count(get_path(dataset, "status", "fileNum"))
    nothing = (
        runtimes.runtime_traits(runtime).percentage_of == runtimes.NOT_REPORTED
        and cache.origin is None
    )
    return CacheUsage(
        source_bytes=state.total if measured is None else measured,
        is_exact=measured is not None,
        fluid_bytes=state.total,
        fluid_precision=status.size_precision(text),
        cached_bytes=None if nothing else state.cached,
        cached_precision=state.cached_precision,
        skipped_bytes=parse_count(annotations_of(dataset).get(names.EXCLUDED_BYTES_ANNOTATION))
        or 0,
        capacity_bytes=state.capacity,
        copies=runtimes.wanted_copies(runtime),
        is_calculating=str(text) == "[Calculating]",
        files=files,
    )


def parse_count(text: object) -> int | None:
    """Parse the count in an annotation or a status field; None for anything else."""
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
