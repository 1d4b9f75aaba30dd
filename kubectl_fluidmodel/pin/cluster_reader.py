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
from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import directory
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, KubeError, NotFound
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin.preflight.context import CacheFacts

REQUESTS = 12
"""Requests that one pin may make."""
_RESERVED = 5
"""Of these, for the graph, the dry run, the patch, and two where somebody writes in between."""


class Counted(Client):
    """A client that knows how many requests it made."""

    requests = 0

    def _send(self, *args: Any, **kwargs: Any) -> Any:
        self.requests += 1
        return super()._send(*args, **kwargs)


def graph(client: Client, text: str, namespace: str) -> tuple[Kind, Object, str | None]:
    """A graph as served in the newest version, and the shape that the server's schema shows.

    The shape is None where the object's version says enough.

    Raises:
        NotFound: there is none of that name, of any kind that could be meant.
    """
    kind, name = resources.reference(text)
    wanted = [kind] if kind else [resources.GRAPH, resources.COMPONENT]
    for candidate in wanted:
        found = _one(client, candidate, name, namespace)
        if found is not None:
            served, obj = found
            schema = _schema(client, served) if served.version == resources.ALPHA else None
            return served, obj, schema
    if not kind and _one(client, resources.REQUEST, name, namespace):
        return graph(client, f"dgdr/{name}", namespace)
    what = wanted[0]
    raise NotFound(
        f"there is no {what} {name} in namespace {namespace}",
        "",
        f"kubectl get {resources.PLURALS[what]}.{resources.GROUP} -n {namespace}",
        status=404,
    )


def _one(client: Client, kind: str, name: str, namespace: str) -> tuple[Kind, Object] | None:
    """An object in the newest version that is served; a 404 that names it is final."""
    versions = (resources.BETA, resources.ALPHA)
    for version in (resources.BETA2, *versions) if kind == resources.REQUEST else versions:
        served = resources.kind(kind, version)
        try:
            return served, client.get(served, name, namespace)
        except NotFound as err:
            # "404 page not found" is the version's absence, a Status with a reason the object's.
            if err.reason == "NotFound":
                return None
    return None


def _schema(client: Client, served: Kind) -> str | None:
    """Whether v1alpha1 as served is the old one, with a `pvc` in each service."""
    path = f"/openapi/v3/apis/{served.group}/{served.version}"
    try:
        found = json.loads(client.request("GET", path, what=f"cannot read {path}"))
    except (KubeError, ValueError):
        return None
    for schema in at(found, "components", "schemas", default={}).values():
        kind = at(schema, "x-kubernetes-group-version-kind", 0, "kind")
        if kind != served.name:
            continue
        spec = at(schema, "properties", "spec", "properties", default={})
        service = at(spec, "services", "additionalProperties", "properties", default=spec)
        return "v1alpha1-pvc" if "pvc" in service else "v1alpha1"
    return None


def cache(client: Counted, model: str, namespace: str) -> CacheFacts:
    """A cache, its claim, its nodes and the pods on them."""
    facts = CacheFacts(model, namespace)
    with ThreadPoolExecutor(2) as pool:
        dataset = pool.submit(_read, facts, client, names.DATASETS, model, namespace)
        claim = pool.submit(_read, facts, client, kinds.PVCS, model, namespace)
        facts.dataset, facts.claim = dataset.result(), claim.result()
    if facts.dataset is None and not facts.unread:
        facts.elsewhere = _elsewhere(client, model)
        return facts
    facts.key = label_key(client, facts)
    runtime = str(at(facts.dataset, "status", "runtimes", 0, "type", default="alluxio"))
    uid = names.uid_of(facts.dataset) if facts.dataset else ""
    equal, dead = names.node_labels(namespace, model, runtime, uid)
    facts.equal, facts.dead = tuple(equal), tuple(key for key in dead if key != facts.key)
    try:
        facts.nodes = client.list_all(kinds.NODES, labels=f"{facts.key}=true")
    except Forbidden as err:
        facts.unread.append(f"nodes ({err.why})")
    if facts.nodes:
        _pods(client, facts, facts.nodes)
    return facts


def _read(
    facts: CacheFacts, client: Client, kind: Kind, name: str, namespace: str
) -> Object | None:
    try:
        return client.find(kind, name, namespace)
    except Forbidden as err:
        facts.unread.append(f"{kind.plural} ({err.why})")
        return None


def _elsewhere(client: Client, model: str) -> list[str]:
    try:
        found = client.list_all(names.DATASETS, fields=f"metadata.name={model}")
    except KubeError:
        return []
    return sorted(namespace_of(obj) for obj in found)


def label_key(client: Client, facts: CacheFacts) -> str:
    """The label of the cache's nodes: as Fluid wrote it on the claim or the volume, else by rule.

    The volume names the fuse's label, which has the same ending: both prefixes are equally
    long, so both turn to the UID at the same length.
    """
    if facts.claim is not None:
        found = names.cache_label_of_pvc(facts.claim)
        if found:
            return found
        volume = str(at(facts.claim, "spec", "volumeName", default=""))
        try:
            pv = client.find(kinds.PVS, volume) if volume else None
        except Forbidden:
            pv = None
        fuse = str(
            at(pv, "spec", "csi", "volumeAttributes", "mount_pod_node_selector_key", default="")
        )
        if fuse.startswith("fluid.io/f-"):
            return "fluid.io/s-" + fuse.removeprefix("fluid.io/f-")
    uid = names.uid_of(facts.dataset) if facts.dataset else ""
    return names.cache_label(facts.namespace, facts.model, uid)


def _pods(client: Counted, facts: CacheFacts, nodes: list[Object]) -> None:
    """The pods of as many cache nodes as requests are left for."""
    room = max(1, REQUESTS - _RESERVED - client.requests)
    first = sorted(nodes, key=lambda n: (-sum(gpus.allocatable(n).values()), name_of(n)))
    chosen = [name_of(node) for node in first[:room]]

    def read(node: str) -> list[Object]:
        return client.list_all(kinds.PODS, fields=f"spec.nodeName={node}")

    try:
        with ThreadPoolExecutor(max(1, len(chosen))) as pool:
            facts.pods = dict(zip(chosen, pool.map(read, chosen), strict=True))
    except Forbidden as err:
        facts.unread.append(f"pods ({err.why})")


def worker_tolerations(client: Client, namespace: str) -> list[Object]:
    """What the workers of a namespace's graphs tolerate; nothing where graphs cannot be read."""
    found: list[Object] = []
    for name in (resources.GRAPH, resources.COMPONENT):
        for graph in _all(client, name, namespace):
            try:
                opened = open_graph(graph)
            except FluidModelError:
                continue  # its pods are made from elsewhere
            for component in opened.components:
                if component.role is Role.WORKER:
                    found += dicts(component.pod_spec(), "tolerations")
    return found


def _all(client: Client, kind: str, namespace: str) -> list[Object]:
    """The objects of a kind in the newest version that is served."""
    for version in (resources.BETA, resources.ALPHA):
        try:
            return client.list_all(resources.kind(kind, version), namespace)
        except KubeError:
            continue  # it is not served, or we may not see it
    return []


def model_directory(dataset: Object | None) -> str:
    """Where in the claim the files of a Dataset's one mount are, empty for its root."""
    mounts = at(dataset, "spec", "mounts", default=[])
    return directory(mounts[0]) if len(mounts) == 1 else ""
