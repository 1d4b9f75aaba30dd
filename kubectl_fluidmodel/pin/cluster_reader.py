"""Everything a pin needs to know of a cluster, in a fixed number of requests.

At most 12 for one pin: the Dataset, its claim, the volume where the claim has no label, the nodes
with the cache's label, the graph (3 on clusters that serve v1alpha1 only), a dry run and the
patch, and two more where somebody writes the graph in between. What is left goes into the pods of
cache nodes, one request each, those with the most GPUs first. The graph comes last, so that as
little time as can be passes until the patch.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import claim_directory
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError, NotFoundError
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin.preflight.context import CacheInfo

MAX_REQUESTS = 12
"""Requests that one pin may make."""
_RESERVED_REQUESTS = 5
"""Of these, for the graph, the dry run, the patch, and two where somebody writes in between."""


class CountingClient(Client):
    """A client that knows how many requests it made."""

    requests = 0

    def _send(self, *args: Any, **kwargs: Any) -> Any:
        self.requests += 1
        return super()._send(*args, **kwargs)


def read_graph(client: Client, reference: str, namespace: str) -> tuple[Kind, Object, str | None]:
    """A graph as served in the newest version, and the shape that the server's schema shows.

    The shape is None where the object's version says enough.

    Raises:
        NotFoundError: there is none of that name, of any kind that could be meant.
    """
    kind, name = resources.parse_reference(reference)
    wanted = [kind] if kind else [resources.GRAPH, resources.COMPONENT]
    for candidate in wanted:
        found = _get_newest(client, candidate, name, namespace)
        if found is not None:
            served, obj = found
            schema = _served_shape(client, served) if served.version == resources.V1ALPHA1 else None
            return served, obj, schema
    if not kind and _get_newest(client, resources.REQUEST, name, namespace):
        return read_graph(client, f"dgdr/{name}", namespace)
    what = wanted[0]
    raise NotFoundError(
        f"there is no {what} {name} in namespace {namespace}",
        "",
        f"kubectl get {resources.PLURALS[what]}.{resources.GROUP} -n {namespace}",
        status=404,
    )


def _get_newest(client: Client, kind: str, name: str, namespace: str) -> tuple[Kind, Object] | None:
    """An object in the newest version that is served; a 404 that names it is final."""
    versions = (resources.V1BETA1, resources.V1ALPHA1)
    for version in (resources.V1BETA2, *versions) if kind == resources.REQUEST else versions:
        served = resources.kind_for(kind, version)
        try:
            return served, client.get(served, name, namespace)
        except NotFoundError as err:
            # "404 page not found" is the version's absence, a Status with a reason the object's.
            if err.api_reason == "NotFound":
                return None
    return None


def _served_shape(client: Client, served: Kind) -> str | None:
    """Whether v1alpha1 as served is the old one, with a `pvc` in each service."""
    path = f"/openapi/v3/apis/{served.group}/{served.version}"
    try:
        found = json.loads(client.request("GET", path, action=f"cannot read {path}"))
    except (KubeError, ValueError):
        return None
    for schema in get_path(found, "components", "schemas", default={}).values():
        kind = get_path(schema, "x-kubernetes-group-version-kind", 0, "kind")
        if kind != served.name:
            continue
        spec = get_path(schema, "properties", "spec", "properties", default={})
        service = get_path(spec, "services", "additionalProperties", "properties", default=spec)
        return "v1alpha1-pvc" if "pvc" in service else "v1alpha1"
    return None


def read_cache(client: CountingClient, model: str, namespace: str) -> CacheInfo:
    """A cache, its claim, its nodes and the pods on them."""
    info = CacheInfo(model, namespace)
    with ThreadPoolExecutor(2) as pool:
        dataset = pool.submit(_find_if_allowed, info, client, names.DATASETS, model, namespace)
        claim = pool.submit(_find_if_allowed, info, client, kinds.PVCS, model, namespace)
        info.dataset, info.claim = dataset.result(), claim.result()
    if info.dataset is None and not info.unread:
        info.elsewhere = _namespaces_with_dataset(client, model)
        return info
    info.key = cache_label_key(client, info)
    runtime = str(get_path(info.dataset, "status", "runtimes", 0, "type", default="alluxio"))
    uid = names.uid_of(info.dataset) if info.dataset else ""
    equal, dead = names.node_label_keys(namespace, model, runtime, uid)
    info.equal, info.dead = tuple(equal), tuple(key for key in dead if key != info.key)
    try:
        info.nodes = client.list_objects(kinds.NODES, labels=f"{info.key}=true")
    except ForbiddenError as err:
        info.unread.append(f"nodes ({err.reason})")
    if info.nodes:
        _read_pods(client, info, info.nodes)
    return info


def _find_if_allowed(
    info: CacheInfo, client: Client, kind: Kind, name: str, namespace: str
) -> Object | None:
    try:
        return client.get_or_none(kind, name, namespace)
    except ForbiddenError as err:
        info.unread.append(f"{kind.plural} ({err.reason})")
        return None


def _namespaces_with_dataset(client: Client, model: str) -> list[str]:
    try:
        found = client.list_objects(names.DATASETS, fields=f"metadata.name={model}")
    except KubeError:
        return []
    return sorted(namespace_of(obj) for obj in found)


def cache_label_key(client: Client, info: CacheInfo) -> str:
    """The label of the cache's nodes: as Fluid wrote it on the claim or the volume, else by rule.

    The volume names the fuse's label, which has the same ending: both prefixes are equally
    long, so both turn to the UID at the same length.
    """
    if info.claim is not None:
        found = names.cache_label_of_pvc(info.claim)
        if found:
            return found
        volume = str(get_path(info.claim, "spec", "volumeName", default=""))
        try:
            pv = client.get_or_none(kinds.PVS, volume) if volume else None
        except ForbiddenError:
            pv = None
        fuse = str(
            get_path(
                pv, "spec", "csi", "volumeAttributes", "mount_pod_node_selector_key", default=""
            )
        )
        if fuse.startswith("fluid.io/f-"):
            return "fluid.io/s-" + fuse.removeprefix("fluid.io/f-")
    uid = names.uid_of(info.dataset) if info.dataset else ""
    return names.cache_label(info.namespace, info.model, uid)


def _read_pods(client: CountingClient, info: CacheInfo, nodes: list[Object]) -> None:
    """The pods of as many cache nodes as requests are left for."""
    remaining = max(1, MAX_REQUESTS - _RESERVED_REQUESTS - client.requests)
    first = sorted(nodes, key=lambda n: (-sum(gpus.allocatable_gpus(n).values()), name_of(n)))
    chosen = [name_of(node) for node in first[:remaining]]

    def read(node: str) -> list[Object]:
        return client.list_objects(kinds.PODS, fields=f"spec.nodeName={node}")

    try:
        with ThreadPoolExecutor(max(1, len(chosen))) as pool:
            info.pods = dict(zip(chosen, pool.map(read, chosen), strict=True))
    except ForbiddenError as err:
        info.unread.append(f"pods ({err.reason})")


def model_directory(dataset: Object | None) -> str:
    """Where in the claim the files of a Dataset's one mount are, empty for its root."""
    mounts = get_path(dataset, "spec", "mounts", default=[])
    return claim_directory(mounts[0]) if len(mounts) == 1 else ""
