"""A cache as a tree: model, Dataset, runtime, workers, nodes, readers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field

from kubectl_fluidmodel.inspect.details import CacheDetails, describe_caches
from kubectl_fluidmodel.inspect.summary import sort_caches
from kubectl_fluidmodel.inspect.view import Rendering, ViewContext
from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.inventory.readers import ReaderStatus, mount_paths
from kubectl_fluidmodel.inventory.runtimes import RuntimeComponent
from kubectl_fluidmodel.output.tree import format_tree
from kubectl_fluidmodel.output.units import format_bytes, pluralize
from kubectl_fluidmodel.records import dataclass

GOOD, WARN, BAD, UNKNOWN = "good", "warn", "bad", "dim"


@dataclass
class TreeNode:
    """One line, its status, and its children."""

    kind: str
    name: str
    state: str = ""
    level: str = UNKNOWN
    children: list[TreeNode] = field(default_factory=list)


def render(context: ViewContext) -> Rendering:
    """One tree for each cache."""
    caches = describe_caches(context.snapshot, caches=context.caches)
    trees = cache_trees(sort_caches(caches, context.options.sort_by))
    return Rendering(format_tree(trees, width=context.width, color=context.color))


def cache_tree(details: CacheDetails, *, namespace: bool = False) -> TreeNode:
    """Return the tree of one cache; with `namespace`, the Dataset's label includes it."""
    usage = details.usage
    model = TreeNode("model", details.model or details.name)
    if usage.source_bytes is not None:
        files = f", {pluralize(usage.files, 'file')}" if usage.files is not None else ""
        model.state = format_bytes(usage.source_bytes) + files
    dataset_name = f"{details.namespace}/{details.name}" if namespace else details.name
    dataset = TreeNode("Dataset", dataset_name, details.phase)
    dataset.level = GOOD if details.phase == "Bound" else BAD if details.phase == "Failed" else WARN
    if usage.percent is not None:
        dataset.state += f", {usage.percent:g}% cached"
        dataset.level = WARN if dataset.level == GOOD and not usage.is_complete else dataset.level
    elif usage.cached_bytes is not None:
        dataset.state += f", {format_bytes(usage.cached_bytes)} cached"
    if details.phase == "No Dataset":
        dataset.state, dataset.level = "does not exist", BAD
    if details.message:
        dataset.state += f": {details.message}"
    model.level = dataset.level
    model.children.append(dataset)
    dataset.children.append(_runtime_node(details))
    return model


def _runtime_node(details: CacheDetails) -> TreeNode:
    if not details.runtime:
        return TreeNode(
            "runtime",
            details.name,
            "does not exist",
            BAD,
            _remote_readers(details.readers or ()),
        )
    kinds = ", ".join(details.runtime_kinds)
    runtime = TreeNode(kinds, details.name, details.medium)
    node_branches = [_node_branch(node, details) for node in details.nodes or ()]
    for part in details.components:
        branch = _component_node(part)
        if part.name == "worker":
            branch.children, node_branches = node_branches, []
        runtime.children.append(branch)
    runtime.children += node_branches  # without workers
    cache_nodes = {node.name for node in details.nodes or ()}
    runtime.children += _remote_readers(
        [reader for reader in details.readers or () if reader.node not in cache_nodes]
    )
    levels = [
        branch.level for branch in runtime.children if branch.kind in ("master", "worker", "fuse")
    ]
    if levels:
        runtime.level = next((level for level in (BAD, WARN) if level in levels), GOOD)
    return runtime


def _component_node(component: RuntimeComponent) -> TreeNode:
    level = UNKNOWN if component.is_healthy is None else GOOD if component.is_healthy else BAD
    if component.is_healthy is False and component.ready:
        level = WARN
    if component.is_healthy is None:
        return TreeNode(component.name, component.phase or "unknown", "", level)
    reason = "" if component.is_healthy else component.reason
    return TreeNode(component.name, f"{component.ready}/{component.desired} ready", reason, level)


def _node_branch(node: NodeCache, details: CacheDetails) -> TreeNode:
    used = format_bytes(node.used_bytes) if node.used_bytes is not None else ""
    capacity = f"of {format_bytes(node.capacity_bytes)}" if node.capacity_bytes is not None else ""
    holding = {True: "the whole model", False: "a part of it", None: ""}[node.is_complete]
    parts = (" ".join(filter(None, (used, capacity))), holding, node.problem)
    level = (
        WARN if node.problem or node.is_complete is False else GOOD if node.is_complete else UNKNOWN
    )
    branch = TreeNode("node", node.name, ", ".join(filter(None, parts)), level)
    branch.children = [
        _reader_node(reader) for reader in details.readers or () if reader.node == node.name
    ]
    return branch


def _reader_node(reader: ReaderStatus) -> TreeNode:
    owner = "/".join(filter(None, (reader.graph, reader.component)))
    state = ", ".join(
        filter(None, (owner, ",".join(mount_paths(reader)), reader.state, reader.problem))
    )
    return TreeNode("reader", reader.pod, state, GOOD if reader.state == "Ready" else WARN)


def _remote_readers(readers: Iterable[ReaderStatus]) -> list[TreeNode]:
    """Group the readers on nodes without the cache by node."""
    by_node: dict[str, list[ReaderStatus]] = {}
    for reader in readers:
        by_node.setdefault(reader.node, []).append(reader)
    branches = []
    for name, readers_on_node in sorted(by_node.items()):
        state = "holds nothing of it" if name else ""
        branch = TreeNode("node" if name else "without a node", name, state, WARN)
        branch.children = [_reader_node(reader) for reader in readers_on_node]
        branches.append(branch)
    return branches


def cache_trees(caches: Sequence[CacheDetails]) -> list[TreeNode]:
    """Return one tree for each cache."""
    several = len({cache.namespace for cache in caches}) > 1
    return [cache_tree(cache, namespace=several) for cache in caches]
