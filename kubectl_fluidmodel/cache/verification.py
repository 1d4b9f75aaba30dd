"""Is every byte of the source in the cache? Pure: texts and numbers in, a Proof out.

A DataLoad that says Complete proves nothing: it does so with data missing too (fluid#633,
fluid#4380). So the cache is compared with the source, file by file where Alluxio can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.fluid.alluxio_cli import Cached, Worker
from kubectl_fluidmodel.fluid.status import DatasetState
from kubectl_fluidmodel.model.files import Listing
from kubectl_fluidmodel.objects.access import Object, at, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating


@dataclass(frozen=True)
class Proof:
    """What was compared, and what is missing."""

    complete: bool
    files: int | None
    """Files compared one by one; None where only totals could be."""
    bytes: int | None
    cached: int | None
    missing: tuple[str, ...] = ()
    """The files that are not (whole) in the cache, with the reason."""
    reason: str = ""


def by_file(
    listing: Listing | None,
    cached: Sequence[Cached],
    workers: Sequence[tuple[str, int, int]],
    replicas: int,
) -> Proof:
    """Compare file by file, and with several nodes that each holds the whole."""
    have = {entry.path: entry for entry in cached}
    wanted = (
        {file.path: file.size for file in listing.files}
        if listing
        else {entry.path: entry.size for entry in cached}
    )
    missing = []
    for path, bytes_ in sorted(wanted.items()):
        entry = have.get(path)
        if entry is None:
            missing.append(f"{path}: not in the cache's file system")
        elif entry.size != bytes_:
            missing.append(f"{path}: {entry.size} bytes in the cache, {bytes_} in the source")
        elif entry.percent < 100 and bytes_:
            missing.append(f"{path}: {entry.percent}% cached")
    total = sum(wanted.values())
    held = sum(entry.size * entry.percent // 100 for entry in cached)
    if not missing and replicas > 1:
        missing += [
            f"worker {name} holds {used} of {total} bytes"
            for name, used, slack in workers
            if used + slack < total
        ]
        if len(workers) < replicas:
            missing.append(f"{len(workers)} of {replicas} workers report")
    empty = not wanted
    return Proof(
        complete=not missing and not empty,
        files=len(wanted),
        bytes=total,
        cached=held,
        missing=tuple(missing),
        reason="Alluxio lists no file at all" if empty else "",
    )


def lost_workers(
    pods: Sequence[Object] | None,
    nodes: Collection[str] | None,
    reported: Sequence[Worker],
    replicas: int,
) -> list[str]:
    """Why workers whose bytes are still listed do not count, a line each; empty if all serve.

    Alluxio calls a worker live for five minutes after its last word, and lists a lost one with its
    old bytes. `pods` are the workers' pods and `nodes` the names of the cluster's nodes; None
    where they cannot be seen. `reported` are the workers as the master reports them.
    """
    found = []
    for pod in pods or ():
        node = str(at(pod, "spec", "nodeName", default=""))
        if is_terminating(pod):
            found.append(f"worker {name_of(pod)} is being deleted")
        elif nodes is not None and node not in nodes:
            found.append(f"worker {name_of(pod)}: node {node or 'of its own'} is gone")
        elif not pod_problems.ready(pod):
            found.append(f"worker {name_of(pod)} is not ready")
    if pods is not None and len(pods) < replicas:
        found.append(f"{len(pods)} of {replicas} workers have a pod")
    live = sum(worker.live for worker in reported)
    silent = [worker.name for worker in reported if not worker.live]
    if silent and live < replicas:
        found += [f"worker {name} is lost: the master does not hear from it" for name in silent]
    return found


def without(proof: Proof, lost: Sequence[str]) -> Proof:
    """The proof where workers are lost: it is none."""
    if not lost:
        return proof
    return replace(proof, complete=False, missing=(*proof.missing, *lost))


def by_total(listing: Listing | None, state: DatasetState, replicas: int) -> Proof:
    """Compare Fluid's own totals, which are rounded to two decimals of their unit."""
    total = listing.bytes if listing else state.total
    if total is None or state.cached is None:
        return Proof(False, None, total, state.cached, reason="Fluid does not tell its totals yet")
    complete = state.cached + state.cached_rounding * replicas >= total * replicas
    reason = "" if complete else f"{state.cached} of {total * replicas} bytes are cached"
    return Proof(complete, None, total, state.cached, reason=reason)
