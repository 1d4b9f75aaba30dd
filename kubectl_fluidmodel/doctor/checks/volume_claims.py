"""4xx: the claim and the volume of a cache."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_CLAIM
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_path, metadata_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Command, Operand, chain

CLAIM_BINDING_TIMEOUT = 60.0
"""Seconds that Fluid and the volume controller may take to create and bind a claim."""


def is_created_by_fluid(obj: Object) -> bool:
    """Whether Fluid created a claim or volume, by the annotation that Fluid itself checks."""
    return annotations_of(obj).get("CreatedBy") == "fluid"


@register_check("FM401", "a Bound Dataset has its claim", needs=(kinds.PVCS,), explains=NO_CLAIM)
def claim_exists(context: CheckContext) -> Iterator[Finding]:
    """The Dataset is Bound, but its claim does not exist.

    Fluid creates the PersistentVolumeClaim with the Dataset's name when the runtime is ready, and
    again whenever it is missing. If it does not, Fluid's runtime controller failed, and an event of
    the runtime has the reason, or the controller is not running.
    """
    cache = context.cache
    if get_path(cache.dataset, "status", "phase") != "Bound" or cache.claim is not None:
        return
    runtime, dataset = cache.runtime, cache.dataset
    warning = observations.warning_event(context, runtime, "setup volume") if runtime else None
    message = warning.text if warning else ""
    _, _, reason = message.partition("error ")
    bound = observations.field_evidence(dataset or {}, "status", "phase")
    yield Finding(
        f"persistentvolumeclaim {cache.namespace}/{cache.name}",
        f"Fluid cannot create the claim: {reason}" if reason else "the claim does not exist",
        (*observations.as_tuple(warning), bound),
        observations.advice(
            runtime or cache, "describe", Operand(_runtime_kind(runtime)), Operand(cache.name)
        ),
    )


@register_check(
    "FM402", "the claim is bound", needs=(kinds.PVCS, kinds.PVS), explains=("FM440", "FM442")
)
def claim_is_bound(context: CheckContext) -> Iterator[Finding]:
    """The claim of the cache is not bound.

    The claim and the volume that Fluid creates refer to each other, so Kubernetes binds them at
    once. A claim stays Pending if its volume is missing or was bound to an earlier claim. It
    becomes Lost if its volume was deleted. Neither holds data: delete it, and Fluid creates it
    again.
    """
    cache = context.cache
    claim, volume = cache.claim, cache.volume
    if claim is None or not is_created_by_fluid(claim):
        return
    phase = str(get_path(claim, "status", "phase", default="Pending"))
    if phase == "Bound" and volume is not None:
        return
    is_recent = context.age(claim) < CLAIM_BINDING_TIMEOUT and phase == "Pending"
    volume_name = str(get_path(claim, "spec", "volumeName", default=""))
    evidence = [observations.field_evidence(claim, "status", "phase", text=phase)]
    warning = observations.warning_event(context, claim, "")
    fix: Fix | None = Fix(_recreate_claim(cache, volume))
    if volume is None:
        cause = f"its volume {volume_name} does not exist"
    elif get_path(volume, "status", "phase") == "Released":
        cause = f"its volume {volume_name} still belongs to an earlier claim of this name"
        evidence.append(observations.field_evidence(volume, "status", "phase"))
        fix = Fix(fix_commands.delete_objects(volume))
    else:
        cause = f"it is {phase}"
    yield Finding(
        object_reference(claim),
        f"the claim is not bound: {cause}",
        (*evidence, *observations.as_tuple(warning)),
        None if is_recent else fix,
        Severity.WARNING if is_recent else None,
    )


@register_check(
    "FM403",
    "Fluid created the claim with the cache's name",
    needs=(kinds.PVCS,),
    explains=("FM402",),
)
def claim_is_created_by_fluid(context: CheckContext) -> Iterator[Finding]:
    """A claim with the Dataset's name exists, and Fluid did not create it.

    Fluid then creates none, and pods that should mount the cache mount something else. Rename the
    cache, or delete the claim if nobody needs its data.
    """
    cache = context.cache
    claim = cache.claim
    if claim is None or is_created_by_fluid(claim):
        return
    stores = get_path(claim, "spec", "storageClassName", default="none")
    yield Finding(
        object_reference(claim),
        f"a claim with this name existed before the cache; its storage class is {stores}",
        (
            observations.field_evidence(claim, "metadata", "annotations", "CreatedBy"),
            observations.field_evidence(claim, "spec", "storageClassName"),
        ),
        Fix(cache_commands.recreate_cache(cache, cache_commands.alternative_name(cache))),
    )


@register_check(
    "FM406", "the claim is not being deleted", needs=(kinds.PVCS,), explains=("FM440", "FM442")
)
def claim_is_not_terminating(context: CheckContext) -> Iterator[Finding]:
    """Somebody deleted the claim while pods mount it.

    It stays until the last of these pods is gone, and no new pod can use it until then. Stop the
    readers; Fluid then creates the claim again.
    """
    cache = context.cache
    if cache.claim is None or not is_terminating(cache.claim):
        return
    if cache.dataset is None or is_terminating(cache.dataset):
        return
    readers = [reader.name for reader in cache.readers]
    text = ", ".join(readers[:3]) + (" and others" if len(readers) > 3 else "")
    yield Finding(
        object_reference(cache.claim),
        f"the claim is deleted once its last readers are gone: {text or 'none was found'}",
        (
            observations.field_evidence(cache.claim, "metadata", "deletionTimestamp"),
            Evidence(
                object_reference(cache.claim),
                "metadata.finalizers",
                ", ".join(metadata_of(cache.claim).get("finalizers") or []),
            ),
        ),
        Fix(chain(fix_commands.delete_pods(cache, readers), *_delete_volume(cache.volume)))
        if readers
        else observations.advice(cache, "get", "pvc", Operand(name_of(cache.claim)), "-o", "yaml"),
    )


def _runtime_kind(runtime: Object | None) -> str:
    return fix_commands.kubectl_kind(runtime or {}) or "dataset"


def _recreate_claim(cache: Cache, volume: Object | None) -> Command:
    """Delete claim and volume, so that Fluid recreates them; a volume keeps its old claim."""
    claim = fix_commands.kubectl_command(cache, "delete", "pvc", Operand(cache.name))
    return chain(claim, *_delete_volume(volume))


def _delete_volume(volume: Object | None) -> list[Command]:
    return [fix_commands.delete_objects(volume)] if volume else []
