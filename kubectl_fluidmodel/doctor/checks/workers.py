"""3xx: the workers, which hold the model."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import commands, witness
from kubectl_fluidmodel.doctor.chain import NO_WORKER, NOT_BOUND, NOT_WHOLE
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.fluid import alluxio, names, state, symptoms
from kubectl_fluidmodel.kube import kind as k
from kubectl_fluidmodel.kube.kind import at, name_of, number
from kubectl_fluidmodel.overview.cached import WORKER
from kubectl_fluidmodel.shell import Operand
from kubectl_fluidmodel.ui.text import plural

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
            witness.field(workers, "status", "readyReplicas", text=str(have)),
            witness.field(runtime, "spec", "replicas"),
        ),
        witness.look(cache, "describe", "pod", f"-lrelease={cache.name},role=alluxio-worker"),
        Severity.WARNING if young else None,
    )


@check("FM331", "the workers run", needs=(k.PODS,), explains=("FM323", *NO_WORKER))
def run(case: Case) -> Iterator[Finding]:
    """A worker has a node and does not become ready: its container ends, or never answers. The
    reasons that are known by themselves (image, memory, disk, host names) have checks of their
    own; here is what the container or its log says.
    """
    for _, pod in witness.pods_of(case.own, WORKER):
        if symptoms.ready(pod) or witness.unscheduled(pod) or witness.over(pod):
            continue
        if not at(pod, "spec", "nodeName"):
            continue
        cause, line = witness.log_cause(case, pod)
        stuck = next(iter(witness.waits(pod, {"CrashLoopBackOff", "CreateContainerError"})), None)
        young = case.age(pod) < STARTING and not (cause or stuck)
        evidence = [*witness.some(line), *([stuck[1]] if stuck else [])]
        yield Finding(
            reference(pod),
            f"the worker on node {at(pod, 'spec', 'nodeName')} is not ready"
            + (f": {cause}" if cause else ""),
            tuple(evidence or [witness.field(pod, "status", "phase")]),
            witness.look(pod, "logs", Operand(name_of(pod)), "--all-containers", "--tail=50"),
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
    capacity = state.dataset(dataset).capacity
    ready_ = number(workers, "status", "readyReplicas")
    if not quota or capacity is None or ready_ < count or count == 0:
        return
    if capacity >= count * quota * (1 - SLACK) or capacity >= (count - 0.5) * quota:
        return
    running = [pod for _, pod in witness.pods_of(cache, WORKER)]
    if any(case.age(pod) < STARTING for pod in running):
        return  # Fluid counts now and then, and may not have counted this one yet
    lost = max(1, count - round(capacity / quota))
    pods = [name_of(pod) for pod in running]
    yield Finding(
        reference(workers),
        f"the master has lost {lost} of {plural(count, 'worker')}, though all of them run",
        (
            witness.field(dataset, "status", "cacheStates", "cacheCapacity"),
            witness.field(runtime, "spec", "tieredstore", "levels", 0, "quota"),
        ),
        Fix(commands.delete_pods(cache, pods)),
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
                (witness.field(runtime, "spec", "replicas"),),
                Fix(commands.patch(runtime, {"spec": {"replicas": 1}})),
            )


@check(
    "FM334",
    "no cache pod is stuck in deletion",
    severity=Severity.WARNING,
    needs=(k.PODS,),
    explains=("FM311", "FM330", "FM430"),
)
def gone(case: Case) -> Iterator[Finding]:
    """A pod was deleted and does not go, mostly because its node is down: its kubelet cannot say
    that the containers have ended. A StatefulSet makes no other pod of that name until then. Where
    the node is gone for good, delete the Node object, or the pod by force.
    """
    for part in witness.PARTS:
        for pod in case.own.pods.get(part, []):
            since = witness.since(case, at(pod, "metadata", "deletionTimestamp"))
            if since is None or since < STUCK:
                continue
            node = at(pod, "spec", "nodeName", default="")
            yield Finding(
                reference(pod),
                f"the {part} on node {node} does not go away",
                (witness.field(pod, "metadata", "deletionTimestamp"),),
                Fix(commands.delete_pods(pod, [name_of(pod)], "--force")),
            )
