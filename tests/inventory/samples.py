"""Clusters for tests: the objects of a cache as Fluid and Kubernetes leave them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.fuse import with_high_concurrency
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

NOW = 1_772_450_000.0
"""2026-03-02T11:13:20Z: when every snapshot here was taken."""
BORN = "2026-03-02T11:08:20Z"
"""Five minutes before."""

_ROLES = {
    "AlluxioRuntime": "alluxio",
    "JuiceFSRuntime": "juicefs",
    "JindoRuntime": "jindofs",
    "EFCRuntime": "efc",
    "VineyardRuntime": "vineyard",
    "ThinRuntime": "thin",
    "GooseFSRuntime": "goosefs",
}
"""How `role` begins, by Fluid's charts."""
_MASTERLESS = ("JuiceFSRuntime", "ThinRuntime")
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        names.DATASETS,
        *names.RUNTIME_KINDS,
        names.DATA_LOADS,
        names.ADVANCED_SETS,
        queries.GRAPHS,
        queries.COMPONENTS,
        kinds.PODS,
        kinds.PVCS,
        kinds.PVS,
        kinds.NODES,
        kinds.STATEFUL_SETS,
        kinds.DAEMON_SETS,
        kinds.JOBS,
        kinds.EVENTS,
    )
}


def make_object(kind: str, name: str, namespace: str = "default", **parts: Any) -> Object:
    """An object; labels and annotations go into its metadata, the rest beside it."""
    metadata: Object = {"name": name, "creationTimestamp": BORN}
    if KINDS[kind].namespaced:
        metadata["namespace"] = namespace
    for key in ("labels", "annotations", "uid", "ownerReferences", "deletionTimestamp"):
        if key in parts:
            metadata[key] = parts.pop(key)
    return {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind,
        "metadata": metadata,
        **parts,
    }


def snapshot(*objects: Object, namespace: str | None = "default", **parts: Any) -> Snapshot:
    """A snapshot that has read every kind that `inspect` reads, with these objects."""
    held: dict[str, list[Object]] = {kind.resource: [] for kind in KINDS.values()}
    for obj in objects:
        held[KINDS[obj["kind"]].resource].append(obj)
    versions = {kind.resource: kind.version for kind in KINDS.values()}
    return Snapshot(namespace, NOW, "v1.36.3", objects=held, versions=versions, **parts)


def dataset(
    name: str = "demo",
    namespace: str = "default",
    *,
    total: str | None = "10.00GiB",
    cached: str | None = "10.00GiB",
    phase: str | None = "Bound",
    source: str = "s3://models/org/tiny",
    states: dict[str, str] | None = None,
    **parts: Any,
) -> Object:
    status: Object = {}
    if phase is not None:
        status["phase"] = phase
    if total is not None:
        status["ufsTotal"] = total
    if cached is not None:
        status["cacheStates"] = {"cached": cached, "cacheCapacity": "20.00GiB", **(states or {})}
    if phase == "Bound":
        ready = {"type": "Ready", "status": "True", "reason": "DatasetReady", "message": "ready"}
        status["conditions"] = [ready]
    status.update(parts.pop("status", {}))
    spec = {"mounts": [{"mountPoint": source, "name": name, "path": "/"}]}
    return make_object("Dataset", name, namespace, spec=spec, status=status, **parts)


def runtime(
    kind: str = "AlluxioRuntime",
    name: str = "demo",
    namespace: str = "default",
    *,
    replicas: int = 1,
    copies: int | None = None,
    **parts: Any,
) -> Object:
    if kind == "CacheRuntime":
        level = {"hostPath": {"paths": ["/mnt/a"], "quotas": ["20Gi"]}}
        worker = {"replicas": replicas, "tieredStore": {"levels": [level]}}
        spec: Object = {"runtimeClassName": "curvine", "worker": worker}
        status: Object = {
            part: {"phase": "Ready", "readyReplicas": count, "desiredReplicas": count}
            for part, count in (("master", 1), ("worker", replicas), ("client", 1))
        }
        return make_object(kind, name, namespace, spec=spec, status=status, **parts)
    level = {"mediumtype": "MEM", "path": "/dev/shm", "quota": "20Gi"}
    spec = {"replicas": replicas, "tieredstore": {"levels": [level]}}
    if copies is not None:
        spec["data"] = {"replicas": copies}
    status = {
        "masterPhase": "Ready",
        "workerPhase": "Ready",
        "fusePhase": "Ready",
        "valueFile": f"{name}-values",
        "desiredFuseNumberScheduled": 0,
        "currentFuseNumberScheduled": 0,
        "fuseNumberReady": 0,
    }
    for part, count in (("Master", 1), ("Worker", replicas)):
        status[f"desired{part}NumberScheduled"] = count
        status[f"current{part}NumberScheduled"] = count
        status[f"{part.lower()}NumberReady"] = count
    return make_object(kind, name, namespace, spec=spec, status=status, **parts)


def high_concurrency(objects: Iterable[Object]) -> list[Object]:
    """The objects of a cache that was made with `--high-concurrency`."""
    return [
        with_high_concurrency(obj) if obj["kind"] == "AlluxioRuntime" else obj for obj in objects
    ]


def component_labels(kind: str, name: str, part: str) -> dict[str, str]:
    """The labels of a part's set and pods, by the chart of the runtime's kind."""
    if kind == "CacheRuntime":
        component = "client" if part == "fuse" else part
        return {
            names.CACHE_RUNTIME_LABEL: name,
            names.CACHE_COMPONENT_LABEL: f"{name}-{component}",
        }
    return {"release": name, "role": f"{_ROLES[kind]}-{part}"}


def workloads(
    kind: str = "AlluxioRuntime",
    name: str = "demo",
    namespace: str = "default",
    *,
    nodes: Iterable[str] = ("gpu-0",),
    fuse: Iterable[str] = (),
    fuse_desired: int | None = None,
) -> list[Object]:
    """Sets and pods of a runtime: workers on the nodes, fuse pods where readers are."""
    placed = {"master": ["cpu-0"], "worker": list(nodes), "fuse": list(fuse)}
    if kind in _MASTERLESS:
        del placed["master"]
    objects = []
    for part, where in placed.items():
        labels, count = component_labels(kind, name, part), len(where)
        middle = "jindofs-" if kind == "JindoRuntime" else ""
        called = f"{name}-{middle}{part}"
        if part == "fuse":
            desired = count if fuse_desired is None else fuse_desired
            status: Object = {"desiredNumberScheduled": desired, "numberReady": count}
            objects.append(
                make_object("DaemonSet", called, namespace, labels=labels, status=status)
            )
        else:
            sets = "AdvancedStatefulSet" if kind == "CacheRuntime" else "StatefulSet"
            spec, status = {"replicas": count}, {"replicas": count, "readyReplicas": count}
            objects.append(
                make_object(sets, called, namespace, labels=labels, spec=spec, status=status)
            )
        objects += [
            pod(f"{called}-{index}", namespace, node=node, labels=labels)
            for index, node in enumerate(where)
        ]
    return objects


def pod(
    name: str,
    namespace: str = "default",
    *,
    node: str = "",
    labels: dict[str, str] | None = None,
    claim: str = "",
    path: str = "/model",
    phase: str = "Running",
    ready: bool = True,
    **parts: Any,
) -> Object:
    container: Object = {"name": "main"}
    spec: Object = {"containers": [container]}
    if node:
        spec["nodeName"] = node
    if claim:
        spec["volumes"] = [{"name": "model", "persistentVolumeClaim": {"claimName": claim}}]
        container["volumeMounts"] = [{"name": "model", "mountPath": path}]
    conditions = [{"type": "Ready", "status": "True" if ready and node else "False"}]
    status = {"phase": phase if node else "Pending", "conditions": conditions}
    status.update(parts.pop("status", {}))
    return make_object(
        "Pod", name, namespace, labels=labels or {}, spec=spec, status=status, **parts
    )


def reader(name: str = "chat-0", node: str = "gpu-0", claim: str = "demo", **parts: Any) -> Object:
    """A pod of graph `chat` that mounts the claim."""
    labels = {
        "nvidia.com/dynamo-graph-deployment-name": "chat",
        "nvidia.com/dynamo-component": "VllmWorker",
    }
    return pod(name, node=node, claim=claim, labels=labels, **parts)


def node(name: str, *keys: str, **parts: Any) -> Object:
    """A node with the labels of the caches that it holds."""
    labels = {"fluid.io/dataset-num": str(len(keys)), **dict.fromkeys(keys, "true")}
    labels.update(parts.pop("labels", {}))
    parts.setdefault("status", {"conditions": [{"type": "Ready", "status": "True"}]})
    return make_object("Node", name, labels=labels, **parts)


def claim(name: str = "demo", namespace: str = "default") -> Object:
    labels = {names.cache_label(namespace, name): "true"}
    spec = {"volumeName": f"{namespace}-{name}"}
    return make_object(
        "PersistentVolumeClaim",
        name,
        namespace,
        labels=labels,
        spec=spec,
        status={"phase": "Bound"},
    )


def cache(
    name: str = "demo",
    namespace: str = "default",
    *,
    kind: str = "AlluxioRuntime",
    nodes: Iterable[str] = ("gpu-0",),
    **parts: Any,
) -> list[Object]:
    """A whole healthy cache on these nodes; keywords go to its Dataset."""
    where = list(nodes)
    copies = len(where) if kind == "AlluxioRuntime" else None
    key = names.cache_label(namespace, name)
    return [
        dataset(name, namespace, **parts),
        runtime(kind, name, namespace, replicas=len(where), copies=copies),
        *workloads(kind, name, namespace, nodes=where),
        claim(name, namespace),
        *(node(name_of_node, key) for name_of_node in where if kind != "ThinRuntime"),
    ]
