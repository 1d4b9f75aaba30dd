"""Leftovers as a table or a document. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Command, command, operands
from kubectl_fluidmodel.output.table import Cell, Column, apply_style, format_table_with_details
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize
from kubectl_fluidmodel.prune.leftover import BY_NAME, Leftover, document_item

_INDENT = "  "
_PIPE_WIDTH = 80
"""Line width of reasons if the output is not a terminal."""
_COMMIT = re.compile(r"([0-9a-f]{12})[0-9a-f]{28}")
_COLUMNS = (
    Column("KIND"),
    Column("NAME", min_width=24, kept_part="ends", essential=True),
    Column("SIZE", align_right=True),
    Column("AGE", align_right=True),
)


def leftovers_text(
    leftovers: Sequence[Leftover],
    *,
    width: int | None = None,
    color: bool = False,
    remove: Command | None = None,
) -> str:
    """Format the leftovers as two tables: what is removed, and what is only listed.

    Args:
        leftovers: All of them.
        width: Maximum line width; None for unlimited.
        color: Whether the text may have colors.
        remove: The command that removes them; None if they are already removed.
    """
    if not leftovers:
        return "there are no leftovers\n"
    removed = [leftover for leftover in leftovers if leftover.is_removed]
    listed = [leftover for leftover in leftovers if not leftover.is_removed]
    parts = []
    if removed:
        parts.append(_table(removed, width, color))
    if listed:
        title = "only listed:\n" if removed else ""
        parts.append(title + _table(listed, width, color))
    text = "\n".join(parts)
    if remove is None:
        return text
    commands = [f"{_total(removed)}; to remove: {remove}"] if removed else []
    commands += [f"to remove the caches, too: {leftover}" for leftover in _cache_commands(listed)]
    return text + "".join(f"\n{line}\n" for line in commands)


def _cache_commands(listed: Sequence[Leftover]) -> list[Command]:
    """Return the commands, one per namespace, that remove the unused caches."""
    by_namespace: dict[str, list[str]] = {}
    for leftover in listed:
        if leftover.kept == BY_NAME:
            namespace, _, name = leftover.name.partition("/")
            by_namespace.setdefault(namespace, []).append(name)
    return [
        command("kubectl", "fluidmodel", "prune", *operands(names), "--yes", "-n", namespace)
        for namespace, names in by_namespace.items()
    ]


def _table(leftovers: Sequence[Leftover], width: int | None, color: bool) -> str:
    """Format a row for each leftover, followed by why it is one and why it stays."""
    rows = [
        [
            Cell(leftover.kind),
            Cell(leftover.name, "bold", short=_COMMIT.sub(r"\1…", leftover.name)),
            Cell("-" if leftover.bytes is None else format_bytes(leftover.bytes)),
            Cell(format_duration(leftover.age)),
        ]
        for leftover in leftovers
    ]
    reasons = [_reason_lines(leftover, width, color) for leftover in leftovers]
    return format_table_with_details(_COLUMNS, rows, reasons, width=width, color=color)


def _reason_lines(leftover: Leftover, width: int | None, color: bool) -> list[str]:
    lines = textwrap.wrap(
        escape_control("; ".join(filter(None, (leftover.reason, leftover.kept)))),
        width or _PIPE_WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [apply_style(line, "dim", color) for line in lines]


def _total(leftovers: Sequence[Leftover]) -> str:
    total_bytes = sum(leftover.bytes or 0 for leftover in leftovers)
    return escape_control(f"{pluralize(len(leftovers), 'leftover')}, {format_bytes(total_bytes)}")


def prune_document(
    leftovers: Sequence[Leftover], *, removed: bool, notes: Sequence[str]
) -> dict[str, Any]:
    """Return the document of `-o json|yaml`; see `docs/output.md`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Prune",
        "removed": removed,
        "bytes": sum(leftover.bytes or 0 for leftover in leftovers if leftover.is_removed),
        "items": [document_item(leftover) for leftover in leftovers],
        "notes": list(notes),
    }
