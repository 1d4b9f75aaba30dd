"""The nodes of a cache: medium, capacity, and how much of the model each holds. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.fluid import pod_problems, status
from kubectl_fluidmodel.inventory import master_report, runtimes
from kubectl_fluidmodel.inventory.cache import WORKER, Cache
from kubectl_fluidmodel.inventory.page_cache import PageCache, page_caches
from kubectl_fluidmodel.inventory.usage import CacheUsage
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, get_path, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.pods import is_gone, is_terminated
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

_CAPACITY_LABEL = "fluid.io/s-h-"
"""Node labels `fluid.io/s-h-<type>-t-<namespace>-<name>` have a worker's total capacity."""


@dataclass(frozen=True)
class NodeCache:
    """A node of a cache; fields are None if unknown."""

    name: str
    pod: str
    """Its worker's pod; empty if there is none."""
    ready: bool | None
    used_bytes: int | None
    capacity_bytes: int | None
    medium: str
    path: str
    is_complete: bool | None
    """Whether it holds the complete model."""
    problem: str
    readers: int
    page_cache: PageCache | None = None
    """The node's page cache when it was last measured; None if it never was."""


def describe_nodes(
    snapshot: Snapshot, cache: Cache, usage: CacheUsage
) -> tuple[NodeCache, ...] | None:
    """The nodes by name; None where neither pods nor nodes could be read."""
    pods_seen = snapshot.was_read(kinds.PODS, cache.namespace)
    if not pods_seen and not snapshot.of_kind(kinds.NODES):
        return None
    by_node = {
        str(get_path(pod, "spec", "nodeName")): pod
        for pod in cache.pods.get(WORKER, [])
        if get_path(pod, "spec", "nodeName") and not is_terminated(pod)
    }
    labelled = {name_of(node): node for node in cache.nodes}
    names = sorted({*cache.node_names, *labelled})
    reported = master_report.worker_usage(snapshot, cache.namespace, cache.name)
    lost = master_report.lost_workers(snapshot, cache.namespace, cache.name)
    count = len(by_node) or len(names)
    pages = page_caches(snapshot, cache)
    tiers = runtimes.storage_tiers(cache.runtime)
    quotas = [tier.quota for tier in tiers if tier.quota is not None]
    node_caches = []
    for name in names:
        pod, node = by_node.get(name), labelled.get(name)
        used, precision = _used_bytes(name, pod, node, reported, usage, count)
        if _worker_aliases(name, pod, node) & {*lost} or (pod is not None and is_gone(pod)):
            used, precision = 0, 0
        node_caches.append(
            NodeCache(
                name=name,
                pod=name_of(pod) if pod else "",
                ready=pod_problems.is_ready(pod) if pod else None,
                used_bytes=used,
                capacity_bytes=_labelled_capacity(node, cache) or sum(quotas) or None,
                medium="+".join(dict.fromkeys(tier.medium for tier in tiers if tier.medium)),
                path=",".join(tier.path for tier in tiers if tier.path),
                is_complete=_holds_all(used, precision, usage, count),
                problem=_node_problem(snapshot, cache, name, pod, pods_seen),
                readers=sum(reader.node == name for reader in cache.readers),
                page_cache=pages.get(name),
            )
        )
    return tuple(node_caches)


def _worker_aliases(name: str, pod: Object | None, node: Object | None) -> set[str]:
    """Return the names that the master may use for a node's worker."""
    host = labels_of(node or {}).get(HOSTNAME_LABEL, "")
    addresses = {str(get_path(pod, "status", key, default="")) for key in ("podIP", "hostIP")}
    return {name, name_of(pod) if pod else "", host, *addresses} - {""}


def _used_bytes(
    name: str,
    pod: Object | None,
    node: Object | None,
    reported: list[tuple[str, int, int]] | None,
    usage: CacheUsage,
    count: int,
) -> tuple[int | None, int]:
    """Return usage by the master's report, which identifies a worker by host name or address."""
    if reported is not None:
        aliases = _worker_aliases(name, pod, node)
        matches = [(used, slack) for worker, used, slack in reported if worker in aliases]
        if len(matches) == 1:
            return matches[0]
        if count == len(reported) == 1:
            return reported[0][1:]
    return (usage.cached_bytes, usage.cached_precision) if count == 1 else (None, 0)


def _holds_all(used: int | None, precision: int, usage: CacheUsage, count: int) -> bool | None:
    slack = precision + (0 if usage.is_exact else usage.fluid_precision)
    if used is not None and usage.source_bytes is not None:
        return used + slack >= usage.source_bytes and not usage.incomplete_files
    if usage.is_complete and usage.copies >= count:
        return True
    # One copy over several nodes: none of them can hold all of it.
    return False if usage.copies == 1 and count > 1 and usage.cached_bytes else None


def _labelled_capacity(node: Object | None, cache: Cache) -> int | None:
    """Return what Fluid wrote on the node; the key ends like the cache's own label."""
    ending = cache.node_label.removeprefix("fluid.io/s-")
    for key, value in labels_of(node or {}).items():
        if ending and key.startswith(_CAPACITY_LABEL) and key.endswith(f"-t-{ending}"):
            return status.parse_size(value)
    return None


def _node_problem(
    snapshot: Snapshot, cache: Cache, name: str, pod: Object | None, pods_seen: bool
) -> str:
    node = snapshot.get(kinds.NODES, name)
    if node is None and snapshot.was_read(kinds.NODES):
        return "the node does not exist"
    problems = []
    if node is not None:
        if is_terminating(node):
            problems.append("the node is being deleted")
        elif not pod_problems.is_ready(node):
            problems.append("the node is not ready")
        elif get_path(node, "spec", "unschedulable") is True:
            problems.append("the node is cordoned")
    if pod is not None and not pod_problems.is_ready(pod):
        problems += pod_problems.find_pod_problems(pod)[:1] or ["its worker is not ready"]
    if pod is None and pods_seen and cache.origin is None:
        problems.append("it has the label, but no worker")
    has_label = any(name_of(labelled) == name for labelled in cache.nodes)
    readable = (
        snapshot.read_failure(kinds.NODES) is None and kinds.NODES.resource in snapshot.objects
    )
    needs_label = runtimes.runtime_traits(cache.runtime).labels_nodes and cache.origin is None
    if pod is not None and readable and needs_label and not has_label and cache.node_label:
        problems.append("it does not have Fluid's label")
    return "; ".join(problems)
