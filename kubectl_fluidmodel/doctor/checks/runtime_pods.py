"""3xx: problems that any pod of a cache can have: images, memory, disks, restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_MASTER, NOT_COMPLETE
from kubectl_fluidmodel.fluid import alluxio_runtime
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER, Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_int, get_list, get_path, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.output.shell import Operand, chain

_PULL_ERRORS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_NO_SPACE = re.compile(r"No space left on device|WorkerOutOfSpaceException")
RECENT_RESTART = 3600.0
"""Seconds for which a container's exit counts as recent."""
MIN_RESTARTS = 3
"""Restarts from which on a container is reported."""


@register_check(
    "FM320",
    "the cache's images can be pulled",
    needs=(kinds.PODS,),
    explains=("FM311", "FM430", "FM607", *NO_MASTER),
)
def cache_images_can_be_pulled(context: CheckContext) -> Iterator[Finding]:
    """A node cannot pull an image of the cache.

    The image of the master, the workers, the FUSE client or the loader. By default these come from
    Docker Hub (`alluxio/alluxio-dev`), which a cluster without internet access, or one that has
    exceeded the pull rate limit, cannot reach. Configure a mirror in the runtime, with its pull
    secret.
    """
    cache = context.cache
    loaders = [("loader", pod) for pod in cache.load_pods if not is_terminating(pod)]
    for part, pod in [*observations.cache_pods(cache), *loaders]:
        for status, evidence in observations.waiting_containers(pod, _PULL_ERRORS):
            image = str(status.get("image") or _container_image(pod, str(status.get("name"))))
            yield Finding(
                object_reference(pod),
                f"node {get_path(pod, 'spec', 'nodeName')} cannot pull {image} for the {part}",
                (
                    evidence,
                    *observations.as_tuple(
                        observations.warning_event(context, pod, "pull", "Failed")
                    ),
                ),
                _mirror_image_fix(cache, part, image),
            )
            break


def _container_image(pod: Object, container: str) -> str:
    """The image of a container in the pod's spec."""
    for spec in get_list(pod, "spec", "containers"):
        if spec.get("name") == container:
            return str(spec.get("image"))
    return "its image"


def _mirror_image_fix(cache: Cache, part: str, image: str) -> Fix:
    path = "spec.fuse" if part == FUSE else "spec.alluxioVersion"
    tag = image.rpartition(":")[2] if ":" in image else "TAG"
    return Fix(
        f"{{image: REGISTRY/{image.rpartition('/')[2].partition(':')[0]}, imageTag: {tag}}}",
        "advice",
        f"alluxioruntime {cache.namespace}/{cache.name} {path}, with imagePullSecrets",
    )


@register_check(
    "FM321",
    "no process of the cache runs out of memory",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM311", "FM323", "FM330", "FM331", "FM430", "FM432", "FM827", *NOT_COMPLETE),
)
def cache_containers_stay_within_memory(context: CheckContext) -> Iterator[Finding]:
    """A container of the cache was killed because it ran out of memory.

    It exceeded its memory limit, or the node had no memory left. A memory tier counts towards the
    pods that write it, and the JVM needs its heap and direct memory in addition: the limit has to
    cover quota, heap and direct memory together.
    """
    cache = context.cache
    for part, pod in observations.cache_pods(cache):
        for status in observations.container_statuses(pod):
            ends = [get_path(status, when, "terminated") for when in ("state", "lastState")]
            terminated = next((e for e in ends if e and e.get("reason") == "OOMKilled"), None)
            if terminated is None:
                continue
            name = str(status.get("name"))
            ended_at = terminated.get("finishedAt") or ""
            message = f"OOMKilled, exit code {terminated.get('exitCode')}, {ended_at}"
            evidence = Evidence(
                object_reference(pod), f"status of container {name}", message.rstrip(", ")
            )
            yield Finding(
                object_reference(pod),
                f"{name} on node {get_path(pod, 'spec', 'nodeName')} was killed: out of memory",
                (evidence,),
                _more_memory_fix(cache, part, pod),
            )


def _more_memory_fix(cache: Cache, part: str, pod: Object) -> Fix:
    """A sufficient memory limit; another medium if the node itself ran out of memory."""
    runtime = cache.runtime
    limited = get_path(runtime, "spec", part, "resources", "limits", "memory") is not None
    if runtime is not None and limited:
        limits = {"memory": bytes_to_quantity(alluxio_runtime.max_memory(runtime, part))}
        change = {"spec": {part: {"resources": {"limits": limits}}}}
        return Fix(
            chain(fix_commands.patch_object(runtime, change), fix_commands.recreate_runtime(cache))
        )
    medium, _, _ = alluxio_runtime.parse_tier(runtime or {})
    if medium == "MEM" and part == WORKER:
        return Fix(cache_commands.rebuild_cache(cache, "--medium", "SSD"))
    return observations.describe(pod)


@register_check(
    "FM322",
    "the cache's disks have room",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM331", *NOT_COMPLETE),
)
def cache_disks_have_room(context: CheckContext) -> Iterator[Finding]:
    """A worker cannot write a block because there is no space left.

    Either the quota is full and nothing may be evicted, or the disk or tmpfs is smaller than the
    quota. Fluid does not check the quota against the disk.
    """
    cache = context.cache
    _, path, quota = alluxio_runtime.parse_tier(cache.runtime or {})
    for pod in [*(pod for _, pod in observations.cache_pods(cache, WORKER)), *cache.load_pods]:
        evidence = _log_evidence(context, pod, _NO_SPACE)
        if evidence is None:
            continue
        full = "WorkerOutOfSpace" in evidence.text
        cause = (
            f"the quota of {bytes_to_quantity(quota or 0)} is full"
            if full
            else f"{path or 'the disk of the cache'} on node {get_path(pod, 'spec', 'nodeName')} "
            "is full"
        )
        total = cache_usage(cache).source_bytes
        location = f"{object_reference(cache.runtime or pod)} spec.tieredstore.levels[0]"
        yield Finding(
            object_reference(pod),
            cause,
            (evidence,),
            Fix(
                cache_commands.rebuild_cache(
                    cache, "--quota", bytes_to_quantity(sizing.quota_for(total))
                )
            )
            if full and total
            else Fix(
                "set path to a directory on a larger disk, and recreate the cache",
                "advice",
                location,
            ),
        )


def _log_evidence(context: CheckContext, pod: Object, pattern: re.Pattern[str]) -> Evidence | None:
    """The last line that matches, in the first log of a pod that has one."""
    for log in observations.pod_logs(context, pod):
        lines = log.matching_lines(pattern)
        if lines:
            return log.line_evidence(lines[-1])
    return None


@register_check(
    "FM323",
    "the cache's pods do not keep restarting",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
)
def cache_pods_do_not_keep_restarting(context: CheckContext) -> Iterator[Finding]:
    """A container of the cache has restarted several times, the last time within an hour.

    A restarting worker serves nothing in the meantime. A restarting FUSE client breaks the mounts
    of the readers. The log of the previous container has the reason.
    """
    for part, pod in observations.cache_pods(context.cache, MASTER, WORKER, FUSE):
        for status in get_list(pod, "status", "containerStatuses"):
            count = get_int(status, "restartCount")
            terminated = get_path(status, "lastState", "terminated", default={})
            since = observations.seconds_since(context, terminated.get("finishedAt"))
            if count < MIN_RESTARTS or since is None or since > RECENT_RESTART:
                continue
            name = str(status.get("name"))
            message = f"restarted {count} times, last {terminated.get('reason')}"
            message += f" with exit code {terminated.get('exitCode')}"
            logs = ("logs", Operand(name_of(pod)), "-c", name, "--previous", "--tail=50")
            yield Finding(
                object_reference(pod),
                f"{name} of the {part} keeps restarting",
                (Evidence(object_reference(pod), f"status of container {name}", message),),
                observations.advice(pod, *logs),
            )
