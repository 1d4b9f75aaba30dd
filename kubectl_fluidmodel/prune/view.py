"""Leftovers as a table or a document. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Command, command, operands
from kubectl_fluidmodel.output.table import Cell, Column, apply_style, format_table
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
    found: Sequence[Leftover],
    *,
    width: int | None = None,
    color: bool = False,
    remove: Command | None = None,
) -> str:
    """Format the leftovers as two tables: what is removed, and what is only listed.

    Args:
        found: All leftovers.
        width: Maximum line width; None for unlimited.
        color: Whether the text may have colors.
        remove: The command that removes them; None if they are already removed.
    """
    if not found:
        return "there are no leftovers\n"
    removed = [each for each in found if each.is_removed]
    kept = [each for each in found if not each.is_removed]
    parts = []
    if removed:
        parts.append(_table(removed, width, color))
    if kept:
        title = "only listed:\n" if removed else ""
        parts.append(title + _table(kept, width, color))
    text = "\n".join(parts)
    if remove is None:
        return text
    commands = [f"{_total(removed)}; to remove: {remove}"] if removed else []
    commands += [f"to remove the caches, too: {each}" for each in _cache_commands(kept)]
    return text + "".join(f"\n{line}\n" for line in commands)


def _cache_commands(kept: Sequence[Leftover]) -> list[Command]:
    """Return the commands, one per namespace, that remove the unused caches."""
    by_namespace: dict[str, list[str]] = {}
    for each in kept:
        if each.kept == BY_NAME:
            namespace, _, name = each.name.partition("/")
            by_namespace.setdefault(namespace, []).append(name)
    return [
        command("kubectl", "fluidmodel", "prune", *operands(names), "--yes", "-n", namespace)
        for namespace, names in by_namespace.items()
    ]


def _table(found: Sequence[Leftover], width: int | None, color: bool) -> str:
    """Format a line for each, followed by why it is a leftover and why it stays."""
    rows = [
        [
            Cell(each.kind),
            Cell(each.name, "bold", short=_COMMIT.sub(r"\1…", each.name)),
            Cell("-" if each.bytes is None else format_bytes(each.bytes)),
            Cell(format_duration(each.age)),
        ]
        for each in found
    ]
    titles, *lines = format_table(_COLUMNS, rows, width=width, color=color).splitlines()
    shown = [titles]
    for line, each in zip(lines, found, strict=True):
        reasons = escape_control("; ".join(filter(None, (each.reason, each.kept))))
        below = textwrap.wrap(
            reasons,
            width or _PIPE_WIDTH,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
            break_long_words=False,
        )
        shown += [line, *(apply_style(each_line, "dim", color) for each_line in below)]
    return "".join(f"{line}\n" for line in shown)


def _total(found: Sequence[Leftover]) -> str:
    stored = sum(each.bytes or 0 for each in found)
    return escape_control(f"{pluralize(len(found), 'leftover')}, {format_bytes(stored)}")


def prune_document(
    found: Sequence[Leftover], *, removed: bool, notes: Sequence[str]
) -> dict[str, Any]:
    """Return the document of `-o json|yaml`; see `docs/output.md`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Prune",
        "removed": removed,
        "bytes": sum(each.bytes or 0 for each in found if each.is_removed),
        "items": [document_item(each) for each in found],
        "notes": list(notes),
    }
