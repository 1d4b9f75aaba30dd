"""6xx: the pods of a load that is not over."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.checks.load import again, latest
from kubectl_fluidmodel.doctor.unschedulable import TAINT, judge
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, name_of, namespace_of
from kubectl_fluidmodel.output.shell import Command, Operand, chain

STARTING = 60.0
"""Seconds from a load's beginning to its pod's."""
CONTAINER = "dataloader"
_ABSENT = re.compile(r"dataLoad failed because some paths not exist")


def pods(cache: Cached) -> list[Object]:
    """The pods of the newest load, while it is not Complete."""
    load = latest(cache)
    if load is None or at(load, "status", "phase") == "Complete":
        return []
    release = f"{name_of(load)}-loader"
    return [pod for pod in cache.load_pods if labels_of(pod).get("release") == release]


def _logs(cache: Cached, load: Object) -> Fix:
    selector = f"-lrole=dataload-pod,release={name_of(load)}-loader"
    return observations.look(cache, "logs", selector, "--tail=50")


@check("FM607", "the loader has a pod that runs", needs=(kinds.PODS, names.DATA_LOADS))
def runs(case: Case) -> Iterator[Finding]:
    """The load has begun, and its pod finds no node, cannot start, or is not there. A loader
    tolerates only the taints that the DataLoad lists, and it needs its image on its node.
    """
    cache = case.own
    load = latest(cache)
    if load is None or at(load, "status", "phase") != "Executing":
        return
    found = pods(cache)
    if not found and case.age(load) > STARTING:
        job = case.snapshot.find(kinds.JOBS, f"{name_of(load)}-loader-job", cache.namespace)
        said = observations.told(case, job, "", "FailedCreate") if job else None
        refused = observations.told(case, load, "", "DataOperationExecutionFailed")
        yield Finding(
            reference(load),
            "it is Executing, and there is no pod of its loader",
            (observations.field(load, "status", "phase"), *observations.some(said or refused)),
            observations.look(cache, "describe", "job", Operand(f"{name_of(load)}-loader-job")),
        )
    for pod in found:
        words = observations.unscheduled(pod)
        if words:
            without = judge(case, "loader", pod, words)
            wanted = without.tolerations() if without.reason == TAINT else []
            yield Finding(
                reference(pod),
                f"no node takes the loader{f': {without.why_not()}' if without.judged else ''}",
                without.evidence(),
                Fix(_tolerating(load, wanted))
                if wanted
                else observations.look(pod, "describe", "pod", Operand(name_of(pod))),
            )


def _tolerating(load: Object, wanted: list[Object]) -> Command:
    """The load with more tolerations; Fluid reads them once, so it is made again."""
    kept = dicts(load, "spec", "tolerations")
    spec = {**load["spec"], "tolerations": kept + [each for each in wanted if each not in kept]}
    made = {
        "apiVersion": names.DATA_LOADS.api_version,
        "kind": names.DATA_LOADS.name,
        "metadata": {"name": name_of(load), "namespace": namespace_of(load)},
        "spec": spec,
    }
    return chain(fix_commands.delete(load), fix_commands.apply(made))


@check(
    "FM610",
    "the loader's commands succeed",
    needs=(kinds.PODS, names.DATA_LOADS),
    explains=("FM604", "FM607"),
)
def succeeds(case: Case) -> Iterator[Finding]:
    """The loader's script failed in a pod. Its log has the command (`+ alluxio fs …`) and Alluxio's
    answer. The Job tries it four times before the load counts as failed.
    """
    cache = case.own
    load = latest(cache)
    broken = [(pod, ended) for pod in pods(cache) for ended in [_ended(pod)] if ended]
    for pod, ended in broken[-1:]:
        if load is None or _absent(case, pod):
            continue
        cause, line = observations.log_cause(case, pod)
        running = at(load, "status", "phase") == "Executing"
        yield Finding(
            reference(pod),
            f"the loader failed{f': {cause}' if cause else ''}"
            + ("; its Job tries again" if running else ""),
            (
                *observations.some(line),
                *observations.some(_last(case, pod) if not line else None),
                ended,
            ),
            _logs(cache, load),
            Severity.WARNING if running else None,
        )


def _ended(pod: Object) -> Evidence | None:
    for status in dicts(pod, "status", "containerStatuses"):
        for when in ("state", "lastState"):
            ended = at(status, when, "terminated", default={})
            if ended.get("exitCode"):
                words = f"{ended.get('reason')}, exit code {ended['exitCode']}"
                place = f"status of container {status.get('name')}"
                return Evidence(reference(pod), place, words)
    return None


def _last(case: Case, pod: Object) -> Evidence | None:
    """The last line of the loader's log."""
    lines = [line for line in case.log(pod, CONTAINER).splitlines() if line.strip()]
    if not lines:
        return None
    return Evidence(reference(pod), f"log of {CONTAINER}", " ".join(lines[-1].split()))


@check(
    "FM611",
    "the paths to load exist",
    needs=(kinds.PODS, names.DATA_LOADS),
    explains=("FM604", "FM607"),
)
def exist(case: Case) -> Iterator[Finding]:
    """A `target` of the DataLoad names a path that the cache does not have. Paths count from the
    root of the cache's file system: with `path: /` in the Dataset's mount the model is at `/`, by
    default it is at `/<mount name>`.
    """
    cache = case.own
    load = latest(cache)
    for pod in pods(cache):
        seen = _absent(case, pod)
        if load is None or seen is None:
            continue
        targets = ", ".join(str(each.get("path")) for each in dicts(load, "spec", "target"))
        yield Finding(
            reference(load),
            f"the cache has no path {targets}",
            (seen, observations.field(load, "spec", "target")),
            again(cache, load, remove=True),
        )
        return


def _absent(case: Case, pod: Object) -> Evidence | None:
    for previous in (False, True):
        for line in case.log(pod, CONTAINER, previous=previous).splitlines():
            if _ABSENT.search(line):
                return Evidence(reference(pod), f"log of {CONTAINER}", " ".join(line.split()))
    return None
