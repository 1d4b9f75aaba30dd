"""Remove what `cache` made, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.pod_problems import warning_events
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.stage.job import job_selector as staging_jobs

RBAC_DOCS = "docs/rbac.md has a Role that suffices"
RECREATED_KINDS = (names.DATA_LOADS, names.ALLUXIO_RUNTIMES, names.DATASETS)
"""What a rebuild removes, in order: readers before what they read."""
OWNED_KINDS = (k.JOBS, *RECREATED_KINDS, k.SECRETS, k.PVCS, k.PVS)
_REQUIRED_KINDS = (*RECREATED_KINDS, k.SECRETS, k.PVCS)
"""What has to be seen, for something of it may be there; Jobs and volumes only some caches have."""
_POLL_INTERVAL = 0.5


def owned_objects(
    client: Client, namespace: str, name: str, kinds: tuple[Kind, ...] = OWNED_KINDS
) -> list[Object]:
    """The objects of a cache that are ours, in the order to delete them.

    Kinds that we may not list hold nothing of ours that we could delete.
    """
    return _list_owned(client, namespace, name, kinds)[0]


def _list_owned(
    client: Client, namespace: str, name: str, kinds: tuple[Kind, ...] = OWNED_KINDS
) -> tuple[list[Object], list[Kind]]:
    """What is there, and the kinds that may not be listed."""
    found: list[Object] = []
    denied = []
    for kind in kinds:
        selector = f"{names.MANAGED_BY_LABEL}={names.MANAGER},{names.MODEL_LABEL}={name}"
        if kind == k.JOBS:  # those of `doctor --probe` end in a moment by themselves
            selector = staging_jobs(name)
        try:
            items = client.list_objects(
                kind, namespace if kind.namespaced else None, labels=selector
            )
        except ForbiddenError:
            denied.append(kind)
            continue
        found += [
            item
            for item in items
            if kind.namespaced or get_path(item, "spec", "claimRef", "namespace") == namespace
        ]
    return found, denied


def pods_mounting(client: Client, namespace: str, claim: str) -> list[str]:
    """The pods in a namespace that mount a claim and are not over."""

    def mounts(pod: Object) -> bool:
        return get_path(pod, "status", "phase") not in ("Succeeded", "Failed") and any(
            get_path(volume, "persistentVolumeClaim", "claimName") == claim
            for volume in get_path(pod, "spec", "volumes", default=[])
        )

    return [name_of(pod) for pod in client.list_objects(k.PODS, namespace) if mounts(pod)]


def required_permissions(found: list[Object], namespace: str) -> list[Permission]:
    """The permissions without which a cache of these objects would go in part."""
    verbs = [Permission("list", kind, namespace) for kind in _REQUIRED_KINDS]
    kinds = [kind for kind in OWNED_KINDS if any(obj["kind"] == kind.name for obj in found)]
    source = next((names.source_uri(o) for o in found if o["kind"] == names.DATASETS.name), "")
    if source.startswith("nfs://") and k.PVS not in kinds:
        verbs.append(Permission("list", k.PVS))
        kinds.append(k.PVS)
    for kind in kinds:
        where = namespace if kind.namespaced else None
        verbs += [Permission(verb, kind, where) for verb in ("get", "delete")]
    return verbs


def require_removable(
    client: Client, namespace: str, name: str, *, force: bool, warn: Callable[[str], None]
) -> list[Object]:
    """The objects of a cache, in the order to delete them, if all of them may go now.

    Raises:
        FluidModelError: there is no such cache, a permission is missing, or pods read from it and
            `force` is off.
    """
    found, denied = _list_owned(client, namespace, name)
    if found or any(kind in _REQUIRED_KINDS for kind in denied):
        permissions.require_permissions(
            client,
            required_permissions(found, namespace),
            task=f"uncache a model in {namespace}",
            docs=RBAC_DOCS,
        )
    if k.JOBS in denied:
        warn("staging Jobs cannot be seen (list jobs.batch): one that is at work goes on")
    if not found:
        raise FluidModelError(
            f"there is no cache {name} of ours in namespace {namespace}",
            "",
            f"kubectl get datasets -n {namespace} -L app.kubernetes.io/managed-by",
        )
    try:
        reading = pods_mounting(client, namespace, name)
    except ForbiddenError as err:
        warn(f"whether pods read from {name} cannot be seen: {err.reason}")
        reading = []
    if reading and not force:
        raise FluidModelError(
            f"pods read from cache {name}",
            ", ".join(reading[:5]) + ("…" if len(reading) > 5 else ""),
            f"kubectl fluidmodel unpin {name} GRAPH -n {namespace}, or --force",
        )
    return found


def dry_run_delete(client: Client, namespace: str, found: list[Object]) -> Iterator[str]:
    """Have the API server try to delete the objects; yields a line for each.

    Raises:
        FluidModelError: the API server would refuse it.
    """
    by_name = {kind.name: kind for kind in OWNED_KINDS}
    for obj in found:
        kind = by_name[str(obj["kind"])]
        where = namespace if kind.namespaced else None
        if client.delete(kind, name_of(obj), where, dry_run=True):
            yield f"{kubectl_name(obj)} deleted (server dry run)"


def delete_owned(
    client: Client,
    namespace: str,
    name: str,
    *,
    kinds: tuple[Kind, ...] = OWNED_KINDS,
    timeout: float,
) -> Iterator[str]:
    """Delete the objects of a cache; yields a line for each, then waits until they are gone.

    `wait` is seconds; 0 does not wait.

    Raises:
        WaitTimeoutError: something is still there, with Fluid's reason.
    """
    by_name = {kind.name: kind for kind in kinds}
    pending = []
    for obj in owned_objects(client, namespace, name, kinds):
        kind = by_name[str(obj["kind"])]
        if client.delete(kind, name_of(obj), namespace if kind.namespaced else None):
            yield f"{kubectl_name(obj)} deleted"
            pending.append((kind, name_of(obj)))
    deadline = time.monotonic() + timeout
    while timeout and pending:
        kind, each = pending[0]
        if client.get_or_none(kind, each, namespace if kind.namespaced else None) is None:
            pending.pop(0)
        elif time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"{kind.name} {each} is still being deleted",
                _deletion_blocker(client, each, namespace),
                f"kubectl describe {kind.resource} {each} -n {namespace}",
            )
        else:
            time.sleep(_POLL_INTERVAL)


def uncache(
    client: Client,
    namespace: str,
    name: str,
    *,
    force: bool,
    timeout: float,
    warn: Callable[[str], None],
) -> Iterator[str]:
    """`remove`, if `check` finds nothing in its way.

    Raises:
        FluidModelError: something is; nothing is deleted then.
    """
    require_removable(client, namespace, name, force=force, warn=warn)
    yield from delete_owned(client, namespace, name, timeout=timeout)


def _deletion_blocker(client: Client, name: str, namespace: str) -> str:
    try:
        events = client.list_objects(k.EVENTS, namespace, fields="type=Warning")
    except ForbiddenError:
        events = []
    found = warning_events(events, name, since=0.0)
    return found[-1] if found else "Fluid has not finished its clean-up"
