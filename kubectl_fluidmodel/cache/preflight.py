"""Look before building: may we, is Fluid there and alive, and is the name free?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kubectl_fluidmodel.cache import ending
from kubectl_fluidmodel.cache.desired import ExistingObjects
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import installation, names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError, NotFoundError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.model.source import is_same_source
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_path, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.stage import job_run
from kubectl_fluidmodel.stage.job import staged_source

RBAC_DOCS = "docs/rbac.md has a Role that suffices"


@dataclass
class PreflightResult:
    """What the preflight learnt that later steps go by."""

    existing: ExistingObjects
    can_exec: bool = False
    can_read_logs: bool = False
    notes: list[str] = field(default_factory=list)


def required_permissions(options: CacheOptions, namespace: str) -> list[Permission]:
    """The permissions without which `cache` cannot do its work."""
    verbs = ("get", "list", "watch", "create", "patch")
    found = [
        Permission(verb, kind, namespace)
        for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES)
        for verb in verbs
    ]
    if options.load:
        found += [Permission(verb, names.DATA_LOADS, namespace) for verb in (*verbs, "delete")]
    found += [Permission(verb, kinds.PVCS, namespace) for verb in ("get", "list", "watch")]
    if options.source.scheme == "s3":
        found.append(Permission("get", kinds.SECRETS, namespace))
        if not options.store.s3_secret:
            found += [Permission(verb, kinds.SECRETS, namespace) for verb in ("create", "patch")]
    if options.source.scheme == "nfs":
        found += [Permission(verb, kinds.PVS) for verb in ("get", "create", "patch")]
        found += [Permission(verb, kinds.PVCS, namespace) for verb in ("create", "patch")]
    return found


def optional_permissions(namespace: str) -> list[Permission]:
    """Permissions that make it better: where they lack, `cache` says what it cannot do."""
    return [*_exec_permissions(namespace), _log_permission(namespace)]


def _exec_permissions(namespace: str) -> list[Permission]:
    """A WebSocket upgrade is a GET; newer API servers ask for `create` besides (1.35)."""
    return [Permission(verb, kinds.PODS, namespace, "exec") for verb in ("get", "create")]


def _log_permission(namespace: str) -> Permission:
    return Permission("get", kinds.PODS, namespace, "log")


def staging_job_permissions(namespace: str) -> list[Permission]:
    """What staging by a Job takes besides."""
    verbs = ("get", "list", "watch", "create", "patch", "delete")
    found = [Permission(verb, kinds.JOBS, namespace) for verb in verbs]
    found += [Permission(verb, kinds.PODS, namespace) for verb in ("list", "watch")]
    return [*found, _log_permission(namespace)]


def run_preflight(
    client: Client,
    options: CacheOptions,
    namespace: str,
    staging_permissions: Sequence[Permission] = (),
) -> PreflightResult:
    """Everything that must hold before the first write; `besides` is what staging takes.

    Raises:
        FluidModelError: with what does not hold and the way out.
    """
    validate_secret_name(options)
    require_fluid_api(client)
    permissions.require_permissions(
        client,
        [*required_permissions(options, namespace), *staging_permissions],
        task=f"cache a model in {namespace}",
        docs=RBAC_DOCS,
    )
    of_namespace = check_namespace(client, namespace)
    require_source_claim(client, options, namespace)
    denied = permissions.denied(client, optional_permissions(namespace))
    result = PreflightResult(
        ExistingObjects(),
        can_exec=not any(permission in denied for permission in _exec_permissions(namespace)),
        can_read_logs=_log_permission(namespace) not in denied,
    )
    if not result.can_exec:
        result.notes.append(
            "without permission to get and create pods/exec the proof rests on Fluid's rounded "
            "totals instead of every single file"
        )
    result.notes += of_namespace
    result.notes += check_controllers(client)
    result.existing = existing_objects(client, options, namespace)
    require_not_deleting(client, options, namespace, result.existing)
    require_name_available(client, options, namespace, result.existing)
    result.notes += check_staging_jobs(client, options, namespace)
    return result


def require_fluid_api(client: Client) -> None:
    """Raises: FluidModelError: the API server does not serve Fluid's kinds."""
    versions = client.served_versions(names.GROUP)
    if not versions:
        raise FluidModelError(
            "Fluid is not installed in this cluster", "", installation.INSTALL_COMMAND
        )
    if names.VERSION not in versions:
        raise FluidModelError(
            f"this Fluid does not serve {names.GROUP}/{names.VERSION}",
            f"it serves {', '.join(versions)}",
            "helm upgrade fluid fluid/fluid -n fluid-system",
        )


def validate_secret_name(options: CacheOptions) -> None:
    """Raises: UsageError: Fluid cannot mount a Secret of that name."""
    secret = options.store.s3_secret
    if secret and options.source.scheme == "s3" and not secrets.is_mountable_name(secret):
        raise UsageError(
            f"Fluid cannot mount the Secret {secret}",
            f"it names a volume {secrets.VOLUME_PREFIX}<secret>, which has no dots and at most 63 "
            "characters",
            f"--s3-secret with a copy called {secrets.to_mountable_name(secret)}",
        )


def check_namespace(client: Client, namespace: str) -> list[str]:
    """Notes on the namespace. Not being allowed to look is fine.

    Raises:
        FluidModelError: there is none, or it does not admit Fluid's pods.
    """
    try:
        found = client.get(kinds.NAMESPACES, namespace)
    except NotFoundError as err:
        raise FluidModelError(
            f"namespace {namespace} does not exist", "", f"kubectl create namespace {namespace}"
        ) from err
    except ForbiddenError:
        return []
    if is_terminating(found):
        raise ending.being_deleted_error({"kind": kinds.NAMESPACES.name, **found})
    return _check_pod_security(
        client, namespace, labels_of(found).get(_ENFORCE_LABEL, "privileged")
    )


_ENFORCE_LABEL = "pod-security.kubernetes.io/enforce"


def _check_pod_security(client: Client, namespace: str, level: str) -> list[str]:
    """Whether Pod Security lets pods like those of Alluxio in; a note where it cannot be tried.

    They use their node's network and paths, which `baseline` forbids (Pod Security Standards).
    """
    if level == "privileged":
        return []
    label_command = f"kubectl label namespace {namespace} {_ENFORCE_LABEL}=privileged --overwrite"
    container = {"name": "tried", "image": "tried", "volumeMounts": []}
    probe_pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "fluidmodel-tried", "namespace": namespace},
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
    except KubeError:  # another admission plugin, which may say otherwise of the real pods
        return []
    return []


def require_source_claim(client: Client, options: CacheOptions, namespace: str) -> None:
    """Raises: FluidModelError: the claim of a pvc:// source is not in the namespace."""
    if options.source.scheme != "pvc":
        return
    claim = client.get_or_none(kinds.PVCS, options.source.host, namespace)
    if claim is not None and is_terminating(claim):
        raise ending.being_deleted_error({"kind": kinds.PVCS.name, **claim})
    if claim is None:
        raise FluidModelError(
            f"{options.source.uri} does not exist",
            f"namespace {namespace} has no such claim, and a Dataset reads from its own namespace",
            f"kubectl get pvc -n {namespace}",
        )


def check_controllers(client: Client) -> list[str]:
    """Notes on Fluid's controllers, read where RBAC lets us.

    Raises:
        FluidModelError: the dataset controller is down, or Fluid is too old.
    """
    space = names.SYSTEM_NAMESPACE
    try:
        found = client.get_or_none(kinds.DEPLOYMENTS, installation.DATASET_CONTROLLER, space)
    except ForbiddenError:
        return []
    if found is None:
        return []
    version = installation.parse_image_version(found)
    if version is not None and version < installation.MIN_VERSION:
        raise FluidModelError(
            f"Fluid {installation.format_version(version)} is too old",
            f"{installation.format_version(installation.MIN_VERSION)} or newer is needed",
            "helm upgrade fluid fluid/fluid -n fluid-system",
        )
    if get_path(found, "spec", "replicas", default=1) == 0:
        raise FluidModelError(
            "Fluid's dataset-controller is scaled to 0",
            "no Dataset would ever be served",
            installation.scale_up_command(installation.DATASET_CONTROLLER),
        )
    if not get_path(found, "status", "availableReplicas", default=0):
        return [f"Fluid's dataset-controller has no ready pod (kubectl get pods -n {space})"]
    return []


def existing_objects(client: Client, options: CacheOptions, namespace: str) -> ExistingObjects:
    """What stands under the cache's name."""
    return ExistingObjects(
        dataset=client.get_or_none(names.DATASETS, options.name, namespace),
        runtime=client.get_or_none(names.ALLUXIO_RUNTIMES, options.name, namespace),
        load=client.get_or_none(names.DATA_LOADS, options.name, namespace)
        if options.load
        else None,
    )


def require_not_deleting(
    client: Client, options: CacheOptions, namespace: str, existing: ExistingObjects
) -> None:
    """Raises: FluidModelError: what stands under the cache's name is being deleted.

    A DataLoad is not looked at: one that goes makes room for the next.
    """
    name = options.name
    found: list[tuple[Kind, Object | None]] = [
        (names.DATASETS, existing.dataset),
        (names.ALLUXIO_RUNTIMES, existing.runtime),
        (kinds.PVCS, client.get_or_none(kinds.PVCS, name, namespace)),
    ]
    if options.source.scheme == "s3":
        secret = options.store.s3_secret or secrets.store_secret_name(name)
        found.append((kinds.SECRETS, client.get_or_none(kinds.SECRETS, secret, namespace)))
    with suppress(ForbiddenError):  # the claim goes before its volume
        found.append((kinds.PVS, client.get_or_none(kinds.PVS, names.volume_name(namespace, name))))
    objects = [obj and {"kind": kind.name, **obj} for kind, obj in found]
    ending.require_not_deleting(client, namespace, name, objects)


def require_name_available(
    client: Client, options: CacheOptions, namespace: str, existing: ExistingObjects
) -> None:
    """Nothing foreign, and no cache of another source, has the name.

    Raises:
        FluidModelError: with the object in the way and the two ways out.
    """
    name = options.name
    hint = _other_name_flag(name)
    for obj in (existing.dataset, existing.runtime, existing.load):
        if obj is not None and not names.is_managed(obj):
            raise FluidModelError(
                f"{obj.get('kind')} {name} in namespace {namespace} was not made by this plugin",
                "it would be overwritten",
                hint,
            )
    if existing.dataset is not None:
        other = names.source_uri(existing.dataset)
        if not is_same_source(other, options.recorded_uri):
            raise FluidModelError(
                f"the name {name} is taken in namespace {namespace}",
                f"it caches {other}",
                f"{hint}, or kubectl fluidmodel uncache {name} -n {namespace}",
            )
        return
    claim = client.get_or_none(kinds.PVCS, name, namespace)
    if claim is not None and annotations_of(claim).get("CreatedBy") != "fluid":
        raise FluidModelError(
            f"PersistentVolumeClaim {name} exists in namespace {namespace}",
            "Fluid makes one of that name, and this is not it",
            hint,
        )
    if options.source.scheme == "s3" and not options.store.s3_secret:
        wanted = secrets.store_secret_name(name)
        keys = client.get_or_none(kinds.SECRETS, wanted, namespace)
        if keys is not None and not names.is_managed(keys):
            raise FluidModelError(
                f"Secret {wanted} was not made by this plugin",
                "it would be overwritten",
                f"--s3-secret {wanted}, or {hint}",
            )
    _require_volume_available(client, name, namespace, hint)


def check_staging_jobs(client: Client, options: CacheOptions, namespace: str) -> list[str]:
    """Nobody stages another model for a cache of this name; notes on Jobs of other commits.

    Raises:
        FluidModelError: with the Job that is at work, and the two ways out.
    """
    name = options.name
    try:
        active = job_run.active_jobs(client, name, namespace)
    except ForbiddenError:  # who may not see Jobs makes none
        return []
    others = [
        each for each in active if not is_same_source(staged_source(each), options.recorded_uri)
    ]
    if others:
        raise name_taken_error(others[0], name, namespace)
    old = [each for each in active if options.commit and _job_commit(each) != options.commit]
    return [
        f"Job {name_of(each)} still stages commit {_job_commit(each)[:12]}, and is left alone "
        f"(kubectl delete job {name_of(each)} -n {namespace} ends it)"
        for each in old
    ]


def jobs_of_other_models(client: Client, name: str, namespace: str, repo: str) -> list[Object]:
    """Jobs that stage another model than `repo` for a cache of the name."""
    active = job_run.active_jobs(client, name, namespace)
    return [each for each in active if not is_same_source(staged_source(each), f"hf://{repo}")]


def name_taken_error(job: Object, name: str, namespace: str) -> FluidModelError:
    """What is said where a Job stages another model for a cache of the name."""
    return FluidModelError(
        f"the name {name} is taken in namespace {namespace}",
        f"Job {name_of(job)} is staging {staged_source(job)} for it",
        f"{_other_name_flag(name)}, or kubectl delete job {name_of(job)} -n {namespace}",
    )


def _job_commit(job: Object) -> str:
    return annotations_of(job).get(names.COMMIT_ANNOTATION, "")


def _other_name_flag(name: str) -> str:
    return f"--name {name[:41]}-alt" if len(name) > 41 else f"--name {name}-2"


def _require_volume_available(client: Client, name: str, namespace: str, hint: str) -> None:
    """Fluid names the PV `<namespace>-<name>`, on which two Datasets can collide."""
    try:
        volume = client.get_or_none(kinds.PVS, names.volume_name(namespace, name))
    except ForbiddenError:
        return
    claim = get_path(volume, "spec", "claimRef", default={}) if volume else {}
    owner = (str(claim.get("namespace", "")), str(claim.get("name", "")))
    if volume is not None and owner != (namespace, name):
        raise FluidModelError(
            f"PersistentVolume {names.volume_name(namespace, name)} exists",
            f"it belongs to {'/'.join(owner).strip('/') or 'nobody'}, and Fluid would take it for "
            f"the volume of {namespace}/{name}",
            hint,
        )
