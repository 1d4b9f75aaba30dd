"""3xx: the workers, which hold the model."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.consequences import NO_WORKER, NOT_BOUND, NOT_WHOLE
from kubectl_fluidmodel.fluid import alluxio, names, pod_problems, status
from kubectl_fluidmodel.inventory.cache import WORKER
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import at, name_of, number
from kubectl_fluidmodel.output.shell import Operand
from kubectl_fluidmodel.output.text import plural

STARTING = 120.0
"""Seconds that a worker may take from its pod's creation to ready."""
STUCK = 300.0
"""Seconds past its grace period that a pod in deletion may stay."""
SLACK = 0.02
"""Part of a capacity that rounding and Alluxio's own units may take."""


@check("FM330", "as many workers are ready as are wanted", explains=("FM405", *NOT_WHOLE))
def ready(case: Case) -> Iterator[Finding]:
    """Each worker holds a part of the model, or a copy of it. Fluid leaves the Dataset Bound when
    workers die, so the phase does not tell. With fewer workers than wanted, blocks are missing:
    they are read from the store again, at its speed.
    """
    cache = case.own
    runtime, workers = cache.runtime, cache.sets.get(WORKER)
    if runtime is None or workers is None:
        return
    wanted = number(runtime, "spec", "replicas")
    have = number(workers, "status", "readyReplicas")
    if have >= wanted:
        return
    young = case.age(workers) < STARTING
    phase = at(cache.dataset, "status", "phase", default="")
    still = ", and the Dataset still says Bound" if phase == "Bound" else ""
    yield Finding(
        reference(workers),
        f"{have} of {plural(wanted, 'worker')} {'is' if wanted == 1 else 'are'} ready{still}",
        (
            observations.field(workers, "status", "readyReplicas", text=str(have)),
            observations.field(runtime, "spec", "replicas"),
        ),
        observations.look(cache, "describe", "pod", f"-lrelease={cache.name},role=alluxio-worker"),
        Severity.WARNING if young else None,
    )


@check("FM331", "the workers run", needs=(kinds.PODS,), explains=("FM323", *NO_WORKER))
def run(case: Case) -> Iterator[Finding]:
    """A worker has a node and does not become ready: its container ends, or never answers. The
    reasons that are known by themselves (image, memory, disk, host names) have checks of their
    own; here is what the container or its log says.
    """
    for _, pod in observations.pods_of(case.own, WORKER):
        if pod_problems.ready(pod) or observations.unscheduled(pod) or observations.over(pod):
            continue
        if not at(pod, "spec", "nodeName"):
            continue
        cause, line = observations.log_cause(case, pod)
        stuck = next(
            iter(observations.waits(pod, {"CrashLoopBackOff", "CreateContainerError"})), None
        )
        young = case.age(pod) < STARTING and not (cause or stuck)
        evidence = [*observations.some(line), *([stuck[1]] if stuck else [])]
        yield Finding(
            reference(pod),
            f"the worker on node {at(pod, 'spec', 'nodeName')} is not ready"
            + (f": {cause}" if cause else ""),
            tuple(evidence or [observations.field(pod, "status", "phase")]),
            observations.look(pod, "logs", Operand(name_of(pod)), "--all-containers", "--tail=50"),
            Severity.WARNING if young else None,
        )


@check("FM332", "the master knows all its workers", explains=NOT_WHOLE)
def known(case: Case) -> Iterator[Finding]:
    """All workers run, and the master counts less room than they have: it has lost touch with one
    (`Lost Workers` in `alluxio fsadmin report`), mostly because the network between them is cut
    or the worker hangs. Its blocks count as gone. A restart of the worker brings it back.
    """
    cache = case.own
    workers, runtime, dataset = cache.sets.get(WORKER), cache.runtime, cache.dataset
    if workers is None or runtime is None or dataset is None:
        return
    if str(runtime.get("kind")) != names.ALLUXIO_RUNTIMES.name:
        return
    count = number(runtime, "spec", "replicas")
    quota = _quota(runtime)
    capacity = status.dataset(dataset).capacity
    ready_ = number(workers, "status", "readyReplicas")
    if not quota or capacity is None or ready_ < count or count == 0:
        return
    if capacity >= count * quota * (1 - SLACK) or capacity >= (count - 0.5) * quota:
        return
    running = [pod for _, pod in observations.pods_of(cache, WORKER)]
    if any(case.age(pod) < STARTING for pod in running):
        return  # Fluid counts now and then, and may not have counted this one yet
    lost = max(1, count - round(capacity / quota))
    pods = [name_of(pod) for pod in running]
    yield Finding(
        reference(workers),
        f"the master has lost {lost} of {plural(count, 'worker')}, though all of them run",
        (
            observations.field(dataset, "status", "cacheStates", "cacheCapacity"),
            observations.field(runtime, "spec", "tieredstore", "levels", 0, "quota"),
        ),
        Fix(fix_commands.delete_pods(cache, pods)),
    )


def _quota(runtime: dict[str, object]) -> int | None:
    """The first tier's quota, None where there are several tiers or it is given otherwise."""
    levels = at(runtime, "spec", "tieredstore", "levels", default=[])
    if len(levels) != 1 or at(levels, 0, "quotaList"):
        return None
    return alluxio.tier(runtime)[2]


@check("FM333", "the runtime has workers", explains=(*NOT_BOUND, *NOT_WHOLE))
def wanted(case: Case) -> Iterator[Finding]:
    """A runtime without `replicas` has no workers, and Fluid counts that as ready: the Dataset is
    Bound, and nothing is ever cached.
    """
    cache = case.own
    for runtime in cache.runtimes:
        if runtime.get("kind") == names.ALLUXIO_RUNTIMES.name and not at(
            runtime, "spec", "replicas"
        ):
            yield Finding(
                reference(runtime),
                "it has no workers, so nothing can be cached",
                (observations.field(runtime, "spec", "replicas"),),
                Fix(fix_commands.patch(runtime, {"spec": {"replicas": 1}})),
            )


@check(
    "FM334",
    "no cache pod is stuck in deletion",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM311", "FM330", "FM430"),
)
def gone(case: Case) -> Iterator[Finding]:
    """A pod was deleted and does not go, mostly because its node is down: its kubelet cannot say
    that the containers have ended. A StatefulSet makes no other pod of that name until then. Where
    the node is gone for good, delete the Node object, or the pod by force.
    """
    for part in observations.PARTS:
        for pod in case.own.pods.get(part, []):
            since = observations.since(case, at(pod, "metadata", "deletionTimestamp"))
            if since is None or since < STUCK:
                continue
            node = at(pod, "spec", "nodeName", default="")
            yield Finding(
                reference(pod),
                f"the {part} on node {node} does not go away",
                (observations.field(pod, "metadata", "deletionTimestamp"),),
                Fix(fix_commands.delete_pods(pod, [name_of(pod)], "--force")),
            )
