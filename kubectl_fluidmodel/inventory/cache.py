"""A cache with everything that belongs to it, assembled from a Snapshot. Pure.

A cache is a Dataset and the runtime of the same name; a broken cache often has only one of them.
`inspect` shows caches, `doctor` checks them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.dynamo import resources as dynamo
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.reference import referred_dataset
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_map,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.pods import claim_names, is_terminated
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

MASTER, WORKER, FUSE = "master", "worker", "fuse"
"""Suffixes of the roles of a runtime's pods: `alluxio-master`, `jindofs-worker`, `juicefs-fuse`."""
_CLIENT_COMPONENT = "client"
"""The name of the FUSE component of a CacheRuntime."""


@dataclass(frozen=True)
class ReaderPod:
    """A pod that mounts the cache's claim."""

    pod: Object
    mounts: tuple[tuple[str, str], ...]
    """(container, mount path) of each container that mounts it."""
    is_local: bool | None
    """Whether its node holds a cache worker; None before it is scheduled."""
    graph: str = ""
    """The graph of the pod; empty if no operator labels it."""
    component: str = ""

    @property
    def name(self) -> str:
        return name_of(self.pod)

    @property
    def node(self) -> str:
        return str(get_path(self.pod, "spec", "nodeName", default=""))


@dataclass
class Cache:
    """A cache. A field that is None or empty does not exist or was not read (see the Snapshot)."""

    namespace: str
    name: str
    dataset: Object | None = None
    runtimes: list[Object] = field(default_factory=list)
    """The runtimes with its name; more than one is a mistake that Fluid rejects."""
    loads: list[Object] = field(default_factory=list)
    """Its DataLoads, oldest first."""
    claim: Object | None = None
    volume: Object | None = None
    """The PersistentVolume that the claim names, else the one that Fluid would create."""
    workloads: dict[str, Object] = field(default_factory=dict)
    """MASTER and WORKER to StatefulSet, FUSE to DaemonSet."""
    pods: dict[str, list[Object]] = field(default_factory=dict)
    """MASTER, WORKER, FUSE to pods."""
    load_pods: list[Object] = field(default_factory=list)
    staging_jobs: list[Object] = field(default_factory=list)
    """Our Jobs that stage or staged the model."""
    nodes: list[Object] = field(default_factory=list)
    """Nodes with the cache's label."""
    readers: list[ReaderPod] = field(default_factory=list)
    graphs: list[Object] = field(default_factory=list)
    """Graphs (and components without one) whose JSON names the claim."""
    origin: Cache | None = field(default=None, repr=False)
    """For a Dataset that only refers to another (`dataset://namespace/name`): the other cache."""

    @property
    def runtime(self) -> Object | None:
        return self.runtimes[0] if self.runtimes else None

    @property
    def fuse_runtime(self) -> Object | None:
        """The runtime whose FUSE client serves the mounts: its source's for a reference."""
        if self.refers_to is None:
            return self.runtime
        return self.origin.runtime if self.origin is not None else None

    @property
    def uid(self) -> str:
        return names.uid_of(self.dataset) if self.dataset else ""

    @property
    def node_label(self) -> str:
        """The label of the cache's nodes; empty if it contains an unknown UID.

        For a reference, it is its source's: Fluid puts the label on the reference's claim on no
        node.
        """
        if self.origin is not None:
            return self.origin.node_label
        claim_label = names.cache_label_of_pvc(self.claim) if self.claim else None
        if claim_label and not self.refers_to:
            return claim_label
        try:
            if self.refers_to:
                return names.cache_label(*self.refers_to)
            return names.cache_label(self.namespace, self.name, self.uid)
        except names.UidRequiredError:
            return ""

    @property
    def refers_to(self) -> tuple[str, str] | None:
        """Return the namespace and name of the Dataset that this one only refers to."""
        return referred_dataset(self.dataset)

    @property
    def node_names(self) -> list[str]:
        """The nodes with a cache worker: by the workers' pods, or by label if there are none.

        A pod that was evicted or has ended holds nothing.
        """
        by_pod = {
            str(get_path(pod, "spec", "nodeName", default=""))
            for pod in self.pods.get(WORKER, [])
            if not is_terminated(pod)
        }
        node_names = sorted(by_pod - {""} or {name_of(node) for node in self.nodes})
        return self.origin.node_names if not node_names and self.origin is not None else node_names


def build_caches(snapshot: Snapshot) -> list[Cache]:
    """Return every cache of a snapshot, by namespace and name."""
    caches: dict[tuple[str, str], Cache] = {}

    def cache_of(obj: Mapping[str, Any]) -> Cache:
        key = (namespace_of(obj), name_of(obj))
        return caches.setdefault(key, Cache(*key))

    for dataset in snapshot.of_kind(names.DATASETS):
        cache_of(dataset).dataset = dataset
    for kind in names.RUNTIME_KINDS:
        for runtime in snapshot.of_kind(kind):
            cache_of(runtime).runtimes.append(runtime)
    _attach_loads(snapshot, caches)
    _attach_workloads(snapshot, caches)
    for cache in caches.values():
        cache.claim = snapshot.get(kinds.PVCS, cache.name, cache.namespace)
        bound = str(get_path(cache.claim, "spec", "volumeName", default=""))
        volume = bound or names.volume_name(cache.namespace, cache.name)
        cache.volume = snapshot.get(kinds.PVS, volume)
        origin = caches.get(cache.refers_to) if cache.refers_to else None
        if origin is not None and origin.refers_to is None:  # Fluid follows only one reference
            cache.origin = origin
    _attach_nodes(snapshot, caches.values())
    _attach_readers(snapshot, caches)
    _attach_graphs(snapshot, caches)
    return [caches[key] for key in sorted(caches)]


def _attach_loads(snapshot: Snapshot, caches: Mapping[tuple[str, str], Cache]) -> None:
    for load in snapshot.of_kind(names.DATA_LOADS):
        namespace = str(get_path(load, "spec", "dataset", "namespace") or namespace_of(load))
        cache = caches.get((namespace, str(get_path(load, "spec", "dataset", "name", default=""))))
        if cache is not None:
            cache.loads.append(load)
    for cache in caches.values():
        cache.loads.sort(
            key=lambda load: str(get_path(load, "metadata", "creationTimestamp", default=""))
        )


def _attach_workloads(snapshot: Snapshot, caches: Mapping[tuple[str, str], Cache]) -> None:
    """Group StatefulSets, DaemonSets, Jobs and pods by the labels of Fluid's charts."""
    for kind in (kinds.STATEFUL_SETS, names.ADVANCED_SETS, kinds.DAEMON_SETS):
        for obj in snapshot.of_kind(kind):
            cache, role = _owner_and_role(obj, caches)
            if cache is not None and role:
                cache.workloads[role] = obj
    for pod in snapshot.of_kind(kinds.PODS):
        cache, role = _owner_and_role(pod, caches)
        if cache is not None and role:
            cache.pods.setdefault(role, []).append(pod)
        target = labels_of(pod).get("targetDataset", "")
        loaded = caches.get((namespace_of(pod), target))
        if target and loaded is not None:
            loaded.load_pods.append(pod)
    for job in snapshot.of_kind(kinds.JOBS):
        cache = caches.get((namespace_of(job), labels_of(job).get(names.MODEL_LABEL, "")))
        if cache is not None:
            cache.staging_jobs.append(job)


def _owner_and_role(
    obj: Object, caches: Mapping[tuple[str, str], Cache]
) -> tuple[Cache | None, str]:
    labels = labels_of(obj)
    name, role = labels.get("release", ""), labels.get("role", "")
    if names.CACHE_RUNTIME_LABEL in labels:
        name = labels[names.CACHE_RUNTIME_LABEL]
        role = labels.get(names.CACHE_COMPONENT_LABEL, "").removeprefix(name)
        role = FUSE if role.endswith(_CLIENT_COMPONENT) else role
    part = next((part for part in (MASTER, WORKER, FUSE) if role.endswith(part)), "")
    return caches.get((namespace_of(obj), name)), part


def _attach_nodes(snapshot: Snapshot, caches: Iterable[Cache]) -> None:
    by_key: dict[str, list[Object]] = defaultdict(list)
    for node in snapshot.of_kind(kinds.NODES):
        for key, value in labels_of(node).items():
            if key.startswith("fluid.io/s-") and value == "true":
                by_key[key].append(node)
    for cache in caches:
        cache.nodes = by_key.get(cache.node_label, [])


def _attach_readers(snapshot: Snapshot, caches: Mapping[tuple[str, str], Cache]) -> None:
    cache_nodes = {key: set(cache.node_names) for key, cache in caches.items()}
    graphs: dict[str, dict[str, Object]] = defaultdict(dict)
    for graph in _graph_objects(snapshot):
        graphs[namespace_of(graph)][name_of(graph)] = graph
    for pod in snapshot.of_kind(kinds.PODS):
        if is_terminated(pod):
            continue
        for claim in dict.fromkeys(claim_names(pod)):
            key = (namespace_of(pod), claim)
            if key in caches:
                node = str(get_path(pod, "spec", "nodeName", default=""))
                local = node in cache_nodes[key] if node else None
                owner = _graph_and_component(pod, graphs[namespace_of(pod)])
                caches[key].readers.append(ReaderPod(pod, _claim_mounts(pod, claim), local, *owner))


def _graph_and_component(pod: Object, graphs: Mapping[str, Object]) -> tuple[str, str]:
    """Return the graph and the component of a pod; empty if no operator labels it.

    Operators up to 0.5 label it with both in one, in lower case: `chat-vllmworker`.
    """
    labels = labels_of(pod)
    graph, selector = labels.get(dynamo.GRAPH_LABEL, ""), labels.get(dynamo.SELECTOR_LABEL, "")
    component = labels.get(dynamo.COMPONENT_LABEL, "")
    if graph or not selector or selector in graphs:
        return graph or selector, component
    candidates = [name for name in graphs if selector.startswith(f"{name}-")]
    if not candidates:
        return selector, component
    graph = max(candidates, key=len)
    spec = get_path(graphs[graph], "spec")
    components = [
        *get_map(spec, "services"),
        *(entry.get("name") for entry in get_list(spec, "components")),
    ]
    suffix = selector.removeprefix(f"{graph}-")
    return graph, next((str(name) for name in components if str(name).lower() == suffix), component)


def _claim_mounts(pod: Object, claim: str) -> tuple[tuple[str, str], ...]:
    volumes = {
        str(volume.get("name"))
        for volume in get_list(pod, "spec", "volumes")
        if get_path(volume, "persistentVolumeClaim", "claimName") == claim
    }
    return tuple(
        (str(container.get("name", "")), str(mount.get("mountPath", "")))
        for container in get_list(pod, "spec", "containers")
        for mount in get_list(container, "volumeMounts")
        if str(mount.get("name")) in volumes
    )


def _attach_graphs(snapshot: Snapshot, caches: Mapping[tuple[str, str], Cache]) -> None:
    for graph in _graph_objects(snapshot):
        for name in sorted(claims_in(graph.get("spec"))):
            cache = caches.get((namespace_of(graph), name))
            if cache is not None:
                cache.graphs.append(graph)


def _graph_objects(snapshot: Snapshot) -> list[Object]:
    """Return graphs, and components without one."""
    alone = [
        component
        for component in snapshot.of_kind(queries.COMPONENTS)
        if not get_path(component, "metadata", "ownerReferences")
    ]
    return [*snapshot.of_kind(queries.GRAPHS), *alone]


def claims_in(value: Any) -> set[str]:
    """Return every claim that a graph's spec mounts, in any shape: volumes, pvcs, service pvc."""
    claims: set[str] = set()
    if isinstance(value, list):
        for item in value:
            claims |= claims_in(item)
    elif isinstance(value, dict):
        claim = get_path(value, "persistentVolumeClaim", "claimName") or get_path(
            value, "pvc", "name"
        )
        if isinstance(claim, str):
            claims.add(claim)
        for entry in [*get_list(value, "pvcs"), *get_list(value, "volumeMounts")]:
            if isinstance(entry.get("name"), str):
                claims.add(entry["name"])
        for item in value.values():
            claims |= claims_in(item)
    return claims
