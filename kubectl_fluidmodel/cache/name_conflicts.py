"""Checks that a cache's name is not used by something else."""

from __future__ import annotations

from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.hints import adopt, other_name, uncache
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.inventory.mount_target import mounted_sources
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, NotFoundError
from kubectl_fluidmodel.model.source import is_same_source
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_path, name_of
from kubectl_fluidmodel.output.shell import Command, Operand, command, kubectl
from kubectl_fluidmodel.stage.job_control import active_jobs
from kubectl_fluidmodel.stage.job_description import staged_source


def require_name_available(
    client: Client, options: CacheOptions, namespace: str, existing: ExistingObjects
) -> None:
    """Check that neither a foreign object nor a cache of another source has the name.

    Raises:
        FluidModelError: names the object and a solution.
    """
    name = options.name
    hint = other_name(name)
    for obj in (existing.dataset, existing.runtime, existing.load):
        if obj is not None and not names.is_managed(obj):
            raise FluidModelError(
                f"{obj.get('kind')} {name} in namespace {namespace} was not made by this plugin",
                "it would be overwritten",
                f"{adopt(name, namespace)}, or {hint}" if existing.dataset is not None else hint,
            )
    if existing.dataset is not None:
        _require_own_spec(existing.dataset, name, namespace)
        cached_uri = names.source_uri(existing.dataset)
        if not is_same_source(cached_uri, options.recorded_uri):
            raise FluidModelError(
                f"the name {name} is taken in namespace {namespace}",
                f"it caches {cached_uri}",
                f"{hint}, or {uncache(name, namespace)}",
            )
        return
    claim = client.get_or_none(kinds.PVCS, name, namespace)
    if claim is not None and annotations_of(claim).get("CreatedBy") != "fluid":
        raise FluidModelError(
            f"PersistentVolumeClaim {name} exists in namespace {namespace}",
            "Fluid creates a claim with that name, and this one is not from Fluid",
            hint,
        )
    _require_secret_available(client, options, namespace)
    _require_volume_available(client, name, namespace, hint)


def _require_own_spec(dataset: Object, name: str, namespace: str) -> None:
    """Raises: FluidModelError: the cache was adopted, so its spec belongs to others."""
    if names.is_adopted(dataset):
        raise FluidModelError(
            f"cache {name} in namespace {namespace} was made by hand and adopted",
            "its settings stay as they are",
            f"{adopt(name, namespace)} to verify it, or {uncache(name, namespace)} first to "
            "recreate it",
        )


def _require_secret_available(client: Client, options: CacheOptions, namespace: str) -> None:
    """Raises: FluidModelError: a foreign Secret has the name of the one for the keys."""
    if options.source.scheme != "s3" or options.store.s3_secret:
        return
    name = secrets.store_secret_name(options.name)
    hint = f"{command('--s3-secret', name)}, or {other_name(options.name)}"
    require_own_secret(client, namespace, name, hint)


def require_own_secret(client: Client, namespace: str, name: str, hint: str) -> None:
    """Raises: FluidModelError: there is a Secret of this name that the plugin did not make."""
    secret = client.get_or_none(kinds.SECRETS, name, namespace)
    if secret is not None and not names.is_managed(secret):
        raise FluidModelError(
            f"Secret {name} was not made by this plugin", "it would be overwritten", hint
        )


def _require_volume_available(client: Client, name: str, namespace: str, hint: Command) -> None:
    """Check that Fluid's PV name `<namespace>-<name>` does not collide with another Dataset's.

    Raises:
        FluidModelError: the volume of another Dataset has the name.
    """
    volume_name = names.volume_name(namespace, name)
    try:
        volume = client.get_or_none(kinds.PVS, volume_name)
    except ForbiddenError:
        return
    claim = get_path(volume, "spec", "claimRef", default={}) if volume else {}
    owner = (str(claim.get("namespace", "")), str(claim.get("name", "")))
    if volume is not None and owner != (namespace, name):
        raise FluidModelError(
            f"PersistentVolume {volume_name} exists",
            f"it belongs to {'/'.join(owner).strip('/') or 'no claim'}, and Fluid would use it as "
            f"the volume of {namespace}/{name}",
            hint,
        )


def check_staging_jobs(client: Client, options: CacheOptions, namespace: str) -> list[str]:
    """Check that no Job stages another model for a cache with this name.

    Returns:
        Notes on Jobs that stage other commits of this model.

    Raises:
        FluidModelError: names the Job and a solution.
    """
    name = options.name
    try:
        active = active_jobs(client, name, namespace)
    except ForbiddenError:  # without permission to list Jobs, none can be created either
        return []
    for job in active:
        if not is_same_source(staged_source(job), options.recorded_uri):
            raise name_taken_error(job, name, namespace)
    outdated = [job for job in active if options.commit and _job_commit(job) != options.commit]
    return [
        f"Job {name_of(job)} is still staging commit {_job_commit(job)[:12]}, and is left "
        f"running ({_delete_job(job, namespace)} ends it)"
        for job in outdated
    ]


def jobs_of_other_models(client: Client, name: str, namespace: str, repo: str) -> list[Object]:
    """Return the active Jobs that stage another model than `repo` for a cache with this name."""
    active = active_jobs(client, name, namespace)
    return [job for job in active if not is_same_source(staged_source(job), f"hf://{repo}")]


def name_taken_error(job: Object, name: str, namespace: str) -> FluidModelError:
    """Return the error for a Job that stages another model for a cache with this name."""
    return FluidModelError(
        f"the name {name} is taken in namespace {namespace}",
        f"Job {name_of(job)} is staging {staged_source(job)} for it",
        f"{other_name(name)}, or {_delete_job(job, namespace)}",
    )


def _delete_job(job: Object, namespace: str) -> Command:
    return kubectl("delete", "job", Operand(name_of(job)), namespace=namespace)


def _job_commit(job: Object) -> str:
    return annotations_of(job).get(names.COMMIT_ANNOTATION, "")


def same_source_notes(
    client: Client, options: CacheOptions, namespace: str, existing: ExistingObjects
) -> list[str]:
    """Notes on Datasets that were made by hand and read the same source already.

    Without them, who has such a Dataset would get a second cache of the same model.
    """
    if existing.dataset is not None or options.source.scheme == "hf":
        return []
    try:
        datasets = client.list_objects(names.DATASETS, namespace)
    except (ForbiddenError, NotFoundError):
        return []
    uri = options.source.uri
    return [
        f"Dataset {name_of(dataset)} was made by hand and reads {uri}, too; to take it over "
        f"instead: {adopt(name_of(dataset), namespace)}"
        for dataset in datasets
        if not names.is_managed(dataset) and uri in mounted_sources(dataset)
    ]
