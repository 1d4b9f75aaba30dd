"""Adds copies to a running cache, and removes copies from it, without recreating it.

Fluid scales the workers with the runtime's `replicas`. This module adds what Fluid does not do: new
workers run on the Dataset's changed nodes, and a node never loses a copy that pods read there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from kubectl_fluidmodel.cache.existing import Resize
from kubectl_fluidmodel.cache.hints import RBAC_DOCS
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import worker_set
from kubectl_fluidmodel.fluid.reference import references_to
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of
from kubectl_fluidmodel.objects.pods import claim_names, is_terminated
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.units import list_first


def worker_nodes(client: Client, namespace: str, name: str) -> tuple[str, ...]:
    """Return the names of the workers' nodes, by the workers' numbers.

    Nothing if pods cannot be listed, or a worker has no node.
    """
    try:
        pods = client.list_objects(kinds.PODS, namespace, labels=worker_set.workers_selector(name))
    except ForbiddenError:
        return ()
    by_number = sorted(pods, key=worker_set.ordinal)
    nodes = tuple(str(get_path(pod, "spec", "nodeName", default="")) for pod in by_number)
    numbers = [worker_set.ordinal(pod) for pod in by_number]
    return nodes if all(nodes) and numbers == list(range(len(pods))) else ()


def require_allowed(
    client: Client, namespace: str, name: str, resize: Resize, dataset: Object | None
) -> None:
    """Check that a running cache may get another number of copies.

    Args:
        client: The cluster.
        namespace: The cache's namespace.
        name: The cache's name.
        resize: The change.
        dataset: The Dataset; its references in other namespaces are read there.

    Raises:
        FluidModelError: the workers' StatefulSet cannot be read or patched, or a copy that would be
            removed is read.
    """
    permissions.require_permissions(
        client,
        [Permission(verb, kinds.STATEFUL_SETS, namespace) for verb in ("get", "patch")],
        task=f"change the number of copies of a cache in {namespace}",
        docs=RBAC_DOCS,
    )
    if resize.removed:
        require_unread(client, namespace, dataset, name, resize.removed)


def require_unread(
    client: Client, namespace: str, dataset: Object | None, name: str, nodes: Collection[str]
) -> None:
    """Check that no pod reads the cache on nodes that lose their copies.

    Args:
        client: The cluster.
        namespace: The cache's namespace.
        dataset: The Dataset; its references in other namespaces are read there.
        name: The cache's name.
        nodes: Names of the nodes.

    Raises:
        FluidModelError: pods do, or it cannot be checked.
    """
    readers = []
    for reader_namespace, claim in [(namespace, name), *references_to(dataset)]:
        try:
            pods = client.list_objects(kinds.PODS, reader_namespace)
        except ForbiddenError as err:
            raise FluidModelError(
                f"cannot remove a copy of cache {name}",
                f"cannot check whether pods read it on {', '.join(nodes)}: {err.reason}",
                f"permission to list pods in namespace {reader_namespace}",
            ) from err
        readers += [
            f"{name_of(pod)} on {get_path(pod, 'spec', 'nodeName')}"
            for pod in pods
            if get_path(pod, "spec", "nodeName") in nodes
            and claim in claim_names(pod)
            and not is_terminated(pod)
        ]
    if readers:
        raise FluidModelError(
            f"cannot remove the copy of cache {name} on {', '.join(nodes)}",
            f"pods read it there: {list_first(readers)}",
            "stop them, or keep the copies",
        )


def admit_nodes(
    client: Client, namespace: str, dataset: Object, log: Callable[[str], None]
) -> None:
    """Let new workers run on the nodes of a Dataset; running ones are not touched.

    Does nothing while the StatefulSet does not exist: Fluid then creates it with these nodes.
    """
    name = name_of(dataset)
    workers = worker_set.worker_set_name(name)
    existing = client.get_or_none(kinds.STATEFUL_SETS, workers, namespace)
    required = get_path(dataset, "spec", "nodeAffinity", "required")
    if existing is None or not required:
        return
    patch = worker_set.placement_patch(existing, required, get_list(dataset, "spec", "tolerations"))
    if patch is not None:
        changed = client.patch(kinds.STATEFUL_SETS, workers, namespace, patch)
        changed.setdefault("kind", kinds.STATEFUL_SETS.name)
        log(f"{kubectl_name(changed)} admits new workers on the cache's nodes")


def is_scaled(runtime: Object | None, replicas: int) -> bool:
    """Whether Fluid has as many ready workers as it should, and no others."""
    current = get_path(runtime, "status", "currentWorkerNumberScheduled")
    ready = get_path(runtime, "status", "workerNumberReady")
    return bool(current == replicas == ready)
