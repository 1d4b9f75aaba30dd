"""The pods that read a cache, and from how far. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.inventory.cache import Cached, Reader
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import at
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class ReaderRow:
    """A pod that mounts the cache's claim."""

    pod: str
    graph: str
    component: str
    node: str
    """Empty while it has none."""
    local: bool | None
    """Whether its node holds a worker of the cache; None while it has no node."""
    mounts: tuple[tuple[str, str], ...]
    """(container, mount path)."""
    state: str
    """Ready, Starting, Pending or Terminating."""
    gpus: int
    trouble: str


def readers(snapshot: Snapshot, cache: Cached) -> tuple[ReaderRow, ...] | None:
    """By graph, component and pod; None where the pods could not be read."""
    if not snapshot.knows(kinds.PODS, cache.namespace):
        return None
    found = []
    for reader in cache.readers:
        pod = reader.pod
        said = pod_problems.pod(pod)
        found.append(
            ReaderRow(
                pod=reader.name,
                graph=reader.graph,
                component=reader.component,
                node=reader.node,
                local=reader.local,
                mounts=reader.mounts,
                state=_state(reader, is_terminating(pod)),
                gpus=sum(gpus.used([pod]).values()),
                trouble=said[0] if said else "",
            )
        )
    return tuple(sorted(found, key=lambda row: (row.graph, row.component, row.pod)))


def _state(reader: Reader, going: bool) -> str:
    if going:
        return "Terminating"
    if pod_problems.ready(reader.pod):
        return "Ready"
    return "Starting" if reader.node else "Pending"


def near(rows: Iterable[ReaderRow]) -> int:
    """How many of them run on a node of the cache."""
    return sum(row.local is True for row in rows)


def paths(row: ReaderRow) -> list[str]:
    """The directories at which a pod has the model, each once."""
    return list(dict.fromkeys(path for _, path in row.mounts))


def graph_names(cache: Cached) -> list[str]:
    """The graphs whose text names the claim, with the prefix that `pin` takes for a component."""
    found = []
    for graph in cache.graphs:
        prefix = "" if graph.get("kind") == "DynamoGraphDeployment" else "dcd/"
        found.append(f"{prefix}{at(graph, 'metadata', 'name', default='')}")
    return sorted(found)
