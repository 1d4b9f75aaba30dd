"""2xx: whether the Dataset is accepted, set up, measured, and not stuck in deletion."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    event_evidence,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NOT_BOUND, NOT_CREATED
from kubectl_fluidmodel.doctor.observations import cache_reference, events_with_reason
from kubectl_fluidmodel.fluid import alluxio_runtime, installation, status
from kubectl_fluidmodel.inventory.cache import MASTER, Cache
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, metadata_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.objects.time import parse_time
from kubectl_fluidmodel.output.shell import Operand
from kubectl_fluidmodel.output.units import summarize

_ACCEPT_TIMEOUT = 30.0
"""Seconds that Fluid may take to start reconciling a Dataset."""
_SETUP_RETRY_INTERVAL = 180.0
"""Seconds within which Fluid retries the setup of a cache."""
_COUNT_TIMEOUT = 300.0
"""Seconds within which Fluid counts the files of any model."""
_DELETION_TIMEOUT = 60.0
"""Seconds within which a deletion usually completes."""
_TIER_TOO_LARGE = re.compile(r"tier\w+'s size .* is greater than .*limits memory")
_INCOMPLETE_RELEASE = re.compile(r'(\w+)\S* "([\w.-]+)" not found')
_BAD_VERSION_TAG = re.compile(r'could not parse "([^"]*)" as version')


@register_check("FM203", "Fluid has accepted the Dataset", explains=NOT_BOUND)
def dataset_is_accepted(context: CheckContext) -> Iterator[Finding]:
    """Fluid has not started to reconcile the Dataset.

    The phase of a new Dataset is empty. Fluid's dataset controller sets it to NotBound within
    seconds. If it does not, the controller is down or rejects the Dataset.
    """
    cache = context.cache
    if cache.dataset is None or status.parse_dataset(cache.dataset).phase != "New":
        return
    refused = events_with_reason(context, cache.dataset, "ErrorCreateDataset")
    if not refused and context.age(cache.dataset) < _ACCEPT_TIMEOUT:
        return
    yield Finding(
        cache_reference(cache),
        "Fluid rejects the Dataset"
        if refused
        else "Fluid has not started to reconcile the Dataset",
        (
            Evidence(cache_reference(cache), "status.phase", "empty"),
            *map(event_evidence, refused[-1:]),
        ),
        observations.fluid_advice("logs", f"deployment/{installation.DATASET_CONTROLLER}"),
    )


@register_check("FM208", "Fluid has set up the cache", explains=NOT_BOUND)
def cache_setup_succeeded(context: CheckContext) -> Iterator[Finding]:
    """Fluid cannot set up the cache.

    Fluid installs the pods of a cache as a Helm release and then connects to its master. The reason
    for a failure is in the condition `NotReady` of the Dataset and in events of the runtime.
    """
    cache = context.cache
    parsed = status.parse_dataset(cache.dataset)
    if cache.dataset is None or parsed.is_bound or is_terminating(cache.dataset):
        return
    failed = [
        event
        for event in events_with_reason(context, cache.runtime, "ErrorProcessRuntime")
        if "Failed to setup" in str(event.get("message"))
        and not status.is_transient(str(event.get("message")))
    ]
    text = parsed.setup_error or (str(failed[-1].get("message")) if failed else "")
    if parsed.phase == "Failed" and not text:
        text = "Fluid gave up on the Dataset"
    if not text or _setup_error_is_resolved(context, cache, text):
        return
    evidence = [Evidence(cache_reference(cache), "status.phase", parsed.phase)]
    if parsed.setup_error:
        evidence.append(Evidence(cache_reference(cache), "condition NotReady", parsed.setup_error))
    evidence += map(event_evidence, failed[-1:])
    cause, fix = _explain_setup_error(cache, text)
    yield Finding(cache_reference(cache), cause, tuple(evidence), fix)


def _setup_error_is_resolved(context: CheckContext, cache: Cache, text: str) -> bool:
    """Whether a setup error is outdated: Fluid keeps the condition until the Dataset is Bound.

    Fluid retries every 20 s and renews the condition each time.
    """
    # Fluid checks this before it installs anything.
    is_installed = MASTER in cache.workloads or not context.snapshot.was_read(
        kinds.STATEFUL_SETS, cache.namespace
    )
    if _TIER_TOO_LARGE.search(text) and is_installed:
        return True
    condition = observations.condition_of(cache.dataset or {}, "NotReady")
    age = observations.seconds_since(context, condition.get("lastUpdateTime"))
    return age is not None and age > _SETUP_RETRY_INTERVAL


def _explain_setup_error(cache: Cache, text: str) -> tuple[str, Fix]:
    """Explain a setup error; returns the cause and the fix."""
    runtime = cache.runtime or {}
    lost = _INCOMPLETE_RELEASE.search(text)
    if lost and lost[1] in ("StatefulSet", "DaemonSet"):
        return (
            f"Fluid's Helm release of the cache is incomplete: {lost[1]} {lost[2]} is missing",
            Fix(fix_commands.recreate_runtime(cache)),
        )
    if _TIER_TOO_LARGE.search(text):
        quota = alluxio_runtime.parse_tier(runtime)[2] or 0
        limit = bytes_to_quantity(quota + (8 << 30))
        change = {"spec": {"worker": {"resources": {"limits": {"memory": limit}}}}}
        return (
            "the memory limit of the workers is below the quota of their MEM tier",
            Fix(fix_commands.patch_object(runtime, change)),
        )
    tag = _BAD_VERSION_TAG.search(text)
    if tag:
        return (
            f"Fluid takes Alluxio's version from the FUSE image's tag, and {tag[1]} is not one",
            Fix(
                fix_commands.patch_and_recreate_runtime(
                    cache, {"fuse": {"imageTag": alluxio_runtime.LATEST_VERSION}}
                )
            ),
        )
    short = " ".join(text.split())[:160]
    return f"Fluid cannot set up the cache: {short}", _controller_logs_fix(cache)


def _controller_logs_fix(cache: Cache) -> Fix:
    """Advice on how to read the log of the controller of a cache's runtime."""
    kind = fix_commands.kubectl_kind(cache.runtime or {}) or "alluxioruntime"
    return observations.fluid_advice("logs", Operand(f"deployment/{kind}-controller"))


@register_check("FM216", "the size of the source is known", severity=Severity.WARNING)
def source_size_is_known(context: CheckContext) -> Iterator[Finding]:
    """Fluid does not finish counting the files of the source.

    Once a Dataset is Bound, Fluid counts what is in the source and reports `[Calculating]` until it
    is done, which takes seconds for a model. If it goes on, the count fails or hangs, the cached
    percentage stays unknown, and Fluid does not label the nodes.
    """
    cache = context.cache
    text = str(get_path(cache.dataset, "status", "ufsTotal", default=""))
    if text != "[Calculating]" or cache.dataset is None:
        return
    ready = observations.condition_of(cache.dataset, "Ready").get("lastTransitionTime")
    since = observations.seconds_since(context, ready)
    if since is None:
        since = context.age(cache.dataset)
    if since < _COUNT_TIMEOUT:
        return
    change = {"spec": {"management": {"metadataSyncPolicy": {"autoSync": False}}}}
    fix = (
        Fix(fix_commands.patch_object(cache.runtime, change))
        if cache.runtime is not None
        else _controller_logs_fix(cache)
    )
    yield Finding(
        cache_reference(cache),
        f"Fluid has been counting the files of the source for {int(since // 60)} minutes",
        (Evidence(cache_reference(cache), "status.ufsTotal", text),),
        fix,
    )


@register_check(
    "FM217",
    "nothing of the cache is being deleted",
    explains=("FM204", "FM205", "FM212", "FM406", *NOT_CREATED),
)
def cache_is_not_terminating(context: CheckContext) -> Iterator[Finding]:
    """The Dataset, its runtime, its DataLoad or its volume is being deleted.

    A deleted object keeps its phase and fields until its last finalizer is removed. What holds it
    is a pod that mounts the claim, or a controller that should clean up and is down.
    """
    cache = context.cache
    candidates = (cache.dataset, *cache.runtimes, *cache.loads, cache.volume)
    terminating = [obj for obj in candidates if obj is not None and is_terminating(obj)]
    if not terminating:
        return
    first, readers = terminating[0], [reader.pod for reader in cache.readers]
    refused = [
        event
        for obj in terminating
        for event in events_with_reason(context, obj, "ErrorDeleteDataset")
    ]
    since = min(parse_time(metadata_of(obj).get("deletionTimestamp")) for obj in terminating)
    is_recent = not refused and context.snapshot.taken_at - since < _DELETION_TIMEOUT
    if readers:
        reason = f"{summarize(list(map(name_of, readers)))} still mount"
        reason += "s it" if len(readers) == 1 else " it"
        fix = Fix(fix_commands.delete_objects(*readers[:20]))
    else:
        reason = "Fluid has not cleaned up after it"
        operands = fix_commands.object_operands(first)
        fix = observations.advice(first, "get", *operands, "-o", "jsonpath={.metadata.finalizers}")
    yield Finding(
        object_reference(first),
        "it is being deleted" if is_recent else f"it was deleted but still exists: {reason}",
        (
            *(evidence for obj in terminating for evidence in _deletion_evidence(obj)),
            *map(event_evidence, refused[-1:]),
            *(
                Evidence(object_reference(pod), "spec.volumes", f"claimName: {cache.name}")
                for pod in readers
            ),
        ),
        fix,
        Severity.WARNING if is_recent else None,
    )


def _deletion_evidence(obj: Object) -> Iterator[Evidence]:
    for field in ("deletionTimestamp", "finalizers"):
        value = metadata_of(obj).get(field)
        if value:
            yield Evidence(object_reference(obj), f"metadata.{field}", str(value))
