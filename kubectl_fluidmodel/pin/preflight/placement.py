"""Checks that the pods can run on the nodes that hold the cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator

from kubectl_fluidmodel.dynamo.autoscaling import replica_limit, shortfall
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.scheduling import GpuRequest, pack_pods, unschedulable_reasons
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import gpus
from kubectl_fluidmodel.objects.access import Object, full_name, name_of
from kubectl_fluidmodel.objects.gpus import Gpus
from kubectl_fluidmodel.objects.node_selector import REQUIRED
from kubectl_fluidmodel.objects.taints import untolerated
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.output.units import pluralize, summarize
from kubectl_fluidmodel.pin.preflight.context import (
    REFUSE,
    WARN,
    PreflightContext,
    PreflightFinding,
)


def check_placement(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Refuse if a worker would stay Pending; with a preference, only warn."""
    cache = context.cache
    workers = [before for before, _ in context.pinned_workers()]
    if not workers or cache.dataset is None or context.request.adopt:
        return
    level = WARN if context.request.preferred else REFUSE
    if cache.nodes is None:
        yield PreflightFinding(
            WARN, "whether the pods fit was not checked", "; ".join(cache.unread)
        )
        return
    if not cache.nodes:
        yield PreflightFinding(
            level,
            f"no node has the label {cache.label}=true",
            "Fluid sets it some 15 s after the cache is Bound, and never for a ThinRuntime",
            kubectl("get", "nodes", "-l", f"{cache.label}=true"),
        )
        return
    suitable: dict[str, list[Object]] = {}
    for worker in workers:
        suitable[worker.name] = yield from _suitable_nodes(worker, cache.nodes, level)
        yield from _check_pod_affinity(worker)
    if not all(suitable.values()):
        return
    spread = list(_check_multinode(workers, suitable, level))
    obstacles = spread or list(_check_gpus(context, workers, suitable, level))
    yield from obstacles or _check_growth(context, workers, suitable)


def _suitable_nodes(
    component: Component, nodes: list[Object], level: str
) -> Generator[PreflightFinding, None, list[Object]]:
    """Return the cache nodes that a component's own constraints and size allow."""
    spec, needs = component.pod_spec(), component.gpus()
    suitable = []
    reasons: Counter[str] = Counter()
    for node in nodes:
        against = [reason.text for reason in unschedulable_reasons(spec, node, needs)]
        if not against and not gpus.has_enough(needs, gpus.allocatable_gpus(node)):
            offered = sum(gpus.allocatable_gpus(node).values())
            against = [f"{_gpu_text(needs)} needed, the node has {offered}"]
        reasons.update(against)
        if not against:
            suitable.append(node)
    if not suitable:
        listed = ", ".join(name_of(node) for node in nodes[:3]) + (", …" if len(nodes) > 3 else "")
        yield PreflightFinding(
            level,
            f"component {component.name} cannot run on any cache node ({listed})",
            "; ".join(
                text if count == len(nodes) else f"{text} ({pluralize(count, 'node')})"
                for text, count in reasons.most_common(4)
            ),
            "--preferred, or a cache on other nodes",
        )
    taints = [untolerated(spec, node) for node in suitable]
    if suitable and all(taints):
        yield PreflightFinding(
            WARN,
            f"component {component.name} does not tolerate {taints[0][0]}, which every matching "
            "cache node has",
            "its pods run there only if the cluster's ExtendedResourceToleration adds the "
            "toleration",
        )
    return suitable


def _check_pod_affinity(component: Component) -> Iterator[PreflightFinding]:
    affinity = component.pod_spec().get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        if (affinity.get(kind) or {}).get(REQUIRED):
            yield PreflightFinding(
                WARN,
                f"component {component.name} has a required {kind}",
                "combined with the cache's nodes, it may leave pods Pending; it was not evaluated",
            )


def _check_multinode(
    workers: list[Component], suitable: dict[str, list[Object]], level: str
) -> Iterator[PreflightFinding]:
    """Find replicas that span more nodes than have the cache."""
    for worker in workers:
        span, count = worker.nodes_per_replica, len(suitable[worker.name])
        if worker.replicas and span > count:
            yield PreflightFinding(
                level,
                f"component {worker.name} spreads each replica over {span} nodes, and only "
                f"{pluralize(count, 'cache node')} {'suits' if count == 1 else 'suit'} it",
                "gang scheduling may not prevent this: operators before Dynamo's #7905 require "
                "only one pod of each role, and the pods that start wait for the rest",
                f"`cache` with --replicas {span}, or --preferred",
            )


def _check_gpus(
    context: PreflightContext,
    workers: list[Component],
    suitable: dict[str, list[Object]],
    level: str,
) -> Iterator[PreflightFinding]:
    """Count GPUs: the capacity of the cache nodes, and what other pods leave free."""
    pods: list[GpuRequest] = [
        (worker.name, worker.gpus(), tuple(name_of(node) for node in suitable[worker.name]))
        for worker in workers
        if worker.gpus()
        for _ in range(worker.replicas * worker.nodes_per_replica)
    ]
    nodes = {name_of(node): node for node in context.cache.nodes or []}
    allocatable = {name: gpus.allocatable_gpus(node) for name, node in nodes.items()}
    unplaced = Counter(pack_pods(pods, allocatable))
    if unplaced:
        yield _too_few_gpus(workers, unplaced, allocatable, level)
        return
    other_pods = {
        name: [pod for pod in listed if not context.owns_pod(pod)]
        for name, listed in context.cache.pods.items()
        if name in nodes
    }
    free = {name: gpus.free_gpus(nodes[name], listed) for name, listed in other_pods.items()}
    pods_on_read_nodes = [
        (name, needs, tuple(node for node in candidates if node in free))
        for name, needs, candidates in pods
    ]
    unplaced = Counter(pack_pods(pods_on_read_nodes, free))
    if unplaced:
        yield _gpus_in_use(unplaced, other_pods, len(nodes), level)


def _check_growth(
    context: PreflightContext, workers: list[Component], suitable: dict[str, list[Object]]
) -> Iterator[PreflightFinding]:
    """Warn of replicas that an autoscaler or the planner may add, and no cache node can hold."""
    cache = context.cache
    for worker in workers:
        nodes = {name_of(node): gpus.allocatable_gpus(node) for node in suitable[worker.name]}
        limit = replica_limit(context.graph, worker, context.autoscalers)
        missing = shortfall(worker, limit, nodes)
        if missing is None or context.request.preferred:
            continue
        source = names.source_uri(cache.dataset) if cache.dataset else ""
        flags = ("--name", cache.name, "--replicas", str(missing.nodes_needed))
        yield PreflightFinding(
            WARN,
            f"component {worker.name} {missing}",
            "",
            str(kubectl("fluidmodel", "cache", Operand(source), *flags, namespace=cache.namespace))
            if source and missing.nodes_needed
            else "--preferred",
        )


def _too_few_gpus(
    workers: list[Component], unplaced: Counter[str], allocatable: dict[str, Gpus], level: str
) -> PreflightFinding:
    parts = []
    for worker in workers:
        if worker.name in unplaced:
            nodes = worker.nodes_per_replica
            span = f" of {pluralize(nodes, 'node')} each" if nodes > 1 else ""
            parts.append(
                f"{worker.name} needs {pluralize(worker.replicas * nodes, 'pod')} with "
                f"{_gpu_text(worker.gpus())} ({pluralize(worker.replicas, 'replica')}{span}), "
                f"{unplaced[worker.name]} too many"
            )
    total = pluralize(sum(sum(offered.values()) for offered in allocatable.values()), "GPU")
    return PreflightFinding(
        level,
        f"{pluralize(len(allocatable), 'cache node')} with {total} cannot hold the graph",
        "; ".join(parts),
        "kubectl fluidmodel cache with more --replicas, or --preferred",
    )


def _gpus_in_use(
    unplaced: Counter[str], other_pods: dict[str, list[Object]], node_count: int, level: str
) -> PreflightFinding:
    """Return a refusal for too few free GPUs; a warning if some nodes' pods were not read."""
    is_partial = len(other_pods) < node_count
    holders = sorted(
        {
            full_name(pod)
            for listed in other_pods.values()
            for pod in listed
            if gpus.used_gpus([pod])
        }
    )
    shown = summarize(holders)
    missing = ", ".join(f"{count} of {name}" for name, count in unplaced.items())
    checked = f" (checked {len(other_pods)} of {node_count})" if is_partial else ""
    return PreflightFinding(
        WARN if is_partial else level,
        f"the cache nodes have no free GPUs for {pluralize(sum(unplaced.values()), 'pod')}"
        f" ({missing}){checked}",
        f"held by {shown}" if holders else "other pods of the graph need them",
        "--preferred, or free the GPUs first",
    )


def _gpu_text(needs: Gpus) -> str:
    return pluralize(sum(needs.values()), "GPU")
