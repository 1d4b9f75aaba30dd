"""Is the cache there, whole, and in the graph's namespace?"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.objects.access import get_path, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.output.units import format_bytes
from kubectl_fluidmodel.pin.preflight.context import (
    REFUSE,
    WARN,
    CacheInfo,
    PreflightContext,
    PreflightFinding,
)


def check_cache(context: PreflightContext) -> Iterator[PreflightFinding]:
    """A cache that is not Bound or has no claim refuses; one that is not full warns."""
    info = context.cache
    where = f" -n {info.namespace}"
    if info.dataset is None:
        # Reads run side by side, so what was refused is in no order.
        refused = [text for text in info.unread if text.startswith("datasets")]
        if refused:
            yield PreflightFinding(WARN, f"the cache {info.model} was not checked", refused[0])
        else:
            yield no_cache_finding(info)
        return
    readers = info.reader_pods()
    for what, obj in (("Dataset", info.dataset), ("claim", info.claim)):
        if obj is not None and is_terminating(obj):
            yield PreflightFinding(
                REFUSE,
                f"the {what} {info.model} is being deleted",
                describe_deletion(obj, readers),
                f"kubectl get {'dataset' if what == 'Dataset' else 'pvc'} {info.model}{where}",
                even_if_pinned=True,
            )
            return
    status = fluid_status.parse_dataset(info.dataset)
    if not status.is_bound:
        yield PreflightFinding(
            REFUSE,
            f"the cache {info.model} is not Bound but {status.phase}",
            status.setup_error or "its pods could not mount it",
            f"kubectl describe dataset {info.model}{where}",
        )
        return
    if info.claim is None or get_path(info.claim, "status", "phase", default="Bound") != "Bound":
        phase = (
            get_path(info.claim, "status", "phase", default="absent") if info.claim else "absent"
        )
        yield PreflightFinding(
            REFUSE,
            f"the claim {info.model} in namespace {info.namespace} is {phase}",
            "Fluid makes it when the cache is Bound",
            f"kubectl describe dataset {info.model}{where}",
        )
        return
    if status.total and status.cached is not None:
        short = status.total - status.cached
        if short > status.cached_precision:
            yield PreflightFinding(
                WARN,
                f"the cache {info.model} holds {format_bytes(status.cached)} of "
                f"{format_bytes(status.total)}",
                "the first start reads the rest from the store",
                f"kubectl get dataload{where}",
            )


def check_graph(context: PreflightContext) -> Iterator[PreflightFinding]:
    """A graph that is being deleted takes no pin."""
    graph = context.before
    if is_terminating(graph):
        yield PreflightFinding(
            REFUSE,
            f"{context.graph.reference} is being deleted",
            describe_deletion(graph),
            f"kubectl get {context.graph.reference.partition('/')[0]} {name_of(graph)} "
            f"-n {context.cache.namespace} -o yaml",
            even_if_pinned=True,
        )


def no_cache_finding(info: CacheInfo) -> PreflightFinding:
    """The refusal for a cache that is not there."""
    what = f"there is no cache {info.model} in namespace {info.namespace}"
    if info.elsewhere:
        return PreflightFinding(
            REFUSE,
            what,
            f"it is in {', '.join(info.elsewhere)}, and a pod mounts claims of its own "
            "namespace only",
            f"kubectl fluidmodel cache SOURCE --name {info.model} -n {info.namespace}",
        )
    return PreflightFinding(
        REFUSE,
        what,
        "",
        f"kubectl fluidmodel cache SOURCE --name {info.model} -n {info.namespace}",
    )
