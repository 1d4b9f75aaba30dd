"""A cache node by node: what each holds, in what, and whether that is the whole model. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.fluid import pod_problems, status
from kubectl_fluidmodel.inventory import master_report, runtimes
from kubectl_fluidmodel.inventory.cache import OVER, WORKER, Cached
from kubectl_fluidmodel.inventory.usage import Amount
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, at, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

_CAPACITY = "fluid.io/s-h-"
"""Node labels `fluid.io/s-h-<type>-t-<namespace>-<name>` hold what a worker may hold in all."""


@dataclass(frozen=True)
class NodeCache:
    """One node of a cache; None where nobody says."""

    name: str
    pod: str
    """Its worker's pod, empty where none is seen."""
    ready: bool | None
    used: int | None
    rounding: int
    capacity: int | None
    medium: str
    path: str
    whole: bool | None
    """Whether it holds the whole model."""
    trouble: str
    readers: int


def nodes(snapshot: Snapshot, cache: Cached, amount: Amount) -> tuple[NodeCache, ...] | None:
    """The nodes by name; None where neither pods nor nodes could be read."""
    pods_seen = snapshot.knows(kinds.PODS, cache.namespace)
    if not pods_seen and not snapshot.all(kinds.NODES):
        return None
    by_node = {
        str(at(pod, "spec", "nodeName")): pod
        for pod in cache.pods.get(WORKER, [])
        if at(pod, "spec", "nodeName") and at(pod, "status", "phase") not in OVER
    }
    labelled = {name_of(node): node for node in cache.nodes}
    names = sorted({*cache.node_names, *labelled})
    told_of = master_report.workers(snapshot, cache.namespace, cache.name)
    lost = master_report.lost(snapshot, cache.namespace, cache.name)
    count = len(by_node) or len(names)
    found = []
    for name in names:
        pod, node = by_node.get(name), labelled.get(name)
        used, rounding = _used(name, pod, node, told_of, amount, count)
        if _called(name, pod, node) & {*lost} or (pod is not None and pod_problems.gone(pod)):
            used, rounding = 0, 0
        tiers = runtimes.tiers(cache.runtime)
        quotas = [tier.quota for tier in tiers if tier.quota is not None]
        found.append(
            NodeCache(
                name=name,
                pod=name_of(pod) if pod else "",
                ready=pod_problems.ready(pod) if pod else None,
                used=used,
                rounding=rounding,
                capacity=_capacity(node, cache) or sum(quotas) or None,
                medium="+".join(dict.fromkeys(tier.medium for tier in tiers if tier.medium)),
                path=",".join(tier.path for tier in tiers if tier.path),
                whole=_whole(used, rounding, amount, count),
                trouble=_trouble(snapshot, cache, name, pod, pods_seen),
                readers=sum(reader.node == name for reader in cache.readers),
            )
        )
    return tuple(found)


def _called(name: str, pod: Object | None, node: Object | None) -> set[str]:
    """What the master may call the worker of a node."""
    host = labels_of(node or {}).get(HOSTNAME_LABEL, "")
    addresses = {str(at(pod, "status", key, default="")) for key in ("podIP", "hostIP")}
    return {name, name_of(pod) if pod else "", host, *addresses} - {""}


def _used(
    name: str,
    pod: Object | None,
    node: Object | None,
    told_of: list[tuple[str, int, int]] | None,
    amount: Amount,
    count: int,
) -> tuple[int | None, int]:
    """By the master's report, which calls a worker by host name or address."""
    if told_of is not None:
        called = _called(name, pod, node)
        matches = [(used, slack) for worker, used, slack in told_of if worker in called]
        if len(matches) == 1:
            return matches[0]
        if count == len(told_of) == 1:
            return told_of[0][1:]
    return (amount.cached, amount.rounding) if count == 1 else (None, 0)


def _whole(used: int | None, rounding: int, amount: Amount, count: int) -> bool | None:
    slack = rounding + (0 if amount.exact else amount.counted_rounding)
    if used is not None and amount.total is not None:
        return used + slack >= amount.total and not amount.lacking
    if amount.whole and amount.copies >= count:
        return True
    # One copy over several nodes: none of them can have all of it, once it is shared out.
    return False if amount.copies == 1 and count > 1 and amount.cached else None


def _capacity(node: Object | None, cache: Cached) -> int | None:
    """What Fluid wrote on the node; the key ends like the cache's own label."""
    ending = cache.label.removeprefix("fluid.io/s-")
    for key, value in labels_of(node or {}).items():
        if ending and key.startswith(_CAPACITY) and key.endswith(f"-t-{ending}"):
            return status.size(value)
    return None


def _trouble(
    snapshot: Snapshot, cache: Cached, name: str, pod: Object | None, pods_seen: bool
) -> str:
    node = snapshot.find(kinds.NODES, name)
    if node is None and snapshot.knows(kinds.NODES):
        return "the node is gone"
    found = []
    if node is not None:
        if is_terminating(node):
            found.append("the node is being deleted")
        elif not pod_problems.ready(node):
            found.append("the node is not ready")
        elif at(node, "spec", "unschedulable") is True:
            found.append("the node is cordoned")
    if pod is not None and not pod_problems.ready(pod):
        said = pod_problems.pod(pod)
        found.append(said[0] if said else "its worker is not ready")
    if pod is None and pods_seen and cache.origin is None:
        found.append("labelled, but no worker runs there")
    labelled = any(name_of(each) == name for each in cache.nodes)
    readable = (
        snapshot.why_missing(kinds.NODES) is None and kinds.NODES.resource in snapshot.objects
    )
    wanted = runtimes.traits(cache.runtime).labels_nodes and cache.origin is None
    if pod is not None and readable and wanted and not labelled and cache.label:
        found.append("Fluid has not labelled it")
    return "; ".join(found)
