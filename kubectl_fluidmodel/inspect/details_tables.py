"""The tables on the page of one cache: its runtime's parts, nodes, files and readers."""

from __future__ import annotations

from kubectl_fluidmodel.inspect.details import CacheDetails
from kubectl_fluidmodel.inspect.details_page import DetailsPage
from kubectl_fluidmodel.inspect.table_view import NONE, UNKNOWN, format_percent
from kubectl_fluidmodel.inventory.page_cache import WELL_PREHEATED, PageCache
from kubectl_fluidmodel.inventory.readers import mount_paths
from kubectl_fluidmodel.output.table import Cell, Column
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize

_MAX_FILES = 12
"""Maximum number of files to show; the rest is counted."""
_HIGH_CONCURRENCY = "many at once (--high-concurrency): JNR-FUSE, no page cache"


def runtime_section(page: DetailsPage, details: CacheDetails) -> str:
    if not details.runtime:
        return page.format_text("no runtime of this name: nothing holds the cache", "bad")
    rows = []
    for part in details.components:
        is_counted = part.ready is not None and part.desired is not None
        ready = f"{part.ready}/{part.desired}" if is_counted else UNKNOWN
        mark, style = _health_mark(part.is_healthy)
        text = f"Fluid says {part.phase}" if part.phase else ""
        if part.name == "fuse" and part.phase:
            text += ", as it always does"
        if part.reason and not part.is_healthy:
            text += f": {part.reason}"
        rows.append(
            [
                Cell(f"{mark} {part.name}", style),
                Cell(ready, style),
                Cell(part.object or NONE),
                Cell(text, "dim"),
            ]
        )
    body = page.format_facts(
        [
            ("kind", ", ".join(details.runtime_kinds), ""),
            ("note", details.runtime_note, "dim"),
            ("reads", _HIGH_CONCURRENCY if details.high_concurrency else "", ""),
        ]
    )
    if len(details.runtime_kinds) > 1:
        body += page.format_text("two runtimes with this name: Fluid accepts neither", "bad")
    heads = (Column("PART"), Column("READY"), Column("OF", min_width=10), Column("", min_width=12))
    return body + (page.format_table(heads, rows) if rows else "")


def _health_mark(is_healthy: bool | None) -> tuple[str, str]:
    return ("·", "dim") if is_healthy is None else ("✓", "good") if is_healthy else ("✗", "bad")


def nodes_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.nodes is None:
        return page.format_text(f"{UNKNOWN}: neither pods nor nodes could be read", "dim")
    if not details.nodes:
        return page.format_text("no node holds it", "warn")
    measured = any(node.page_cache for node in details.nodes)
    heads = (
        Column("NODE", min_width=10),
        Column("USED"),
        Column("OF"),
        Column("MEDIUM", min_width=6, kept_part="tail"),
        Column("HOLDS"),
        *([Column("PAGE CACHE", min_width=10, drop_priority=1)] if measured else []),
        Column("READERS"),
        Column("", min_width=12),
    )
    descriptions = {
        True: ("the whole model", "good"),
        False: ("a part", "warn"),
        None: (UNKNOWN, "dim"),
    }
    rows = []
    for node in details.nodes:
        holding, style = descriptions[node.is_complete]
        mark, shade = _health_mark(None if node.ready is None else node.ready and not node.problem)
        rows.append(
            [
                Cell(f"{mark} {node.name}", shade),
                Cell(UNKNOWN if node.used_bytes is None else format_bytes(node.used_bytes)),
                Cell(UNKNOWN if node.capacity_bytes is None else format_bytes(node.capacity_bytes)),
                Cell(" ".join(filter(None, (node.medium, node.path))) or NONE, "", node.medium),
                Cell(holding, style),
                *([_page_cache_cell(node.page_cache)] if measured else []),
                Cell(str(node.readers) if details.readers is not None else UNKNOWN),
                Cell(node.problem, "warn"),
            ]
        )
    return page.format_table(heads, rows)


def _page_cache_cell(measured: PageCache | None) -> Cell:
    """How much of the model was in the page cache of a node, and when."""
    if measured is None:
        return Cell(NONE)
    if measured.is_lost:
        return Cell("lost", "warn")
    share = "read" if measured.percent is None else f"{measured.percent}%"
    when = f" {format_duration(measured.age)} ago" if measured.age is not None else ""
    is_low = measured.percent is not None and measured.percent < WELL_PREHEATED
    return Cell(share + when, "warn" if is_low else "good", share)


def files_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.files is None:
        return page.format_text(details.files_reason, "dim") if details.files_reason else ""
    if not details.files:
        return page.format_text("the master lists no file", "warn")
    incomplete = [file for file in details.files if file.percent < 100 and file.bytes]
    shown = [*incomplete, *(file for file in details.files if file not in incomplete)][:_MAX_FILES]
    shown.sort(key=lambda file: (-file.bytes, file.path))
    rows = []
    for file in shown:
        mark, style = _health_mark(file.percent >= 100 or not file.bytes)
        rows.append(
            [
                Cell(f"{mark} {file.path}", style),
                Cell(format_bytes(file.bytes)),
                Cell(format_percent(float(file.percent)), style),
            ]
        )
    heads = (
        Column("FILE", min_width=16, kept_part="ends"),
        Column("SIZE", align_right=True),
        Column("CACHED"),
    )
    body = page.format_table(heads, rows)
    hidden = len(details.files) - len(shown)
    hidden_incomplete = len(incomplete) - sum(file in incomplete for file in shown)
    if hidden:
        state = (
            f", {hidden_incomplete} of them incomplete" if hidden_incomplete else ", all complete"
        )
        body += page.format_text(f"and {pluralize(hidden, 'more file')}{state}", "dim")
    return body


def readers_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.readers is None:
        return page.format_text(f"{UNKNOWN}: pods could not be read", "dim")
    if not details.readers:
        graphs = ", ".join(details.graphs)
        text = f"none yet; {graphs} will mount it" if graphs else "none"
        return page.format_text(text, "dim")
    heads = (
        Column("POD", min_width=14, kept_part="ends"),
        Column("GRAPH", min_width=8, drop_priority=1),
        Column("COMPONENT", min_width=9, drop_priority=2),
        Column("NODE", min_width=8),
        Column("STATE"),
        Column("LOCAL"),
        Column("PATH", min_width=8, kept_part="tail"),
    )
    rows = []
    locality = {True: ("yes", "good"), False: ("no", "warn"), None: (UNKNOWN, "dim")}
    for reader in details.readers:
        rows.append(
            [
                Cell(reader.pod),
                Cell(reader.graph or NONE),
                Cell(reader.component or NONE),
                Cell(reader.node or NONE),
                Cell(reader.state, "good" if reader.state == "Ready" else "warn"),
                Cell(*locality[reader.is_local]),
                Cell(",".join(mount_paths(reader)) or NONE),
            ]
        )
    problems = [(f"! {reader.problem}", "warn") for reader in details.readers if reader.problem]
    return page.format_table(heads, rows) + page.format_lines(problems[:5])
