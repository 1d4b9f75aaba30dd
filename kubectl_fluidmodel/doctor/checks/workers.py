"""3xx: the workers, which hold the model."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_WORKER, NOT_BOUND, NOT_COMPLETE
from kubectl_fluidmodel.fluid import alluxio_runtime, names, pod_problems, status
from kubectl_fluidmodel.inventory.cache import WORKER
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import get_int, get_path, name_of
from kubectl_fluidmodel.output.shell import Operand
from kubectl_fluidmodel.output.units import pluralize

WORKER_START_TIMEOUT = 120.0
"""Seconds that a worker may take from its pod's creation to ready."""
STUCK_AFTER_GRACE = 300.0
"""Seconds past its grace period that a pod in deletion may stay."""
CAPACITY_TOLERANCE = 0.02
"""Part of a capacity that rounding and Alluxio's own units may take."""


@register_check(
    "FM330", "as many workers are ready as are wanted", explains=("FM405", *NOT_COMPLETE)
)
def all_workers_are_ready(context: CheckContext) -> Iterator[Finding]:
    """Each worker holds a part of the model, or a copy of it. Fluid leaves the Dataset Bound when
    workers die, so the phase does not tell. With fewer workers than wanted, blocks are missing:
    they are read from the store again, at its speed.
    """
    cache = context.cache
    runtime, workers = cache.runtime, cache.workloads.get(WORKER)
    if runtime is None or workers is None:
        return
    wanted = get_int(runtime, "spec", "replicas")
    have = get_int(workers, "status", "readyReplicas")
    if have >= wanted:
        return
    is_recent = context.age(workers) < WORKER_START_TIMEOUT
    phase = get_path(cache.dataset, "status", "phase", default="")
    still = ", and the Dataset still says Bound" if phase == "Bound" else ""
    yield Finding(
        object_reference(workers),
        f"{have} of {pluralize(wanted, 'worker')} {'is' if wanted == 1 else 'are'} ready{still}",
        (
            observations.field_evidence(workers, "status", "readyReplicas", text=str(have)),
            observations.field_evidence(runtime, "spec", "replicas"),
        ),
        observations.advice(
            cache, "describe", "pod", f"-lrelease={cache.name},role=alluxio-worker"
        ),
        Severity.WARNING if is_recent else None,
    )


@register_check("FM331", "the workers run", needs=(kinds.PODS,), explains=("FM323", *NO_WORKER))
def workers_are_running(context: CheckContext) -> Iterator[Finding]:
    """A worker has a node and does not become ready: its container ends, or never answers. The
    reasons that are known by themselves (image, memory, disk, host names) have checks of their
    own; here is what the container or its log says.
    """
    for _, pod in observations.cache_pods(context.cache, WORKER):
        if (
            pod_problems.is_ready(pod)
            or observations.scheduling_failure(pod)
            or observations.is_terminated(pod)
        ):
            continue
        if not get_path(pod, "spec", "nodeName"):
            continue
        cause, line = observations.find_log_cause(context, pod)
        stuck = next(
            iter(
                observations.waiting_containers(pod, {"CrashLoopBackOff", "CreateContainerError"})
            ),
            None,
        )
        is_recent = context.age(pod) < WORKER_START_TIMEOUT and not (cause or stuck)
        evidence = [*observations.as_tuple(line), *([stuck[1]] if stuck else [])]
        yield Finding(
            object_reference(pod),
            f"the worker on node {get_path(pod, 'spec', 'nodeName')} is not ready"
            + (f": {cause}" if cause else ""),
            tuple(evidence or [observations.field_evidence(pod, "status", "phase")]),
            observations.advice(
                pod, "logs", Operand(name_of(pod)), "--all-containers", "--tail=50"
            ),
            Severity.WARNING if is_recent else None,
        )


@register_check("FM332", "the master knows all its workers", explains=NOT_COMPLETE)
def master_knows_all_workers(context: CheckContext) -> Iterator[Finding]:
    """All workers run, and the master counts less room than they have: it has lost touch with one
    (`Lost Workers` in `alluxio fsadmin report`), mostly because the network between them is cut
    or the worker hangs. Its blocks count as gone. A restart of the worker brings it back.
    """
    cache = context.cache
    workers, runtime, dataset = cache.workloads.get(WORKER), cache.runtime, cache.dataset
    if workers is None or runtime is None or dataset is None:
        return
    if str(runtime.get("kind")) != names.ALLUXIO_RUNTIMES.name:
        return
    count = get_int(runtime, "spec", "replicas")
    quota = _single_tier_quota(runtime)
    capacity = status.parse_dataset(dataset).capacity
    ready_ = get_int(workers, "status", "readyReplicas")
    if not quota or capacity is None or ready_ < count or count == 0:
        return
    if capacity >= count * quota * (1 - CAPACITY_TOLERANCE) or capacity >= (count - 0.5) * quota:
        return
    running = [pod for _, pod in observations.cache_pods(cache, WORKER)]
    if any(context.age(pod) < WORKER_START_TIMEOUT for pod in running):
        return  # Fluid counts now and then, and may not have counted this one yet
    lost = max(1, count - round(capacity / quota))
    pods = [name_of(pod) for pod in running]
    yield Finding(
        object_reference(workers),
        f"the master has lost {lost} of {pluralize(count, 'worker')}, though all of them run",
        (
            observations.field_evidence(dataset, "status", "cacheStates", "cacheCapacity"),
            observations.field_evidence(runtime, "spec", "tieredstore", "levels", 0, "quota"),
        ),
        Fix(fix_commands.delete_pods(cache, pods)),
    )


def _single_tier_quota(runtime: dict[str, object]) -> int | None:
    """The first tier's quota, None where there are several tiers or it is given otherwise."""
    levels = get_path(runtime, "spec", "tieredstore", "levels", default=[])
    if len(levels) != 1 or get_path(levels, 0, "quotaList"):
        return None
    return alluxio_runtime.parse_tier(runtime)[2]


@register_check("FM333", "the runtime has workers", explains=(*NOT_BOUND, *NOT_COMPLETE))
def runtime_has_workers(context: CheckContext) -> Iterator[Finding]:
    """A runtime without `replicas` has no workers, and Fluid counts that as ready: the Dataset is
    Bound, and nothing is ever cached.
    """
    cache = context.cache
    for runtime in cache.runtimes:
        if runtime.get("kind") == names.ALLUXIO_RUNTIMES.name and not get_path(
            runtime, "spec", "replicas"
        ):
            yield Finding(
                object_reference(runtime),
                "it has no workers, so nothing can be cached",
                (observations.field_evidence(runtime, "spec", "replicas"),),
                Fix(fix_commands.patch_object(runtime, {"spec": {"replicas": 1}})),
            )


@register_check(
    "FM334",
    "no cache pod is stuck in deletion",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM311", "FM330", "FM430"),
)
def no_cache_pod_is_stuck_terminating(context: CheckContext) -> Iterator[Finding]:
    """A pod was deleted and does not go, mostly because its node is down: its kubelet cannot say
    that the containers have ended. A StatefulSet makes no other pod of that name until then. Where
    the node is gone for good, delete the Node object, or the pod by force.
    """
    for part in observations.COMPONENTS:
        for pod in context.cache.pods.get(part, []):
            since = observations.seconds_since(
                context, get_path(pod, "metadata", "deletionTimestamp")
            )
            if since is None or since < STUCK_AFTER_GRACE:
                continue
            node = get_path(pod, "spec", "nodeName", default="")
            yield Finding(
                object_reference(pod),
                f"the {part} on node {node} does not go away",
                (observations.field_evidence(pod, "metadata", "deletionTimestamp"),),
                Fix(fix_commands.delete_pods(pod, [name_of(pod)], "--force")),
            )
