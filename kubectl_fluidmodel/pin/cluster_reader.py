"""Reads everything that `pin` needs to know about a cache, in a bounded number of requests.

One pin makes at most 12: the Dataset, its claim, the volume if the claim has no label, the runtime
if a loader is chosen, the nodes with the cache's label, the graph (3 on clusters that serve only
v1alpha1), a dry run and the patch. The others read the pods of cache nodes, one request each, nodes
with the most GPUs first. The graph is read last, so little time passes until the patch. Each write
of another client in that time costs two more requests (`graph_patch.ATTEMPTS`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from kubectl_fluidmodel.dynamo.autoscaling import is_autoscaled
from kubectl_fluidmodel.dynamo.graph import Graph
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.reference import referred_claim, referred_dataset
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, get_path, labels_of, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin.preflight.context import CacheInfo

MAX_REQUESTS = 12
"""Maximum number of requests of one pin without concurrent writes."""
_RESERVED_REQUESTS = 5
"""Requests reserved for the graph (3), the dry run and the patch."""


class CountingClient(Client):
    """A client that counts its requests."""

    requests = 0

    def _send(self, *args: Any, **kwargs: Any) -> Any:
        self.requests += 1
        return super()._send(*args, **kwargs)


def read_cache(
    client: CountingClient, name: str, namespace: str, needs_runtime: bool = False
) -> CacheInfo:
    """Read a cache, its claim, its nodes and the pods on them, and its runtime if needed.

    What may not be read is missing in the result and listed in its `unread`.
    """
    unread: list[str] = []

    def find(kind: Kind, in_namespace: str = namespace, name: str = name) -> Object | None:
        try:
            return client.get_or_none(kind, name, in_namespace)
        except ForbiddenError as err:
            unread.append(f"{kind.plural} ({err.reason})")
            return None

    with ThreadPoolExecutor(2) as pool:
        dataset, claim = pool.map(find, (names.DATASETS, kinds.PVCS))
    if dataset is None and not unread:
        return CacheInfo(
            name, namespace, other_namespaces=_namespaces_with_dataset(client, name), claim=claim
        )
    source = referred_dataset(dataset) or referred_claim(claim)
    if source is None:
        uid = names.uid_of(dataset) if dataset else ""
        label = _label_on_claim(client, claim) or names.cache_label(namespace, name, uid)
        runtime_type = str(get_path(dataset, "status", "runtimes", 0, "type", default="alluxio"))
        equal, dead = names.node_label_keys(namespace, name, runtime_type, uid)
    else:
        label, equal, dead = _labels_of_source(client, source)
        dead += [key for keys in names.node_label_keys(namespace, name) for key in keys]
    runtime = find(names.ALLUXIO_RUNTIMES, *(source or ())) if needs_runtime else None
    nodes: list[Object] | None = None
    pods: dict[str, list[Object]] = {}
    try:
        nodes = client.list_objects(kinds.NODES, labels=f"{label}=true")
    except ForbiddenError as err:
        unread.append(f"nodes ({err.reason})")
    # Fluid's rule names them, but only a label that the nodes have can replace the cache's own.
    equal = [key for key in equal if all(key in labels_of(node) for node in nodes or [])]
    try:
        pods = _read_pods(client, nodes or [])
    except ForbiddenError as err:
        unread.append(f"pods ({err.reason})")
    return CacheInfo(
        name,
        namespace,
        dataset=dataset,
        claim=claim,
        runtime=runtime,
        label=label,
        equal_labels=tuple(equal),
        dead_labels=tuple(key for key in dead if key != label),
        nodes=nodes,
        pods=pods,
        unread=tuple(unread),
    )


def _labels_of_source(client: Client, source: tuple[str, str]) -> tuple[str, list[str], list[str]]:
    """Return the label of a reference's nodes, other labels of them, and those of no node.

    Raises:
        UidRequiredError: the label has the UID of the source, which may not be read.
    """
    uid = ""
    try:
        label = names.cache_label(*source)
    except names.UidRequiredError:
        with suppress(ForbiddenError):
            uid = names.uid_of(client.get(names.DATASETS, source[1], source[0]))
        label = names.cache_label(*source, uid)
    equal, dead = names.node_label_keys(*source, uid=uid)
    return label, equal, dead


def read_autoscalers(client: Client, graph: Graph) -> tuple[tuple[Object, ...], str]:
    """Read the autoscalers of a graph's namespace, if one may scale a component of it.

    Returns:
        The autoscalers, and why they could not be read (else empty).
    """
    if not any(map(is_autoscaled, graph.components)):
        return (), ""
    try:
        return tuple(
            client.list_objects(kinds.AUTOSCALERS, graph.namespace or client.namespace)
        ), ""
    except ForbiddenError as err:
        return (), err.reason


def _namespaces_with_dataset(client: Client, name: str) -> tuple[str, ...]:
    try:
        datasets = client.list_objects(names.DATASETS, fields=f"metadata.name={name}")
    except KubeError:
        return ()
    return tuple(sorted(namespace_of(dataset) for dataset in datasets))


def _label_on_claim(client: Client, claim: Object | None) -> str:
    """Return the label of the cache's nodes as Fluid wrote it on the claim or its volume, or empty.

    The volume names the label of FUSE nodes, which has the same suffix: both prefixes have the same
    length, so both contain the UID for the same names.
    """
    if claim is None:
        return ""
    label = names.cache_label_of_pvc(claim)
    if label:
        return label
    volume = str(get_path(claim, "spec", "volumeName", default=""))
    try:
        pv = client.get_or_none(kinds.PVS, volume) if volume else None
    except ForbiddenError:
        return ""
    fuse = str(
        get_path(pv, "spec", "csi", "volumeAttributes", "mount_pod_node_selector_key", default="")
    )
    return f"fluid.io/s-{fuse[len('fluid.io/f-') :]}" if fuse.startswith("fluid.io/f-") else ""


def _read_pods(client: CountingClient, nodes: list[Object]) -> dict[str, list[Object]]:
    """Return the pods by node, for as many cache nodes as the remaining requests allow."""
    remaining = max(1, MAX_REQUESTS - _RESERVED_REQUESTS - client.requests)
    by_gpus = sorted(
        nodes, key=lambda node: (-sum(gpus.allocatable_gpus(node).values()), name_of(node))
    )
    node_names = [name_of(node) for node in by_gpus[:remaining]]

    def read(node: str) -> list[Object]:
        return client.list_objects(kinds.PODS, fields=f"spec.nodeName={node}")

    with ThreadPoolExecutor(max(1, len(node_names))) as pool:
        return dict(zip(node_names, pool.map(read, node_names), strict=True))
