"""Make the objects of a cache, in the order that Fluid needs, and say what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, TimedOut
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube import kind as k
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Conflict, Forbidden
from kubectl_fluidmodel.kube.kind import Kind, Object, at, name_of, namespace_of
from kubectl_fluidmodel.ui.document import reference

_KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        k.SECRETS,
        k.PVS,
        k.PVCS,
        names.DATASETS,
        names.ALLUXIO_RUNTIMES,
        names.DATA_LOADS,
    )
}


def kind_of(obj: Object) -> Kind:
    """The Kind of an object that we make."""
    return _KINDS[str(obj["kind"])]


def apply(client: Client, obj: Object, *, dry_run: bool = False) -> tuple[str, Object]:
    """Apply one object; returns `created`, `configured: …` or `unchanged`, and the object.

    Raises:
        FluidModelError: another manager holds a field with another value; names both.
    """
    kind = kind_of(obj)
    before = client.find(kind, name_of(obj), namespace_of(obj) or None)
    try:
        after = client.apply(kind, obj, dry_run=dry_run)
    except Conflict as err:
        raise FluidModelError(
            f"cannot change {reference(obj)}",
            f"somebody else set it: {err.why}",
            f"kubectl get {kind.resource} {name_of(obj)} -o yaml --show-managed-fields",
        ) from err
    if before is None:
        return "created", after
    changed = differences(before, after)
    return (f"configured ({', '.join(changed)})" if changed else "unchanged"), after


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The fields that differ, as paths of at most three names; secrets by key only."""
    found: list[str] = []

    def walk(old: Any, new: Any, path: tuple[str, ...]) -> None:
        if old == new:
            return
        if isinstance(old, Mapping) and isinstance(new, Mapping) and len(path) < 3:
            for key in dict.fromkeys([*old, *new]):
                walk(old.get(key), new.get(key), (*path, str(key)))
            return
        found.append(".".join(path))

    for part in ("spec", "data"):
        walk(before.get(part) or {}, after.get(part) or {}, (part,))
    for part in ("labels", "annotations"):
        walk(
            at(before, "metadata", part, default={}),
            at(after, "metadata", part, default={}),
            (part,),
        )
    return found


def readers(client: Client, namespace: str, claim: str) -> list[str]:
    """The names of the pods in a namespace that mount a claim and are not over."""
    found = []
    for pod in client.list_all(k.PODS, namespace):
        if at(pod, "status", "phase") in ("Succeeded", "Failed"):
            continue
        for volume in at(pod, "spec", "volumes", default=[]):
            if at(volume, "persistentVolumeClaim", "claimName") == claim:
                found.append(name_of(pod))
                break
    return found


def remove(
    client: Client,
    namespace: str,
    name: str,
    *,
    kinds: Iterable[Kind],
    wait: float,
    said: Callable[[str], None],
) -> list[str]:
    """Delete what we made for a cache and wait until it is gone; returns what was deleted.

    Objects of the name that are not ours are left alone.

    Raises:
        TimedOut: something is still there after `wait` seconds.
    """
    deleted: list[tuple[Kind, str]] = []
    for kind in kinds:
        where = namespace if kind.namespaced else None
        selector = f"{names.MANAGED_BY}={names.MANAGER},{names.MODEL_LABEL}={name}"
        for obj in client.list_all(kind, where, labels=selector):
            if not kind.namespaced and at(obj, "spec", "claimRef", "namespace") != namespace:
                continue
            obj.setdefault("kind", kind.name)
            if client.delete(kind, name_of(obj), where):
                deleted.append((kind, name_of(obj)))
                said(f"{reference(obj)} deleted")
    deadline = time.monotonic() + wait
    pending = list(deleted)
    while pending:
        pending = [
            (kind, each)
            for kind, each in pending
            if client.find(kind, each, namespace if kind.namespaced else None) is not None
        ]
        if pending and time.monotonic() > deadline:
            kind, each = pending[0]
            raise TimedOut(
                f"{kind.name} {each} is still being deleted",
                _why_stuck(client, kind, each, namespace),
                f"kubectl describe {kind.resource} {each} -n {namespace}",
            )
        if pending:
            time.sleep(0.5)
    return [f"{kind.name.lower()}/{each}" for kind, each in deleted]


def _why_stuck(client: Client, kind: Kind, name: str, namespace: str) -> str:
    from kubectl_fluidmodel.fluid.symptoms import warnings

    try:
        events = client.list_all(
            k.EVENTS, namespace, fields=f"involvedObject.name={name},type=Warning"
        )
    except Forbidden:
        return "Fluid has not finished its clean-up"
    found = warnings(events, name, since=0.0)
    return found[-1] if found else "Fluid has not finished its clean-up"
