"""The existing objects of a cache, and what the desired ones change on them. Pure.

Fluid applies some changes to a running cache: a different number of copies is a `Resize`. For any
other, which `immutable_changes` names, the cache is deleted and created again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kubectl_fluidmodel.fluid import alluxio_runtime, fuse, placement
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class ExistingObjects:
    """The objects of a cache; None for those that do not exist."""

    dataset: Object | None = None
    runtime: Object | None = None
    load: Object | None = None
    worker_nodes: tuple[str, ...] = ()
    """Names of the workers' nodes, by the workers' numbers; read only if the copies do not
    match the Dataset's nodes. Empty if unknown."""

    @property
    def replicas(self) -> int | None:
        """The copies of the existing cache; None if there is none."""
        if self.runtime is None:
            return None
        return int(get_path(self.runtime, "spec", "replicas", default=1))


@dataclass(frozen=True)
class Resize:
    """A different number of copies, to which Fluid can scale the running cache."""

    before: int
    after: int
    removed: tuple[str, ...]
    """Names of the nodes that lose their copies."""

    def __str__(self) -> str:
        if self.after > self.before:
            return f"copies: {self.before} → {self.after}; the running workers stay as they are"
        verb = "loses its copy" if len(self.removed) == 1 else "lose their copies"
        return f"copies: {self.before} → {self.after}; {', '.join(self.removed)} {verb}"


def immutable_changes(
    existing: ExistingObjects,
    dataset: Object,
    runtime: Object,
    kept_hosts: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the differences that Fluid cannot apply to a running cache, as `what: old → new`.

    Fluid never remounts the root and never rebuilds the tier (pkg/ddc/alluxio/ufs_internal.go).
    Nodes can be added, or lose their copies if their workers have the highest numbers.

    Args:
        existing: The existing cache.
        dataset: The desired Dataset.
        runtime: The desired runtime.
        kept_hosts: Host names of the workers that remain if copies are removed.
    """
    changes: list[tuple[str, Any, Any]] = []
    if existing.dataset is not None:
        before = get_path(existing.dataset, "spec", "mounts", 0, default={})
        after = dataset["spec"]["mounts"][0]
        for key in ("mountPoint", "options", "encryptOptions"):
            changes.append((f"mount {key}", before.get(key), after.get(key)))
        hosts = placement.bound_hostnames(existing.dataset), placement.bound_hostnames(dataset)
        if all(hosts) and not _can_scale(set(hosts[0]), set(hosts[1]), set(kept_hosts)):
            changes.append(("nodes", ", ".join(hosts[0]), ", ".join(hosts[1])))
    if existing.runtime is not None:
        old, new = _runtime_settings(existing.runtime), _runtime_settings(runtime)
        changes += [(setting, old[setting], new[setting]) for setting in old]
    return tuple(
        f"{setting}: {_abbreviate(before)} → {_abbreviate(after)}"
        for setting, before, after in changes
        if (before or None) != (after or None)
    )


def _runtime_settings(runtime: Object) -> dict[str, Any]:
    medium, path, quota = alluxio_runtime.parse_tier(runtime)
    high_concurrency = "on" if fuse.uses_jnr_fuse(runtime) else "off"
    return {"high concurrency": high_concurrency, "medium": medium, "path": path, "quota": quota}


def _can_scale(before: set[str], after: set[str], kept_hosts: set[str]) -> bool:
    """Whether the running workers can stay where they are."""
    return before <= after or (after < before and after == kept_hosts)


def resize_to(existing: ExistingObjects, replicas: int) -> Resize | None:
    """Return how the existing cache gets this number of copies; None if it has it or is absent."""
    before = existing.replicas
    if before in (None, replicas):
        return None
    return Resize(before, replicas, existing.worker_nodes[replicas:])


def _abbreviate(value: Any) -> str:
    """Format a setting: options without their prefixes, Secrets by name, bytes as a quantity."""
    if isinstance(value, dict):
        return ",".join(f"{key.rsplit('.', 1)[-1]}={item}" for key, item in sorted(value.items()))
    if isinstance(value, int):
        return bytes_to_quantity(value)
    if isinstance(value, list):
        return ",".join(str(get_path(item, "valueFrom", "secretKeyRef", "name")) for item in value)
    return str(value)
