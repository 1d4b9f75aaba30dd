"""The steps of an update as text and as a document. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.inventory.succession import commit_of
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Command
from kubectl_fluidmodel.output.table import Cell, Column, format_table_with_details
from kubectl_fluidmodel.update.plan import DONE, TO_DO, StagingFacts, Step
from kubectl_fluidmodel.update.state import UpdateState

_INDENT = "  "
_PIPE_WIDTH = 80
"""Line width of details if the output is not a terminal."""
_STYLES = {DONE: "good", TO_DO: "warn"}


def headline(state: UpdateState, repo: str, revision: str) -> str:
    """Return what is updated from where to where, in one line."""
    before = [old.commit for old in state.old] or [commit_of(state.template)]
    previous = ", ".join(dict.fromkeys(commit[:12] for commit in before if commit != state.commit))
    commits = f"{previous} → {state.commit[:12]}" if previous else state.commit[:12]
    old_names = ", ".join(old.name for old in state.old) or state.template.name
    revision_note = f" ({revision})" if revision != state.commit else ""
    return escape_control(f"{old_names}: hf://{repo}{revision_note}, {commits}")


def steps_text(steps: Sequence[Step], *, width: int | None = None, color: bool = False) -> str:
    """Format the steps as a table; below each, what it does.

    Args:
        steps: All of them, in order.
        width: Maximum line width; None for the default.
        color: Whether the text may have colors.
    """
    rows = [
        [Cell(step.name, "bold"), Cell(step.state, _STYLES.get(step.state, "dim"))]
        for step in steps
    ]
    details = [
        [line for detail in step.details for line in _detail_lines(detail, width)] for step in steps
    ]
    columns = Column("STEP"), Column("STATE")
    return format_table_with_details(columns, rows, details, width=width, color=color)


def _detail_lines(detail: str, width: int | None) -> list[str]:
    if isinstance(detail, Command):  # to be pasted
        return [f"{_INDENT}{escape_control(detail)}"]
    return textwrap.wrap(
        escape_control(detail),
        width or _PIPE_WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT * 2,
        break_on_hyphens=False,
        break_long_words=False,
    )


def update_document(
    state: UpdateState,
    staging: StagingFacts,
    revision: str,
    steps: Sequence[Step],
    moved: Sequence[str] = (),
    removed: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the document of `-o json|yaml`; see `docs/output.md`.

    Args:
        state: How far the update is.
        staging: What is staged.
        revision: That was asked for.
        steps: All of them, in order.
        moved: The graphs that this run moved.
        removed: The caches that this run removed.
    """
    status = staging.status
    return {
        "apiVersion": API_VERSION,
        "kind": "Update",
        "metadata": {"name": state.name, "namespace": state.namespace},
        "source": f"hf://{staging.files.repo}",
        "revision": revision,
        "commit": state.commit,
        "done": state.is_done,
        "replaces": [
            {
                "name": old.name,
                "commit": old.commit,
                "graphs": [
                    {
                        "name": graph.reference,
                        "workers": graph.workers,
                        "obstacle": graph.obstacle or None,
                        "solution": graph.solution or None,
                    }
                    for graph in old.graphs
                ],
                "rolling": list(old.rolling),
                "otherReaders": list(old.other_readers),
            }
            for old in state.old
        ],
        "staging": {
            "to": staging.layout.uri,
            "files": len(staging.files.files),
            "bytes": staging.files.bytes,
            "bytesThere": status.bytes + status.resumable_bytes,
            "bytesToCopy": status.copied_bytes,
            "bytesLeft": status.remaining_bytes,
        },
        "steps": [
            {"name": step.name, "state": step.state, "details": list(step.details)}
            for step in steps
        ],
        "moved": list(moved),
        "removed": list(removed),
    }
