"""Reading what is on the nodes, where a pod of a cache waits for one: pods, claims, volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, meta, namespace_of
from kubectl_fluidmodel.objects.scheduler import claims_of
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

_RUNNING = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
_SPEC = ("nodeName", "overhead", "resources")
_CONTAINER = ("name", "resources", "ports", "restartPolicy")


def ask(client: Client, caches: Sequence[Cached], snapshot: Snapshot) -> None:
    """Put into the snapshot what the scheduler counts, where a cache's pod finds no node.

    What cannot be read is left out: the checks then say less of other pods.
    """
    waiting = [pod for cache in caches for pod in _waiting(cache)]
    if not waiting:
        return
    try:
        snapshot.placed = client.list_all(kinds.PODS, fields=_RUNNING, keep=brief)
    except FluidModelError:
        snapshot.placed = None
    for pod in waiting:
        for claim in claims_of(pod):
            _volume_of(client, snapshot, namespace_of(pod), claim)


def _waiting(cache: Cached) -> Iterator[Object]:
    """Its pods, its loaders and its readers that the scheduler has turned away."""
    own = [pod for _, pod in observations.pods_of(cache)]
    for pod in (*own, *cache.load_pods, *(reader.pod for reader in cache.readers)):
        if observations.unscheduled(pod):
            yield pod


def _volume_of(client: Client, snapshot: Snapshot, namespace: str, claim: str) -> None:
    """Read a claim and its volume, which may be bound to some nodes."""
    try:
        if snapshot.find(kinds.PVCS, claim, namespace) is None:
            found = client.find(kinds.PVCS, claim, namespace)
            snapshot.add(kinds.PVCS, [found] if found else [])
        volume = str(
            at(snapshot.find(kinds.PVCS, claim, namespace), "spec", "volumeName", default="")
        )
        if volume and snapshot.find(kinds.PVS, volume) is None:
            bound = client.find(kinds.PVS, volume)
            snapshot.add(kinds.PVS, [bound] if bound else [])
    except FluidModelError:
        return


def brief(pod: Object) -> Object:
    """A pod without all that the scheduler does not count."""
    metadata, spec = meta(pod), at(pod, "spec", default={})
    kept = {key: spec[key] for key in _SPEC if key in spec}
    affinity = {key: value for key, value in (spec.get("affinity") or {}).items() if "pod" in key}
    for key in ("containers", "initContainers"):
        kept[key] = [
            {name: each[name] for name in _CONTAINER if name in each} for each in dicts(spec, key)
        ]
    return {
        "kind": "Pod",
        "metadata": {
            key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata
        },
        "spec": kept | ({"affinity": affinity} if affinity else {}),
        "status": {"phase": at(pod, "status", "phase")} | _resizes(pod),
    }


def _resizes(pod: Object) -> Object:
    """What containers have got, of a pod that is resized in place."""
    return {
        key: [
            {
                name: each[name]
                for name in ("name", "resources", "allocatedResources")
                if name in each
            }
            for each in dicts(pod, "status", key)
        ]
        for key in ("containerStatuses", "initContainerStatuses")
    }
