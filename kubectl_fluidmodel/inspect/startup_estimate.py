"""How fast the readers of a cache start where they are, and what would make it faster. Pure.

The figures are those of the Dynamo project's own write-up on Fluid, for Llama-3.3-70B; see the
table in the README.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.inventory.readers import ReaderRow
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.output.text import plural

WHOLE_ON_NODE = "~80 s"
SPREAD_ON_NODE = "~10 min"
OFF_NODE = "~18 min"
NOT_CACHED = "~9 min"

GOOD, WARN, INFO = "good", "warn", "info"


@dataclass(frozen=True)
class Verdict:
    """What holds for the readers of a cache."""

    code: str
    """whole-on-node, spread-on-node, off-node, waiting, not-whole, unread or unknown."""
    level: str
    text: str
    startup: str = ""
    """The write-up's figure for it."""
    better: str = ""
    """What would be faster, and how fast."""
    command: str = ""


def verdict(
    name: str,
    flags: str,
    whole: bool | None,
    nodes: Sequence[NodeCache] | None,
    readers: Sequence[ReaderRow] | None,
    graphs: Sequence[str],
) -> Verdict:
    """Judge a cache by its weakest reader; those with GPUs count, where any has.

    `flags` are what a command needs besides (`-n NAMESPACE`); `graphs` those that name the claim.
    """
    if readers is None or nodes is None:
        return Verdict("unknown", INFO, "pods and nodes could not be read")
    named = shell.operands([name, *(_graphs(readers, graphs) or ["GRAPH"])])
    pin = shell.command("kubectl", "fluidmodel", "pin", *named) + flags
    if not nodes:
        text = "no node holds the cache, so every reader waits for the source"
        return Verdict("not-whole", WARN, text, NOT_CACHED)
    if whole is False:
        text = "the cache is not whole, so its readers wait for the source for the rest"
        return Verdict("not-whole", WARN, text, f"up to {NOT_CACHED}")
    if not readers:
        first = nodes[0].name if len(nodes) == 1 else f"one of {plural(len(nodes), 'node')}"
        better = f"pinned, its workers would run on {first} and start in {WHOLE_ON_NODE}"
        return Verdict("unread", INFO, "no pod reads from it yet", "", better, pin)
    return _of_readers(pin, flags, nodes, readers)


def _of_readers(
    pin: str, flags: str, nodes: Sequence[NodeCache], readers: Sequence[ReaderRow]
) -> Verdict:
    with_gpus = [row for row in readers if row.gpus]
    rows = with_gpus or list(readers)
    what = "worker" if with_gpus else "reader"
    far = [row for row in rows if row.local is False]
    waiting = [row for row in rows if row.local is None]
    whole = {node.name for node in nodes if node.whole}
    if far:
        where = ", ".join(sorted({row.node for row in far})[:3])
        text = f"{len(far)} of {plural(len(rows), what)} on other nodes than the cache's ({where})"
        names = ", ".join(node.name for node in nodes[:3])
        better = (
            f"pinned to {names} they would start in {WHOLE_ON_NODE if whole else SPREAD_ON_NODE}"
        )
        return Verdict("off-node", WARN, text, OFF_NODE, better, pin)
    spread = [row for row in rows if row.local and row.node not in whole]
    if spread:
        holds = next(node for node in nodes if node.name == spread[0].node)
        known = holds.whole is False
        text = (
            f"{plural(len(spread), what)} on a node with a part of the model only"
            if known
            else f"{plural(len(spread), what)} on a node that may hold a part of the model only"
        )
        count = len({row.node for row in rows if row.node}) or 1
        better = (
            f"whole on {'that node' if count == 1 else 'each of these nodes'} "
            f"it would be {WHOLE_ON_NODE}"
        )
        return Verdict("spread-on-node", WARN, text, SPREAD_ON_NODE, better)
    if waiting:
        text = f"{len(waiting)} of {plural(len(rows), what)} without a node yet"
        return Verdict("waiting", INFO, text, WHOLE_ON_NODE)
    text = f"the whole model on the node of {'the' if len(rows) == 1 else 'each'} {what}"
    return Verdict("whole-on-node", GOOD, text, WHOLE_ON_NODE)


def _graphs(readers: Sequence[ReaderRow], graphs: Sequence[str]) -> list[str]:
    """The graphs of the readers that are far, else all that name the claim."""
    far = sorted({row.graph for row in readers if row.local is False and row.graph})
    return far or list(graphs)
