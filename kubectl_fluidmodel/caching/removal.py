"""Remove what `cache` made, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from kubectl_fluidmodel.errors import FluidModelError, TimedOut
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.symptoms import warnings
from kubectl_fluidmodel.kube import kind as k
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden
from kubectl_fluidmodel.kube.kind import Kind, Object, at, name_of
from kubectl_fluidmodel.ui.document import reference

BUILT = (names.DATA_LOADS, names.ALLUXIO_RUNTIMES, names.DATASETS)
"""What a rebuild removes, in order: readers before what they read."""
ALL = (*BUILT, k.SECRETS, k.PVCS, k.PVS)
_EVERY = 0.5


def removable(
    client: Client, namespace: str, name: str, kinds: tuple[Kind, ...] = ALL
) -> list[Object]:
    """The objects of a cache that are ours, in the order to delete them.

    Kinds that we may not list hold nothing of ours that we could delete.
    """
    selector = f"{names.MANAGED_BY}={names.MANAGER},{names.MODEL_LABEL}={name}"
    found = []
    for kind in kinds:
        try:
            items = client.list_all(kind, namespace if kind.namespaced else None, labels=selector)
        except Forbidden:
            continue
        found += [
            item
            for item in items
            if kind.namespaced or at(item, "spec", "claimRef", "namespace") == namespace
        ]
    return found


def readers(client: Client, namespace: str, claim: str) -> list[str]:
    """The pods in a namespace that mount a claim and are not over."""

    def mounts(pod: Object) -> bool:
        return at(pod, "status", "phase") not in ("Succeeded", "Failed") and any(
            at(volume, "persistentVolumeClaim", "claimName") == claim
            for volume in at(pod, "spec", "volumes", default=[])
        )

    return [name_of(pod) for pod in client.list_all(k.PODS, namespace) if mounts(pod)]


def remove(
    client: Client,
    namespace: str,
    name: str,
    *,
    kinds: tuple[Kind, ...] = ALL,
    wait: float,
) -> Iterator[str]:
    """Delete the objects of a cache; yields a line for each, then waits until they are gone.

    `wait` is seconds; 0 does not wait.

    Raises:
        TimedOut: something is still there, with Fluid's reason.
    """
    by_name = {kind.name: kind for kind in kinds}
    pending = []
    for obj in removable(client, namespace, name, kinds):
        kind = by_name[str(obj["kind"])]
        if client.delete(kind, name_of(obj), namespace if kind.namespaced else None):
            yield f"{reference(obj)} deleted"
            pending.append((kind, name_of(obj)))
    deadline = time.monotonic() + wait
    while wait and pending:
        kind, each = pending[0]
        if client.find(kind, each, namespace if kind.namespaced else None) is None:
            pending.pop(0)
        elif time.monotonic() > deadline:
            raise TimedOut(
                f"{kind.name} {each} is still being deleted",
                _why_stuck(client, each, namespace),
                f"kubectl describe {kind.resource} {each} -n {namespace}",
            )
        else:
            time.sleep(_EVERY)


def uncache(
    client: Client,
    namespace: str,
    name: str,
    *,
    force: bool,
    wait: float,
    warn: Callable[[str], None],
) -> Iterator[str]:
    """`remove`, refused while pods read from the cache.

    Raises:
        FluidModelError: pods read from it and `force` is off.
    """
    try:
        reading = readers(client, namespace, name)
    except Forbidden as err:
        warn(f"whether pods read from {name} cannot be seen: {err.why}")
        reading = []
    if reading and not force:
        raise FluidModelError(
            f"pods read from cache {name}",
            ", ".join(reading[:5]) + ("…" if len(reading) > 5 else ""),
            f"kubectl fluidmodel unpin {name} GRAPH -n {namespace}, or --force",
        )
    yield from remove(client, namespace, name, wait=wait)


def _why_stuck(client: Client, name: str, namespace: str) -> str:
    try:
        events = client.list_all(k.EVENTS, namespace, fields="type=Warning")
    except Forbidden:
        events = []
    found = warnings(events, name, since=0.0)
    return found[-1] if found else "Fluid has not finished its clean-up"
