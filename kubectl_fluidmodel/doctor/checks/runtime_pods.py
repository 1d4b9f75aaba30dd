"""3xx: what befalls any of a cache's pods: images, memory, disks, restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.consequences import NO_MASTER, NOT_WHOLE
from kubectl_fluidmodel.fluid import alluxio
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER, Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.quantity import from_bytes
from kubectl_fluidmodel.output.shell import Operand, chain

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_FULL = re.compile(r"No space left on device|WorkerOutOfSpaceException")
RECENT = 3600.0
"""Seconds for which an end of a container is news."""
MANY = 3
"""Restarts from which on a container is restless."""


@check(
    "FM320",
    "the cache's images can be pulled",
    needs=(kinds.PODS,),
    explains=("FM311", "FM430", "FM607", *NO_MASTER),
)
def images(case: Case) -> Iterator[Finding]:
    """A node cannot pull the image of the master, the workers, the FUSE client or the loader. By
    default they come from Docker Hub (`alluxio/alluxio-dev`), which a cluster without internet or
    beyond the pull limit does not reach. Name a mirror in the runtime, with its pull secret.
    """
    cache = case.own
    loaders = [("loader", pod) for pod in cache.load_pods if not is_terminating(pod)]
    for part, pod in [*observations.pods_of(cache), *loaders]:
        for status, seen in observations.waits(pod, _PULL):
            image = str(status.get("image") or _image(pod, str(status.get("name"))))
            yield Finding(
                reference(pod),
                f"node {at(pod, 'spec', 'nodeName')} cannot pull {image} for the {part}",
                (seen, *observations.some(observations.told(case, pod, "pull", "Failed"))),
                _mirror(cache, part, image),
            )
            break


def _image(pod: Object, container: str) -> str:
    found = [c.get("image") for c in dicts(pod, "spec", "containers") if c.get("name") == container]
    return str(found[0]) if found else "its image"


def _mirror(cache: Cached, part: str, image: str) -> Fix:
    path = "spec.fuse" if part == FUSE else "spec.alluxioVersion"
    tag = image.rpartition(":")[2] if ":" in image else "TAG"
    return Fix(
        f"{{image: REGISTRY/{image.rpartition('/')[2].partition(':')[0]}, imageTag: {tag}}}",
        "advice",
        f"alluxioruntime {cache.namespace}/{cache.name} {path}, with imagePullSecrets",
    )


@check(
    "FM321",
    "no process of the cache runs out of memory",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM311", "FM323", "FM330", "FM331", "FM430", "FM432", *NOT_WHOLE),
)
def memory(case: Case) -> Iterator[Finding]:
    """The kernel killed a container because it used more memory than its limit, or the node had
    none left. A tier in memory is charged to the pods that write it, and JVMs take their heap and
    direct memory beside that: the limit has to hold quota, heap and direct memory together.
    """
    cache = case.own
    for part, pod in observations.pods_of(cache):
        for status in observations.containers(pod):
            ends = [at(status, when, "terminated") for when in ("state", "lastState")]
            ended = next((e for e in ends if e and e.get("reason") == "OOMKilled"), None)
            if ended is None:
                continue
            name = str(status.get("name"))
            words = f"OOMKilled, exit code {ended.get('exitCode')}, {ended.get('finishedAt') or ''}"
            seen = Evidence(reference(pod), f"status of container {name}", words.rstrip(", "))
            yield Finding(
                reference(pod),
                f"{name} on node {at(pod, 'spec', 'nodeName')} was killed for its memory",
                (seen,),
                _more_memory(cache, part, pod),
            )


def _more_memory(cache: Cached, part: str, pod: Object) -> Fix:
    """A limit that holds what the part may use; where the node itself ran out, another medium."""
    runtime = cache.runtime
    limited = at(runtime, "spec", part, "resources", "limits", "memory") is not None
    if runtime is not None and limited:
        limits = {"memory": from_bytes(alluxio.memory_of(runtime, part))}
        change = {"spec": {part: {"resources": {"limits": limits}}}}
        return Fix(chain(fix_commands.patch(runtime, change), fix_commands.again(runtime)))
    medium, _, _ = alluxio.tier(runtime or {})
    if medium == "MEM" and part == WORKER:
        return Fix(fix_commands.remade(cache, "--medium", "SSD"))
    return observations.look(pod, "describe", "pod", Operand(name_of(pod)))


@check(
    "FM322",
    "the cache's disks have room",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM331", *NOT_WHOLE),
)
def space(case: Case) -> Iterator[Finding]:
    """A worker wants to write a block and there is no room: the quota is full and nothing may be
    evicted, or the disk or tmpfs below it is smaller than the quota. The quota is a promise that
    Fluid does not check against the disk.
    """
    cache = case.own
    _, path, quota = alluxio.tier(cache.runtime or {})
    for pod in [*(pod for _, pod in observations.pods_of(cache, WORKER)), *cache.load_pods]:
        seen = _logged(case, pod, _FULL)
        if seen is None:
            continue
        full = "WorkerOutOfSpace" in seen.text
        cause = (
            f"the quota of {from_bytes(quota or 0)} is full"
            if full
            else f"{path or 'the disk of the cache'} on node {at(pod, 'spec', 'nodeName')} is full"
        )
        total = amount(cache).total
        where = f"{reference(cache.runtime or pod)} spec.tieredstore.levels[0]"
        yield Finding(
            reference(pod),
            cause,
            (seen,),
            Fix(fix_commands.remade(cache, "--quota", from_bytes(sizing.quota_for(total))))
            if full and total
            else Fix("path: a directory of a larger disk", "advice", f"{where}, made anew"),
        )


def _logged(case: Case, pod: Object, pattern: re.Pattern[str]) -> Evidence | None:
    for status in dicts(pod, "status", "containerStatuses"):
        name = str(status.get("name", ""))
        for previous in (False, True):
            for line in reversed(case.log(pod, name, previous=previous).splitlines()):
                if pattern.search(line):
                    place = f"{'previous ' if previous else ''}log of {name}"
                    return Evidence(reference(pod), place, " ".join(line.split()))
    return None


@check(
    "FM323",
    "the cache's pods run without restarts",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
)
def restless(case: Case) -> Iterator[Finding]:
    """A container of the cache was started again several times, and the last time within the hour.
    A worker that restarts serves nothing meanwhile; a FUSE client that restarts leaves the
    readers' mounts broken. Its log from before the restart tells why.
    """
    for part, pod in observations.pods_of(case.own, MASTER, WORKER, FUSE):
        for status in dicts(pod, "status", "containerStatuses"):
            count = status.get("restartCount")
            ended = at(status, "lastState", "terminated", default={})
            since = observations.since(case, ended.get("finishedAt"))
            if not isinstance(count, int) or count < MANY or since is None or since > RECENT:
                continue
            name = str(status.get("name"))
            words = f"restarted {count} times, last {ended.get('reason')}"
            words += f" with exit code {ended.get('exitCode')}"
            logs = ("logs", Operand(name_of(pod)), "-c", name, "--previous", "--tail=50")
            yield Finding(
                reference(pod),
                f"{name} of the {part} keeps restarting",
                (Evidence(reference(pod), f"status of container {name}", words),),
                observations.look(pod, *logs),
            )
