"""Estimates how fast the readers of a cache start on their nodes. Pure.

The figures are those of the Dynamo project's write-up on Fluid, for Llama-3.3-70B; see the table in
the README.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.inventory.readers import ReaderStatus
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.records import dataclass

WHOLE_ON_NODE = "~80 s"
SPREAD_ON_NODE = "~10 min"
OFF_NODE = "~18 min"
NOT_CACHED = "~9 min"

GOOD, WARN, INFO = "good", "warn", "info"


@dataclass(frozen=True)
class StartupEstimate:
    """How fast the readers of a cache start, and what would make them faster."""

    code: str
    """whole-on-node, spread-on-node, off-node, waiting, not-whole, unread or unknown."""
    level: str
    text: str
    duration: str = ""
    """The write-up's figure for it."""
    improvement: str = ""
    """What would be faster, and how fast."""
    command: str = ""


def estimate_startup(
    name: str,
    namespace: str,
    is_complete: bool | None,
    nodes: Sequence[NodeCache] | None,
    readers: Sequence[ReaderStatus] | None,
    graphs: Sequence[str],
    workers: Collection[str] = (),
) -> StartupEstimate:
    """Estimate how fast the readers of a cache start, from the slowest of them.

    Readers with GPUs count, where there are any; otherwise the workers of graphs; otherwise all.

    Args:
        name: The cache's name.
        namespace: The cache's namespace.
        is_complete: Whether the cache holds the complete model; None if that is not known.
        nodes: The nodes of the cache; None if they could not be read.
        readers: The pods that mount the cache; None if they could not be read.
        graphs: The graphs that mount the cache.
        workers: The pods of the graphs' workers.
    """
    if readers is None or nodes is None:
        return StartupEstimate("unknown", INFO, "pods and nodes could not be read")
    if not nodes:
        text = "no node holds the cache, so every reader waits for the source"
        return StartupEstimate("not-whole", WARN, text, NOT_CACHED)
    if is_complete is False:
        text = "the cache is incomplete, so its readers wait for the source for the rest"
        return StartupEstimate("not-whole", WARN, text, f"up to {NOT_CACHED}")
    if not readers:
        pin = _pin_command(name, namespace, graphs)
        location = nodes[0].name if len(nodes) == 1 else f"one of {pluralize(len(nodes), 'node')}"
        improvement = f"pinned workers would run on {location} and start in {WHOLE_ON_NODE}"
        text = "no pod reads from it yet"
        return StartupEstimate("unread", INFO, text, improvement=improvement, command=pin)
    loading = [reader for reader in readers if reader.gpus] or [
        reader for reader in readers if reader.pod in workers
    ]
    counted, noun = (loading, "worker") if loading else (list(readers), "reader")
    complete = {node.name for node in nodes if node.is_complete}
    remote = [reader for reader in counted if reader.is_local is False]
    partial = [reader for reader in counted if reader.is_local and reader.node not in complete]
    waiting = [reader for reader in counted if reader.is_local is None]
    if remote:
        remote_names = ", ".join(sorted({reader.node for reader in remote})[:3])
        pinned = WHOLE_ON_NODE if complete else SPREAD_ON_NODE
        return StartupEstimate(
            "off-node",
            WARN,
            f"{len(remote)} of {pluralize(len(counted), noun)} on other nodes than the cache's "
            f"({remote_names})",
            OFF_NODE,
            f"pinned to {', '.join(node.name for node in nodes[:3])} they would start in {pinned}",
            _pin_command(name, namespace, _graphs_to_pin(remote, graphs)),
        )
    if partial:
        return _estimate_partial(nodes, counted, partial, noun)
    if waiting:
        text = f"{len(waiting)} of {pluralize(len(counted), noun)} not scheduled yet"
        return StartupEstimate("waiting", INFO, text, WHOLE_ON_NODE)
    text = f"the whole model on the node of {'the' if len(counted) == 1 else 'each'} {noun}"
    return StartupEstimate("whole-on-node", GOOD, text, WHOLE_ON_NODE)


def _estimate_partial(
    nodes: Sequence[NodeCache],
    counted: Sequence[ReaderStatus],
    partial: Sequence[ReaderStatus],
    noun: str,
) -> StartupEstimate:
    """Return the readers on nodes that hold, as far as is known, only part of the cache."""
    node = next(node for node in nodes if node.name == partial[0].node)
    holding = "with only a part" if node.is_complete is False else "that may hold only a part"
    several = len({reader.node for reader in counted if reader.node}) > 1
    location = "each of these nodes" if several else "that node"
    return StartupEstimate(
        "spread-on-node",
        WARN,
        f"{pluralize(len(partial), noun)} on a node {holding} of the model",
        SPREAD_ON_NODE,
        f"with a complete copy on {location}, it would take {WHOLE_ON_NODE}",
    )


def _pin_command(name: str, namespace: str, graphs: Sequence[str]) -> str:
    operands = shell.operands([name, *(graphs or ["GRAPH"])])
    flag = ("-n", namespace) if namespace != "default" else ()
    return shell.command("kubectl", "fluidmodel", "pin", *operands, *flag)


def _graphs_to_pin(remote: Sequence[ReaderStatus], graphs: Sequence[str]) -> list[str]:
    """Return the graphs of the readers on other nodes, as `pin` takes them; else all."""
    names = {reader.graph for reader in remote}
    remote_graphs = [graph for graph in graphs if graph.removeprefix("dcd/") in names]
    return remote_graphs or sorted(names - {""}) or list(graphs)
