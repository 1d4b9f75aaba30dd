"""Reads the state of a cluster for `prune`: caches, our objects, and their users."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.inventory.mount_target import mount_targets
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.objects.pods import claim_names, is_terminated
from kubectl_fluidmodel.prune.cluster import PARTS_OF_CACHE, ClusterState, ObjectUsers
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot, summarize_failures

_OWNED_SELECTOR = f"{names.MANAGED_BY_LABEL}={names.MANAGER}"


def read_cluster(
    client: Client, namespace: str | None, note: Callable[[str], None]
) -> tuple[ClusterState, Snapshot]:
    """Read a namespace, or all.

    Args:
        client: The cluster.
        namespace: None for all.
        note: Gets a line for what may not be read.

    Raises:
        ForbiddenError: Datasets may not be listed, so every cache would seem to be missing.
    """
    client.list_objects(names.DATASETS, namespace, metadata_only=True)  # raises if denied
    snapshot = collector.collect(client, namespace, queries.PRUNE_QUERIES)
    for line in summarize_failures(snapshot.read_failures):
        note(f"note: {line}")
    owned: list[Object] = []
    for kind in (kinds.JOBS, *PARTS_OF_CACHE):
        try:
            owned += _list_owned(client, kind, namespace)
        except ForbiddenError as err:
            note(f"note: {kind.plural} are skipped: {err.reason}")
    return (
        ClusterState(
            caches=build_caches(snapshot),
            owned=owned,
            users=_read_users(client, owned, snapshot),
            now=time.time(),
            unread_readers=_unread_readers(snapshot),
        ),
        snapshot,
    )


def _unread_readers(snapshot: Snapshot) -> frozenset[str]:
    """Return the namespaces of caches in which pods or graphs could not be read."""
    kinds_of_readers = (kinds.PODS, queries.GRAPHS, queries.COMPONENTS)
    spaces = {namespace_of(dataset) for dataset in snapshot.of_kind(names.DATASETS)}
    return frozenset(
        space
        for space in spaces
        if any(snapshot.read_failure(kind, space) is not None for kind in kinds_of_readers)
    )


def _list_owned(client: Client, kind: Kind, namespace: str | None) -> list[Object]:
    """Return our objects of a kind; for Secrets only the metadata, so no key is read."""
    objects = client.list_objects(
        kind,
        namespace if kind.namespaced else None,
        labels=_OWNED_SELECTOR,
        metadata_only=kind == kinds.SECRETS,
    )
    return [
        {**obj, "apiVersion": kind.api_version, "kind": kind.name}
        for obj in objects
        if kind.namespaced or namespace in (None, get_path(obj, "spec", "claimRef", "namespace"))
    ]


def _read_users(client: Client, owned: Sequence[Object], snapshot: Snapshot) -> ObjectUsers:
    """Return the users of our Secrets and claims: pods, and mounts of Datasets."""
    users: dict[tuple[str, str, str], list[str]] = {}
    unread = set()
    shared = (kinds.SECRETS.name, kinds.PVCS.name)
    spaces = {namespace_of(obj) for obj in owned if obj["kind"] in shared}
    spaces |= {namespace_of(dataset) for dataset in snapshot.of_kind(names.DATASETS)}
    for space in sorted(spaces):
        try:
            pods = client.list_objects(kinds.PODS, space, transform=_strip_pod)
        except ForbiddenError:
            unread.add(space)
            continue
        for pod in pods:
            for kind, name in pod["uses"]:
                users.setdefault((kind, space, name), []).append(f"Pod {pod['name']}")
    for cache in build_caches(snapshot):
        for target in mount_targets(cache):
            for ref in (target.access, target.hidden, target.account):
                if ref is not None:
                    key = (kinds.SECRETS.name, cache.namespace, ref.secret)
                    users.setdefault(key, []).append(f"Dataset {cache.name}")
            if target.scheme == "pvc":
                key = (kinds.PVCS.name, cache.namespace, target.host)
                users.setdefault(key, []).append(f"Dataset {cache.name}")
    by_object = {key: tuple(dict.fromkeys(user_names)) for key, user_names in users.items()}
    return ObjectUsers(by_object, frozenset(unread))


def _strip_pod(pod: Object) -> Object | None:
    """Return a pod's name and the Secrets and claims that it uses; None for one that has ended."""
    uses = [] if is_terminated(pod) else list(dict.fromkeys(_used_objects(pod)))
    return {"name": name_of(pod), "uses": uses} if uses else None


def _used_objects(pod: Object) -> Iterator[tuple[str, str]]:
    secret, claim = kinds.SECRETS.name, kinds.PVCS.name
    yield from ((claim, name) for name in claim_names(pod))
    for volume in get_list(pod, "spec", "volumes"):
        yield secret, str(get_path(volume, "secret", "secretName", default=""))
        for source in get_list(volume, "projected", "sources"):
            yield secret, str(get_path(source, "secret", "name", default=""))
    for entry in get_list(pod, "spec", "imagePullSecrets"):
        yield secret, str(entry.get("name", ""))
    for part in ("initContainers", "containers"):
        for container in get_list(pod, "spec", part):
            for entry in get_list(container, "env"):
                yield secret, str(get_path(entry, "valueFrom", "secretKeyRef", "name", default=""))
            for entry in get_list(container, "envFrom"):
                yield secret, str(get_path(entry, "secretRef", "name", default=""))
