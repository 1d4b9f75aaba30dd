"""Can the pods run on the nodes that hold the cache?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.objects import gpus
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.node_selector import REQUIRED
from kubectl_fluidmodel.objects.taints import untolerated
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.pin.preflight.context import (
    REFUSE,
    WARN,
    PreflightContext,
    PreflightFinding,
)


def check_placement(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Refuses where a worker would stay Pending; with a preference it is only a warning."""
    info = context.cache
    workers = list(context.pinned_workers())
    if not workers or info.dataset is None:
        return
    level = WARN if context.request.preferred else REFUSE
    if info.nodes is None:
        yield PreflightFinding(
            WARN, "it was not checked whether the pods fit", "; ".join(info.unread)
        )
        return
    if not info.nodes:
        yield PreflightFinding(
            level,
            f"no node carries the label {info.key}=true",
            "Fluid sets it some 15 s after the cache is Bound, and never for a ThinRuntime",
            f"kubectl get nodes -l {info.key}=true",
        )
        return
    open_nodes: dict[str, list[Object]] = {}
    for before, _ in workers:
        found = yield from _schedulable_nodes(context, before, level)
        open_nodes[before.name] = found
        yield from _check_pod_affinity(before)
    if all(open_nodes.values()) and not (yield from _check_multinode(workers, open_nodes, level)):
        yield from _check_gpus(context, [before for before, _ in workers], open_nodes, level)


def _schedulable_nodes(
    context: PreflightContext, component: Component, level: str
) -> Generator[PreflightFinding, None, list[Object]]:
    """The cache nodes that a component's own constraints and size allow."""
    nodes = context.cache.nodes or []
    needs = component.gpus()
    found = []
    reasons: Counter[str] = Counter()
    for node in nodes:
        against = [
            o.text for o in scheduling.unschedulable_reasons(component.pod_spec(), node, needs)
        ]
        if not against and not gpus.has_enough(needs, gpus.allocatable_gpus(node)):
            offered = sum(gpus.allocatable_gpus(node).values())
            against = [f"{_gpu_text(needs)} needed, the node has {offered}"]
        reasons.update(against)
        if not against:
            found.append(node)
    if not found:
        named = ", ".join(name_of(node) for node in nodes[:3]) + (", …" if len(nodes) > 3 else "")
        listed = "; ".join(
            text if count == len(nodes) else f"{text} ({pluralize(count, 'node')})"
            for text, count in reasons.most_common(4)
        )
        yield PreflightFinding(
            level,
            f"component {component.name} can run on no cache node ({named})",
            listed,
            "--preferred, or a cache on other nodes",
        )
    strict = [untolerated(component.pod_spec(), node) for node in found]
    if found and all(strict):
        yield PreflightFinding(
            WARN,
            f"component {component.name} does not tolerate {strict[0][0]}, which every cache "
            "node that it fits has",
            "its pods run there only if the cluster's ExtendedResourceToleration adds it",
        )
    return found


def _check_pod_affinity(component: Component) -> Iterator[PreflightFinding]:
    affinity = component.pod_spec().get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        if (affinity.get(kind) or {}).get(REQUIRED):
            yield PreflightFinding(
                WARN,
                f"component {component.name} has a required {kind}",
                "together with the cache's node it may leave pods Pending; it was not evaluated",
            )


def _check_multinode(
    workers: list[tuple[Component, Component]], open_nodes: dict[str, list[Object]], level: str
) -> Generator[PreflightFinding, None, bool]:
    """A replica over more nodes than have the cache; whether there is one."""
    found = False
    for worker, _ in workers:
        wanted, there = worker.nodes_per_replica, len(open_nodes[worker.name])
        if not worker.replicas or wanted <= there:
            continue
        found = True
        yield PreflightFinding(
            level,
            f"component {worker.name} spreads each replica over {wanted} nodes, and only "
            f"{pluralize(there, 'cache node')} {'suits' if there == 1 else 'suit'} it",
            "gang scheduling need not hold its pods back: operators before Dynamo's #7905 ask for "
            "one pod of each role only, and those that start wait for the rest",
            f"kubectl fluidmodel cache with --replicas {wanted}, or --preferred",
        )
    return found


def _check_gpus(
    context: PreflightContext,
    workers: list[Component],
    open_nodes: dict[str, list[Object]],
    level: str,
) -> Iterator[PreflightFinding]:
    """Count GPUs: what the cache nodes have in all, and what others leave of it."""
    pods = [
        (worker.name, worker.gpus(), tuple(name_of(n) for n in open_nodes[worker.name]))
        for worker in workers
        if worker.gpus()
        for _ in range(worker.replicas * worker.nodes_per_replica)
    ]
    nodes = {name_of(node): node for node in context.cache.nodes or []}
    whole = {name: gpus.allocatable_gpus(node) for name, node in nodes.items()}
    unplaced = Counter(scheduling.pack_pods(pods, whole))
    if unplaced:
        yield _capacity_finding(workers, unplaced, whole, level)
        return
    counted = {name: listed for name, listed in context.cache.pods.items() if name in nodes}
    left = {
        name: gpus.free_gpus(nodes[name], [pod for pod in listed if not context.owns_pod(pod)])
        for name, listed in counted.items()
    }
    seen = [(name, needs, tuple(n for n in where if n in left)) for name, needs, where in pods]
    unplaced = Counter(scheduling.pack_pods(seen, left))
    if not unplaced:
        return
    if len(counted) < len(nodes):
        level = WARN  # the nodes that were not looked at may have room
    holders = sorted(
        {
            f"{pod['metadata'].get('namespace')}/{name_of(pod)}"
            for listed in counted.values()
            for pod in listed
            if not context.owns_pod(pod) and gpus.used_gpus([pod])
        }
    )
    shown = ", ".join(holders[:3]) + (f" and {len(holders) - 3} more" if len(holders) > 3 else "")
    missing = ", ".join(f"{count} of {name}" for name, count in unplaced.items())
    looked = f" (looked at {len(counted)} of {len(nodes)})" if len(counted) < len(nodes) else ""
    yield PreflightFinding(
        level,
        f"the cache nodes have no free GPUs for {pluralize(sum(unplaced.values()), 'pod')}"
        f" ({missing}){looked}",
        f"held by {shown}" if holders else "other pods of the graph need them",
        "--preferred, or free the GPUs first",
    )


def _capacity_finding(
    workers: list[Component], unplaced: Counter[str], whole: dict[str, Any], level: str
) -> PreflightFinding:
    parts = []
    for worker in workers:
        if worker.name in unplaced:
            nodes = (
                f" of {pluralize(worker.nodes_per_replica, 'node')} each"
                if worker.nodes_per_replica > 1
                else ""
            )
            count = worker.replicas * worker.nodes_per_replica
            parts.append(
                f"{worker.name} needs {pluralize(count, 'pod')} with {_gpu_text(worker.gpus())}"
                f" ({pluralize(worker.replicas, 'replica')}{nodes}), {unplaced[worker.name]} too "
                "many"
            )
    total = sum(sum(offered.values()) for offered in whole.values())
    return PreflightFinding(
        level,
        f"{pluralize(len(whole), 'cache node')} with {pluralize(total, 'GPU')} cannot hold the "
        "graph",
        "; ".join(parts),
        "kubectl fluidmodel cache with more --replicas, or --preferred",
    )


def _gpu_text(needs: dict[str, int]) -> str:
    total = sum(needs.values())
    return pluralize(total, "GPU")
