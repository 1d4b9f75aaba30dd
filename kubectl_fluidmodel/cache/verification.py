"""Compares a cache with its source. Pure.

A Complete DataLoad is no proof: it can be Complete with data missing (fluid#633, fluid#4380). The
cache is therefore compared with the source, file by file if Alluxio's list is available.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.fluid.alluxio_cli import AlluxioFile, AlluxioWorker
from kubectl_fluidmodel.fluid.status import DatasetStatus
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class Verification:
    """What was compared, and what is missing."""

    complete: bool
    files: int | None
    """Number of files compared one by one; None if only totals were compared."""
    bytes: int | None
    cached_bytes: int | None
    missing: tuple[str, ...] = ()
    """The files that are missing or incomplete in the cache, with the reason."""
    reason: str = ""


def verify_by_file(
    listing: FileListing | None,
    cached: Sequence[AlluxioFile],
    workers: Sequence[tuple[str, int, int]],
    replicas: int,
) -> Verification:
    """Compare file by file; with several nodes, also check that each holds a complete copy."""
    cached_files = {entry.path: entry for entry in cached}
    expected = (
        {file.path: file.size for file in listing.files}
        if listing
        else {entry.path: entry.size for entry in cached}
    )
    missing = []
    for path, bytes_ in sorted(expected.items()):
        entry = cached_files.get(path)
        if entry is None:
            missing.append(f"{path}: not in the cache's file system")
        elif entry.size != bytes_:
            missing.append(f"{path}: {entry.size} bytes in the cache, {bytes_} in the source")
        elif entry.cached_percent < 100 and bytes_:
            missing.append(f"{path}: {entry.cached_percent}% cached")
    total = sum(expected.values())
    cached_bytes = sum(entry.size * entry.cached_percent // 100 for entry in cached)
    if not missing and replicas > 1:
        missing += [
            f"worker {name} holds {used} of {total} bytes"
            for name, used, slack in workers
            if used + slack < total
        ]
        if len(workers) < replicas:
            missing.append(f"{len(workers)} of {replicas} workers are reporting")
    empty = not expected
    return Verification(
        complete=not missing and not empty,
        files=len(expected),
        bytes=total,
        cached_bytes=cached_bytes,
        missing=tuple(missing),
        reason="Alluxio lists no file at all" if empty else "",
    )


def lost_workers(
    pods: Sequence[Object] | None,
    nodes: Collection[str] | None,
    reported: Sequence[AlluxioWorker],
    replicas: int,
) -> list[str]:
    """Find lost workers whose bytes are still listed.

    Alluxio considers a worker live for five minutes after its last heartbeat, and lists a lost one
    with its old bytes.

    Args:
        pods: The workers' pods; None if they cannot be listed.
        nodes: The names of the cluster's nodes; None if they cannot be listed.
        reported: The workers in the master's report.
        replicas: The number of workers that the cache should have.

    Returns:
        A line for each lost worker.
    """
    problems = []
    for pod in pods or ():
        node = str(get_path(pod, "spec", "nodeName", default=""))
        if is_terminating(pod):
            problems.append(f"worker {name_of(pod)} is being deleted")
        elif nodes is not None and node not in nodes:
            problems.append(f"worker {name_of(pod)}: node {node or '(unknown)'} does not exist")
        elif not pod_problems.is_ready(pod):
            problems.append(f"worker {name_of(pod)} is not ready")
    if pods is not None and len(pods) < replicas:
        problems.append(f"{len(pods)} of {replicas} workers have a pod")
    live = sum(worker.is_live for worker in reported)
    lost = [worker.name for worker in reported if not worker.is_live]
    if lost and live < replicas:
        problems += [
            f"worker {name} is lost: the master gets no heartbeat from it" for name in lost
        ]
    return problems


def exclude_lost_workers(verification: Verification, lost: Sequence[str]) -> Verification:
    """Return the comparison, which is incomplete if workers are lost."""
    if not lost:
        return verification
    return replace(verification, complete=False, missing=(*verification.missing, *lost))


def verify_by_total(
    listing: FileListing | None, state: DatasetStatus, replicas: int
) -> Verification:
    """Compare Fluid's own totals, which are rounded to two decimals of their unit."""
    total = listing.bytes if listing else state.total
    if total is None or state.cached is None:
        return Verification(
            False, None, total, state.cached, reason="Fluid does not report its totals yet"
        )
    complete = state.cached + state.cached_precision * replicas >= total * replicas
    reason = "" if complete else f"{state.cached} of {total * replicas} bytes are cached"
    return Verification(complete, None, total, state.cached, reason=reason)
