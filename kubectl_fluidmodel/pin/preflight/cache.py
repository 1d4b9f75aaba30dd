"""Checks that the cache exists, is complete, and is in the graph's namespace."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.objects.access import get_path, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.output.units import format_bytes
from kubectl_fluidmodel.pin.preflight.context import (
    REFUSE,
    WARN,
    CacheInfo,
    PreflightContext,
    PreflightFinding,
)


def check_cache(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Refuses a cache that is not Bound or has no claim; warns of one that is not complete."""
    cache = context.cache
    if cache.dataset is None:
        # Reads run in parallel, so the order of `unread` is arbitrary.
        forbidden = [text for text in cache.unread if text.startswith("datasets")]
        if forbidden:
            message = f"the cache {cache.name} was not checked"
            yield PreflightFinding(WARN, message, forbidden[0])
        else:
            yield no_cache_finding(cache)
        return
    yield from _first_refusal(cache) or _incomplete(cache)


def _first_refusal(cache: CacheInfo) -> list[PreflightFinding]:
    """Return why the cache cannot be mounted; one reason hides the next."""
    for noun, kind, obj in (("Dataset", "dataset", cache.dataset), ("claim", "pvc", cache.claim)):
        if obj is not None and is_terminating(obj):
            return [
                PreflightFinding(
                    REFUSE,
                    f"the {noun} {cache.name} is being deleted",
                    describe_deletion(obj, cache.reader_pods()),
                    kubectl("get", kind, Operand(cache.name), namespace=cache.namespace),
                    even_if_pinned=True,
                )
            ]
    describe = kubectl("describe", "dataset", Operand(cache.name), namespace=cache.namespace)
    status = fluid_status.parse_dataset(cache.dataset)
    if not status.is_bound:
        message = f"the cache {cache.name} is not Bound but {status.phase}"
        reason = status.setup_error or "its pods could not mount it"
        return [PreflightFinding(REFUSE, message, reason, describe)]
    phase = get_path(cache.claim, "status", "phase", default="Bound") if cache.claim else "absent"
    if phase != "Bound":
        message = f"the claim {cache.name} in namespace {cache.namespace} is {phase}"
        reason = "Fluid creates it when the cache is Bound"
        return [PreflightFinding(REFUSE, message, reason, describe)]
    return []


def _incomplete(cache: CacheInfo) -> list[PreflightFinding]:
    status = fluid_status.parse_dataset(cache.dataset)
    if not status.total or status.cached is None:
        return []
    if status.total - status.cached <= status.cached_precision:
        return []
    return [
        PreflightFinding(
            WARN,
            f"the cache {cache.name} holds {format_bytes(status.cached)} of "
            f"{format_bytes(status.total)}",
            "the first start reads the rest from the store",
            kubectl("get", "dataload", namespace=cache.namespace),
        )
    ]


def check_graph(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Refuses a graph that is being deleted."""
    graph = context.before
    reference = context.graph.reference
    if is_terminating(graph):
        yield PreflightFinding(
            REFUSE,
            f"{reference} is being deleted",
            describe_deletion(graph),
            kubectl(
                *("get", reference.partition("/")[0], Operand(name_of(graph)), "-o", "yaml"),
                namespace=context.cache.namespace,
            ),
            even_if_pinned=True,
        )


def no_cache_finding(cache: CacheInfo) -> PreflightFinding:
    """Return the refusal for a missing cache."""
    reason = ""
    if cache.other_namespaces:
        reason = (
            f"it is in {', '.join(cache.other_namespaces)}, and a pod can mount only claims in its "
            "own namespace"
        )
    return PreflightFinding(
        REFUSE,
        f"there is no cache {cache.name} in namespace {cache.namespace}",
        reason,
        kubectl("fluidmodel", "cache", "SOURCE", "--name", cache.name, namespace=cache.namespace),
    )
