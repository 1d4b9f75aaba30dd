"""Nodes and pods as the API server shows them."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.objects.access import Object

GIB = 1 << 30


def make_node(
    name: str,
    *,
    memory: str = "100Gi",
    disk: str = "1000Gi",
    gpus: int = 8,
    ready: bool = True,
    cordoned: bool = False,
    taints: list[dict[str, str]] | None = None,
    labels: dict[str, str] | None = None,
    caches: int = 0,
) -> Object:
    spec: dict[str, Any] = {}
    if cordoned:
        spec["unschedulable"] = True
    if taints:
        spec["taints"] = taints
    allocatable = {"cpu": "64", "memory": memory, "ephemeral-storage": disk, "pods": "110"}
    if gpus:
        allocatable["nvidia.com/gpu"] = str(gpus)
    own = {"kubernetes.io/hostname": name}
    if caches:
        own["fluid.io/dataset-num"] = str(caches)
    return {
        "metadata": {"name": name, "labels": {**own, **(labels or {})}},
        "spec": spec,
        "status": {
            "allocatable": allocatable,
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": "True" if ready else "Unknown"},
            ],
        },
    }


def make_pod(
    *memory: str, inits: tuple[str, ...] = (), phase: str = "Running", **spec: Any
) -> Object:
    """A pod whose containers request so much memory each."""

    def container(amount: str) -> Object:
        return {"resources": {"requests": {"memory": amount, "ephemeral-storage": "1Gi"}}}

    return {
        "spec": {
            "containers": [container(amount) for amount in memory],
            "initContainers": [container(amount) for amount in inits],
            **spec,
        },
        "status": {"phase": phase},
    }
