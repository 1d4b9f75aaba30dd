"""6xx: the model's size, as Fluid measures it and as it was when it was cached."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import amounts, witness
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.checks.load import again
from kubectl_fluidmodel.fluid import names, state
from kubectl_fluidmodel.kube.kind import at, dicts, meta
from kubectl_fluidmodel.ui.text import size

CALCULATING = "[Calculating]"
MEASURING = 600.0
"""Seconds that Fluid may take to measure a store: it lists everything, once."""


@check("FM613", "Fluid knows the model's size", severity=Severity.WARNING)
def measured(case: Case) -> Iterator[Finding]:
    """Fluid measures the store once, by listing all of it through the master. It says [Calculating]
    meanwhile, and cannot tell how much is cached. With very many files, or a master that does not
    answer, it does not end; the runtime controller's log then has "Metadata sync failed".
    """
    dataset = case.own.dataset
    if dataset is None or at(dataset, "status", "ufsTotal") != CALCULATING:
        return
    conditions = dicts(dataset, "status", "conditions")
    ready = next((c.get("lastTransitionTime") for c in conditions if c.get("type") == "Ready"), "")
    since = witness.since(case, ready or meta(dataset).get("creationTimestamp"))
    if since is None or since < MEASURING:
        return
    yield Finding(
        reference(dataset),
        "Fluid is still measuring the store, so nobody knows whether the model is whole",
        (witness.field(dataset, "status", "ufsTotal"),),
        Fix(
            f"kubectl logs -n {names.SYSTEM_NAMESPACE} deployment/alluxioruntime-controller "
            "--since=1h"
        ),
    )


@check("FM614", "the store holds what was cached from it", explains=("FM605",))
def same(case: Case) -> Iterator[Finding]:
    """When `cache` made this cache it noted how many bytes the model has. Fluid finds fewer: files
    are missing in the store, so the cache cannot be whole. Or it finds more: the model has grown
    since, and the quota may be too small for it.
    """
    cache = case.own
    noted, told = amounts.expected(cache), state.dataset(cache.dataset).total
    if cache.dataset is None or noted is None or told is None:
        return
    off = state.rounding(at(cache.dataset, "status", "ufsTotal"))
    if abs(told - noted) <= off:
        return
    fewer = told < noted
    place = ("metadata", "annotations", names.BYTES_ANNOTATION)
    yield Finding(
        reference(cache.dataset),
        f"the store has {size(told)}, {'less' if fewer else 'more'} than the {size(noted)} "
        "that the model had when it was cached",
        (
            witness.field(cache.dataset, "status", "ufsTotal"),
            witness.field(cache.dataset, *place),
        ),
        again(cache),
        None if fewer else Severity.WARNING,
    )
