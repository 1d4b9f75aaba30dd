"""How much of what matters was read, and so what a diagnosis without findings is worth. Pure.

A check that lacks a permission is skipped. Where that hides what a cache rests on, "healthy" would
be a guess; where even the Datasets are hidden, nothing was judged at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.snapshot.queries import COMPONENTS, GRAPHS
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

MATTERS: tuple[Kind, ...] = (
    names.DATASETS,
    *names.RUNTIMES,
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
    """What of a cluster was judged."""

    nothing: str = ""
    """Why nothing was judged; empty where something was."""
    unread: tuple[str, ...] = ()
    """Resources of MATTERS that could not be read, as RBAC names them."""

    @property
    def full(self) -> bool:
        """Whether all that matters was read."""
        return not self.nothing and not self.unread


def coverage(snapshot: Snapshot, namespace: str | None, skipped: Iterable[bool]) -> Coverage:
    """Of a namespace (None: all). `skipped` says of each check that was to run whether it was
    skipped because something could not be read.
    """
    where = f"in {namespace}" if namespace else "in any namespace"
    unread = tuple(
        dict.fromkeys(
            kind.resource
            for kind in MATTERS
            if snapshot.why_missing(kind, (namespace or "") if kind.namespaced else "")
        )
    )
    blind = snapshot.why_missing(names.DATASETS, namespace or "")
    if blind is not None and not snapshot.all(names.DATASETS):
        return Coverage(f"datasets cannot be listed {where}: nothing was checked", unread)
    checks = list(skipped)
    if checks and all(checks):
        return Coverage("what these checks need cannot be read: nothing was checked", unread)
    return Coverage(unread=unread)
