"""How fast the readers of a cache start where they are, and what would make it faster. Pure.

The figures are those of the Dynamo project's own write-up on Fluid, for Llama-3.3-70B; see the
table in the README.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.inventory.readers import ReaderStatus
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.output.text import pluralize

WHOLE_ON_NODE = "~80 s"
SPREAD_ON_NODE = "~10 min"
OFF_NODE = "~18 min"
NOT_CACHED = "~9 min"

GOOD, WARN, INFO = "good", "warn", "info"


@dataclass(frozen=True)
class StartupEstimate:
    """What holds for the readers of a cache."""

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
    flags: str,
    is_complete: bool | None,
    nodes: Sequence[NodeCache] | None,
    readers: Sequence[ReaderStatus] | None,
    graphs: Sequence[str],
) -> StartupEstimate:
    """Judge a cache by its weakest reader; those with GPUs count, where any has.

    `flags` are what a command needs besides (`-n NAMESPACE`); `graphs` those that name the claim.
    """
    if readers is None or nodes is None:
        return StartupEstimate("unknown", INFO, "pods and nodes could not be read")
    named = shell.operands([name, *(_graphs_to_pin(readers, graphs) or ["GRAPH"])])
    pin = shell.command("kubectl", "fluidmodel", "pin", *named) + flags
    if not nodes:
        text = "no node holds the cache, so every reader waits for the source"
        return StartupEstimate("not-whole", WARN, text, NOT_CACHED)
    if is_complete is False:
        text = "the cache is not whole, so its readers wait for the source for the rest"
        return StartupEstimate("not-whole", WARN, text, f"up to {NOT_CACHED}")
    if not readers:
        first = nodes[0].name if len(nodes) == 1 else f"one of {pluralize(len(nodes), 'node')}"
        better = f"pinned, its workers would run on {first} and start in {WHOLE_ON_NODE}"
        return StartupEstimate("unread", INFO, "no pod reads from it yet", "", better, pin)
    return _estimate_for_readers(pin, flags, nodes, readers)


def _estimate_for_readers(
    pin: str, flags: str, nodes: Sequence[NodeCache], readers: Sequence[ReaderStatus]
) -> StartupEstimate:
    with_gpus = [row for row in readers if row.gpus]
    rows = with_gpus or list(readers)
    what = "worker" if with_gpus else "reader"
    far = [row for row in rows if row.is_local is False]
    waiting = [row for row in rows if row.is_local is None]
    whole = {node.name for node in nodes if node.is_complete}
    if far:
        where = ", ".join(sorted({row.node for row in far})[:3])
        text = (
            f"{len(far)} of {pluralize(len(rows), what)} on other nodes than the cache's ({where})"
        )
        names = ", ".join(node.name for node in nodes[:3])
        better = (
            f"pinned to {names} they would start in {WHOLE_ON_NODE if whole else SPREAD_ON_NODE}"
        )
        return StartupEstimate("off-node", WARN, text, OFF_NODE, better, pin)
    spread = [row for row in rows if row.is_local and row.node not in whole]
    if spread:
        holds = next(node for node in nodes if node.name == spread[0].node)
        known = holds.is_complete is False
        text = (
            f"{pluralize(len(spread), what)} on a node with a part of the model only"
            if known
            else f"{pluralize(len(spread), what)} on a node that may hold a part of the model only"
        )
        count = len({row.node for row in rows if row.node}) or 1
        better = (
            f"whole on {'that node' if count == 1 else 'each of these nodes'} "
            f"it would be {WHOLE_ON_NODE}"
        )
        return StartupEstimate("spread-on-node", WARN, text, SPREAD_ON_NODE, better)
    if waiting:
        text = f"{len(waiting)} of {pluralize(len(rows), what)} without a node yet"
        return StartupEstimate("waiting", INFO, text, WHOLE_ON_NODE)
    text = f"the whole model on the node of {'the' if len(rows) == 1 else 'each'} {what}"
    return StartupEstimate("whole-on-node", GOOD, text, WHOLE_ON_NODE)


def _graphs_to_pin(readers: Sequence[ReaderStatus], graphs: Sequence[str]) -> list[str]:
    """The graphs of the readers that are far, else all that name the claim."""
    far = sorted({row.graph for row in readers if row.is_local is False and row.graph})
    return far or list(graphs)
