"""6xx: the pods of a load that has not finished."""

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
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.checks.load import latest_load, load_manifest, reload_fix
from kubectl_fluidmodel.doctor.unschedulable import TAINT, explain_pod
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.dataload import load_targets
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.output.shell import Command, Operand, chain

LOADER_START_TIMEOUT = 60.0
"""Seconds within which a started load has a pod."""
LOADER_CONTAINER = "dataloader"
_PATHS_NOT_EXIST = re.compile(r"dataLoad failed because some paths not exist")


def loader_pods(cache: Cache) -> list[Object]:
    """The pods of the latest load, until it is Complete."""
    load = latest_load(cache)
    if load is None or get_path(load, "status", "phase") == "Complete":
        return []
    release = f"{name_of(load)}-loader"
    return [pod for pod in cache.load_pods if labels_of(pod).get("release") == release]


def _loader_logs_fix(cache: Cache, load: Object) -> Fix:
    selector = f"-lrole=dataload-pod,release={name_of(load)}-loader"
    return observations.advice(cache, "logs", selector, "--tail=50")


@register_check("FM607", "the loader's pod is running", needs=(kinds.PODS, names.DATA_LOADS))
def loader_pod_is_running(context: CheckContext) -> Iterator[Finding]:
    """The load is executing, but its pod does not run.

    The pod finds no node, cannot start, or does not exist. A loader tolerates only the taints that
    the DataLoad lists, and its node needs the image.
    """
    cache = context.cache
    load = latest_load(cache)
    if load is None or get_path(load, "status", "phase") != "Executing":
        return
    pods = loader_pods(cache)
    if not pods and context.age(load) > LOADER_START_TIMEOUT:
        job = context.snapshot.get(kinds.JOBS, f"{name_of(load)}-loader-job", cache.namespace)
        warning = observations.warning_event(context, job, "", "FailedCreate") if job else None
        refused = observations.warning_event(context, load, "", "DataOperationExecutionFailed")
        yield Finding(
            object_reference(load),
            "it is Executing, but its loader has no pod",
            (
                observations.field_evidence(load, "status", "phase"),
                *observations.as_tuple(warning or refused),
            ),
            observations.advice(cache, "describe", "job", Operand(f"{name_of(load)}-loader-job")),
        )
    for pod in pods:
        message = observations.scheduling_failure(pod)
        if message:
            without = explain_pod(context, "loader", pod, message)
            tolerations = without.tolerations() if without.reason == TAINT else []
            yield Finding(
                object_reference(pod),
                "no node fits the "
                f"loader{f': {without.describe_nodes()}' if without.is_explained else ''}",
                without.evidence(),
                Fix(_load_with_tolerations(load, tolerations))
                if tolerations
                else observations.describe(pod),
            )


def _load_with_tolerations(load: Object, tolerations: list[Object]) -> Command:
    """Recreate the load with more tolerations; Fluid reads them only at creation."""
    existing = get_list(load, "spec", "tolerations")
    added = [toleration for toleration in tolerations if toleration not in existing]
    spec = {**load["spec"], "tolerations": existing + added}
    manifest = load_manifest(name_of(load), namespace_of(load), spec)
    return chain(fix_commands.delete_load(load), fix_commands.apply_manifest(manifest))


@register_check(
    "FM610",
    "the loader's commands succeed",
    needs=(kinds.PODS, names.DATA_LOADS),
    explains=("FM604", "FM607"),
)
def loader_commands_succeed(context: CheckContext) -> Iterator[Finding]:
    """The loader's script failed.

    Its log has the command (`+ alluxio fs …`) and Alluxio's answer. The Job retries four times
    before the load fails.
    """
    cache = context.cache
    load = latest_load(cache)
    broken = [
        (pod, ended) for pod in loader_pods(cache) for ended in [_failed_container(pod)] if ended
    ]
    for pod, ended in broken[-1:]:
        if load is None or _missing_paths_evidence(context, pod):
            continue
        cause, line = observations.find_log_cause(context, pod)
        running = get_path(load, "status", "phase") == "Executing"
        yield Finding(
            object_reference(pod),
            f"the loader failed{f': {cause}' if cause else ''}"
            + ("; its Job retries" if running else ""),
            (
                *observations.as_tuple(line),
                *observations.as_tuple(_last_log_line(context, pod) if not line else None),
                ended,
            ),
            _loader_logs_fix(cache, load),
            Severity.WARNING if running else None,
        )


def _failed_container(pod: Object) -> Evidence | None:
    """The first container of a pod that ended with an error, now or before its last restart."""
    for status in get_list(pod, "status", "containerStatuses"):
        for when in ("state", "lastState"):
            terminated = get_path(status, when, "terminated", default={})
            if terminated.get("exitCode"):
                message = f"{terminated.get('reason')}, exit code {terminated['exitCode']}"
                location = f"status of container {status.get('name')}"
                return Evidence(object_reference(pod), location, message)
    return None


def _last_log_line(context: CheckContext, pod: Object) -> Evidence | None:
    """The last line of the loader's log that is not blank."""
    return observations.last_matching_line(context, pod, LOADER_CONTAINER, r"\S")


@register_check(
    "FM611",
    "the paths to load exist",
    needs=(kinds.PODS, names.DATA_LOADS),
    explains=("FM604", "FM607"),
)
def load_paths_exist(context: CheckContext) -> Iterator[Finding]:
    """A `target` of the DataLoad names a path that the cache does not have.

    Paths are relative to the root of the cache's file system. With `path: /` in the Dataset's mount
    the model is at `/`, otherwise at `/<mount name>`.
    """
    cache = context.cache
    load = latest_load(cache)
    for pod in loader_pods(cache):
        evidence = _missing_paths_evidence(context, pod)
        if load is None or evidence is None:
            continue
        targets = ", ".join(target.path for target in load_targets(load))
        yield Finding(
            object_reference(load),
            f"the cache has no path {targets}",
            (evidence, observations.field_evidence(load, "spec", "target")),
            reload_fix(cache, load, delete_first=True),
        )
        return


def _missing_paths_evidence(context: CheckContext, pod: Object) -> Evidence | None:
    for previous in (False, True):
        for line in context.container_log(pod, LOADER_CONTAINER, previous=previous).splitlines():
            if _PATHS_NOT_EXIST.search(line):
                return Evidence(
                    object_reference(pod), f"log of {LOADER_CONTAINER}", " ".join(line.split())
                )
    return None
