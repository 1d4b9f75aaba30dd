"""Caches and graphs as the tests of `pin` want them, without Alluxio."""

from __future__ import annotations

from typing import Any

import yaml

from .api import Object
from .cluster import Cluster
from .objects import FLUID, until

GRAPHS = "nvidia.com/v1beta1"
KEEP_OUT = "example.com/keep-out"
LITTLE = "6Gi"
"""Memory of a node that no other test's cache has room on, whatever it tolerates."""


def cache(
    cluster: Cluster,
    namespace: str,
    name: str,
    nodes: list[str],
    *,
    label: str = "",
    phase: str = "Bound",
    cached: str = "10.00GiB",
    wait: bool = True,
) -> str:
    """A Dataset with its claim, volume and node labels as Fluid leaves them; the label key."""
    api = cluster.api
    key = label or f"fluid.io/s-{namespace}-{name}"
    api.apply(
        {
            "apiVersion": FLUID,
            "kind": "Dataset",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"mounts": [{"mountPoint": "s3://models/x", "name": name, "path": "/"}]},
        }
    )
    if wait:  # Fluid writes a phase once; it never takes one back that it did not write
        until(
            "Fluid to look at the Dataset",
            lambda: (api.get(FLUID, "Dataset", name, namespace).get("status") or {}).get("phase"),
        )
    status = {
        "phase": phase,
        "conditions": [],
        "ufsTotal": "10.00GiB",
        "cacheStates": {"cached": cached, "cachedPercentage": "100.0%"},
    }
    api.patch(FLUID, "Dataset", name, {"status": status}, namespace, "status")
    for node in nodes:
        api.patch("v1", "Node", node, {"metadata": {"labels": {key: "true"}}})
    claim(cluster, namespace, name, {key: "true"} if phase == "Bound" else {})
    return key


def claim(
    cluster: Cluster,
    namespace: str,
    name: str,
    labels: dict[str, str] | None = None,
    fuse_label: str = "",
) -> None:
    """A claim and its volume, as Fluid makes them, bound to each other by the controller."""
    api = cluster.api
    spec: Object = {"accessModes": ["ReadOnlyMany"], "storageClassName": "fluid"}
    capacity = {"storage": "100Pi"}
    pv = f"{namespace}-{name}"
    attributes = {"mount_pod_node_selector_key": fuse_label} if fuse_label else {}
    source = {
        "driver": "fuse.csi.fluid.io",
        "volumeHandle": pv,
        "volumeAttributes": attributes,
    }
    reference = {"namespace": namespace, "name": name}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": pv},
            "spec": {**spec, "capacity": capacity, "claimRef": reference, "csi": source},
        }
    )
    api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": {**spec, "volumeName": pv, "resources": {"requests": capacity}},
        }
    )
    until(
        f"claim {name} to be bound",
        lambda: (
            api.get("v1", "PersistentVolumeClaim", name, namespace)["status"]["phase"] == "Bound"
        ),
    )


def schedulable(cluster: Cluster, names: set[str]) -> None:
    """Wait until new nodes have lost the taint that says that they are not ready yet."""

    def check() -> bool:
        waiting = [
            node
            for node in cluster.api.list("v1", "Node", resourceVersion="0")
            if node["metadata"]["name"] in names
            and any(t["key"].startswith("node.") for t in node["spec"].get("taints") or [])
        ]
        return not waiting

    until("the nodes to take pods", check, 180)


def component(
    name: str, kind: str = "worker", gpus: int = 1, replicas: int = 1, **pod: Any
) -> Object:
    """A v1beta1 component; keywords go into its pod spec.

    It tolerates the taints of the test's own nodes, and no others: not those of other tests.
    """
    main: Object = {"name": "main", "image": "example.com/runtime/vllm:1"}
    if gpus:
        main["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
    tolerations = [{"key": key, "operator": "Exists"} for key in ("nvidia.com/gpu", KEEP_OUT)]
    spec = {"tolerations": tolerations, "containers": [main], **pod}
    return {"name": name, "type": kind, "replicas": replicas, "podTemplate": {"spec": spec}}


def graph(namespace: str, name: str, *components: Object, **metadata: Any) -> Object:
    return {
        "apiVersion": GRAPHS,
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"components": list(components)},
    }


def pods(cluster: Cluster, namespace: str, name: str = "") -> list[Object]:
    """The pods of a graph, or of all graphs in a namespace."""
    selector = "nvidia.com/selector"
    found = cluster.api.list("v1", "Pod", namespace, labelSelector=selector)
    return [
        pod
        for pod in found
        if not pod["metadata"].get("deletionTimestamp")
        and pod["metadata"]["labels"][selector].startswith(name)
    ]


def running(cluster: Cluster, namespace: str, name: str, count: int) -> list[Object]:
    """Wait until a graph's pods all have a node."""

    def check() -> list[Object]:
        found = pods(cluster, namespace, name)
        placed = [pod for pod in found if pod["spec"].get("nodeName")]
        return placed if len(placed) == count == len(found) else []

    return until(f"{count} pods of {name}", check)


def documents(text: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(text) if each]
