"""6xx: whether the model was loaded into the cache completely."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.fluid.dataload import load_targets
from kubectl_fluidmodel.fluid.mount import alluxio_path
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of
from kubectl_fluidmodel.output.shell import chain
from kubectl_fluidmodel.output.units import format_bytes

COUNTING_DELAY = 60.0
"""Seconds after a load within which Fluid updates its counts: it syncs every 15 s by default."""
LOAD_START_TIMEOUT = 120.0
"""Seconds that a load may take to start: Fluid reconciles it every 20 s."""


def latest_load(cache: Cache) -> Object | None:
    """The latest DataLoad of a cache."""
    return cache.loads[-1] if cache.loads else None


def reload_fix(cache: Cache, load: Object | None = None, *, delete_first: bool = False) -> Fix:
    """Load the model (again): with `cache`, which verifies it, or with a new DataLoad.

    With `delete_first`, the existing load is deleted first: a running one, or one of other paths.
    """
    if names.is_managed(cache.dataset or {}):
        apply = cache_commands.load_command(cache)
        return Fix(chain(fix_commands.delete_load(load), apply) if load and delete_first else apply)
    name = name_of(load) if load else f"{cache.name}-load"
    spec = {
        "loadMetadata": True,
        "dataset": {"name": cache.name, "namespace": cache.namespace},
        "target": [{"path": "/", "replicas": runtimes.wanted_copies(cache.runtime)}],
    }
    apply = fix_commands.apply_manifest(load_manifest(name, cache.namespace, spec))
    return Fix(chain(fix_commands.delete_load(load), apply) if load else apply)


def load_manifest(name: str, namespace: str, spec: Object) -> Object:
    """A DataLoad for the user to create, without the labels of this plugin."""
    return {
        "apiVersion": names.DATA_LOADS.api_version,
        "kind": names.DATA_LOADS.name,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def covers_all_mounts(cache: Cache, load: Object) -> bool:
    """Whether a load covers everything that the Dataset mounts."""
    paths = [target.path.rstrip("/") for target in load_targets(load) if target.path]
    mounts = get_list(cache.dataset, "spec", "mounts")
    mount_paths = [alluxio_path(mount).rstrip("/") for mount in mounts]
    return "" in paths or bool(mount_paths and all(path in paths for path in mount_paths))


@register_check(
    "FM601",
    "the model was loaded into the cache",
    severity=Severity.WARNING,
    needs=(names.DATA_LOADS,),
)
def model_was_loaded(context: CheckContext) -> Iterator[Finding]:
    """Nothing has loaded the model into the cache.

    Without a load, a cache fills as it is read: the first worker waits for every byte from the
    store, one file after the other. A DataLoad loads the whole model in advance.
    """
    cache = context.cache
    usage = cache_usage(cache)
    if cache.loads or cache.dataset is None or usage.is_complete is not False:
        return
    yield Finding(
        object_reference(cache.dataset),
        f"nothing has loaded the model: {format_bytes(usage.cached_bytes)} of "
        f"{format_bytes(usage.source_bytes)} are cached",
        (observations.field_evidence(cache.dataset, "status", "cacheStates", "cachedPercentage"),),
        reload_fix(cache),
    )


@register_check("FM604", "the load did not fail", needs=(names.DATA_LOADS,))
def load_did_not_fail(context: CheckContext) -> Iterator[Finding]:
    """The load failed.

    The load's Job failed four times, or Fluid rejected the load. The condition has the reason, and
    the log of the loader says more. A failed load does not count once a later one is Complete.
    """
    cache = context.cache
    load = latest_load(cache)
    if (
        load is None
        or get_path(load, "status", "phase") != "Failed"
        or cache_usage(cache).is_complete
    ):
        return
    condition = next(iter(get_list(load, "status", "conditions")), {})
    reason = condition.get("reason") or "no reason given"
    message = condition.get("message") or ""
    warning = observations.warning_event(
        context, load, "", "DataOperationExecutionFailed", "DataOperationNotSupport"
    )
    yield Finding(
        object_reference(load),
        f"the load failed: {reason}",
        (
            observations.field_evidence(load, "status", "phase"),
            observations.field_evidence(
                load, "status", "conditions", text=f"{reason}: {message}".rstrip(": ")
            ),
            *observations.as_tuple(warning),
        ),
        reload_fix(cache, load),
    )


@register_check("FM605", "the load is complete", needs=(names.DATA_LOADS,))
def load_is_complete(context: CheckContext) -> Iterator[Finding]:
    """The load is Complete, but parts of the model are not cached.

    A DataLoad is Complete when its command has exited, and Alluxio's `distributedLoad` succeeds
    even if single files could not be loaded (fluid#633, fluid#4380). Missing data is read from the
    store on first access. Load again; data that is cached is not loaded twice.
    """
    cache = context.cache
    load, usage = latest_load(cache), cache_usage(cache)
    if (
        load is None
        or usage.is_complete is not False
        or cache.dataset is None
        or get_path(load, "status", "phase") != "Complete"
    ):
        return
    seconds = observations.seconds_since(
        context, get_path(load, "status", "conditions", 0, "lastTransitionTime")
    )
    is_recent = seconds is not None and seconds < COUNTING_DELAY
    partly = not covers_all_mounts(cache, load)
    copies = f" of {usage.copies} copies" if usage.copies > 1 else ""
    expected_bytes = (usage.source_bytes or 0) * usage.copies
    yield Finding(
        object_reference(cache.dataset),
        f"the load is Complete, and {format_bytes(usage.cached_bytes)} of "
        f"{format_bytes(expected_bytes)}{copies} are cached"
        + ("; Fluid may not have counted yet" if is_recent else ""),
        (
            observations.field_evidence(cache.dataset, "status", "cacheStates", "cached"),
            observations.field_evidence(cache.dataset, "status", "ufsTotal"),
            observations.field_evidence(load, "status", "phase"),
        ),
        None if is_recent else reload_fix(cache, load),
        Severity.WARNING if is_recent or partly else None,
    )


@register_check(
    "FM606", "the load has started", severity=Severity.WARNING, needs=(names.DATA_LOADS,)
)
def load_has_started(context: CheckContext) -> Iterator[Finding]:
    """The load has not started.

    A DataLoad waits until its Dataset is Bound, until another load has finished, or for the
    operation that its `runAfter` names.
    """
    cache = context.cache
    load = latest_load(cache)
    if (
        load is None
        or status.parse_dataload(load).phase != "Pending"
        or context.age(load) < LOAD_START_TIMEOUT
    ):
        return
    running = str(get_path(cache.dataset, "status", "operationRef", "DataLoad", default=""))
    after = get_path(load, "spec", "runAfter", "name", default="")
    if after and get_path(load, "status", "waitingFor", "operationComplete"):
        cause = f"it waits for {after} to be complete"
    elif running and name_of(load) not in running.split(","):
        cause = f"it waits for the load {running}"
    elif get_path(cache.dataset, "status", "phase") != "Bound":
        cause = "it waits for its Dataset to be Bound"
    else:
        cause = "Fluid does not start it"
    path = ("status", "operationRef", "DataLoad") if running else ("status", "phase")
    yield Finding(
        object_reference(load),
        cause,
        (
            observations.field_evidence(load, "status", "phase"),
            observations.field_evidence(cache.dataset or {}, *path),
        ),
        observations.describe(load),
    )
