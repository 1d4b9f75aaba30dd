"""Trees with a status mark on each line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.table import apply_style, truncate

_MARKS = {"good": "✓", "warn": "!", "bad": "✗"}


class TreeNodeLike(Protocol):
    """One line of a tree, its mark, and its children."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def children(self) -> Sequence[TreeNodeLike]: ...


def format_tree(
    roots: Sequence[TreeNodeLike], *, width: int | None = None, color: bool = False
) -> str:
    """Draw several trees, one below the other."""
    lines: list[str] = []
    for root in roots:
        _append_node(lines, root, "", "", width, color)
    return "".join(f"{line}\n" for line in lines)


def _append_node(
    lines: list[str],
    node: TreeNodeLike,
    prefix: str,
    child_prefix: str,
    width: int | None,
    color: bool,
) -> None:
    mark = _MARKS.get(node.level, "·")
    kind, name, state = (
        escape_control(" ".join(text.split())) for text in (node.kind, node.name, node.state)
    )
    used = len(prefix) + 2
    if width is not None:
        kind = truncate(kind, max(width - used, 8))
        name = truncate(name, max(width - used - len(kind) - 1, 8), "ends")
        state = truncate(state, max(width - used - len(kind) - len(name) - 3, 0))
    parts = [
        apply_style(kind, "dim", color),
        apply_style(name, "bold", color),
        (" " if state else "") + apply_style(state, node.level, color),
    ]
    styled_mark = apply_style(mark, node.level, color)
    text = " ".join(part for part in parts if part)
    lines.append(f"{apply_style(prefix, 'dim', color)}{styled_mark} {text}")
    for index, child in enumerate(node.children):
        is_last = index == len(node.children) - 1
        _append_node(
            lines,
            child,
            child_prefix + ("└─ " if is_last else "├─ "),
            child_prefix + ("   " if is_last else "│  "),
            width,
            color,
        )
