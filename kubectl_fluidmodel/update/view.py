"""The steps of an update as text and as a document. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.inventory.succession import commit_of
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Command
from kubectl_fluidmodel.output.table import Cell, Column, format_table
from kubectl_fluidmodel.update.plan import DONE, TO_DO, StagingFacts, Step
from kubectl_fluidmodel.update.state import UpdateState

_INDENT = "  "
_PIPE_WIDTH = 80
"""Line width of details if the output is not a terminal."""
_STYLES = {DONE: "good", TO_DO: "warn"}


def headline(state: UpdateState, repo: str, revision: str) -> str:
    """Return what is updated from where to where, in one line."""
    before = [each.commit for each in state.old] or [commit_of(state.template)]
    known = ", ".join(dict.fromkeys(commit[:12] for commit in before if commit != state.commit))
    moved = f"{known} → {state.commit[:12]}" if known else state.commit[:12]
    named = ", ".join(each.name for each in state.old) or state.template.name
    asked = f" ({revision})" if revision != state.commit else ""
    return escape_control(f"{named}: hf://{repo}{asked}, {moved}")


def steps_text(steps: Sequence[Step], *, width: int | None = None, color: bool = False) -> str:
    """Format the steps as a table; below each, what it does.

    Args:
        steps: All of them, in order.
        width: Maximum line width; None for the default.
        color: Whether the text may have colors.
    """
    rows = [
        [Cell(each.name, "bold"), Cell(each.state, _STYLES.get(each.state, "dim"))]
        for each in steps
    ]
    titles, *lines = format_table(
        (Column("STEP"), Column("STATE")), rows, width=width, color=color
    ).splitlines()
    shown = [titles]
    for line, step in zip(lines, steps, strict=True):
        shown.append(line)
        for detail in step.details:
            if isinstance(detail, Command):  # to be pasted
                shown.append(f"{_INDENT}{escape_control(detail)}")
                continue
            wrapped = textwrap.wrap(
                escape_control(detail),
                width or _PIPE_WIDTH,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT * 2,
                break_on_hyphens=False,
                break_long_words=False,
            )
            shown += wrapped
    return "".join(f"{line}\n" for line in shown)


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
                "name": each.name,
                "commit": each.commit,
                "graphs": [
                    {
                        "name": graph.reference,
                        "workers": graph.workers,
                        "obstacle": graph.obstacle or None,
                        "solution": graph.solution or None,
                    }
                    for graph in each.graphs
                ],
                "rolling": list(each.rolling),
                "otherReaders": list(each.other_readers),
            }
            for each in state.old
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
