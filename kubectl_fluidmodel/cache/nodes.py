"""The nodes that may hold a cache, with what pods and other caches leave free on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.node_choice import CandidateNodes
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names, placement
from kubectl_fluidmodel.fluid.placement import Candidate, build_candidate
from kubectl_fluidmodel.inventory.runtimes import storage_tiers
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError, NotFoundError
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import Object, get_list, labels_of, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind


def candidate_nodes(
    client: Client, options: CacheOptions, namespace: str, existing: ExistingObjects
) -> CandidateNodes | None:
    """Return the nodes that may hold the cache, with their free resources.

    None if nodes cannot be listed: the scheduler then chooses within the node affinity. Pods are
    read per node, only for the few candidates with the most memory, so the cost does not grow with
    the cluster.
    """
    try:
        objects = client.list_objects(k.NODES)
    except ForbiddenError:
        return None
    known_tolerations = _known_tolerations(client, options, namespace, existing, objects)

    def choices(all_nodes: Sequence[Candidate]) -> tuple[list[Candidate], list[str]]:
        return placement.eligible_nodes(
            all_nodes,
            objects,
            node_names=options.nodes,
            selector=dict(options.node_selector),
            current=placement.bound_hostnames(existing.dataset or {}),
        )

    candidates = {
        name_of(node): build_candidate(node, tolerations=known_tolerations) for node in objects
    }
    considered, notes = choices(list(candidates.values()))
    by_name = {name_of(node): node for node in objects}
    roomiest = sorted(
        (node for node in considered if node.is_eligible),
        key=lambda node: (node.caches, -(node.capacity.memory or 0), node.name),
    )[: options.replicas + 7]
    pods = _pods_by_node(client, [node.name for node in roomiest])
    if pods is None:
        notes.append(
            "pods in other namespaces cannot be read: their requests are not subtracted from free "
            "memory"
        )
        return CandidateNodes(tuple(considered), tuple(notes))
    disks, unread = _disk_caches(client, (namespace, options.name), pods)
    notes += unread
    for name, on in pods.items():
        candidates[name] = build_candidate(
            by_name[name], on, disks=disks.get(name, ()), tolerations=known_tolerations
        )
    return CandidateNodes(tuple(choices(list(candidates.values()))[0]), tuple(notes))


def _pods_by_node(client: Client, nodes: Sequence[str]) -> dict[str, list[Object]] | None:
    """Return the pods by node; None if they cannot be read."""
    from concurrent.futures import ThreadPoolExecutor

    def read(node: str) -> list[Object]:
        return client.list_objects(k.PODS, fields=f"spec.nodeName={node}")

    try:
        with ThreadPoolExecutor(max_workers=8) as pool:
            return dict(zip(nodes, pool.map(read, nodes), strict=True))
    except KubeError:
        return None


def _known_tolerations(
    client: Client,
    options: CacheOptions,
    namespace: str,
    existing: ExistingObjects,
    objects: Sequence[Object],
) -> list[Object]:
    """Return the tolerations of the existing cache and of the workers of the namespace's graphs.

    The graphs are read only if a node has a taint that is not tolerated otherwise.
    """
    tolerations = get_list(existing.dataset, "spec", "tolerations")
    if options.nodes or not any(
        build_candidate(node, tolerations=tolerations).untolerated for node in objects
    ):
        return tolerations
    return tolerations + _worker_tolerations(client, namespace)


def _disk_caches(
    client: Client, own_key: tuple[str, str], pods: Mapping[str, Sequence[Object]]
) -> tuple[dict[str, list[tuple[str, int]]], list[str]]:
    """Return the paths and quotas of caches on disks by node, and notes.

    No pod requests this space: the quota of a tier is in the runtime of a cache that has a worker
    there. The cache `own_key`, which is being placed, does not count.
    """
    kinds: dict[str, Kind] = {}
    for pod in (pod for on in pods.values() for pod in on):
        role = labels_of(pod).get("role", "")
        for kind in names.RUNTIME_KINDS if role.endswith("-worker") else ():
            if role.startswith(kind.name.removesuffix("Runtime").lower()):
                kinds[kind.resource] = kind
    runtimes: dict[tuple[str, str], Object] = {}
    notes = []
    for kind in kinds.values():
        try:
            runtimes |= {(namespace_of(r), name_of(r)): r for r in client.list_objects(kind)}
        except (ForbiddenError, NotFoundError):
            notes.append(
                f"{kind.resource} in other namespaces cannot be read: the disk space of their "
                "caches is not counted"
            )
    by_node = {}
    for node, on in pods.items():
        keys = {(namespace_of(pod), labels_of(pod).get("release", "")) for pod in on} - {own_key}
        by_node[node] = [
            tier for key in sorted(keys) if key in runtimes for tier in disk_tiers(runtimes[key])
        ]
    return by_node, notes


def disk_tiers(runtime: Object) -> list[tuple[str, int]]:
    """Return the path and bytes of a cache's disk tiers; the path of an emptyDir is empty.

    A tier with several paths counts at the first.
    """
    return [
        ("" if tier.empty_dir else tier.path.partition(",")[0].strip(), tier.quota or 0)
        for tier in storage_tiers(runtime)
        if tier.medium != "MEM"
    ]


def _worker_tolerations(client: Client, namespace: str) -> list[Object]:
    """Return the tolerations of a namespace's graph workers; none if graphs cannot be read."""
    tolerations: list[Object] = []
    for name in (resources.GRAPH, resources.COMPONENT):
        for graph in _list_newest(client, name, namespace):
            try:
                opened = open_graph(graph)
            except FluidModelError:
                continue  # another object creates its pods
            for component in opened.components:
                if component.role is Role.WORKER:
                    tolerations += get_list(component.pod_spec(), "tolerations")
    return tolerations


def _list_newest(client: Client, kind: str, namespace: str) -> list[Object]:
    """Return the objects of a kind in the newest served version."""
    for version in (resources.V1BETA1, resources.V1ALPHA1):
        try:
            return client.list_objects(resources.kind_for(kind, version), namespace)
        except KubeError:
            continue  # it is not served, or we may not read it
    return []
