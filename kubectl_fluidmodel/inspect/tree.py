"""A cache as a tree: model, Dataset, runtime, workers, nodes, readers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kubectl_fluidmodel.inspect.details import Inspection
from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.inventory.readers import ReaderRow, paths
from kubectl_fluidmodel.inventory.runtimes import Part
from kubectl_fluidmodel.output.text import plural, size

GOOD, WARN, BAD, UNKNOWN = "good", "warn", "bad", "dim"


@dataclass
class Branch:
    """One line, how it fares, and what hangs below it."""

    kind: str
    name: str
    state: str = ""
    level: str = UNKNOWN
    below: list[Branch] = field(default_factory=list)


def tree(one: Inspection, *, namespace: bool = False) -> Branch:
    """The tree of one cache; with `namespace` the Dataset is called by both names."""
    amount = one.amount
    model = Branch("model", one.model or one.name)
    if amount.total is not None:
        files = f", {plural(amount.files, 'file')}" if amount.files is not None else ""
        model.state = size(amount.total) + files
    called = f"{one.namespace}/{one.name}" if namespace else one.name
    dataset = Branch("Dataset", called, one.phase)
    dataset.level = GOOD if one.phase == "Bound" else BAD if one.phase == "Failed" else WARN
    if amount.percent is not None:
        dataset.state += f", {_percent(amount.percent)} cached"
        dataset.level = WARN if dataset.level == GOOD and not amount.whole else dataset.level
    elif amount.cached is not None:
        dataset.state += f", {size(amount.cached)} cached"
    if one.phase == "No Dataset":
        dataset.state, dataset.level = "is not there", BAD
    if one.message:
        dataset.state += f": {one.message}"
    model.level = dataset.level
    model.below.append(dataset)
    dataset.below.append(_runtime(one))
    return model


def _runtime(one: Inspection) -> Branch:
    if not one.runtime:
        return Branch("runtime", one.name, "is not there", BAD, _elsewhere(one, one.readers or ()))
    kinds = ", ".join(one.runtime_kinds)
    found = Branch(kinds, one.name, one.medium)
    for part in one.parts:
        branch = _part(part)
        if part.name == "worker":
            branch.below = [_node(node, one) for node in one.nodes or ()]
        found.below.append(branch)
    if not any(part.name == "worker" for part in one.parts):
        found.below += [_node(node, one) for node in one.nodes or ()]
    held = {node.name for node in one.nodes or ()}
    found.below += _elsewhere(one, [row for row in one.readers or () if row.node not in held])
    known = [branch.level for branch in found.below if branch.kind in ("master", "worker", "fuse")]
    if known:
        found.level = next((level for level in (BAD, WARN) if level in known), GOOD)
    return found


def _part(part: Part) -> Branch:
    level = UNKNOWN if part.well is None else GOOD if part.well else BAD
    if part.well is False and part.ready:
        level = WARN
    if part.well is None:
        return Branch(part.name, part.phase or "unknown", "", level)
    why = "" if part.well else part.reason
    return Branch(part.name, f"{part.ready}/{part.desired} ready", why, level)


def _node(node: NodeCache, one: Inspection) -> Branch:
    used = size(node.used) if node.used is not None else ""
    capacity = f"of {size(node.capacity)}" if node.capacity is not None else ""
    holds = {True: "the whole model", False: "a part of it", None: ""}[node.whole]
    words = (" ".join(filter(None, (used, capacity))), holds, node.trouble)
    level = WARN if node.trouble or node.whole is False else GOOD if node.whole else UNKNOWN
    found = Branch("node", node.name, ", ".join(filter(None, words)), level)
    found.below = [_reader(row) for row in one.readers or () if row.node == node.name]
    return found


def _reader(row: ReaderRow) -> Branch:
    owner = "/".join(filter(None, (row.graph, row.component)))
    state = ", ".join(filter(None, (owner, ",".join(paths(row)), row.state, row.trouble)))
    return Branch("reader", row.pod, state, GOOD if row.state == "Ready" else WARN)


def _elsewhere(one: Inspection, rows: Iterable[ReaderRow]) -> list[Branch]:
    """Readers that are not on a node of the cache, by their node."""
    by_node: dict[str, list[ReaderRow]] = {}
    for row in rows:
        by_node.setdefault(row.node, []).append(row)
    found = []
    for name, listed in sorted(by_node.items()):
        state = "holds nothing of it" if name else ""
        branch = Branch("node" if name else "without a node", name, state, WARN)
        branch.below = [_reader(row) for row in listed]
        found.append(branch)
    return found


def _percent(value: float) -> str:
    return f"{value:g}%"


def forest(caches: Sequence[Inspection]) -> list[Branch]:
    """One tree for each cache."""
    several = len({one.namespace for one in caches}) > 1
    return [tree(one, namespace=several) for one in caches]
