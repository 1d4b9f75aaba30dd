"""Whether the pods of a graph fit on nodes: constraints of each pod, and GPUs for all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.gpus import Gpus, has_enough
from kubectl_fluidmodel.objects.scheduler import Obstacle, node_obstacles


def unschedulable_reasons(spec: Mapping[str, Any], node: Object, needs: Gpus) -> list[Obstacle]:
    """Return why a pod spec can never run on a node in its current state; empty if it can.

    Taints with the name of the GPU resource that the pod requests count as tolerated, because many
    clusters add that toleration (admission plugin ExtendedResourceToleration).
    """
    tolerations = list(spec.get("tolerations") or [])
    added = [{"key": name, "operator": "Exists"} for name in needs]
    return list(node_obstacles({**spec, "tolerations": tolerations + added}, node))


_MAX_ATTEMPTS = 20_000
"""Number of placements after which the search for one that fits all pods ends."""
GpuRequest = tuple[str, Gpus, tuple[str, ...]]
"""A pod to place: its label, its GPUs and its possible nodes."""


def pack_pods(pods: Iterable[GpuRequest], capacity: Mapping[str, Gpus]) -> list[str]:
    """Place pods on nodes by their GPUs.

    Placing the largest pod first on the fullest node almost always works. If it does not, a search
    tries other placements, and if that takes too long, the pods count as placed: a refusal has to
    be certain.

    Returns:
        The labels of the pods that do not fit beside the others; empty if all fit.
    """
    ordered = sorted(pods, key=lambda pod: (-sum(pod[1].values()), len(pod[2]), pod[0]))
    free = {name: dict(gpus) for name, gpus in capacity.items()}
    unplaced = []
    for label, needs, nodes in ordered:
        candidates = [name for name in nodes if has_enough(needs, free.get(name, {}))]
        if not candidates:
            unplaced.append(label)
            continue
        best = min(
            candidates, key=lambda name: (sum(free[name].get(gpu, 0) for gpu in needs), name)
        )
        _allocate(free[best], needs, 1)
    return unplaced if unplaced and not _can_place_all(ordered, capacity) else []


def _allocate(room: Gpus, needs: Gpus, sign: int) -> None:
    for gpu, count in needs.items():
        room[gpu] -= sign * count


def _can_place_all(pods: list[GpuRequest], capacity: Mapping[str, Gpus]) -> bool:
    """Return whether all pods can be placed, or _MAX_ATTEMPTS attempts did not decide it."""
    free = {name: dict(gpus) for name, gpus in capacity.items()}
    attempts = 0

    def place_from(index: int, first: int) -> bool:
        nonlocal attempts
        if index == len(pods):
            return True
        _, needs, nodes = pods[index]
        is_repeated = index + 1 < len(pods) and pods[index + 1] == pods[index]
        for position, name in enumerate(nodes[first:], first):
            attempts += 1
            if attempts > _MAX_ATTEMPTS:
                return True
            if has_enough(needs, free.get(name, {})):
                _allocate(free[name], needs, 1)
                # Equal pods are placed on nodes in order, because any other order is equivalent.
                if place_from(index + 1, position if is_repeated else 0):
                    return True
                _allocate(free[name], needs, -1)
        return False

    return place_from(0, 0)
