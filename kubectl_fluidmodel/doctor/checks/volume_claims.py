"""4xx: the claim and the volume of a cache."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.consequences import NO_CLAIM
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, annotations_of, at, meta, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Command, Operand, chain

SETTLE = 60.0
"""Seconds that Fluid and the volume controller may take to make and bind a claim."""


def by_fluid(obj: Object) -> bool:
    """Whether Fluid made a claim or volume: it looks for this annotation itself."""
    return annotations_of(obj).get("CreatedBy") == "fluid"


@check("FM401", "a Dataset that is Bound has its claim", needs=(kinds.PVCS,), explains=NO_CLAIM)
def exists(case: Case) -> Iterator[Finding]:
    """Fluid makes the PersistentVolumeClaim of the Dataset's name when the runtime is ready, and
    again whenever it is missing. Where it does not come, Fluid's runtime controller cannot make it
    and says why in an event of the runtime, or it does not run.
    """
    cache = case.own
    if at(cache.dataset, "status", "phase") != "Bound" or cache.claim is not None:
        return
    runtime, dataset = cache.runtime, cache.dataset
    said = observations.told(case, runtime, "setup volume") if runtime else None
    words = said.text if said else ""
    _, _, why = words.partition("error ")
    bound = observations.field(dataset or {}, "status", "phase")
    yield Finding(
        f"persistentvolumeclaim {cache.namespace}/{cache.name}",
        f"Fluid cannot make the claim: {why}" if why else "the claim does not exist",
        (*observations.some(said), bound),
        observations.look(
            runtime or cache, "describe", Operand(_kind(runtime)), Operand(cache.name)
        ),
    )


@check("FM402", "the claim is bound", needs=(kinds.PVCS, kinds.PVS), explains=("FM440", "FM442"))
def bound(case: Case) -> Iterator[Finding]:
    """The claim and the volume that Fluid makes name each other, and Kubernetes binds them at
    once. A claim stays Pending when its volume is missing or was bound to a claim that is gone;
    it is Lost when its volume was deleted. Neither holds data: delete it, and Fluid makes it anew.
    """
    cache = case.own
    claim, volume = cache.claim, cache.volume
    if claim is None or not by_fluid(claim):
        return
    phase = str(at(claim, "status", "phase", default="Pending"))
    if phase == "Bound" and volume is not None:
        return
    young = case.age(claim) < SETTLE and phase == "Pending"
    wanted = str(at(claim, "spec", "volumeName", default=""))
    seen = [observations.field(claim, "status", "phase", text=phase)]
    said = observations.told(case, claim, "")
    fix: Fix | None = Fix(_anew(cache, volume))
    if volume is None:
        cause = f"its volume {wanted} does not exist"
    elif at(volume, "status", "phase") == "Released":
        cause = f"its volume {wanted} still belongs to an earlier claim of this name"
        seen.append(observations.field(volume, "status", "phase"))
        fix = Fix(fix_commands.delete(volume))
    else:
        cause = f"it is {phase}"
    yield Finding(
        reference(claim),
        f"the claim is not bound: {cause}",
        (*seen, *observations.some(said)),
        None if young else fix,
        Severity.WARNING if young else None,
    )


@check(
    "FM403", "the claim of the cache's name is Fluid's", needs=(kinds.PVCS,), explains=("FM402",)
)
def own(case: Case) -> Iterator[Finding]:
    """A claim of the Dataset's name exists that Fluid did not make. Fluid then makes none, and pods
    that mean the cache mount something else. Give the cache another name, or delete the claim if
    nobody needs what it holds.
    """
    cache = case.own
    claim = cache.claim
    if claim is None or by_fluid(claim):
        return
    stores = at(claim, "spec", "storageClassName", default="none")
    yield Finding(
        reference(claim),
        f"a claim of this name was there before the cache; its storage class is {stores}",
        (
            observations.field(claim, "metadata", "annotations", "CreatedBy"),
            observations.field(claim, "spec", "storageClassName"),
        ),
        Fix(fix_commands.anew(cache, fix_commands.other_name(cache))),
    )


@check("FM406", "the claim is not being deleted", needs=(kinds.PVCS,), explains=("FM440", "FM442"))
def stays(case: Case) -> Iterator[Finding]:
    """Somebody deleted the claim while pods mount it. It stays until the last of them is gone, and
    no new pod may use it meanwhile. Stop the readers; Fluid then makes the claim anew.
    """
    cache = case.own
    if cache.claim is None or not is_terminating(cache.claim):
        return
    if cache.dataset is None or is_terminating(cache.dataset):
        return
    readers = [reader.name for reader in cache.readers]
    text = ", ".join(readers[:3]) + (" and others" if len(readers) > 3 else "")
    yield Finding(
        reference(cache.claim),
        f"the claim waits for its last readers to go: {text or 'none is seen'}",
        (
            observations.field(cache.claim, "metadata", "deletionTimestamp"),
            Evidence(
                reference(cache.claim),
                "metadata.finalizers",
                ", ".join(meta(cache.claim).get("finalizers") or []),
            ),
        ),
        Fix(chain(fix_commands.delete_pods(cache, readers), *_volume_too(cache.volume)))
        if readers
        else observations.look(cache, "get", "pvc", Operand(name_of(cache.claim)), "-o", "yaml"),
    )


def _kind(runtime: Object | None) -> str:
    return fix_commands.kind_of(runtime or {}) or "dataset"


def _anew(cache: Cached, volume: Object | None) -> Command:
    """Let Fluid make claim and volume anew: a volume stays bound to the claim that it had."""
    claim = fix_commands.kubectl(cache, "delete", "pvc", Operand(cache.name))
    return chain(claim, *_volume_too(volume))


def _volume_too(volume: Object | None) -> list[Command]:
    return [fix_commands.delete(volume)] if volume else []
