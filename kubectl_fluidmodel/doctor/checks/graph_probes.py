"""7xx: whether the probes of a graph's workers allow the time that loading the model takes."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import CheckContext, Finding, Severity, register_check
from kubectl_fluidmodel.doctor.graph_usage import reading_workers
from kubectl_fluidmodel.dynamo.probe_budget import probe_shortfalls
from kubectl_fluidmodel.inventory.usage import cache_usage


@register_check(
    "FM747", "the workers' probes allow the time to load the model", severity=Severity.WARNING
)
def probes_allow_loading(context: CheckContext) -> Iterator[Finding]:
    """The kubelet kills a worker before its model is loaded.

    A startup probe allows `periodSeconds` times `failureThreshold`; without one, the liveness probe
    counts from the start of the container. If loading takes longer, the kubelet restarts the worker
    in the middle of it, again and again, without an error message. The load time is the size of the
    model over the rate of an engine's default loader. `pin --probe-budget` raises the threshold.
    """
    cache = context.cache
    model_bytes = cache_usage(cache).source_bytes
    for use in reading_workers(context) if model_bytes else ():
        for shortfall in probe_shortfalls(use.component, model_bytes or 0):
            yield Finding(
                use.about,
                f"component {use.component.name} is killed before its model is loaded: "
                f"{shortfall.reason}",
                (
                    use.field_evidence(
                        shortfall.budget.probe,
                        f"periodSeconds {shortfall.budget.period}, "
                        f"failureThreshold {shortfall.budget.failure_threshold}",
                    ),
                    observations.field_evidence(cache.dataset or {}, "status", "ufsTotal"),
                ),
                use.pin_fix("--probe-budget"),
            )
