"""GPUs as Kubernetes counts them: extended resources of nodes, containers and pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.objects.quantity import quantity_to_int
from kubectl_fluidmodel.objects.resource_requests import requests_of

Gpus = dict[str, int]
"""GPUs by resource name."""


def gpus_of(resources: Any) -> Gpus:
    """GPUs in a container's resources: `nvidia.com/gpu`, `amd.com/gpu`, `nvidia.com/mig-…`."""
    counts: dict[str, int] = {}
    for side in ("requests", "limits"):
        amounts = get_path(resources, side)
        for name, amount in amounts.items() if isinstance(amounts, Mapping) else ():
            if is_gpu(str(name)):
                count = quantity_to_int(amount) or 0
                counts[name] = max(counts.get(name, 0), count)
    return {name: count for name, count in counts.items() if count > 0}


def is_gpu(resource: str) -> bool:
    _, slash, kind = resource.partition("/")
    return bool(slash) and (kind == "gpu" or kind.startswith(("gpu-", "gpu.", "mig-")))


def allocatable_gpus(node: Object) -> Gpus:
    """GPUs that a node offers."""
    listed = get_path(node, "status", "allocatable", default={})
    return {name: quantity_to_int(amount) or 0 for name, amount in listed.items() if is_gpu(name)}


def used_gpus(pods: Iterable[Object]) -> Gpus:
    """Return the GPUs that pods hold, without pods that have ended."""
    total: Gpus = {}
    for pod in pods:
        for name, count in requests_of(pod).items() if not is_terminated(pod) else ():
            if is_gpu(name) and count > 0:
                total[name] = total.get(name, 0) + int(count)
    return total


def free_gpus(node: Object, pods: Iterable[Object]) -> Gpus:
    """Return the GPUs that a node has left beside some pods."""
    used = used_gpus(pods)
    return {name: count - used.get(name, 0) for name, count in allocatable_gpus(node).items()}


def has_enough(needs: Gpus, room: Gpus) -> bool:
    return all(room.get(name, 0) >= count for name, count in needs.items())
