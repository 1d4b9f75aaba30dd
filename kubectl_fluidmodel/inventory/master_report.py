"""What a cache's master reports about files and workers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kubectl_fluidmodel.fluid import alluxio_cli as alluxio
from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER, Cache
from kubectl_fluidmodel.inventory.usage import CacheUsage
from kubectl_fluidmodel.model.junk import junk_owner
from kubectl_fluidmodel.objects.access import name_of
from kubectl_fluidmodel.objects.kinds import PODS
from kubectl_fluidmodel.objects.pods import is_gone
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import CommandKey, Snapshot

LIST_COMMAND, CAPACITY_COMMAND = alluxio.LIST_COMMAND, alluxio.CAPACITY_COMMAND
_MASTER_CONTAINER = "alluxio-master"


def command_key(namespace: str, name: str, command: list[str]) -> CommandKey:
    """Key of a command's output in a Snapshot."""
    return CommandKey(namespace, name, " ".join(command))


@dataclass(frozen=True)
class CachedFile:
    """One file of the model."""

    path: str
    bytes: int
    percent: int
    """Cached bytes, in any worker."""


def listed_files(snapshot: Snapshot, namespace: str, name: str) -> tuple[CachedFile, ...] | None:
    """Return the model's files, largest first; None if the master's list was not read."""
    text = snapshot.command_outputs.get(command_key(namespace, name, LIST_COMMAND))
    if text is None:
        return None
    files = [
        CachedFile(entry.path, entry.size, entry.cached_percent)
        for entry in alluxio.parse_listing(text)
        if not junk_owner(entry.path)
    ]
    return tuple(sorted(files, key=lambda file: (-file.bytes, file.path)))


def refine_usage(usage: CacheUsage, listed: Sequence[CachedFile]) -> CacheUsage:
    """Return the usage by the master's list, which is newer than the Dataset's status.

    The list does not distinguish copies; with several copies, Fluid's count is used.
    """
    incomplete = sum(file.bytes > 0 and file.percent < 100 for file in listed)
    if usage.copies > 1:
        return replace(usage, incomplete_files=incomplete)
    cached_bytes = sum(file.bytes * file.percent // 100 for file in listed)
    return replace(
        usage, incomplete_files=incomplete, cached_bytes=cached_bytes, cached_precision=0
    )


def lost_workers(snapshot: Snapshot, namespace: str, name: str) -> list[str]:
    """Return the workers that the master lists without a heartbeat."""
    text = snapshot.command_outputs.get(command_key(namespace, name, CAPACITY_COMMAND), "")
    return [worker.name for worker in alluxio.parse_capacity_report(text) if not worker.is_live]


def worker_usage(
    snapshot: Snapshot, namespace: str, name: str
) -> list[tuple[str, int, int]] | None:
    """Return used bytes and their rounding by live worker; None if the report was not read."""
    text = snapshot.command_outputs.get(command_key(namespace, name, CAPACITY_COMMAND))
    return None if text is None else alluxio.parse_live_workers(text)


def exclude_lost_workers(snapshot: Snapshot, cache: Cache, usage: CacheUsage) -> CacheUsage:
    """Return the usage without lost workers, whose files are still listed.

    This is a number only if all workers are lost: with several, each may hold the same files.
    """
    pods = cache.pods.get(WORKER, [])
    was_read = snapshot.was_read(PODS, cache.namespace) and WORKER in cache.workloads
    dead = bool(lost_workers(snapshot, cache.namespace, cache.name))
    dead = dead and not worker_usage(snapshot, cache.namespace, cache.name)
    if usage.cached_bytes and (dead or (was_read and all(is_gone(pod) for pod in pods))):
        return replace(usage, cached_bytes=0, cached_precision=0, incomplete_files=usage.files or 1)
    return usage


def find_master_pod(cache: Cache) -> tuple[tuple[str, str] | None, str]:
    """Return the pod and container of the master, or None and the reason."""
    if not runtimes.runtime_traits(cache.runtime).lists_files:
        kind = runtimes.display_name(cache.runtime)
        return (
            None,
            f"{kind} has no command that lists its files" if kind else "there is no runtime",
        )
    ready = [pod for pod in cache.pods.get(MASTER, []) if pod_problems.is_ready(pod)]
    if not ready:
        return None, "no master is ready that could list its files"
    return (name_of(ready[0]), _MASTER_CONTAINER), ""
