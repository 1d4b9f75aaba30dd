"""Chooses the medium and the nodes of a cache, which depend on each other. Pure.

Start at `choose_medium_and_nodes`. `nodes.py` reads the nodes to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.fluid import alluxio_runtime, placement
from kubectl_fluidmodel.fluid.placement import Candidate, NodeRequirement, Placement
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.sizing import HeapSizes, Medium
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL
from kubectl_fluidmodel.output.units import format_bytes
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class CandidateNodes:
    """The nodes, and which of them may hold the cache; None if nodes cannot be read."""

    nodes: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()


def choose_medium_and_nodes(
    options: CacheOptions,
    model_bytes: int,
    quota: int,
    jvm: HeapSizes,
    candidates: CandidateNodes | None,
    existing: ExistingObjects,
) -> tuple[Medium, Placement | None, list[str]]:
    """Choose the medium and the nodes.

    Args:
        options: What the user asks for.
        model_bytes: Bytes of the model.
        quota: Bytes of the tier on each node.
        jvm: The heaps beside the tier.
        candidates: The nodes to choose from; None if they cannot be listed.
        existing: The existing cache, which stays where it is unless the options move it.

    Returns:
        The medium, the nodes (None if they cannot be listed), and notes.

    Raises:
        FluidModelError: no node fits.
    """
    current = _current_medium(options, existing)
    if candidates is None:
        medium = current or sizing.choose_medium(
            options.medium, options.path, quota, jvm, model_bytes, None
        )
        return medium, None, []
    notes = list(candidates.notes)
    keep = [] if options.placement_given else _current_nodes(existing, candidates.nodes)
    if existing.worker_nodes and not options.placement_given:
        keep = list(existing.worker_nodes[: options.replicas])  # Fluid removes the last ones
    if current:
        media = [current]
    elif options.medium != "auto":
        media = [sizing.choose_medium(options.medium, options.path, quota, jvm, model_bytes, None)]
    else:
        media = _auto_media(options, model_bytes, quota, jvm, candidates.nodes)
    medium = media[0]
    eligible = candidates.nodes
    if medium.type == "MEM" and not current and options.medium == "auto":
        # Memory was chosen because it fits beside the engine on some nodes: use only those.
        eligible = tuple(
            node
            for node in eligible
            if sizing.fits_memory(quota, jvm, model_bytes, node.capacity)[0]
        )
    selected = placement.select_nodes(
        eligible, _node_requirement(medium, quota, jvm), options.replicas, current=keep
    )
    if medium.type != "MEM" and medium.path != sizing.DISK_PATH:
        notes.append(_unknown_disk_note(medium.path, quota, selected))
    return medium, selected, notes


def _unknown_disk_note(path: str, quota: int, selected: Placement) -> str:
    """Return a note that the free space of a separate disk is unknown."""
    shares = [
        f"{format_bytes(node.disk_used_by_caches(path))} on {node.name}"
        for node in selected.nodes
        if node.disk_used_by_caches(path)
    ]
    usage = f"; other caches on that disk may take {', '.join(shares)}" if shares else ""
    return f"the API does not show whether {path} has {format_bytes(quota)} free{usage}"


def _auto_media(
    options: CacheOptions,
    model_bytes: int,
    quota: int,
    jvm: HeapSizes,
    candidates: Sequence[Candidate],
) -> list[Medium]:
    """Select the medium for `--medium auto`: memory if enough nodes have it, else SSD."""
    ready = [node for node in candidates if node.is_eligible]
    media = [
        sizing.choose_medium("auto", options.path, quota, jvm, model_bytes, node.capacity)
        for node in sorted(ready, key=lambda node: -(node.capacity.memory or 0))
    ]
    in_memory = [medium for medium in media if medium.type == "MEM"]
    if len(in_memory) >= options.replicas:
        return in_memory
    return [medium for medium in media if medium.type != "MEM"] or [
        sizing.choose_medium("SSD", options.path, quota, jvm, model_bytes, None)
    ]


def _node_requirement(medium: Medium, quota: int, jvm: HeapSizes) -> NodeRequirement:
    in_memory = medium.type == "MEM"
    on_root_disk = not in_memory and medium.path == sizing.DISK_PATH
    return NodeRequirement(
        memory=jvm.on_cache_node + (quota if in_memory else 0), disk=quota if on_root_disk else 0
    )


def _current_medium(options: CacheOptions, existing: ExistingObjects) -> Medium | None:
    if existing.runtime is None or options.medium != "auto" or options.path is not None:
        return None
    kind, path, _ = alluxio_runtime.parse_tier(existing.runtime)
    return Medium(kind, path, "unchanged") if kind else None


def _current_nodes(existing: ExistingObjects, candidates: Sequence[Candidate]) -> list[str]:
    hosts = placement.bound_hostnames(existing.dataset) if existing.dataset else []
    return [node.name for node in candidates if node.hostname in hosts]


def affinity_and_tolerations(
    options: CacheOptions, selected: Placement | None, existing: ExistingObjects
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the node affinity and tolerations of the Dataset."""
    if selected is not None:
        nodes = selected.nodes
        return placement.node_affinity(nodes), placement.required_tolerations(nodes)
    if existing.dataset is not None and not options.placement_given:
        spec = existing.dataset.get("spec") or {}
        return dict(spec.get("nodeAffinity") or {}), list(spec.get("tolerations") or [])
    if options.nodes:
        requirements = [{"key": HOSTNAME_LABEL, "operator": "In", "values": sorted(options.nodes)}]
    elif options.node_selector:
        requirements = [
            {"key": key, "operator": "In", "values": [value]}
            for key, value in options.node_selector
        ]
    else:
        requirements = [{"key": placement.GPU_PRESENT, "operator": "In", "values": ["true"]}]
    gpu = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    return placement.required_affinity(requirements), [gpu]
