"""3xx: cache pods that find no node, by the reason that keeps them off most of the nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Finding,
    Fix,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.checks.capacity import memory_tier_bytes, quota_per_worker
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
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.model.sizing import quota_for
from kubectl_fluidmodel.objects import kinds, node_selector
from kubectl_fluidmodel.objects.access import (
    HOSTNAME_LABEL,
    Object,
    full_name,
    get_list,
    get_path,
    labels_of,
    name_of,
    summarize,
)
from kubectl_fluidmodel.objects.node_selector import terms_of
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.objects.resource_requests import requested_amount
from kubectl_fluidmodel.objects.scheduler import Filter, host_ports
from kubectl_fluidmodel.output.shell import Command, Operand
from kubectl_fluidmodel.output.shell import chain as then
from kubectl_fluidmodel.output.units import format_bytes, pluralize

OVERSIZED_QUOTA_FACTOR = 4
"""A quota so many times what the model needs is a mistake, and said where it finds no room."""


def _unread_hint(found: UnschedulablePod) -> str:
    return "; what pods of other namespaces hold could not be read" if found.pods_unread else ""


@register_check(
    "FM301", "a node has room for every cache pod", needs=(kinds.PODS,), explains=NO_MASTER
)
def cache_pods_have_room(context: CheckContext) -> Iterator[Finding]:
    """Most nodes that a cache pod may run on have too little of a resource free: memory, CPU, disk,
    GPUs or places for pods. The finding says of each node what is asked for and what is left.

    Fluid adds a memory tier's quota to the worker's memory request, so that a large model in
    memory needs a node with all of that unreserved. Take a quota that fits the model, cache on a
    disk, take a larger node, or make room on the one that is meant.
    """
    for found in unschedulable_pods(context, RESOURCES):
        pod, part = found.pod, found.component
        what = ", ".join(_lacking_resources(found))
        asked = requested_amount(pod, "memory")
        cause = f"no node has enough free {what} for the {part}"
        if found.is_explained:
            cause += f": {found.describe_nodes()}"
        else:
            cause += f", which requests {format_bytes(asked)} of memory"
        yield Finding(
            object_reference(pod),
            cause + _oversized_quota_hint(context.cache, found) + _unread_hint(found),
            found.evidence(),
            _more_room_fix(context.cache, found, asked),
        )


def _lacking_resources(found: UnschedulablePod) -> list[str]:
    """The resources that lack, by the nodes where known, else by the scheduler's words."""
    if found.is_explained:
        obstacles = [each for against in found.obstacles.values() for each in against]
        short = [o.subject for o in obstacles if o.filter in (Filter.ROOM, Filter.PODS)]
        return list(dict.fromkeys(short))
    message = re.findall(r"Insufficient (\S+?)[,.;]|(Too many pods)", f"{found.message},")
    return list(dict.fromkeys(first or "pods" for first, _ in message))


def _fitting_quota(cache: Cache) -> int | None:
    """A quota that suits the model, where the one that is there is far too large; else None."""
    quota, total = quota_per_worker(cache), cache_usage(cache).source_bytes
    if quota is None or total is None:
        return None
    needed = quota_for(total)
    return needed if quota >= OVERSIZED_QUOTA_FACTOR * needed else None


def _oversized_quota_hint(cache: Cache, found: UnschedulablePod) -> str:
    total, quota = cache_usage(cache).source_bytes, quota_per_worker(cache)
    if found.component != WORKER or not memory_tier_bytes(cache) or not total or not quota:
        return ""
    if _fitting_quota(cache) is None or "memory" not in _lacking_resources(found):
        return ""
    return (
        f"; the quota of {format_bytes(quota)} is {quota // total:,} times the model's "
        f"{format_bytes(total)}"
    )


def _more_room_fix(cache: Cache, found: UnschedulablePod, asked: int) -> Fix:
    part, runtime = found.component, cache.runtime or {}
    lacking = _lacking_resources(found)
    if part == WORKER and "memory" in lacking and memory_tier_bytes(cache):
        fitting = _fitting_quota(cache)
        if fitting is not None:
            return _change_cache_fix(cache, quota=fitting)
        if found.gpu_tainted_nodes():
            return _add_tolerations_fix(cache, found)
        return Fix(fix_commands.rebuild_cache(cache, "--medium", "SSD"))
    ours = cache.dataset is not None and names.is_managed(cache.dataset)
    less = {} if ours else _reduced_requests(runtime, found)
    if less:
        return Fix(
            then(fix_commands.patch_object(runtime, less), fix_commands.recreate_runtime(runtime))
        )
    if part == WORKER and cache.dataset is not None:
        # Anew: a standing cache keeps to its node, and this one has none that fits.
        return Fix(fix_commands.recreate_cache(cache))
    kind = fix_commands.kubectl_kind(runtime) or "alluxioruntime"
    where = f"{kind} {cache.namespace}/{cache.name} spec.{part}.resources.requests"
    return Fix(f"memory: less than {format_bytes(asked)}", "yaml", where)


def _reduced_requests(runtime: Object, found: UnschedulablePod) -> Object:
    """Requests of the runtime that ask for more than any node has free, cut down to that."""
    asked = get_path(runtime, "spec", found.component, "resources", "requests", default={})
    free: dict[str, Decimal] = {}
    for against in found.obstacles.values():
        for each in against:
            if each.filter is Filter.ROOM:
                free[each.subject] = max(free.get(each.subject, each.free), each.free)
    cut = {
        name: _format_quantity(name, left)
        for name, left in free.items()
        if name in asked and left > 0
    }
    return {"spec": {found.component: {"resources": {"requests": cut}}}} if cut else {}


def _format_quantity(resource: str, free: Decimal) -> str:
    """An amount as Kubernetes writes it, rounded down."""
    if resource == "cpu":
        return f"{int(free * 1000)}m"
    return bytes_to_quantity(int(free)) if "/" not in resource else str(int(free))


def _change_cache_fix(
    cache: Cache, quota: int | None = None, tolerations: list[dict[str, str]] | None = None
) -> Fix:
    """The cache made again with another quota or more tolerations, and else as it is."""
    if cache.dataset is None or cache.runtime is None:
        return Fix(fix_commands.recreate_cache(cache))
    if names.is_managed(cache.dataset):
        if tolerations:
            return Fix(
                fix_commands.recreate_cache(cache)
            )  # `cache` chooses a node, and tolerates what it has
        return Fix(fix_commands.rebuild_cache(cache, "--quota", bytes_to_quantity(quota or 0)))
    steps: list[Command] = []
    if tolerations:
        mine = get_list(cache.dataset, "spec", "tolerations")
        added = [each for each in tolerations if each not in mine]
        steps.append(
            fix_commands.patch_object(cache.dataset, {"spec": {"tolerations": mine + added}})
        )
    if quota is not None:
        steps.append(
            fix_commands.patch_object(cache.runtime, _quota_patch(cache.runtime, quota), how="json")
        )
    return Fix(then(*steps, fix_commands.recreate_runtime(cache.runtime)))


def _quota_patch(runtime: Object, quota: int) -> list[Object]:
    """The quota of the first tier, and the memory request that Fluid wrote down for the old one."""
    level = "/spec/tieredstore/levels/0"
    had = get_path(runtime, "spec", "tieredstore", "levels", 0, "quotaList")
    change: list[Object] = [
        {"op": "add", "path": f"{level}/quota", "value": bytes_to_quantity(quota)}
    ]
    if had:
        change.append({"op": "remove", "path": f"{level}/quotaList"})
    if get_path(runtime, "spec", "worker", "resources", "requests", "memory"):
        change.append({"op": "remove", "path": "/spec/worker/resources/requests/memory"})
    return change


def _add_tolerations_fix(cache: Cache, found: UnschedulablePod) -> Fix:
    """Tolerations for the nodes that would do with them, and a quota that fits with it."""
    wanted = found.tolerations()
    quota = _fitting_quota(cache) if _oversized_quota_hint(cache, found) else None
    if not wanted:
        return Fix(fix_commands.recreate_cache(cache))
    return _change_cache_fix(cache, quota, wanted)


@register_check(
    "FM302",
    "no other cache keeps the workers off their nodes",
    needs=(kinds.PODS,),
    explains=NO_MASTER,
)
def no_other_cache_repels_workers(context: CheckContext) -> Iterator[Finding]:
    """A Dataset with Fluid's default placement, Exclusive, wants its nodes for itself: its workers
    repel those of every other Dataset, and theirs repel its own. Two models on one node need
    `placement: Shared` on both. Fluid builds the workers' affinity once, when it first scales
    them up, so a Dataset that is changed has to be made anew.
    """
    cache = context.cache
    for found in unschedulable_pods(context, ANTI_AFFINITY):
        pod = found.pod
        alone = [
            each for each in (cache, *_caches_in_the_way(context, found)) if _is_exclusive(each)
        ]
        culprits = ", ".join(f"{each.namespace}/{each.name}" for each in alone)
        first = next(iter(alone), cache)
        yield Finding(
            object_reference(pod),
            f"the placement of {culprits or 'another Dataset'} is Exclusive, so that it shares "
            f"no node with other caches{_nodes_hint(found)}",
            (
                *found.evidence(),
                *(
                    observations.field_evidence(each.dataset or {}, "spec", "placement")
                    for each in alone
                ),
            ),
            Fix(fix_commands.recreate_cache(first)),
        )


def _is_exclusive(cache: Cache) -> bool:
    return cache.dataset is not None and get_path(cache.dataset, "spec", "placement") != "Shared"


def _caches_in_the_way(context: CheckContext, found: UnschedulablePod) -> list[Cache]:
    """Other caches with a worker that keeps the pod off, or on a node that it might run on."""
    keeping = {
        full_name(holder)
        for against in found.obstacles.values()
        for each in against
        if each.filter is Filter.OTHERS
        for holder in each.holders
    }
    wanted = {
        name_of(node)
        for node in context.snapshot.of_kind(kinds.NODES)
        if selects_node(found.pod, node)
    }
    own = (context.cache.namespace, context.cache.name)
    return [
        each
        for each in context.caches
        if (each.namespace, each.name) != own
        and (
            any(full_name(pod) in keeping for pod in each.pods.get(WORKER, []))
            if keeping
            else wanted & set(each.node_names)
        )
    ]


def _nodes_hint(found: UnschedulablePod) -> str:
    """What is against the pod node by node, to go on with after a cause."""
    return f": {found.describe_nodes()}" if found.is_explained else ""


@register_check(
    "FM303",
    "the Dataset's node affinity fits a node",
    needs=(kinds.PODS, kinds.NODES),
    explains=NO_MASTER,
)
def node_affinity_matches_a_node(context: CheckContext) -> Iterator[Finding]:
    """The workers go where the Dataset's `nodeAffinity` says, and no node fits it: the node that
    was named is gone or bears another name, or a label is spelt otherwise. Make the cache anew
    on a node that is there.
    """
    for found in unschedulable_pods(context, AFFINITY):
        part, pod = found.component, found.pod
        terms = terms_of(get_path(pod, "spec", "affinity")) or []
        hosts = placement.bound_hostnames(context.cache.dataset or {})
        there = {
            labels_of(node).get(HOSTNAME_LABEL) for node in context.snapshot.of_kind(kinds.NODES)
        }
        gone = [host for host in hosts if host not in there]
        selector = get_path(pod, "spec", "nodeSelector", default={})
        wants = node_selector.describe(terms) if terms else f"nodeSelector {selector}"
        cause = (
            f"node {', '.join(gone)} that the Dataset names is not in the cluster"
            if gone
            else f"no node fits what the {part} asks for: {wants}"
        )
        evidence = list(found.evidence())
        if context.cache.dataset is not None:
            evidence.append(
                observations.field_evidence(context.cache.dataset, "spec", "nodeAffinity")
            )
        yield Finding(
            object_reference(pod),
            cause,
            tuple(evidence),
            Fix(fix_commands.recreate_cache(context.cache)),
        )


@register_check(
    "FM304",
    "the cache pods tolerate their nodes' taints",
    needs=(kinds.PODS, kinds.NODES),
    explains=NO_MASTER,
)
def cache_pods_tolerate_taints(context: CheckContext) -> Iterator[Finding]:
    """Nodes with GPUs mostly bear a taint, and the workers tolerate only what the Dataset's
    `tolerations` list. Most of the nodes that would do for this pod keep it off by a taint alone.
    Tolerations are copied to the pods when the runtime is set up: after the Dataset is changed, the
    runtime has to be made again.
    """
    for found in unschedulable_pods(context, TAINT):
        pod = found.pod
        nodes = found.nodes_failing_only(Filter.TAINT) or [
            name_of(node)
            for node in context.snapshot.of_kind(kinds.NODES)
            if selects_node(pod, node) and untolerated_taints(pod, node)
        ]
        by_taint: dict[str, list[str]] = {}
        for name in nodes:
            for taint in untolerated_taints(pod, found.nodes[name]):
                by_taint.setdefault(taint, []).append(name)
        text = ", ".join(
            f"{taint} of node{'s' if len(where) > 1 else ''} {summarize(where)}"
            for taint, where in sorted(by_taint.items())
        )
        rest = found.describe_nodes(exclude=set(nodes)) if found.is_explained else ""
        yield Finding(
            object_reference(pod),
            f"it does not tolerate the taint {text or 'of the nodes it may run on'}"
            + (f", which fit otherwise; {rest}" if rest else "")
            + _oversized_quota_hint(context.cache, found),
            found.evidence(),
            _add_tolerations_fix(context.cache, found),
        )


@register_check(
    "FM305",
    "the cache's ports are free on its nodes",
    needs=(kinds.PODS,),
    explains=("FM820", *NO_MASTER),
)
def cache_ports_are_free(context: CheckContext) -> Iterator[Finding]:
    """Alluxio runs in the node's own network by default, with ports that Fluid draws from 20000 to
    26000, the same in all workers of a cache: two of them never share a node. Take no more
    workers than there are nodes for them, or let the Dataset tolerate more nodes. Where something
    else listens on the ports, draw others by making the cache again.
    """
    for found in unschedulable_pods(context, PORTS):
        if found.sibling_nodes:
            yield _more_workers_than_nodes(context.cache, found)
            continue
        wanted = sorted(port for port, _, _ in host_ports(found.pod))
        cause = (
            found.describe_nodes()
            if found.is_explained
            else f"its ports {', '.join(map(str, wanted))} are taken on every node it may run on"
        )
        yield Finding(
            object_reference(found.pod),
            cause + _unread_hint(found) if found.is_explained else cause,
            found.evidence(),
            Fix(fix_commands.recreate_cache(context.cache)),
        )


def _more_workers_than_nodes(cache: Cache, found: UnschedulablePod) -> Finding:
    runtime = cache.runtime or {}
    wanted = runtimes.wanted_replicas(cache.runtime) or 0
    there = sorted(found.sibling_nodes)
    take = "takes one" if len(there) == 1 else "take one each"
    cause = f"{pluralize(wanted, 'worker')}, and only {pluralize(len(there), 'node')} {take} "
    more = found.gpu_tainted_nodes()
    rest = found.describe_nodes(exclude={*found.sibling_nodes, *more})
    cause += f"({summarize(there, 5)})" + (f"; {rest}" if rest else "")
    if more:
        taints = {
            taint for name in more for taint in untolerated_taints(found.pod, found.nodes[name])
        }
        cause += (
            f"; tolerations on the Dataset for {', '.join(sorted(taints))} would add "
            f"{summarize(more)}"
        )
    if cache.dataset is not None and names.is_managed(cache.dataset):
        fix = Fix(fix_commands.rebuild_cache(cache, "--replicas", str(len(there))))
    else:
        fix = Fix(fix_commands.patch_object(runtime, {"spec": {"replicas": len(there)}}))
    return Finding(
        object_reference(found.pod),
        cause,
        (observations.field_evidence(runtime, "spec", "replicas"), *found.evidence()),
        fix,
    )


def _only_cordoned(found: UnschedulablePod) -> bool:
    return all(
        each.filter is Filter.CORDON for each in chain.from_iterable(found.obstacles.values())
    )


@register_check("FM306", "every cache pod has a node", needs=(kinds.PODS,), explains=NO_MASTER)
def cache_pods_are_scheduled(context: CheckContext) -> Iterator[Finding]:
    """The scheduler finds no node for a reason of its own: nodes that are cordoned or not ready,
    volumes that another zone holds, a scheduler that does not run.
    """
    for found in unschedulable_pods(context, OTHER):
        pod, part = found.pod, found.component
        cordoned = [
            name_of(node)
            for node in context.snapshot.of_kind(kinds.NODES)
            if get_path(node, "spec", "unschedulable") and selects_node(pod, node)
        ]
        fix = (
            fix_commands.uncordon_nodes(cordoned[:1])
            if cordoned
            else fix_commands.kubectl_command(pod, "describe", "pod", Operand(name_of(pod)))
        )
        cause = (
            f"node {', '.join(cordoned)} is cordoned, and the {part} may run nowhere else"
            if cordoned and _only_cordoned(found)
            else f"the scheduler has no node for the {part}{_nodes_hint(found)}"
        )
        how = "command" if cordoned else "advice"
        yield Finding(object_reference(pod), cause, found.evidence(), Fix(fix, how))
