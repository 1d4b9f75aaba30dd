"""The nodes on which `bench` reads: one of the cache, and one without it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.pod_problems import is_ready
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.nodes import describe_nodes
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.taints import departure_of, taints_of
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


def choose_cache_node(snapshot: Snapshot, cache: Cache, wanted: str = "") -> Object:
    """A node of the cache, a complete and ready one first.

    Where nodes cannot be read, the node is known by its name alone, so that none of its taints
    is tolerated.

    Raises:
        FluidModelError: no node holds the cache, or not the one that is wanted.
    """
    usage = cache_usage(cache)
    holding = describe_nodes(snapshot, cache, usage) or ()
    doctor = command("kubectl", "fluidmodel", "doctor", Operand(cache.name), "-n", cache.namespace)
    if not holding:
        raise FluidModelError(f"no node holds the cache {cache.name}", "", doctor)
    if wanted and wanted not in {node.name for node in holding}:
        listed = ", ".join(node.name for node in holding)
        raise FluidModelError(
            f"node {wanted} does not hold the cache {cache.name}",
            f"it is on {listed}",
            "--off-node to measure a node without it, or --node with one of these",
        )
    ranked = sorted(
        (node for node in holding if not wanted or node.name == wanted),
        key=lambda node: (bool(node.problem), node.is_complete is not True, node.name),
    )
    name = ranked[0].name
    return snapshot.get(kinds.NODES, name) or {"metadata": {"name": name}}


def choose_other_node(nodes: Iterable[Object], cache: Cache) -> Object:
    """A ready node without the cache; those with the fewest taints first.

    Args:
        nodes: Every node of the cluster.
        cache: The cache.

    Raises:
        FluidModelError: there is none.
    """
    holding = {*cache.node_names, *(name_of(node) for node in cache.nodes)}
    found = [
        node
        for node in nodes
        if name_of(node) not in holding and is_ready(node) and departure_of(node) is None
    ]
    if not found:
        raise FluidModelError(
            "there is no node to compare with",
            "every ready node holds the cache",
            "bench without --off-node",
        )
    return min(found, key=lambda node: (len(taints_of(node)), name_of(node)))
