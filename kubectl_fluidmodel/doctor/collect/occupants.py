"""Read what the scheduler counts on nodes, if a pod of a cache is pending: pods and volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, metadata_of, namespace_of
from kubectl_fluidmodel.objects.pods import claim_names
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

_ON_NODES = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
_SPEC_KEYS = ("nodeName", "overhead", "resources")
_CONTAINER_KEYS = ("name", "resources", "ports", "restartPolicy")


def collect_occupants(client: Client, caches: Sequence[Cache], snapshot: Snapshot) -> None:
    """Add the pods that the scheduler counts to the snapshot, if a cache pod is unschedulable.

    Unreadable pods are missing, and checks then report less about them.
    """
    pending = [pod for cache in caches for pod in _pending_pods(cache)]
    if not pending:
        return
    try:
        snapshot.pods_on_nodes = client.list_objects(
            kinds.PODS, fields=_ON_NODES, transform=strip_pod
        )
    except FluidModelError:
        snapshot.pods_on_nodes = None
    for pod in pending:
        for claim in claim_names(pod):
            _read_volume(client, snapshot, namespace_of(pod), claim)


def _pending_pods(cache: Cache) -> Iterator[Object]:
    """Pods, load pods and readers of a cache that are unschedulable."""
    pods = [pod for _, pod in observations.cache_pods(cache)]
    for pod in (*pods, *cache.load_pods, *(reader.pod for reader in cache.readers)):
        if observations.scheduling_failure(pod):
            yield pod


def _read_volume(client: Client, snapshot: Snapshot, namespace: str, claim: str) -> None:
    """Read a claim and its volume, which may be restricted to some nodes."""
    with suppress(FluidModelError):
        _read_once(client, snapshot, kinds.PVCS, claim, namespace)
        bound = snapshot.get(kinds.PVCS, claim, namespace)
        volume = str(get_path(bound, "spec", "volumeName", default=""))
        if volume:
            _read_once(client, snapshot, kinds.PVS, volume)


def _read_once(
    client: Client, snapshot: Snapshot, kind: kinds.Kind, name: str, namespace: str = ""
) -> None:
    """Add an object to the snapshot, unless it has it or the object does not exist."""
    if snapshot.get(kind, name, namespace) is None:
        obj = client.get_or_none(kind, name, namespace)
        snapshot.add(kind, [obj] if obj else [])


def strip_pod(pod: Object) -> Object:
    """A pod reduced to what the scheduler counts."""
    metadata, spec = metadata_of(pod), get_path(pod, "spec", default={})
    stripped = _pick(spec, _SPEC_KEYS)
    affinity = {key: value for key, value in (spec.get("affinity") or {}).items() if "pod" in key}
    for key in ("containers", "initContainers"):
        stripped[key] = [_pick(container, _CONTAINER_KEYS) for container in get_list(spec, key)]
    return {
        "kind": "Pod",
        "metadata": _pick(metadata, ("name", "namespace", "labels")),
        "spec": stripped | ({"affinity": affinity} if affinity else {}),
        "status": {"phase": get_path(pod, "status", "phase")} | _resized_containers(pod),
    }


def _resized_containers(pod: Object) -> Object:
    """The allocated resources of containers, for pods that are resized in place."""
    fields = ("name", "resources", "allocatedResources")
    return {
        key: [_pick(status, fields) for status in get_list(pod, "status", key)]
        for key in ("containerStatuses", "initContainerStatuses")
    }


def _pick(mapping: Mapping[str, Any], keys: Sequence[str]) -> Object:
    """Return the items of a mapping with these keys, as far as it has them."""
    return {key: mapping[key] for key in keys if key in mapping}
