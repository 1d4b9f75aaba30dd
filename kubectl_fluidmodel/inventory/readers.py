"""The pods that read a cache, and whether they run on its nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.inventory.cache import Cache, ReaderPod
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class ReaderStatus:
    """A pod that mounts the cache's claim."""

    pod: str
    graph: str
    component: str
    node: str
    """Empty before it is scheduled."""
    is_local: bool | None
    """Whether its node holds a worker of the cache; None before it is scheduled."""
    mounts: tuple[tuple[str, str], ...]
    """(container, mount path)."""
    state: str
    """Ready, Starting, Pending or Terminating."""
    gpus: int
    problem: str


def describe_readers(snapshot: Snapshot, cache: Cache) -> tuple[ReaderStatus, ...] | None:
    """Return the readers by graph, component and pod; None if the pods could not be read."""
    if not snapshot.was_read(kinds.PODS, cache.namespace):
        return None
    statuses = []
    for reader in cache.readers:
        pod = reader.pod
        problems = pod_problems.find_pod_problems(pod)
        statuses.append(
            ReaderStatus(
                pod=reader.name,
                graph=reader.graph,
                component=reader.component,
                node=reader.node,
                is_local=reader.is_local,
                mounts=reader.mounts,
                state=_state(reader, is_terminating(pod)),
                gpus=sum(gpus.used_gpus([pod]).values()),
                problem=problems[0] if problems else "",
            )
        )
    return tuple(sorted(statuses, key=lambda reader: (reader.graph, reader.component, reader.pod)))


def _state(reader: ReaderPod, is_deleted: bool) -> str:
    if is_deleted:
        return "Terminating"
    if pod_problems.is_ready(reader.pod):
        return "Ready"
    return "Starting" if reader.node else "Pending"


def count_local(readers: Iterable[ReaderStatus]) -> int:
    """Return how many of them run on a node of the cache."""
    return sum(reader.is_local is True for reader in readers)


def mount_paths(reader: ReaderStatus) -> list[str]:
    """Return the distinct mount paths of the model in a pod."""
    return list(dict.fromkeys(path for _, path in reader.mounts))


def graph_names(cache: Cache) -> list[str]:
    """Return the graphs that mount the claim; components have the prefix that `pin` expects."""
    return sorted(
        ("" if graph.get("kind") == "DynamoGraphDeployment" else "dcd/") + name_of(graph)
        for graph in cache.graphs
    )


def worker_pods(cache: Cache) -> set[str]:
    """Return the readers that are pods of a graph's workers."""
    from kubectl_fluidmodel.dynamo.component import Role  # not for tables
    from kubectl_fluidmodel.dynamo.graph import open_graph

    workers: set[tuple[str, str]] = set()
    for obj in cache.graphs:
        with suppress(FluidModelError):  # other objects create its pods
            graph = open_graph(obj)
            workers |= {
                (graph.name, component.name)
                for component in graph.components
                if component.role is Role.WORKER
            }
    return {reader.name for reader in cache.readers if (reader.graph, reader.component) in workers}
