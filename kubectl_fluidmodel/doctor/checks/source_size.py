"""6xx: the model's size, as Fluid measures it and as it was when it was cached."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Severity, check, reference
from kubectl_fluidmodel.doctor.checks.load import again
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.output.text import size


@check("FM614", "the store holds what was cached from it", explains=("FM605",))
def same(case: Case) -> Iterator[Finding]:
    """When `cache` made this cache it noted how many bytes the model has. Fluid finds fewer: files
    are missing in the store, so the cache cannot be whole. Or it finds more: the model has grown
    since, and the quota may be too small for it.
    """
    cache = case.own
    found = amount(cache)
    if cache.dataset is None or not found.changed:
        return
    noted, told = found.total or 0, found.counted or 0
    fewer = told < noted
    place = ("metadata", "annotations", names.BYTES_ANNOTATION)
    yield Finding(
        reference(cache.dataset),
        f"the store has {size(told)}, {'less' if fewer else 'more'} than the {size(noted)} "
        "that the model had when it was cached",
        (
            observations.field(cache.dataset, "status", "ufsTotal"),
            observations.field(cache.dataset, *place),
        ),
        again(cache),
        None if fewer else Severity.WARNING,
    )
