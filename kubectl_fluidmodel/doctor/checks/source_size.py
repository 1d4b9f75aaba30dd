"""6xx: the model's size now and when it was cached."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Finding,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.checks.load import reload_fix
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.output.units import format_bytes


@register_check("FM614", "the source has the size that was cached", explains=("FM605",))
def source_has_the_cached_size(context: CheckContext) -> Iterator[Finding]:
    """The source has another size than when the cache was created.

    `cache` recorded the size of the model. If Fluid finds less, files are missing in the store, and
    the cache cannot be complete. If it finds more, the model has grown, and the quota may be too
    small.
    """
    cache = context.cache
    usage = cache_usage(cache)
    if cache.dataset is None or not usage.source_changed:
        return
    recorded, reported = usage.source_bytes or 0, usage.fluid_bytes or 0
    fewer = reported < recorded
    path = ("metadata", "annotations", names.BYTES_ANNOTATION)
    yield Finding(
        object_reference(cache.dataset),
        f"the store has {format_bytes(reported)}, {'less' if fewer else 'more'} than the "
        f"{format_bytes(recorded)} that the model had when it was cached",
        (
            observations.field_evidence(cache.dataset, "status", "ufsTotal"),
            observations.field_evidence(cache.dataset, *path),
        ),
        reload_fix(cache),
        None if fewer else Severity.WARNING,
    )
