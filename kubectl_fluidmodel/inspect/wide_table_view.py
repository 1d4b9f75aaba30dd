"""The table of `-o wide`: for a wide terminal or a pipe, never truncated."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.inspect.details import CacheDetails
from kubectl_fluidmodel.inspect.doctor_warnings import describe_with_warnings
from kubectl_fluidmodel.inspect.table_view import NONE, UNKNOWN, table_columns, table_row
from kubectl_fluidmodel.inspect.view import Rendering, ViewContext
from kubectl_fluidmodel.inventory.runtimes import RuntimeComponent
from kubectl_fluidmodel.output.table import Cell, Column, format_table
from kubectl_fluidmodel.output.units import format_bytes

_WIDE_COLUMNS = (
    Column("RUNTIME"),
    Column("WORKERS"),
    Column("HIT RATIO"),
    Column("DATALOAD"),
    Column("STAGED BY"),
    Column("QUOTA"),
    Column("WARNINGS"),
)


def render(context: ViewContext) -> Rendering:
    """Format the table of the caches; empty without caches."""
    if not context.caches:
        return Rendering("")
    return Rendering(
        render_wide_table(
            describe_with_warnings(context),
            namespaces=context.options.all_namespaces,
            color=context.color,
            header=context.options.header,
        )
    )


def render_wide_table(
    caches: Sequence[CacheDetails],
    *,
    namespaces: bool = False,
    color: bool = False,
    header: bool = True,
) -> str:
    """Format the table with all columns."""
    return format_table(
        wide_columns(namespaces),
        [wide_row(cache, namespaces) for cache in caches],
        color=color,
        header=header,
    )


def wide_columns(namespaces: bool) -> list[Column]:
    return [*table_columns(namespaces), *_WIDE_COLUMNS]


def wide_row(details: CacheDetails, namespaces: bool) -> list[Cell]:
    """Return the cells of one cache."""
    return [*table_row(details, namespaces), *_wide_cells(details)]


def _wide_cells(details: CacheDetails) -> list[Cell]:
    worker = next((part for part in details.components if part.name == "worker"), None)
    load = details.loads[0].phase if details.loads else ""
    staged = details.staging
    by = f"job/{staged.job}" if staged and staged.job else "the Hub" if staged else ""
    codes = sorted({warned.code for warned in details.warnings or ()})
    return [
        Cell(details.runtime or NONE),
        _ready_cell(worker),
        Cell(details.hit_ratio or UNKNOWN),
        Cell(load or NONE, {"Complete": "good", "Failed": "bad"}.get(load, "")),
        Cell(by or NONE),
        Cell(format_bytes(details.quota) if details.quota is not None else UNKNOWN),
        Cell(
            ",".join(codes) or (UNKNOWN if details.warnings is None else NONE), "warn" * bool(codes)
        ),
    ]


def _ready_cell(component: RuntimeComponent | None) -> Cell:
    """Format ready of desired."""
    if component is None or component.ready is None or component.desired is None:
        return Cell(UNKNOWN)
    return Cell(
        f"{component.ready}/{component.desired}", "good" if component.is_healthy else "warn"
    )
