"""Selects the nodes on which `bench` reads: one of the cache, and one without it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kubectl_fluidmodel.cache.hints import doctor
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.claim_job import ClaimNode, pod_tolerations
from kubectl_fluidmodel.fluid.pod_problems import is_ready
from kubectl_fluidmodel.inventory.cache import WORKER, Cache
from kubectl_fluidmodel.inventory.nodes import describe_nodes
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of
from kubectl_fluidmodel.objects.taints import departure_of, taints_of
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class BenchNode:
    """A node on which a pod of `bench` runs."""

    place: ClaimNode
    holds_cache: bool

    @property
    def name(self) -> str:
        return self.place.name


def choose_cache_node(snapshot: Snapshot, cache: Cache, requested: str = "") -> BenchNode:
    """Return a node of the cache, preferably a complete and ready one.

    If nodes cannot be read, the tolerations are those of the cache's worker, which runs there.

    Raises:
        FluidModelError: no node holds the cache, or the requested one does not.
    """
    usage = cache_usage(cache)
    holding = describe_nodes(snapshot, cache, usage) or ()
    if not holding:
        hint = doctor(cache.name, cache.namespace)
        raise FluidModelError(f"no node holds the cache {cache.name}", "", hint)
    if requested and requested not in {node.name for node in holding}:
        listed = ", ".join(node.name for node in holding)
        raise FluidModelError(
            f"node {requested} does not hold the cache {cache.name}",
            f"it is on {listed}",
            "--off-node to measure a node without it, or --node with one of these",
        )
    ranked = sorted(
        (node for node in holding if not requested or node.name == requested),
        key=lambda node: (bool(node.problem), node.is_complete is not True, node.name),
    )
    name = ranked[0].name
    node = snapshot.get(kinds.NODES, name)
    tolerations = _tolerations(node) if node else _worker_tolerations(cache, name)
    return BenchNode(ClaimNode(name, tolerations), holds_cache=True)


def _tolerations(node: Object) -> tuple[Object, ...]:
    return tuple(taint.toleration() for taint in taints_of(node) if taint.blocks_pods)


def _worker_tolerations(cache: Cache, node: str) -> tuple[Object, ...]:
    return tuple(
        toleration
        for pod in cache.pods.get(WORKER, [])
        if get_path(pod, "spec", "nodeName") == node
        for toleration in pod_tolerations(pod)
    )


def choose_other_node(
    nodes: Iterable[Object], cache: Cache, csi_nodes: Iterable[Object] | None
) -> BenchNode:
    """Return a ready node without the cache that can mount it, preferably with the fewest taints.

    Args:
        nodes: The nodes to choose from.
        cache: The cache.
        csi_nodes: The CSINodes, which show where Fluid's CSI plugin runs; None if they cannot
            be listed.

    Raises:
        FluidModelError: there is none.
    """
    holding = {*cache.node_names, *(name_of(node) for node in cache.nodes)}
    mounting = None
    if csi_nodes is not None:
        mounting = {name_of(csi_node) for csi_node in csi_nodes if _has_driver(csi_node)}
    candidates = [
        node
        for node in nodes
        if name_of(node) not in holding
        and is_ready(node)
        and departure_of(node) is None
        and (mounting is None or name_of(node) in mounting)
    ]
    if not candidates:
        raise FluidModelError(
            "there is no other node to read on",
            "no other node is ready and has Fluid's CSI plugin",
            "bench without --off-node",
        )
    emptiest = min(candidates, key=lambda node: (len(taints_of(node)), name_of(node)))
    return BenchNode(ClaimNode(name_of(emptiest), _tolerations(emptiest)), holds_cache=False)


def _has_driver(csi_node: Object) -> bool:
    drivers = get_list(csi_node, "spec", "drivers")
    return any(driver.get("name") == names.CSI_DRIVER for driver in drivers)
