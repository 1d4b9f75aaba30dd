"""The nodes: GPU and CPU machines as far as the API server, the scheduler and kwok see them."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

from .api import Api, ApiError, Object

Taint = dict[str, str]
GPU_TAINT: Taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}

#: The first of the fleet, which every cluster has.
FIRST = "gpu-0"
#: The first of the nodes that kwok does not play (real/node.py); the others are real-1, real-2, …
REAL = "real-0"
#: Keeps all pods away that do not ask for a real node.
REAL_TAINT: Taint = {"key": "fluidmodel.io/real", "value": "true", "effect": "NoSchedule"}


def real_labels(data_plane: bool) -> dict[str, str]:
    """What tells real nodes from kwok's; of one type, Fluid's chart has no CSI plugin there."""
    return {"real-node": "true", **({} if data_plane else {"type": "virtual-kubelet"})}


def node(
    name: str,
    gpus: int = 0,
    memory: str = "256Gi",
    cpu: int | str = 64,
    ephemeral: str = "2Ti",
    taints: list[Taint] | None = None,
    zone: str = "zone-a",
    labels: dict[str, str] | None = None,
    pods: int = 250,
) -> Object:
    """One node object; a GPU node is tainted and labelled as NVIDIA's operator does it."""
    capacity: dict[str, str] = {
        "cpu": str(cpu),
        "memory": memory,
        "ephemeral-storage": ephemeral,
        "pods": str(pods),
    }
    all_labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/region": "region-1",
        "topology.kubernetes.io/zone": zone,
        "type": "kwok",
    }
    if gpus:
        capacity["nvidia.com/gpu"] = str(gpus)
        all_labels["nvidia.com/gpu.present"] = "true"
        all_labels["nvidia.com/gpu.count"] = str(gpus)
        if taints is None:
            taints = [GPU_TAINT]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**all_labels, **(labels or {})},
            "annotations": {"node.alpha.kubernetes.io/ttl": "0"},
        },
        "spec": {"taints": taints or []},
        "status": {"capacity": capacity, "allocatable": dict(capacity), "phase": "Pending"},
    }


def default_fleet(count: int | None = None) -> list[Object]:
    """Three GPU nodes and two CPU nodes, in turn; beyond five, three CPU nodes to a GPU node."""
    zones = ("zone-a", "zone-b", "zone-c")
    nodes = [
        node(f"gpu-{n}", gpus=8, memory="1Ti", cpu=128, ephemeral="8Ti", zone=zones[n])
        for n in range(3)
    ]
    for n in range(2):
        nodes.insert(2 * n + 1, node(f"cpu-{n}", zone=zones[n]))
    if count is None:
        return nodes
    for n in range(5, count):
        zone = zones[n % 3]
        nodes.append(
            node(f"gpu-{n}", gpus=8, memory="1Ti", cpu=128, ephemeral="8Ti", zone=zone)
            if n % 4 == 0
            else node(f"cpu-{n}", zone=zone)
        )
    return nodes[:count]


def already_ready(obj: Object, port: int) -> Object:
    """The node with the status kwok would give it: a write less for each of a large fleet."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    healthy = {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    obj["status"].update(
        {
            "phase": "Running",
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": "Kubelet",
                    "message": "",
                    "lastHeartbeatTime": stamp,
                    "lastTransitionTime": stamp,
                }
                for kind, status in healthy.items()
            ],
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": obj["metadata"]["name"]},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "nodeInfo": {
                **dict.fromkeys(("bootID", "machineID", "systemUUID", "kubeProxyVersion"), ""),
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": "kwok",
                "kernelVersion": "6.8.0",
                "kubeletVersion": "v1.36.3",
                "containerRuntimeVersion": "containerd://2.1.4",
            },
        }
    )
    return obj


def create(api: Api, nodes: list[Object], csi: bool = True) -> None:
    """Create nodes in parallel, each with the CSINode that its kubelet would have made."""

    def one(obj: Object) -> None:
        try:
            api.create(obj)
        except ApiError as error:
            if error.status != 409:
                raise
        if csi:
            name = obj["metadata"]["name"]
            drivers: list[dict[str, Any]] = [
                {"name": "fuse.csi.fluid.io", "nodeID": name, "topologyKeys": None}
            ]
            api.apply(
                {
                    "apiVersion": "storage.k8s.io/v1",
                    "kind": "CSINode",
                    "metadata": {"name": name},
                    "spec": {"drivers": drivers},
                }
            )

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        list(pool.map(one, nodes))


def ready(api: Api) -> int:
    """How many nodes are Ready."""
    return sum(
        any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in node["status"].get("conditions") or []
        )
        for node in api.list("v1", "Node", resourceVersion="0")
    )
