"""Many caches as a table, kubectl's way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kubectl_fluidmodel.inspect.details import CacheDetails
from kubectl_fluidmodel.inventory.runtimes import RuntimeComponent
from kubectl_fluidmodel.output.table import Cell, Column, format_table
from kubectl_fluidmodel.output.units import format_bytes, format_duration

UNKNOWN, NONE = "<unknown>", "<none>"

_NAMESPACE = Column("NAMESPACE", min_width=9, essential=True)
_COLUMNS = (
    Column("NAME", min_width=16, essential=True),
    Column("MODEL", min_width=14, kept_part="ends", drop_priority=2),
    Column("SIZE", drop_priority=6),
    Column("CACHED"),
    Column("MEDIUM", drop_priority=4),
    Column("NODES", min_width=8, drop_priority=7),
    Column("PHASE"),
    Column("READERS", drop_priority=5),
    Column("AGE", drop_priority=3),
)
_WIDE_COLUMNS = (
    Column("RUNTIME"),
    Column("WORKERS"),
    Column("HIT RATIO"),
    Column("DATALOAD"),
    Column("STAGED BY"),
    Column("QUOTA"),
    Column("WARNINGS"),
)

SORT_KEYS: dict[str, Callable[[CacheDetails], Any]] = {
    "name": lambda one: (one.name, one.namespace),
    "namespace": lambda one: (one.namespace, one.name),
    "size": lambda one: one.usage.source_bytes or -1,
    "cached": lambda one: -1.0 if one.usage.percent is None else one.usage.percent,
    "nodes": lambda one: len(one.nodes or ()),
    "phase": lambda one: one.phase,
    "readers": lambda one: len(one.readers or ()),
    "age": lambda one: one.age or 0.0,
}
"""The values of `--sort-by`; smallest first."""


def render_table(
    caches: Sequence[CacheDetails],
    *,
    namespaces: bool = False,
    wide: bool = False,
    width: int | None = None,
    color: bool = False,
    header: bool = True,
    left_out: list[str] | None = None,
) -> str:
    """The table; fitted to `width` where one is given, unless all columns were asked for."""
    return format_table(
        table_columns(namespaces, wide),
        [table_row(one, namespaces, wide) for one in caches],
        width=None if wide else width,
        color=color,
        header=header,
        dropped_columns=left_out,
    )


def table_columns(namespaces: bool, wide: bool) -> list[Column]:
    """The columns; the wide ones are for a wide terminal or a pipe, and nothing of them is cut."""
    found = [*([_NAMESPACE] if namespaces else []), *_COLUMNS]
    return [*found, *_WIDE_COLUMNS] if wide else found


def table_row(details: CacheDetails, namespaces: bool = False, wide: bool = False) -> list[Cell]:
    """The cells of one cache."""
    cells = [
        Cell(details.name),
        Cell(details.model or NONE),
        Cell(format_source_size(details)),
        cached_cell(details),
        Cell(details.medium or NONE),
        nodes_cell(details),
        Cell(details.phase, phase_style(details.phase)),
        readers_cell(details),
        Cell(UNKNOWN if details.age is None else format_duration(details.age)),
    ]
    if wide:
        cells += _wide_cells(details)
    return [Cell(details.namespace), *cells] if namespaces else cells


def format_source_size(details: CacheDetails) -> str:
    if details.usage.source_bytes is None:
        return "counting" if details.usage.is_calculating else UNKNOWN
    return format_bytes(details.usage.source_bytes)


def format_percent(value: float) -> str:
    """`100%`, `99.9%`, `0%`: a number with a fraction keeps its decimal."""
    return f"{value:.0f}%" if value == int(value) else f"{value:.1f}%"


def cached_cell(details: CacheDetails) -> Cell:
    """The cached percentage and bytes, with the copies where several are wanted."""
    held, share = details.usage.cached_bytes, details.usage.percent
    if held is None:
        return Cell(UNKNOWN if details.phase not in ("New", "NotBound", "No Dataset") else NONE)
    if share is None:
        return Cell(f"{format_bytes(held)} of ?")
    text = format_percent(share) + (f" x{details.usage.copies}" if details.usage.copies > 1 else "")
    return Cell(
        f"{text} {format_bytes(held)}", "good" if details.usage.is_complete else "warn", text
    )


def nodes_cell(details: CacheDetails) -> Cell:
    if details.nodes is None:
        return Cell(UNKNOWN)
    names = [node.name for node in details.nodes]
    if not names:
        return Cell(NONE)
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    text = ",".join(names) if len(names) <= 3 else f"{','.join(names[:2])} +{len(names) - 2}"
    return Cell(text, "", names[0] + more)


def phase_style(phase: str) -> str:
    if phase == "Bound":
        return "good"
    return "bad" if phase in ("Failed", "No Dataset") else "warn"


def readers_cell(details: CacheDetails) -> Cell:
    """Readers on the cache's nodes of all readers."""
    if details.readers is None:
        return Cell(UNKNOWN)
    style = (
        ""
        if not details.readers
        else "good"
        if details.local_readers == len(details.readers)
        else "warn"
    )
    return Cell(f"{details.local_readers}/{len(details.readers)}", style)


def _wide_cells(details: CacheDetails) -> list[Cell]:
    worker = next((part for part in details.components if part.name == "worker"), None)
    load = details.loads[0].phase if details.loads else ""
    staged = details.staging
    by = f"job/{staged.job}" if staged and staged.job else "the Hub" if staged else ""
    codes = sorted({warned.code for warned in details.warnings or ()})
    return [
        Cell(details.runtime or NONE),
        ready_cell(worker),
        Cell(details.hit_ratio or UNKNOWN),
        Cell(load or NONE, {"Complete": "good", "Failed": "bad"}.get(load, "")),
        Cell(by or NONE),
        Cell(format_bytes(details.quota) if details.quota is not None else UNKNOWN),
        Cell(
            ",".join(codes) or (UNKNOWN if details.warnings is None else NONE), "warn" * bool(codes)
        ),
    ]


def ready_cell(component: RuntimeComponent | None) -> Cell:
    """Ready of desired."""
    if component is None or component.ready is None or component.desired is None:
        return Cell(UNKNOWN)
    return Cell(
        f"{component.ready}/{component.desired}", "good" if component.is_healthy else "warn"
    )
