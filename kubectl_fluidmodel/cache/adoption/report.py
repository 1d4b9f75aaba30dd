"""The output of an adoption: a table of 80 columns, or a document. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.cache.adoption.comparison import Difference
from kubectl_fluidmodel.cache.adoption.workflow import Adoption, adopt_command
from kubectl_fluidmodel.cache.summary import proof_document, proof_text
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Command, Operand, kubectl
from kubectl_fluidmodel.output.table import Cell, Column, apply_style, format_table_with_details
from kubectl_fluidmodel.output.units import pluralize

WIDTH = 80
_INDENT = "  "
_COLUMNS = (
    Column("SETTING", min_width=16),
    Column("CURRENT", min_width=20),
    Column("CACHE WOULD WRITE", min_width=20),
)


def differences_text(adoption: Adoption, *, color: bool = False) -> str:
    """Return what differs from a cache of this plugin, each with its reason and consequence."""
    cache, differences = adoption.cache, adoption.differences
    head = f"Dataset {cache.name} was made by hand and reads {cache.source.uri}."
    if not differences:
        return _wrap(f"{head} It is the same as `cache` would create.")
    verb = "differs" if len(differences) == 1 else "differ"
    head += f" {pluralize(len(differences), 'setting')} {verb} from what `cache` would write; "
    head += "adopting it changes none of them."
    return f"{_wrap(head)}\n{_table(differences, color)}"


def _table(differences: Sequence[Difference], color: bool) -> str:
    rows = [
        [
            Cell(difference.setting, "warn" if difference.consequence else ""),
            Cell(difference.current),
            Cell(difference.ours),
        ]
        for difference in differences
    ]
    explanations = [_explanation(difference, color) for difference in differences]
    return format_table_with_details(_COLUMNS, rows, explanations, width=WIDTH, color=color)


def _explanation(difference: Difference, color: bool) -> list[str]:
    follows = difference.consequence or "no effect"
    text = escape_control(f"{difference.reason}: {follows}.")
    text = text[:1].upper() + text[1:]
    lines = textwrap.wrap(text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return [apply_style(line, "dim", color) for line in lines]


def _wrap(text: str) -> str:
    return textwrap.fill(escape_control(text), WIDTH, break_on_hyphens=False) + "\n"


def summary_text(adoption: Adoption) -> str:
    """Return the result, and the next commands."""
    cache, verification = adoption.cache, adoption.verification
    location = f", on {', '.join(adoption.nodes)}" if adoption.nodes else ""
    if verification is None:
        head = f"{cache.name} is adopted; nothing was compared with its source"
    else:
        head = f"{cache.name} is adopted: {proof_text(verification)}{location}"
    lines = [head, f"next: {_plugin(adoption, 'pin', Operand(cache.name), 'GRAPH')}"]
    lines.append(f"to release it: {_release(adoption)}")
    return "".join(f"{line}\n" for line in lines)


def dry_run_text(adoption: Adoption) -> str:
    """Return what remains to be done after a dry run."""
    if adoption.cache.is_adopted:
        return "It is already adopted.\n"
    return f"to adopt it: {adopt_command(adoption.cache)}\n"


def _release(adoption: Adoption) -> Command:
    return _plugin(adoption, "uncache", Operand(adoption.cache.name), "--release")


def _plugin(adoption: Adoption, *arguments: str | Operand) -> Command:
    namespace = adoption.cache.namespace
    return kubectl("fluidmodel", *arguments, namespace="" if namespace == "default" else namespace)


def adoption_document(adoption: Adoption, *, adopted: bool) -> dict[str, Any]:
    """Return the document of `-o json|yaml`; see `docs/output.md`."""
    cache, listing = adoption.cache, adoption.listing
    return {
        "apiVersion": API_VERSION,
        "kind": "Adoption",
        "metadata": {"name": cache.name, "namespace": cache.namespace},
        "source": cache.source.uri,
        "adopted": adopted,
        "bytes": listing.bytes if listing else None,
        "files": len(listing.files) if listing else None,
        "nodes": list(adoption.nodes),
        "differences": [
            {
                "setting": difference.setting,
                "current": difference.current,
                "cache": difference.ours,
                "reason": difference.reason,
                "consequence": difference.consequence or None,
            }
            for difference in adoption.differences
        ],
        "objects": [_without_uid(obj) for obj in adoption.objects],
        "proof": proof_document(adoption.verification),
    }


def _without_uid(obj: dict[str, Any]) -> dict[str, Any]:
    """Return an object as it can be kept in git."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "uid"}
    return {**obj, "metadata": metadata}
