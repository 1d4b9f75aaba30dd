"""Removes what `cache` created, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from kubectl_fluidmodel.cache.hints import RBAC_DOCS, adopt
from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.pod_problems import warning_events
from kubectl_fluidmodel.fluid.reference import references_to
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.kube.wait import wait_until_deleted, wait_until_empty
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.objects.pods import claim_names, is_terminated
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.output.units import list_first
from kubectl_fluidmodel.stage.job import job_selector

RECREATED_KINDS = (names.DATA_LOADS, names.ALLUXIO_RUNTIMES, names.DATASETS)
"""Kinds that are deleted to recreate a cache, in order: readers before what they read."""
OWNED_KINDS = (
    *(kinds.JOBS, names.DATA_LOADS, names.ALLUXIO_RUNTIMES),
    *(kinds.SECRETS, kinds.PVCS, kinds.PVS, names.DATASETS),
)
"""All kinds, in order of deletion. The Dataset comes last: as long as anything is left, `update`,
`uncache` and `inspect` still see a cache, and the same command finishes an interrupted removal."""
_KINDS = {kind.name: kind for kind in OWNED_KINDS}
_REQUIRED_KINDS = (*RECREATED_KINDS, kinds.SECRETS, kinds.PVCS)
"""Kinds that must be listable; only some caches have Jobs and volumes."""


def owned_objects(
    client: Client, namespace: str, name: str, only: tuple[Kind, ...] = OWNED_KINDS
) -> list[Object]:
    """Return the objects of a cache that the plugin created, in deletion order.

    Kinds that may not be listed are skipped: their objects could not be deleted either.
    """
    return _list_owned(client, namespace, name, only)[0]


def _list_owned(
    client: Client, namespace: str, name: str, only: tuple[Kind, ...] = OWNED_KINDS
) -> tuple[list[Object], list[Kind]]:
    """Return the objects, and the kinds that may not be listed."""
    owned: list[Object] = []
    denied = []
    for kind in only:
        selector = f"{names.MANAGED_BY_LABEL}={names.MANAGER},{names.MODEL_LABEL}={name}"
        if kind == kinds.JOBS:  # the Jobs of `doctor --probe` are deleted by their TTL
            selector = job_selector(name)
        try:
            items = client.list_objects(kind, _scope(kind, namespace), labels=selector)
        except ForbiddenError:
            denied.append(kind)
            continue
        owned += [
            item
            for item in items
            if kind.namespaced or get_path(item, "spec", "claimRef", "namespace") == namespace
        ]
    return owned, denied


def pods_mounting(client: Client, namespace: str, claim: str) -> list[str]:
    """Return the names of the pods that mount a claim and have not ended."""
    return [
        name_of(pod)
        for pod in client.list_objects(kinds.PODS, namespace)
        if claim in claim_names(pod) and not is_terminated(pod)
    ]


def required_permissions(owned: list[Object], namespace: str) -> list[Permission]:
    """Return the permissions without which a cache would be removed only partially."""
    required = [Permission("list", kind, namespace) for kind in _REQUIRED_KINDS]
    existing = [kind for kind in OWNED_KINDS if any(obj["kind"] == kind.name for obj in owned)]
    source = next((names.source_uri(obj) for obj in owned if _is_dataset(obj)), "")
    if source.startswith("nfs://") and kinds.PVS not in existing:
        required.append(Permission("list", kinds.PVS))
        existing.append(kinds.PVS)
    for kind in existing:
        scope = _scope(kind, namespace)
        required += [Permission(verb, kind, scope) for verb in ("get", "delete")]
    return required


def require_removable(
    client: Client, namespace: str, name: str, *, force: bool, warn: Callable[[str], None]
) -> list[Object]:
    """List the objects of a cache, if all of them may be deleted now.

    Args:
        client: The cluster.
        namespace: The cache's namespace.
        name: The cache's name.
        force: Whether to remove the cache although pods read from it.
        warn: Gets what could not be checked.

    Returns:
        The objects, in deletion order.

    Raises:
        FluidModelError: the cache does not exist, a permission is missing, or pods read from it.
    """
    owned, denied = _list_owned(client, namespace, name)
    if owned or any(kind in _REQUIRED_KINDS for kind in denied):
        permissions.require_permissions(
            client,
            required_permissions(owned, namespace),
            task=f"uncache a model in {namespace}",
            docs=RBAC_DOCS,
        )
    if kinds.JOBS in denied:
        warn("staging Jobs cannot be listed (list jobs.batch): an active one continues")
    if not owned:
        raise FluidModelError(
            f"namespace {namespace} has no cache {name} made by this plugin",
            "",
            kubectl("get", "datasets", "-L", names.MANAGED_BY_LABEL, namespace=namespace),
        )
    _require_dataset_owned(client, namespace, name)
    dataset = next((obj for obj in owned if _is_dataset(obj)), None)
    require_unreferenced(client, dataset, f"cannot remove cache {name}")
    adopted = [kubectl_name(obj) for obj in owned if names.is_adopted(obj)]
    if adopted:
        keep = kubectl("fluidmodel", "uncache", Operand(name), "--release", namespace=namespace)
        warn(f"made by hand and adopted, and removed with the rest: {', '.join(adopted)}")
        warn(f"to keep these, and only take the adoption back: {keep}")
    try:
        pods = pods_mounting(client, namespace, name)
    except ForbiddenError as err:
        warn(f"whether pods read from {name} cannot be checked: {err.reason}")
        pods = []
    if pods and not force:
        unpin = kubectl("fluidmodel", "unpin", Operand(name), "GRAPH", namespace=namespace)
        raise FluidModelError(
            f"pods read from cache {name}",
            list_first(pods),
            f"{unpin}, or --force",
        )
    return owned


def require_unreferenced(client: Client, dataset: Object | None, message: str) -> None:
    """Check that no Dataset of another namespace refers to this one.

    Fluid keeps a Dataset while there are references, but not its runtime, so even `--force` would
    leave half a cache.

    Args:
        client: The cluster.
        dataset: The Dataset, if there is one.
        message: What cannot be done.

    Raises:
        FluidModelError: names the references.
    """

    def exists(namespace: str, name: str) -> bool:
        try:
            return client.get_or_none(names.DATASETS, name, namespace) is not None
        except ForbiddenError:
            return True

    references = [reference for reference in references_to(dataset) if exists(*reference)]
    if references:
        listed = list_first(["/".join(reference) for reference in references])
        namespace, name = references[0]
        raise FluidModelError(
            message,
            f"other namespaces refer to it: {listed}",
            kubectl("fluidmodel", "uncache", Operand(name), namespace=namespace),
        )


def _require_dataset_owned(client: Client, namespace: str, name: str) -> None:
    """Raises: FluidModelError: an adoption was interrupted before it came to the Dataset."""
    datasets = client.list_objects(names.DATASETS, namespace, fields=f"metadata.name={name}")
    if any(name_of(dataset) == name and not names.is_managed(dataset) for dataset in datasets):
        raise FluidModelError(
            f"Dataset {name} in namespace {namespace} was made by hand",
            "only parts of its cache are adopted",
            f"{adopt(name, namespace)}, or "
            f"{kubectl('fluidmodel', 'uncache', Operand(name), '--release', namespace=namespace)}",
        )


def dry_run_delete(client: Client, namespace: str, owned: list[Object]) -> Iterator[str]:
    """Send the deletions as a server-side dry run.

    Yields:
        A line for each object.

    Raises:
        FluidModelError: the API server would refuse it.
    """
    for obj in owned:
        kind = _KINDS[str(obj["kind"])]
        if client.delete(kind, name_of(obj), _scope(kind, namespace), dry_run=True):
            yield f"{kubectl_name(obj)} deleted (server dry run)"


def delete_owned(
    client: Client,
    namespace: str,
    name: str,
    *,
    only: tuple[Kind, ...] = OWNED_KINDS,
    timeout: float,
) -> Iterator[str]:
    """Delete the objects of a cache, and wait until they and Fluid's pods of it are gone.

    Fluid has removed a runtime when its workload objects are deleted, and their pods then still
    hold the ports and the memory of their nodes for a while, which the next cache may want.

    Args:
        client: The cluster.
        namespace: The cache's namespace.
        name: The cache's name.
        only: The kinds to delete.
        timeout: Seconds; 0 does not wait.

    Yields:
        A line for each object.

    Raises:
        WaitTimeoutError: an object or a pod still exists, with Fluid's reason.
    """
    pending = []
    for obj in owned_objects(client, namespace, name, only):
        kind = _KINDS[str(obj["kind"])]
        if client.delete(kind, name_of(obj), _scope(kind, namespace)):
            yield f"{kubectl_name(obj)} deleted"
            pending.append((kind, name_of(obj)))
    deadline = time.monotonic() + timeout
    for kind, obj_name in pending if timeout else ():
        remaining = deadline - time.monotonic()
        if not wait_until_deleted(
            client, kind, obj_name, _scope(kind, namespace), timeout=max(0.0, remaining)
        ):
            raise WaitTimeoutError(
                f"{kind.name} {obj_name} is still being deleted",
                _deletion_blocker(client, obj_name, namespace),
                kubectl("describe", kind.resource, Operand(obj_name), namespace=namespace),
            )
    if timeout and any(kind == names.ALLUXIO_RUNTIMES for kind, _ in pending):
        _wait_for_pods(client, namespace, name, deadline)


def _wait_for_pods(client: Client, namespace: str, name: str, deadline: float) -> None:
    """Wait until a deleted runtime has no pods; if they may not be listed, do not wait.

    Raises:
        WaitTimeoutError: one still exists.
    """
    try:
        remaining = wait_until_empty(
            lambda: client.list_objects(kinds.PODS, namespace, labels=_runtime_pods(name)), deadline
        )
    except ForbiddenError:
        return
    if remaining:
        raise WaitTimeoutError(
            f"pod {name_of(remaining[0])} is still being deleted",
            describe_deletion(remaining[0]) if is_terminating(remaining[0]) else "",
            kubectl("describe", "pod", Operand(name_of(remaining[0])), namespace=namespace),
        )


def _runtime_pods(name: str) -> str:
    """Return a selector of the pods that Fluid's chart (charts/alluxio) makes for a runtime."""
    roles = ", ".join(f"alluxio-{part}" for part in ("master", "worker", "fuse"))
    return f"release={name},role in ({roles})"


def uncache(
    client: Client,
    namespace: str,
    name: str,
    *,
    force: bool,
    timeout: float,
    warn: Callable[[str], None],
) -> Iterator[str]:
    """Delete a cache with `delete_owned`, if `require_removable` allows it.

    Raises:
        FluidModelError: names the obstacle; nothing is deleted then.
    """
    require_removable(client, namespace, name, force=force, warn=warn)
    yield from delete_owned(client, namespace, name, timeout=timeout)


def _is_dataset(obj: Object) -> bool:
    return bool(obj["kind"] == names.DATASETS.name)


def _scope(kind: Kind, namespace: str) -> str | None:
    return namespace if kind.namespaced else None


def _deletion_blocker(client: Client, name: str, namespace: str) -> str:
    """Return the newest warning about an object; without one, that Fluid is not done."""
    warnings: list[str] = []
    with suppress(ForbiddenError):
        events = client.list_objects(kinds.EVENTS, namespace, fields="type=Warning")
        warnings = warning_events(events, name, since=0.0)
    return warnings[-1] if warnings else "Fluid has not finished its clean-up"
