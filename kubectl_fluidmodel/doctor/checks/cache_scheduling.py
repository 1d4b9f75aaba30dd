"""3xx: unschedulable cache pods, by the obstacle that most nodes have in common."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations, scheduling_fix
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Finding,
    Fix,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_MASTER
from kubectl_fluidmodel.doctor.unschedulable import (
    AFFINITY,
    ANTI_AFFINITY,
    OTHER,
    PORTS,
    RESOURCES,
    TAINT,
    UnschedulablePod,
    selects_node,
    unschedulable_pods,
    untolerated_taints,
)
from kubectl_fluidmodel.fluid import names, placement
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import WORKER, Cache
from kubectl_fluidmodel.objects import kinds, node_selector
from kubectl_fluidmodel.objects.access import (
    HOSTNAME_LABEL,
    full_name,
    get_path,
    labels_of,
    name_of,
)
from kubectl_fluidmodel.objects.node_selector import terms_of
from kubectl_fluidmodel.objects.resource_requests import requested_amount
from kubectl_fluidmodel.objects.scheduler import Filter, host_ports
from kubectl_fluidmodel.output.units import format_bytes, pluralize, summarize


def _unread_hint(unscheduled: UnschedulablePod) -> str:
    return (
        "; what pods of other namespaces hold could not be read" if unscheduled.pods_unread else ""
    )


@register_check("FM301", "every cache pod fits on a node", needs=(kinds.PODS,), explains=NO_MASTER)
def cache_pods_have_room(context: CheckContext) -> Iterator[Finding]:
    """No node has enough free resources for a cache pod.

    Most nodes where the pod may run have too little memory, CPU, disk, GPUs or pod slots left. The
    finding lists for each node what the pod requests and what is free.

    Fluid adds the quota of a memory tier to the worker's memory request, so a large model in memory
    needs a node with that much unreserved memory. Choose a quota that fits the model, cache on
    disk, use a larger node, or free resources on the intended one.
    """
    for unscheduled in unschedulable_pods(context, RESOURCES):
        pod, part = unscheduled.pod, unscheduled.component
        resources = ", ".join(unscheduled.lacking_resources())
        requested = requested_amount(pod, "memory")
        cause = f"no node has enough free {resources} for the {part}"
        if unscheduled.is_explained:
            cause += f": {unscheduled.describe_nodes()}"
        else:
            cause += f", which requests {format_bytes(requested)} of memory"
        yield Finding(
            object_reference(pod),
            cause
            + scheduling_fix.oversized_quota_hint(context.cache, unscheduled)
            + _unread_hint(unscheduled),
            unscheduled.evidence(),
            scheduling_fix.give_more_room(context.cache, unscheduled, requested),
        )


@register_check(
    "FM302",
    "no other cache keeps the workers off their nodes",
    needs=(kinds.PODS,),
    explains=NO_MASTER,
)
def no_other_cache_repels_workers(context: CheckContext) -> Iterator[Finding]:
    """Another cache keeps the workers off their nodes, or this one repels others.

    A Dataset with Fluid's default placement, Exclusive, does not share its nodes: its workers repel
    the workers of every other Dataset. Two models on one node need `placement: Shared` on both.
    Fluid computes the workers' affinity when it first scales them up, so a changed Dataset has to
    be recreated.
    """
    cache = context.cache
    for unscheduled in unschedulable_pods(context, ANTI_AFFINITY):
        pod = unscheduled.pod
        alone = [
            exclusive
            for exclusive in (cache, *_caches_in_the_way(context, unscheduled))
            if _is_exclusive(exclusive)
        ]
        culprits = ", ".join(f"{exclusive.namespace}/{exclusive.name}" for exclusive in alone)
        first = next(iter(alone), cache)
        yield Finding(
            object_reference(pod),
            f"the placement of {culprits or 'another Dataset'} is Exclusive, so that it shares "
            f"no node with other caches{_nodes_hint(unscheduled)}",
            (
                *unscheduled.evidence(),
                *(
                    observations.field_evidence(exclusive.dataset or {}, "spec", "placement")
                    for exclusive in alone
                ),
            ),
            Fix(cache_commands.recreate_cache(first)),
        )


def _is_exclusive(cache: Cache) -> bool:
    return cache.dataset is not None and get_path(cache.dataset, "spec", "placement") != "Shared"


def _caches_in_the_way(context: CheckContext, unscheduled: UnschedulablePod) -> list[Cache]:
    """Other caches whose workers keep the pod off a node, or run on a node that suits it."""
    keeping = {
        full_name(holder)
        for against in unscheduled.obstacles.values()
        for obstacle in against
        if obstacle.filter is Filter.OTHERS
        for holder in obstacle.holders
    }
    suitable = {
        name_of(node)
        for node in context.snapshot.of_kind(kinds.NODES)
        if selects_node(unscheduled.pod, node)
    }
    own_key = (context.cache.namespace, context.cache.name)
    return [
        cache
        for cache in context.caches
        if (cache.namespace, cache.name) != own_key
        and (
            any(full_name(pod) in keeping for pod in cache.pods.get(WORKER, []))
            if keeping
            else suitable & set(cache.node_names)
        )
    ]


def _nodes_hint(unscheduled: UnschedulablePod) -> str:
    """The obstacles per node, as the end of a sentence."""
    return f": {unscheduled.describe_nodes()}" if unscheduled.is_explained else ""


@register_check(
    "FM303",
    "the Dataset's node affinity matches a node",
    needs=(kinds.PODS, kinds.NODES),
    explains=NO_MASTER,
)
def node_affinity_matches_a_node(context: CheckContext) -> Iterator[Finding]:
    """No node matches the node affinity of the Dataset.

    The workers run where the Dataset's `nodeAffinity` says. The node it names does not exist or has
    another name, or a label is misspelled. Recreate the cache on an existing node.
    """
    for unscheduled in unschedulable_pods(context, AFFINITY):
        part, pod = unscheduled.component, unscheduled.pod
        terms = terms_of(get_path(pod, "spec", "affinity")) or []
        hosts = placement.bound_hostnames(context.cache.dataset or {})
        hostnames = {
            labels_of(node).get(HOSTNAME_LABEL) for node in context.snapshot.of_kind(kinds.NODES)
        }
        missing = [host for host in hosts if host not in hostnames]
        selector = get_path(pod, "spec", "nodeSelector", default={})
        requirements = node_selector.describe(terms) if terms else f"nodeSelector {selector}"
        cause = (
            f"node {', '.join(missing)} that the Dataset names is not in the cluster"
            if missing
            else f"no node matches the requirements of the {part}: {requirements}"
        )
        evidence = list(unscheduled.evidence())
        if context.cache.dataset is not None:
            evidence.append(
                observations.field_evidence(context.cache.dataset, "spec", "nodeAffinity")
            )
        yield Finding(
            object_reference(pod),
            cause,
            tuple(evidence),
            Fix(cache_commands.recreate_cache(context.cache)),
        )


@register_check(
    "FM304",
    "the cache pods tolerate the taints of their nodes",
    needs=(kinds.PODS, kinds.NODES),
    explains=NO_MASTER,
)
def cache_pods_tolerate_taints(context: CheckContext) -> Iterator[Finding]:
    """A cache pod does not tolerate the taints of the nodes that it would fit on.

    GPU nodes usually have a taint, and the workers tolerate only what the Dataset's `tolerations`
    list. A taint is the only obstacle on most of the nodes that suit this pod. Fluid copies
    tolerations to the pods when it sets up the runtime: after changing the Dataset, recreate the
    runtime.
    """
    for unscheduled in unschedulable_pods(context, TAINT):
        pod = unscheduled.pod
        nodes = unscheduled.nodes_failing_only(Filter.TAINT) or [
            name_of(node)
            for node in context.snapshot.of_kind(kinds.NODES)
            if selects_node(pod, node) and untolerated_taints(pod, node)
        ]
        by_taint: dict[str, list[str]] = {}
        for name in nodes:
            for taint in untolerated_taints(pod, unscheduled.nodes[name]):
                by_taint.setdefault(taint, []).append(name)
        text = ", ".join(
            f"{taint} of node{'s' if len(tainted) > 1 else ''} {summarize(tainted)}"
            for taint, tainted in sorted(by_taint.items())
        )
        remaining = (
            unscheduled.describe_nodes(exclude=set(nodes)) if unscheduled.is_explained else ""
        )
        yield Finding(
            object_reference(pod),
            f"it does not tolerate the taint {text or 'of the nodes it may run on'}"
            + (f", which fit otherwise; {remaining}" if remaining else "")
            + scheduling_fix.oversized_quota_hint(context.cache, unscheduled),
            unscheduled.evidence(),
            scheduling_fix.add_tolerations(context.cache, unscheduled),
        )


@register_check(
    "FM305",
    "the cache's ports are free on its nodes",
    needs=(kinds.PODS,),
    explains=("FM820", *NO_MASTER),
)
def cache_ports_are_free(context: CheckContext) -> Iterator[Finding]:
    """The ports of the cache are in use on every node where its pods may run.

    By default, Alluxio uses the node's network, with ports that Fluid picks from 20000 to 26000.
    All workers of a cache have the same ports, so two of them never share a node. Use no more
    workers than there are nodes for them, or add tolerations to the Dataset to allow more nodes. If
    another process uses the ports, recreate the cache to get new ones.
    """
    for unscheduled in unschedulable_pods(context, PORTS):
        if unscheduled.sibling_nodes:
            yield _more_workers_than_nodes(context.cache, unscheduled)
            continue
        ports = sorted(port for port, _, _ in host_ports(unscheduled.pod))
        cause = (
            unscheduled.describe_nodes() + _unread_hint(unscheduled)
            if unscheduled.is_explained
            else f"its ports {', '.join(map(str, ports))} are taken on every node it may run on"
        )
        yield Finding(
            object_reference(unscheduled.pod),
            cause,
            unscheduled.evidence(),
            Fix(cache_commands.recreate_cache(context.cache)),
        )


def _more_workers_than_nodes(cache: Cache, unscheduled: UnschedulablePod) -> Finding:
    runtime = cache.runtime or {}
    replicas = runtimes.wanted_replicas(cache.runtime) or 0
    occupied = sorted(unscheduled.sibling_nodes)
    take = "takes one" if len(occupied) == 1 else "take one each"
    cause = f"{pluralize(replicas, 'worker')}, and only {pluralize(len(occupied), 'node')} {take} "
    tainted = unscheduled.gpu_tainted_nodes()
    remaining = unscheduled.describe_nodes(exclude={*unscheduled.sibling_nodes, *tainted})
    cause += f"({summarize(occupied, 5)})" + (f"; {remaining}" if remaining else "")
    if tainted:
        taints = {
            taint
            for name in tainted
            for taint in untolerated_taints(unscheduled.pod, unscheduled.nodes[name])
        }
        cause += (
            f"; tolerations on the Dataset for {', '.join(sorted(taints))} would add "
            f"{summarize(tainted)}"
        )
    if names.has_own_spec(cache.dataset or {}):
        fix = Fix(cache_commands.rebuild_cache(cache, "--replicas", str(len(occupied))))
    else:
        fix = Fix(fix_commands.patch_object(runtime, {"spec": {"replicas": len(occupied)}}))
    return Finding(
        object_reference(unscheduled.pod),
        cause,
        (observations.field_evidence(runtime, "spec", "replicas"), *unscheduled.evidence()),
        fix,
    )


def _only_cordoned(unscheduled: UnschedulablePod) -> bool:
    return all(
        obstacle.filter is Filter.CORDON
        for obstacle in chain.from_iterable(unscheduled.obstacles.values())
    )


@register_check("FM306", "every cache pod is scheduled", needs=(kinds.PODS,), explains=NO_MASTER)
def cache_pods_are_scheduled(context: CheckContext) -> Iterator[Finding]:
    """The scheduler finds no node for a cache pod, for another reason.

    For example: nodes are cordoned or not ready, a volume is in another zone, or the scheduler does
    not run.
    """
    for unscheduled in unschedulable_pods(context, OTHER):
        pod, part = unscheduled.pod, unscheduled.component
        cordoned = [
            name_of(node)
            for node in context.snapshot.of_kind(kinds.NODES)
            if get_path(node, "spec", "unschedulable") and selects_node(pod, node)
        ]
        fix = (
            Fix(fix_commands.uncordon_nodes(cordoned[:1]))
            if cordoned
            else observations.describe(pod)
        )
        cause = (
            f"node {', '.join(cordoned)} is cordoned, and the {part} may run nowhere else"
            if cordoned and _only_cordoned(unscheduled)
            else f"the scheduler has no node for the {part}{_nodes_hint(unscheduled)}"
        )
        yield Finding(object_reference(pod), cause, unscheduled.evidence(), fix)
