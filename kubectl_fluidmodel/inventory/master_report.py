"""What a cache's own master reports of files and workers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kubectl_fluidmodel.fluid import alluxio_cli as alluxio
from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.inventory import runtimes
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER, Cache
from kubectl_fluidmodel.inventory.usage import CacheUsage
from kubectl_fluidmodel.model.junk import junk_owner
from kubectl_fluidmodel.objects.access import name_of
from kubectl_fluidmodel.objects.kinds import PODS
from kubectl_fluidmodel.snapshot.snapshot import CommandKey, Snapshot

LIST_COMMAND, CAPACITY_COMMAND = alluxio.LIST_COMMAND, alluxio.CAPACITY_COMMAND
_MASTER_CONTAINER = "alluxio-master"


def command_key(namespace: str, name: str, command: list[str]) -> CommandKey:
    """Where a Snapshot keeps the output of a command in a cache's master."""
    return CommandKey(namespace, name, " ".join(command))


@dataclass(frozen=True)
class CachedFile:
    """One file of the model."""

    path: str
    bytes: int
    percent: int
    """Of it that is cached, in whichever workers."""


def listed_files(snapshot: Snapshot, namespace: str, name: str) -> tuple[CachedFile, ...] | None:
    """The model's files, largest first; None where the master was not asked or did not answer."""
    text = snapshot.command_outputs.get(command_key(namespace, name, LIST_COMMAND))
    if text is None:
        return None
    found = [
        CachedFile(each.path, each.size, each.cached_percent)
        for each in alluxio.parse_listing(text)
        if not junk_owner(each.path)
    ]
    return tuple(sorted(found, key=lambda file: (-file.bytes, file.path)))


def refine_usage(usage: CacheUsage, listed: Sequence[CachedFile]) -> CacheUsage:
    """The amount by the master's list, which is newer than what Fluid wrote into the Dataset.

    The list does not distinguish copies; with several of them Fluid's count is kept.
    """
    lacking = sum(file.bytes > 0 and file.percent < 100 for file in listed)
    if usage.copies > 1:
        return replace(usage, incomplete_files=lacking)
    held = sum(file.bytes * file.percent // 100 for file in listed)
    return replace(usage, incomplete_files=lacking, cached_bytes=held, cached_precision=0)


def lost_workers(snapshot: Snapshot, namespace: str, name: str) -> list[str]:
    """The workers that the master lists and does not hear from."""
    text = snapshot.command_outputs.get(command_key(namespace, name, CAPACITY_COMMAND), "")
    return [each.name for each in alluxio.parse_capacity_report(text) if not each.is_live]


def worker_usage(
    snapshot: Snapshot, namespace: str, name: str
) -> list[tuple[str, int, int]] | None:
    """Each live worker, the bytes it uses and how far off they may be; None as for `files`."""
    text = snapshot.command_outputs.get(command_key(namespace, name, CAPACITY_COMMAND))
    return None if text is None else alluxio.parse_live_workers(text)


def exclude_lost_workers(snapshot: Snapshot, cache: Cache, usage: CacheUsage) -> CacheUsage:
    """The amount without what lies in workers that are gone: it is still listed, and not there.

    Only where all of them are gone is that a number: of several, each may hold the same.
    """
    pods = cache.pods.get(WORKER, [])
    seen = snapshot.was_read(PODS, cache.namespace) and WORKER in cache.workloads
    dead = bool(lost_workers(snapshot, cache.namespace, cache.name))
    dead = dead and not worker_usage(snapshot, cache.namespace, cache.name)
    if usage.cached_bytes and (
        dead or (seen and all(pod_problems.is_terminated(pod) for pod in pods))
    ):
        return replace(usage, cached_bytes=0, cached_precision=0, incomplete_files=usage.files or 1)
    return usage


def find_master_pod(cache: Cache) -> tuple[tuple[str, str] | None, str]:
    """Pod and container of the master to ask, or None and why there is none."""
    if not runtimes.runtime_traits(cache.runtime).lists_files:
        kind = runtimes.display_name(cache.runtime)
        return None, f"{kind} cannot be asked for its files" if kind else "there is no runtime"
    ready = [pod for pod in cache.pods.get(MASTER, []) if pod_problems.is_ready(pod)]
    if not ready:
        return None, "no master is ready that could list its files"
    return (name_of(ready[0]), _MASTER_CONTAINER), ""
