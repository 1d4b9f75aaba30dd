"""Is the cache there, whole, and in the graph's namespace?"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.objects.access import at, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.output.text import size
from kubectl_fluidmodel.pin.preflight.context import REFUSE, WARN, CacheFacts, Case, Verdict


def judge_cache(case: Case) -> Iterator[Verdict]:
    """A cache that is not Bound or has no claim refuses; one that is not full warns."""
    facts = case.cache
    where = f" -n {facts.namespace}"
    if facts.dataset is None:
        # Reads run side by side, so what was refused is in no order.
        refused = [text for text in facts.unread if text.startswith("datasets")]
        if refused:
            yield Verdict(WARN, f"the cache {facts.model} was not checked", refused[0])
        else:
            yield absent(facts)
        return
    readers = facts.readers()
    for what, obj in (("Dataset", facts.dataset), ("claim", facts.claim)):
        if obj is not None and is_terminating(obj):
            yield Verdict(
                REFUSE,
                f"the {what} {facts.model} is being deleted",
                describe_deletion(obj, readers),
                f"kubectl get {'dataset' if what == 'Dataset' else 'pvc'} {facts.model}{where}",
                always=True,
            )
            return
    status = fluid_status.dataset(facts.dataset)
    if not status.bound:
        yield Verdict(
            REFUSE,
            f"the cache {facts.model} is not Bound but {status.phase}",
            status.setup_error or "its pods could not mount it",
            f"kubectl describe dataset {facts.model}{where}",
        )
        return
    if facts.claim is None or at(facts.claim, "status", "phase", default="Bound") != "Bound":
        phase = at(facts.claim, "status", "phase", default="absent") if facts.claim else "absent"
        yield Verdict(
            REFUSE,
            f"the claim {facts.model} in namespace {facts.namespace} is {phase}",
            "Fluid makes it when the cache is Bound",
            f"kubectl describe dataset {facts.model}{where}",
        )
        return
    if status.total and status.cached is not None:
        short = status.total - status.cached
        if short > status.cached_rounding:
            yield Verdict(
                WARN,
                f"the cache {facts.model} holds {size(status.cached)} of {size(status.total)}",
                "the first start reads the rest from the store",
                f"kubectl get dataload{where}",
            )


def judge_graph(case: Case) -> Iterator[Verdict]:
    """A graph that is being deleted takes no pin."""
    graph = case.before
    if is_terminating(graph):
        yield Verdict(
            REFUSE,
            f"{case.graph.reference} is being deleted",
            describe_deletion(graph),
            f"kubectl get {case.graph.reference.partition('/')[0]} {name_of(graph)} "
            f"-n {case.cache.namespace} -o yaml",
            always=True,
        )


def absent(facts: CacheFacts) -> Verdict:
    """The refusal for a cache that is not there."""
    what = f"there is no cache {facts.model} in namespace {facts.namespace}"
    if facts.elsewhere:
        return Verdict(
            REFUSE,
            what,
            f"it is in {', '.join(facts.elsewhere)}, and a pod mounts claims of its own "
            "namespace only",
            f"kubectl fluidmodel cache SOURCE --name {facts.model} -n {facts.namespace}",
        )
    return Verdict(
        REFUSE,
        what,
        "",
        f"kubectl fluidmodel cache SOURCE --name {facts.model} -n {facts.namespace}",
    )
