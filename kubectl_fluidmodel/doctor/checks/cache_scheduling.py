"""3xx: cache pods that find no node, by the reason that keeps them off most of the nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, check, reference
from kubectl_fluidmodel.doctor.checks.capacity import in_memory, quota_of
from kubectl_fluidmodel.doctor.consequences import NO_MASTER
from kubectl_fluidmodel.doctor.unschedulable import (
    AFFINITY,
    ELSE,
    OTHERS,
    PORTS,
    ROOM,
    TAINT,
    Nodeless,
    nodeless,
    selects,
    untolerated,
)
from kubectl_fluidmodel.fluid import names, placement
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import WORKER, Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.model.sizing import quota_for
from kubectl_fluidmodel.objects import kinds, node_selector
from kubectl_fluidmodel.objects.access import (
    HOSTNAME_LABEL,
    Object,
    at,
    dicts,
    full_name,
    labels_of,
    listed,
    name_of,
)
from kubectl_fluidmodel.objects.node_selector import terms_of
from kubectl_fluidmodel.objects.quantity import from_bytes
from kubectl_fluidmodel.objects.resource_requests import requested
from kubectl_fluidmodel.objects.scheduler import Filter, host_ports
from kubectl_fluidmodel.output.shell import Command, Operand
from kubectl_fluidmodel.output.shell import chain as then
from kubectl_fluidmodel.output.text import plural, size

OVERSIZED = 4
"""A quota so many times what the model needs is a mistake, and said where it finds no room."""


def _unread(found: Nodeless) -> str:
    return "; what pods of other namespaces hold could not be read" if found.unread else ""


@check("FM301", "a node has room for every cache pod", needs=(kinds.PODS,), explains=NO_MASTER)
def room(case: Case) -> Iterator[Finding]:
    """Most nodes that a cache pod may run on have too little of a resource free: memory, CPU, disk,
    GPUs or places for pods. The finding says of each node what is asked for and what is left.

    Fluid adds a memory tier's quota to the worker's memory request, so that a large model in
    memory needs a node with all of that unreserved. Take a quota that fits the model, cache on a
    disk, take a larger node, or make room on the one that is meant.
    """
    for found in nodeless(case, ROOM):
        pod, part = found.pod, found.part
        what = ", ".join(_lacking(found))
        asked = requested(pod, "memory")
        cause = f"no node has enough free {what} for the {part}"
        if found.judged:
            cause += f": {found.why_not()}"
        else:
            cause += f", which requests {size(asked)} of memory"
        yield Finding(
            reference(pod),
            cause + _oversized(case.own, found) + _unread(found),
            found.evidence(),
            _more_room(case.own, found, asked),
        )


def _lacking(found: Nodeless) -> list[str]:
    """The resources that lack, by the nodes where known, else by the scheduler's words."""
    if found.judged:
        obstacles = [each for against in found.against.values() for each in against]
        short = [o.subject for o in obstacles if o.filter in (Filter.ROOM, Filter.PODS)]
        return list(dict.fromkeys(short))
    words = re.findall(r"Insufficient (\S+?)[,.;]|(Too many pods)", f"{found.words},")
    return list(dict.fromkeys(first or "pods" for first, _ in words))


def _fitting_quota(cache: Cached) -> int | None:
    """A quota that suits the model, where the one that is there is far too large; else None."""
    quota, total = quota_of(cache), amount(cache).total
    if quota is None or total is None:
        return None
    needed = quota_for(total)
    return needed if quota >= OVERSIZED * needed else None


def _oversized(cache: Cached, found: Nodeless) -> str:
    total, quota = amount(cache).total, quota_of(cache)
    if found.part != WORKER or not in_memory(cache) or not total or not quota:
        return ""
    if _fitting_quota(cache) is None or "memory" not in _lacking(found):
        return ""
    return f"; the quota of {size(quota)} is {quota // total:,} times the model's {size(total)}"


def _more_room(cache: Cached, found: Nodeless, asked: int) -> Fix:
    part, runtime = found.part, cache.runtime or {}
    lacking = _lacking(found)
    if part == WORKER and "memory" in lacking and in_memory(cache):
        fitting = _fitting_quota(cache)
        if fitting is not None:
            return _with(cache, quota=fitting)
        if found.tolerable():
            return _tolerating(cache, found)
        return Fix(fix_commands.remade(cache, "--medium", "SSD"))
    ours = cache.dataset is not None and names.is_ours(cache.dataset)
    less = {} if ours else _less(runtime, found)
    if less:
        return Fix(then(fix_commands.patch(runtime, less), fix_commands.again(runtime)))
    if part == WORKER and cache.dataset is not None:
        # Anew: a standing cache keeps to its node, and this one has none that fits.
        return Fix(fix_commands.anew(cache))
    kind = fix_commands.kind_of(runtime) or "alluxioruntime"
    where = f"{kind} {cache.namespace}/{cache.name} spec.{part}.resources.requests"
    return Fix(f"memory: less than {size(asked)}", "yaml", where)


def _less(runtime: Object, found: Nodeless) -> Object:
    """Requests of the runtime that ask for more than any node has free, cut down to that."""
    asked = at(runtime, "spec", found.part, "resources", "requests", default={})
    free: dict[str, Decimal] = {}
    for against in found.against.values():
        for each in against:
            if each.filter is Filter.ROOM:
                free[each.subject] = max(free.get(each.subject, each.free), each.free)
    cut = {name: _quantity(name, left) for name, left in free.items() if name in asked and left > 0}
    return {"spec": {found.part: {"resources": {"requests": cut}}}} if cut else {}


def _quantity(resource: str, free: Decimal) -> str:
    """An amount as Kubernetes writes it, rounded down."""
    if resource == "cpu":
        return f"{int(free * 1000)}m"
    return from_bytes(int(free)) if "/" not in resource else str(int(free))


def _with(
    cache: Cached, quota: int | None = None, tolerations: list[dict[str, str]] | None = None
) -> Fix:
    """The cache made again with another quota or more tolerations, and else as it is."""
    if cache.dataset is None or cache.runtime is None:
        return Fix(fix_commands.anew(cache))
    if names.is_ours(cache.dataset):
        if tolerations:
            return Fix(
                fix_commands.anew(cache)
            )  # `cache` chooses a node, and tolerates what it has
        return Fix(fix_commands.remade(cache, "--quota", from_bytes(quota or 0)))
    steps: list[Command] = []
    if tolerations:
        mine = dicts(cache.dataset, "spec", "tolerations")
        added = [each for each in tolerations if each not in mine]
        steps.append(fix_commands.patch(cache.dataset, {"spec": {"tolerations": mine + added}}))
    if quota is not None:
        steps.append(
            fix_commands.patch(cache.runtime, _quota_patch(cache.runtime, quota), how="json")
        )
    return Fix(then(*steps, fix_commands.again(cache.runtime)))


def _quota_patch(runtime: Object, quota: int) -> list[Object]:
    """The quota of the first tier, and the memory request that Fluid wrote down for the old one."""
    level = "/spec/tieredstore/levels/0"
    had = at(runtime, "spec", "tieredstore", "levels", 0, "quotaList")
    change: list[Object] = [{"op": "add", "path": f"{level}/quota", "value": from_bytes(quota)}]
    if had:
        change.append({"op": "remove", "path": f"{level}/quotaList"})
    if at(runtime, "spec", "worker", "resources", "requests", "memory"):
        change.append({"op": "remove", "path": "/spec/worker/resources/requests/memory"})
    return change


def _tolerating(cache: Cached, found: Nodeless) -> Fix:
    """Tolerations for the nodes that would do with them, and a quota that fits with it."""
    wanted = found.tolerations()
    quota = _fitting_quota(cache) if _oversized(cache, found) else None
    if not wanted:
        return Fix(fix_commands.anew(cache))
    return _with(cache, quota, wanted)


@check(
    "FM302",
    "no other cache keeps the workers off their nodes",
    needs=(kinds.PODS,),
    explains=NO_MASTER,
)
def others(case: Case) -> Iterator[Finding]:
    """A Dataset with Fluid's default placement, Exclusive, wants its nodes for itself: its workers
    repel those of every other Dataset, and theirs repel its own. Two models on one node need
    `placement: Shared` on both. Fluid builds the workers' affinity once, when it first scales
    them up, so a Dataset that is changed has to be made anew.
    """
    cache = case.own
    for found in nodeless(case, OTHERS):
        pod = found.pod
        alone = [each for each in (cache, *_beside(case, found)) if _exclusive(each)]
        culprits = ", ".join(f"{each.namespace}/{each.name}" for each in alone)
        first = next(iter(alone), cache)
        yield Finding(
            reference(pod),
            f"the placement of {culprits or 'another Dataset'} is Exclusive, so that it shares "
            f"no node with other caches{_nodes(found)}",
            (
                *found.evidence(),
                *(observations.field(each.dataset or {}, "spec", "placement") for each in alone),
            ),
            Fix(fix_commands.anew(first)),
        )


def _exclusive(cache: Cached) -> bool:
    return cache.dataset is not None and at(cache.dataset, "spec", "placement") != "Shared"


def _beside(case: Case, found: Nodeless) -> list[Cached]:
    """Other caches with a worker that keeps the pod off, or on a node that it might run on."""
    keeping = {
        full_name(holder)
        for against in found.against.values()
        for each in against
        if each.filter is Filter.OTHERS
        for holder in each.holders
    }
    wanted = {name_of(node) for node in case.snapshot.all(kinds.NODES) if selects(found.pod, node)}
    own = (case.own.namespace, case.own.name)
    return [
        each
        for each in case.caches
        if (each.namespace, each.name) != own
        and (
            any(full_name(pod) in keeping for pod in each.pods.get(WORKER, []))
            if keeping
            else wanted & set(each.node_names)
        )
    ]


def _nodes(found: Nodeless) -> str:
    """What is against the pod node by node, to go on with after a cause."""
    return f": {found.why_not()}" if found.judged else ""


@check(
    "FM303",
    "the Dataset's node affinity fits a node",
    needs=(kinds.PODS, kinds.NODES),
    explains=NO_MASTER,
)
def affinity(case: Case) -> Iterator[Finding]:
    """The workers go where the Dataset's `nodeAffinity` says, and no node fits it: the node that
    was named is gone or bears another name, or a label is spelt otherwise. Make the cache anew
    on a node that is there.
    """
    for found in nodeless(case, AFFINITY):
        part, pod = found.part, found.pod
        terms = terms_of(at(pod, "spec", "affinity")) or []
        hosts = placement.hosts_of(case.own.dataset or {})
        there = {labels_of(node).get(HOSTNAME_LABEL) for node in case.snapshot.all(kinds.NODES)}
        gone = [host for host in hosts if host not in there]
        selector = at(pod, "spec", "nodeSelector", default={})
        wants = node_selector.describe(terms) if terms else f"nodeSelector {selector}"
        cause = (
            f"node {', '.join(gone)} that the Dataset names is not in the cluster"
            if gone
            else f"no node fits what the {part} asks for: {wants}"
        )
        evidence = list(found.evidence())
        if case.own.dataset is not None:
            evidence.append(observations.field(case.own.dataset, "spec", "nodeAffinity"))
        yield Finding(reference(pod), cause, tuple(evidence), Fix(fix_commands.anew(case.own)))


@check(
    "FM304",
    "the cache pods tolerate their nodes' taints",
    needs=(kinds.PODS, kinds.NODES),
    explains=NO_MASTER,
)
def tolerates(case: Case) -> Iterator[Finding]:
    """Nodes with GPUs mostly bear a taint, and the workers tolerate only what the Dataset's
    `tolerations` list. Most of the nodes that would do for this pod keep it off by a taint alone.
    Tolerations are copied to the pods when the runtime is set up: after the Dataset is changed, the
    runtime has to be made again.
    """
    for found in nodeless(case, TAINT):
        pod = found.pod
        nodes = found.only(Filter.TAINT) or [
            name_of(node)
            for node in case.snapshot.all(kinds.NODES)
            if selects(pod, node) and untolerated(pod, node)
        ]
        by_taint: dict[str, list[str]] = {}
        for name in nodes:
            for taint in untolerated(pod, found.nodes[name]):
                by_taint.setdefault(taint, []).append(name)
        text = ", ".join(
            f"{taint} of node{'s' if len(where) > 1 else ''} {listed(where)}"
            for taint, where in sorted(by_taint.items())
        )
        rest = found.why_not(but=set(nodes)) if found.judged else ""
        yield Finding(
            reference(pod),
            f"it does not tolerate the taint {text or 'of the nodes it may run on'}"
            + (f", which fit otherwise; {rest}" if rest else "")
            + _oversized(case.own, found),
            found.evidence(),
            _tolerating(case.own, found),
        )


@check(
    "FM305",
    "the cache's ports are free on its nodes",
    needs=(kinds.PODS,),
    explains=("FM820", *NO_MASTER),
)
def ports(case: Case) -> Iterator[Finding]:
    """Alluxio runs in the node's own network by default, with ports that Fluid draws from 20000 to
    26000, the same in all workers of a cache: two of them never share a node. Take no more
    workers than there are nodes for them, or let the Dataset tolerate more nodes. Where something
    else listens on the ports, draw others by making the cache again.
    """
    for found in nodeless(case, PORTS):
        if found.siblings:
            yield _more_workers_than_nodes(case.own, found)
            continue
        wanted = sorted(port for port, _, _ in host_ports(found.pod))
        cause = (
            found.why_not()
            if found.judged
            else f"its ports {', '.join(map(str, wanted))} are taken on every node it may run on"
        )
        yield Finding(
            reference(found.pod),
            cause + _unread(found) if found.judged else cause,
            found.evidence(),
            Fix(fix_commands.anew(case.own)),
        )


def _more_workers_than_nodes(cache: Cached, found: Nodeless) -> Finding:
    runtime = cache.runtime or {}
    wanted = runtimes.replicas(cache.runtime) or 0
    there = sorted(found.siblings)
    take = "takes one" if len(there) == 1 else "take one each"
    cause = f"{plural(wanted, 'worker')}, and only {plural(len(there), 'node')} {take} "
    more = found.tolerable()
    rest = found.why_not(but={*found.siblings, *more})
    cause += f"({listed(there, 5)})" + (f"; {rest}" if rest else "")
    if more:
        taints = {taint for name in more for taint in untolerated(found.pod, found.nodes[name])}
        cause += (
            f"; tolerations on the Dataset for {', '.join(sorted(taints))} would add {listed(more)}"
        )
    if cache.dataset is not None and names.is_ours(cache.dataset):
        fix = Fix(fix_commands.remade(cache, "--replicas", str(len(there))))
    else:
        fix = Fix(fix_commands.patch(runtime, {"spec": {"replicas": len(there)}}))
    return Finding(
        reference(found.pod),
        cause,
        (observations.field(runtime, "spec", "replicas"), *found.evidence()),
        fix,
    )


def _only_cordons(found: Nodeless) -> bool:
    return all(each.filter is Filter.CORDON for each in chain.from_iterable(found.against.values()))


@check("FM306", "every cache pod has a node", needs=(kinds.PODS,), explains=NO_MASTER)
def without_node(case: Case) -> Iterator[Finding]:
    """The scheduler finds no node for a reason of its own: nodes that are cordoned or not ready,
    volumes that another zone holds, a scheduler that does not run.
    """
    for found in nodeless(case, ELSE):
        pod, part = found.pod, found.part
        cordoned = [
            name_of(node)
            for node in case.snapshot.all(kinds.NODES)
            if at(node, "spec", "unschedulable") and selects(pod, node)
        ]
        fix = (
            fix_commands.uncordon(cordoned[:1])
            if cordoned
            else fix_commands.kubectl(pod, "describe", "pod", Operand(name_of(pod)))
        )
        cause = (
            f"node {', '.join(cordoned)} is cordoned, and the {part} may run nowhere else"
            if cordoned and _only_cordons(found)
            else f"the scheduler has no node for the {part}{_nodes(found)}"
        )
        how = "command" if cordoned else "advice"
        yield Finding(reference(pod), cause, found.evidence(), Fix(fix, how))
