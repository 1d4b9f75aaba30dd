"""A YAML document as a tree of nodes with their positions in the text.

Built from libyaml's events, whose marks count characters; PyYAML's own composer drops the position
of an alias. Measured: 3,000 lines in 20 ms; a round-trip loader takes 300 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

import yaml

from kubectl_fluidmodel.output import goyaml
from kubectl_fluidmodel.records import dataclass


@dataclass
class Node:
    """A node; `start` and `end` are offsets, `column` is its start in its line."""

    kind: str
    """map, seq, scalar or alias."""
    start: int
    end: int
    column: int
    style: str = ""
    """For a scalar, its quote or block indicator; `flow` for a collection in brackets."""
    value: str = ""
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)
    target: Node | None = None
    """The node to which an alias refers."""
    anchor: str = ""
    """The name by which aliases refer to it."""

    @property
    def is_anchored(self) -> bool:
        return bool(self.anchor)

    @property
    def is_flow(self) -> bool:
        return self.style == "flow"

    def find_pair(self, key: str) -> tuple[Node, Node] | None:
        """Return the last pair with a key, which takes precedence."""
        for pair in reversed(self.pairs):
            if pair[0].kind == "scalar" and pair[0].value == key:
                return pair
        return None


def parse_nodes(text: str) -> Node | None:
    """Return the root of the only document in a text; None if it is empty.

    Raises:
        yaml.YAMLError: the text is not YAML.
        goyaml.YamlLimitError: it exceeds the limits on size, depth or aliases.
    """
    goyaml.check_limits(text)
    anchors: dict[str, Node] = {}
    events: Iterator[Any] = iter(yaml.parse(text, Loader=goyaml.FastSafeLoader))
    root: Node | None = None
    for event in events:
        if isinstance(event, yaml.NodeEvent) and root is None:
            root = _build_node(event, events, anchors)
    return root


def _build_node(event: Any, events: Iterator[Any], anchors: dict[str, Node]) -> Node:
    start, event_type = event.start_mark, type(event)
    if event_type is yaml.AliasEvent:
        return Node(
            "alias",
            start.index,
            event.end_mark.index,
            start.column,
            target=anchors.get(event.anchor),
        )
    if event_type is yaml.ScalarEvent:
        node = Node("scalar", start.index, event.end_mark.index, start.column)
        node.style, node.value = event.style or "", event.value
    else:
        kind = "map" if event_type is yaml.MappingStartEvent else "seq"
        node = Node(kind, start.index, 0, start.column, "flow" if event.flow_style else "")
    if event.anchor:
        node.anchor = event.anchor
        anchors[event.anchor] = node
    if node.kind == "map":
        for key in _children_until(events, yaml.MappingEndEvent, node):
            pair = _build_node(key, events, anchors), _build_node(next(events), events, anchors)
            node.pairs.append(pair)
    elif node.kind == "seq":
        for item in _children_until(events, yaml.SequenceEndEvent, node):
            node.items.append(_build_node(item, events, anchors))
    return node


def _children_until(events: Iterator[Any], last: type[Any], node: Node) -> Iterator[Any]:
    for event in events:
        if type(event) is last:
            node.end = event.end_mark.index
            return
        yield event
