"""2xx: the names of a cache, and of the objects that Fluid creates for it."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    event_evidence,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NOT_BOUND, NOT_CREATED
from kubectl_fluidmodel.doctor.observations import cache_reference, events_with_reason
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.output.shell import chain


@register_check(
    "FM201", "Fluid accepts the Dataset's name", explains=("FM203", "FM204", "FM205", "FM208")
)
def dataset_name_is_legal(context: CheckContext) -> Iterator[Finding]:
    """Fluid does not accept the name of the Dataset.

    Dataset and runtime names must be DNS-1035 labels: lower-case letters, digits and `-`, starting
    with a letter. The API server accepts more (`qwen2.5-7b`), but Fluid's controllers reject it:
    the phase of the Dataset stays empty.
    """
    cache = context.cache
    if names.is_valid_name(cache.name):
        return
    evidence = [Evidence(cache_reference(cache), "metadata.name", cache.name)]
    evidence += map(
        event_evidence, events_with_reason(context, cache.dataset, "ErrorCreateDataset")
    )
    yield Finding(
        cache_reference(cache),
        f"Fluid rejects the name {cache.name}: it must have lowercase letters, digits and '-', "
        "starting with a letter",
        tuple(evidence),
        Fix(cache_commands.recreate_cache(cache, _to_legal_name(cache.name))),
    )


def _to_legal_name(name: str) -> str:
    try:
        return names.derive_dataset_name(name)
    except UsageError:  # no legal character in it; only a bundle can contain such a name
        return "model"


@register_check("FM202", "the Dataset's name is short enough", explains=("FM203", "FM204", "FM208"))
def dataset_name_is_short_enough(context: CheckContext) -> Iterator[Finding]:
    """The name of the Dataset is too long.

    Fluid derives other names from it. A pod of `<name>-master` has a label of at most 63
    characters, and a Helm release name has at most 53. With more than 45 characters the pods of the
    master or the workers are never created.
    """
    cache = context.cache
    if len(cache.name) <= names.MAX_NAME_LENGTH or not names.is_valid_name(cache.name):
        return
    yield Finding(
        cache_reference(cache),
        f"the name has {len(cache.name)} characters, and the names that Fluid derives from it "
        f"allow at most {names.MAX_NAME_LENGTH}",
        (Evidence(cache_reference(cache), "metadata.name", cache.name),),
        Fix(cache_commands.recreate_cache(cache, _to_legal_name(cache.name))),
    )


def _is_owned_by(obj: Object, owner: Object | None) -> bool:
    owners = get_list(obj, "metadata", "ownerReferences")
    uid = names.uid_of(owner) if owner else ""
    return bool(uid) and any(reference.get("uid") == uid for reference in owners)


@register_check(
    "FM207",
    "the name of the volume is free",
    needs=(k.PVS,),
    explains=("FM204", "FM402", "FM442", *NOT_BOUND),
)
def volume_name_is_free(context: CheckContext) -> Iterator[Finding]:
    """The PersistentVolume that Fluid would create belongs to another cache.

    Fluid names the volume `<namespace>-<name>`, so `a-b/c` and `a/b-c` get the same name. The
    second Dataset takes over the existing volume, and its claim never binds. Do not delete the
    second one alone: Fluid then deletes the volume and the claim of the first (observed with
    1.0.8). As long as neither has a volume, the younger one can be created under another name.
    """
    cache = context.cache
    volume_name = names.volume_name(cache.namespace, cache.name)
    volume = context.snapshot.get(k.PVS, volume_name)
    if volume is None:
        yield from _future_name_conflict(context, volume_name)
        return
    claim = get_path(volume, "spec", "claimRef", default={})
    owner = (namespace_of({"metadata": claim}), name_of({"metadata": claim}))
    if owner == (cache.namespace, cache.name):
        return
    holder = "/".join(owner).strip("/") or "nobody"
    yield Finding(
        cache_reference(cache),
        f"PersistentVolume {volume_name}, which Fluid would create for this cache, "
        f"belongs to {holder}",
        (Evidence(object_reference(volume), "spec.claimRef", holder),),
        Fix(
            f"stop the pods that read {holder}, because Fluid removes its volume together with "
            f"this cache; remove both caches, make {holder} again, and this one under another "
            f"name: {cache_commands.cache_command(cache, cache_commands.alternative_name(cache))}",
            "advice",
        ),
    )


def _future_name_conflict(context: CheckContext, volume_name: str) -> Iterator[Finding]:
    """An older Dataset whose volume, not created yet, will have the same name."""
    cache = context.cache
    older = [
        other
        for other in context.caches
        if other.dataset is not None
        and names.volume_name(other.namespace, other.name) == volume_name
        and _age_order(other) < _age_order(cache)
    ]
    if cache.dataset is None or not older:
        return
    first = older[0]
    yield Finding(
        cache_reference(cache),
        f"Fluid would create PersistentVolume {volume_name} for this cache and for the older "
        f"{first.namespace}/{first.name}",
        (Evidence(cache_reference(first), "metadata.creationTimestamp", _age_order(first)[0]),),
        Fix(cache_commands.recreate_cache(cache, cache_commands.alternative_name(cache)))
        if cache_commands.can_be_made_by_cache(cache)
        else None,
    )


def _age_order(cache: Cache) -> tuple[str, str]:
    """Sort key: older Datasets first."""
    return str(metadata_of(cache.dataset or {}).get("creationTimestamp") or ""), cache.namespace


@register_check(
    "FM219",
    "no other workload has the name of one of the cache's workloads",
    needs=(k.STATEFUL_SETS, k.DAEMON_SETS),
    explains=("FM203", *NOT_CREATED),
)
def workload_names_are_free(context: CheckContext) -> Iterator[Finding]:
    """Somebody else's workload has the name of one that Fluid would create.

    Fluid installs `<name>-master`, `<name>-worker` and `<name>-fuse` as a Helm release. If a
    StatefulSet or DaemonSet with one of these names already exists, the release stays incomplete.
    Delete or rename that workload, then recreate the runtime.
    """
    cache = context.cache
    for kind, part in (
        (k.STATEFUL_SETS, "master"),
        (k.STATEFUL_SETS, "worker"),
        (k.DAEMON_SETS, "fuse"),
    ):
        workload = context.snapshot.get(kind, f"{cache.name}-{part}", cache.namespace)
        if workload is None or "release" in labels_of(workload) or cache.runtime is None:
            continue
        if cache.refers_to and _is_owned_by(workload, cache.dataset):
            continue  # Fluid's copy of the source's DaemonSet has none of its labels
        managed = labels_of(workload).get("app.kubernetes.io/managed-by") or "not set"
        yield Finding(
            object_reference(workload),
            f"{kind.name} {cache.name}-{part} is in the way: Fluid needs this name, and "
            "this one is not Fluid's",
            (
                Evidence(object_reference(workload), "metadata.labels.release", "not set"),
                Evidence(object_reference(workload), "app.kubernetes.io/managed-by", managed),
            ),
            Fix(chain(fix_commands.delete_objects(workload), fix_commands.recreate_runtime(cache))),
        )
