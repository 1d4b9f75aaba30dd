"""Checks before the first write: permissions, Fluid, the namespace and the name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from kubectl_fluidmodel.cache import deletion, resizing
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.hints import RBAC_DOCS
from kubectl_fluidmodel.cache.name_conflicts import (
    check_staging_jobs,
    require_name_available,
    same_source_notes,
)
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import installation, names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.fluid.placement import bound_hostnames
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError, NotFoundError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, labels_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.shell import Operand, command, kubectl
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class PreflightResult:
    """Results of the preflight for the steps that follow."""

    existing: ExistingObjects
    can_exec: bool = False
    can_read_logs: bool = False
    notes: tuple[str, ...] = ()


def required_permissions(options: CacheOptions, namespace: str) -> list[Permission]:
    """Return the permissions that `cache` requires."""
    verbs = ("get", "list", "watch", "create", "patch")
    required = [
        Permission(verb, kind, namespace)
        for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES)
        for verb in verbs
    ]
    if options.load:
        required += [Permission(verb, names.DATA_LOADS, namespace) for verb in (*verbs, "delete")]
    required += [Permission(verb, kinds.PVCS, namespace) for verb in ("get", "list", "watch")]
    if options.source.scheme == "s3":
        required.append(Permission("get", kinds.SECRETS, namespace))
        if not options.store.s3_secret:
            required += [Permission(verb, kinds.SECRETS, namespace) for verb in ("create", "patch")]
    if options.source.scheme == "nfs":
        required += [Permission(verb, kinds.PVS) for verb in ("get", "create", "patch")]
        required += [Permission(verb, kinds.PVCS, namespace) for verb in ("create", "patch")]
    return required


def optional_permissions(namespace: str) -> list[Permission]:
    """Return the permissions that `cache` can do without, with fewer checks."""
    return [*exec_permissions(namespace), _log_permission(namespace)]


def can_exec_and_read_logs(client: Client, namespace: str) -> tuple[bool, bool]:
    """Return whether we may run commands in pods, and whether we may read their logs."""
    denied = permissions.denied(client, optional_permissions(namespace))
    subresources = {permission.subresource for permission in denied}
    return "exec" not in subresources, "log" not in subresources


def exec_permissions(namespace: str) -> list[Permission]:
    """A WebSocket upgrade is a GET; API servers since 1.35 also check `create`."""
    return [Permission(verb, kinds.PODS, namespace, "exec") for verb in ("get", "create")]


def _log_permission(namespace: str) -> Permission:
    return Permission("get", kinds.PODS, namespace, "log")


def staging_job_permissions(namespace: str) -> list[Permission]:
    """Return the permissions for staging with a Job."""
    verbs = ("get", "list", "watch", "create", "patch", "delete")
    required = [Permission(verb, kinds.JOBS, namespace) for verb in verbs]
    required += [Permission(verb, kinds.PODS, namespace) for verb in ("list", "watch")]
    return [*required, _log_permission(namespace)]


def run_preflight(
    client: Client,
    options: CacheOptions,
    namespace: str,
    staging_permissions: Sequence[Permission] = (),
) -> PreflightResult:
    """Run all checks before the first write.

    Args:
        client: The cluster.
        options: What to build.
        namespace: The cache's namespace.
        staging_permissions: Additional permissions for staging.

    Raises:
        FluidModelError: names the failed check and a solution.
    """
    validate_secret_name(options)
    require_fluid_api(client)
    permissions.require_permissions(
        client,
        [*required_permissions(options, namespace), *staging_permissions],
        task=f"cache a model in {namespace}",
        docs=RBAC_DOCS,
    )
    notes = check_namespace(client, namespace)
    require_source_claim(client, options, namespace)
    can_exec, can_read_logs = can_exec_and_read_logs(client, namespace)
    if not can_exec:
        notes.append(
            "without permission to get and create pods/exec, verification uses Fluid's rounded "
            "totals instead of comparing every file"
        )
    notes += check_controllers(client)
    existing = existing_objects(client, options, namespace)
    require_not_deleting(client, options, namespace, existing)
    require_name_available(client, options, namespace, existing)
    notes += check_staging_jobs(client, options, namespace)
    notes += same_source_notes(client, options, namespace, existing)
    return PreflightResult(existing, can_exec, can_read_logs, tuple(notes))


def require_fluid_api(client: Client) -> None:
    """Raises: FluidModelError: the API server does not serve Fluid's kinds."""
    versions = client.served_versions(names.GROUP)
    if not versions:
        client.server_version()  # what is no API server has no Fluid either
        raise FluidModelError(
            "Fluid is not installed in this cluster", "", installation.INSTALL_COMMAND
        )
    if names.VERSION not in versions:
        raise FluidModelError(
            f"this Fluid does not serve {names.GROUP}/{names.VERSION}",
            f"it serves {', '.join(versions)}",
            installation.UPGRADE_COMMAND,
        )


def validate_secret_name(options: CacheOptions) -> None:
    """Raises: UsageError: Fluid cannot mount a Secret of that name."""
    secret = options.store.s3_secret
    if secret and options.source.scheme == "s3" and not secrets.is_mountable_name(secret):
        raise UsageError(
            f"Fluid cannot mount the Secret {secret}",
            f"it would be part of the volume name {secrets.VOLUME_PREFIX}<secret>, which must have "
            "no dots and at most 63 characters",
            f"{command('--s3-secret', secrets.to_mountable_name(secret))}, a copy of it",
        )


def check_namespace(client: Client, namespace: str) -> list[str]:
    """Check that the namespace exists and admits Fluid's pods, as far as permissions allow.

    Returns:
        Notes on it.

    Raises:
        FluidModelError: it does not exist, is being deleted, or does not admit Fluid's pods.
    """
    try:
        obj = client.get(kinds.NAMESPACES, namespace)
    except NotFoundError as err:
        raise FluidModelError(
            f"namespace {namespace} does not exist",
            "",
            kubectl("create", "namespace", Operand(namespace)),
        ) from err
    except ForbiddenError:
        return []
    if is_terminating(obj):
        raise deletion.being_deleted_error({"kind": kinds.NAMESPACES.name, **obj})
    return _check_pod_security(client, namespace, labels_of(obj).get(_ENFORCE_LABEL, "privileged"))


_ENFORCE_LABEL = "pod-security.kubernetes.io/enforce"


def _check_pod_security(client: Client, namespace: str, level: str) -> list[str]:
    """Check with a dry run that Pod Security admits pods like those of Alluxio.

    They use their node's network and paths, which `baseline` forbids (Pod Security Standards).

    Returns:
        A note if you may not create pods, not even in a dry run.

    Raises:
        FluidModelError: it does not admit them.
    """
    if level == "privileged":
        return []
    label = ("label", "namespace", Operand(namespace), f"{_ENFORCE_LABEL}=privileged")
    label_command = kubectl(*label, "--overwrite")
    container = {"name": "probe", "image": "probe", "volumeMounts": []}
    probe_pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "fluidmodel-probe", "namespace": namespace},
        "spec": {
            "hostNetwork": True,
            "containers": [container],
            "volumes": [{"name": "tier", "hostPath": {"path": "/dev/shm"}}],  # noqa: S108
        },
    }
    try:
        client.create(kinds.PODS, probe_pod, dry_run=True)
    except ForbiddenError as err:
        if "PodSecurity" in str(err):
            raise FluidModelError(
                f"namespace {namespace} does not admit Fluid's pods",
                f"it enforces the Pod Security Standard '{level}', and they use their node's "
                "network and paths",
                f"another namespace, or {label_command}",
            ) from err
        return [
            f"namespace {namespace} enforces the Pod Security Standard '{level}', which Fluid's "
            f"pods do not meet; if they are not exempt: {label_command}"
        ]
    except KubeError:  # another admission plugin, which may admit the real pods
        return []
    return []


def require_source_claim(client: Client, options: CacheOptions, namespace: str) -> None:
    """Raises: FluidModelError: the claim of a pvc:// source is not in the namespace."""
    if options.source.scheme != "pvc":
        return
    claim = client.get_or_none(kinds.PVCS, options.source.host, namespace)
    if claim is not None and is_terminating(claim):
        raise deletion.being_deleted_error({"kind": kinds.PVCS.name, **claim})
    if claim is None:
        raise FluidModelError(
            f"{options.source.uri} does not exist",
            f"namespace {namespace} has no such claim, and a Dataset can only use claims in its "
            "namespace",
            kubectl("get", "pvc", namespace=namespace),
        )


def check_controllers(client: Client) -> list[str]:
    """Check Fluid's controllers, if they can be read.

    Returns:
        Notes on them.

    Raises:
        FluidModelError: the dataset controller is scaled to 0, or Fluid is too old.
    """
    space = names.SYSTEM_NAMESPACE
    try:
        deployment = client.get_or_none(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, space)
    except ForbiddenError:
        return []
    if deployment is None:
        return []
    version = installation.parse_image_version(deployment)
    if version is not None and version < installation.MIN_VERSION:
        raise FluidModelError(
            f"Fluid {installation.format_version(version)} is too old",
            f"{installation.format_version(installation.MIN_VERSION)} or newer is needed",
            installation.UPGRADE_COMMAND,
        )
    if get_path(deployment, "spec", "replicas", default=1) == 0:
        raise FluidModelError(
            "Fluid's dataset-controller is scaled to 0",
            "no Dataset would become Bound",
            installation.scale_up_command(installation.DATASET_CONTROLLER),
        )
    if not get_path(deployment, "status", "availableReplicas", default=0):
        pods = kubectl("get", "pods", namespace=space)
        return [f"Fluid's dataset-controller has no ready pod ({pods})"]
    return []


def existing_objects(client: Client, options: CacheOptions, namespace: str) -> ExistingObjects:
    """Return the existing objects with the cache's name."""
    existing = ExistingObjects(
        dataset=client.get_or_none(names.DATASETS, options.name, namespace),
        runtime=client.get_or_none(names.ALLUXIO_RUNTIMES, options.name, namespace),
        load=client.get_or_none(names.DATA_LOADS, options.name, namespace)
        if options.load
        else None,
    )
    replicas = options.replicas if options.replicas_given else existing.replicas
    if existing.runtime is not None and len(bound_hostnames(existing.dataset or {})) != replicas:
        nodes = resizing.worker_nodes(client, namespace, options.name)
        existing = replace(existing, worker_nodes=nodes)
    return existing


def require_not_deleting(
    client: Client, options: CacheOptions, namespace: str, existing: ExistingObjects
) -> None:
    """Check that no object of the cache is being deleted, except a DataLoad, which is replaced.

    Raises:
        FluidModelError: names the object, and what holds it.
    """
    name = options.name
    objects: list[tuple[Kind, Object | None]] = [
        (names.DATASETS, existing.dataset),
        (names.ALLUXIO_RUNTIMES, existing.runtime),
        (kinds.PVCS, client.get_or_none(kinds.PVCS, name, namespace)),
    ]
    if options.source.scheme == "s3":
        secret = options.store.s3_secret or secrets.store_secret_name(name)
        objects.append((kinds.SECRETS, client.get_or_none(kinds.SECRETS, secret, namespace)))
    with suppress(ForbiddenError):  # the claim is deleted before its volume
        objects.append(
            (kinds.PVS, client.get_or_none(kinds.PVS, names.volume_name(namespace, name)))
        )
    with_kinds = [obj and {"kind": kind.name, **obj} for kind, obj in objects]
    deletion.require_not_deleting(client, namespace, name, with_kinds)
