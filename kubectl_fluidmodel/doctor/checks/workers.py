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
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.output.shell import Operand
from kubectl_fluidmodel.output.units import pluralize

WORKER_START_TIMEOUT = 120.0
"""Seconds from a worker pod's creation within which it becomes ready."""
STUCK_AFTER_GRACE = 300.0
"""Seconds past its grace period that a deleted pod may take to terminate."""
CAPACITY_TOLERANCE = 0.02
"""Fraction of a capacity that rounding and Alluxio's own units account for."""


@register_check("FM330", "all workers are ready", explains=("FM405", *NOT_COMPLETE))
def all_workers_are_ready(context: CheckContext) -> Iterator[Finding]:
    """Fewer workers are ready than the runtime asks for.

    Each worker holds a part of the model, or a copy of it. Fluid leaves the Dataset Bound when
    workers fail, so the phase does not show it. The missing blocks are read from the store again,
    at the speed of the store.
    """
    cache = context.cache
    runtime, workers = cache.runtime, cache.workloads.get(WORKER)
    if runtime is None or workers is None:
        return
    replicas = get_int(runtime, "spec", "replicas")
    have = get_int(workers, "status", "readyReplicas")
    if have >= replicas:
        return
    is_recent = context.age(workers) < WORKER_START_TIMEOUT
    phase = get_path(cache.dataset, "status", "phase", default="")
    bound_note = ", and the Dataset still says Bound" if phase == "Bound" else ""
    yield Finding(
        object_reference(workers),
        f"{have} of {pluralize(replicas, 'worker')} {'is' if replicas == 1 else 'are'} ready"
        f"{bound_note}",
        (
            observations.field_evidence(workers, "status", "readyReplicas", text=str(have)),
            observations.field_evidence(runtime, "spec", "replicas"),
        ),
        observations.advice(
            cache, "describe", "pod", f"-lrelease={cache.name},role=alluxio-worker"
        ),
        Severity.WARNING if is_recent else None,
    )


@register_check(
    "FM331", "the workers are running", needs=(kinds.PODS,), explains=("FM323", *NO_WORKER)
)
def workers_are_running(context: CheckContext) -> Iterator[Finding]:
    """A worker is scheduled but does not become ready.

    Its container exits or never answers. Known reasons (image, memory, disk, host names) have their
    own checks; this one reports what the container or its log says.
    """
    for _, pod in observations.cache_pods(context.cache, WORKER):
        if pod_problems.is_ready(pod) or observations.scheduling_failure(pod) or is_terminated(pod):
            continue
        if not get_path(pod, "spec", "nodeName"):
            continue
        cause, line = observations.find_log_cause(context, pod)
        stuck = observations.stuck_container(pod)
        is_recent = context.age(pod) < WORKER_START_TIMEOUT and not (cause or stuck)
        evidence = [*observations.as_tuple(line), *observations.as_tuple(stuck)]
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


@register_check("FM332", "the master sees all workers", explains=NOT_COMPLETE)
def master_knows_all_workers(context: CheckContext) -> Iterator[Finding]:
    """All workers run, but the master counts less capacity than they have.

    It has lost a worker (`Lost Workers` in `alluxio fsadmin report`), usually because the network
    between them is interrupted or the worker hangs. The blocks of that worker count as lost.
    Restarting the worker brings it back.
    """
    cache = context.cache
    workers, runtime, dataset = cache.workloads.get(WORKER), cache.runtime, cache.dataset
    if workers is None or dataset is None or not names.is_alluxio_runtime(runtime):
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
        return  # Fluid may not have counted this one yet
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
    """The quota of the only tier; None for several tiers or a `quotaList`."""
    levels = get_path(runtime, "spec", "tieredstore", "levels", default=[])
    if len(levels) != 1 or get_path(levels, 0, "quotaList"):
        return None
    return alluxio_runtime.parse_tier(runtime)[2]


@register_check("FM333", "the runtime has workers", explains=(*NOT_BOUND, *NOT_COMPLETE))
def runtime_has_workers(context: CheckContext) -> Iterator[Finding]:
    """The runtime has no workers.

    Fluid treats a runtime without `replicas` as ready: the Dataset is Bound, and nothing is ever
    cached.
    """
    cache = context.cache
    for runtime in cache.runtimes:
        if names.is_alluxio_runtime(runtime) and not get_path(runtime, "spec", "replicas"):
            yield Finding(
                object_reference(runtime),
                "it has no workers, so nothing can be cached",
                (observations.field_evidence(runtime, "spec", "replicas"),),
                Fix(fix_commands.patch_object(runtime, {"spec": {"replicas": 1}})),
            )


@register_check(
    "FM334",
    "no cache pod is stuck in termination",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM311", "FM330", "FM430"),
)
def no_cache_pod_is_stuck_terminating(context: CheckContext) -> Iterator[Finding]:
    """A deleted pod of the cache does not terminate.

    Usually its node is down, so the kubelet cannot report that the containers have stopped. Until
    then the StatefulSet creates no other pod with that name. If the node is gone for good, delete
    the Node object, or force the deletion of the pod.
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
                f"the {part} on node {node} does not terminate",
                (observations.field_evidence(pod, "metadata", "deletionTimestamp"),),
                Fix(fix_commands.delete_pods(pod, [name_of(pod)], "--force")),
            )
