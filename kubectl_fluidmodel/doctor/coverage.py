"""Which essential kinds were read, and so what a diagnosis without findings is worth. Pure.

A check that lacks a permission is skipped. If that hides what a cache depends on, "healthy" would
be a guess; if even the Datasets are hidden, nothing was checked.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.queries import COMPONENTS, GRAPHS
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

ESSENTIAL_KINDS: tuple[Kind, ...] = (
    names.DATASETS,
    *names.RUNTIME_KINDS,
    names.DATA_LOADS,
    kinds.PODS,
    kinds.PVCS,
    kinds.EVENTS,
    kinds.NODES,
    GRAPHS,
    COMPONENTS,
)
"""What a cache, the pods that read it and their nodes show of themselves. The rest (Fluid's own
namespace, CSI objects, volumes, sets, webhooks) says why something is wrong rather than that."""


@dataclass(frozen=True)
class Coverage:
    """How much of a cluster was checked."""

    nothing_checked: str = ""
    """Why nothing was checked; empty if something was."""
    unread_kinds: tuple[str, ...] = ()
    """Resources of ESSENTIAL_KINDS that could not be read, as RBAC names them."""


def compute_coverage(
    snapshot: Snapshot, namespace: str | None, blocked: Iterable[bool]
) -> Coverage:
    """How much of a namespace (None: all) was checked.

    `blocked` has one value per check: whether it was skipped because a read failed.
    """
    scope = f"in {namespace}" if namespace else "in any namespace"
    unread = tuple(
        dict.fromkeys(
            kind.resource
            for kind in ESSENTIAL_KINDS
            if snapshot.read_failure(kind, (namespace or "") if kind.namespaced else "")
        )
    )
    blind = snapshot.read_failure(names.DATASETS, namespace or "")
    if blind is not None and not snapshot.of_kind(names.DATASETS):
        return Coverage(f"datasets cannot be listed {scope}: nothing was checked", unread)
    checks = list(blocked)
    if checks and all(checks):
        return Coverage("what these checks need cannot be read: nothing was checked", unread)
    return Coverage(unread_kinds=unread)
