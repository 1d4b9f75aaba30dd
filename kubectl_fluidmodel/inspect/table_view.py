"""Many caches as a table, kubectl's way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kubectl_fluidmodel.inspect.details import Inspection
from kubectl_fluidmodel.inventory.runtimes import Part
from kubectl_fluidmodel.output.table import Cell, Column, table
from kubectl_fluidmodel.output.text import duration, size

UNKNOWN, NONE = "<unknown>", "<none>"

_NAMESPACE = Column("NAMESPACE", least=9, vital=True)
_COLUMNS = (
    Column("NAME", least=16, vital=True),
    Column("MODEL", least=14, keep="ends", expendable=2),
    Column("SIZE", expendable=6),
    Column("CACHED"),
    Column("MEDIUM", expendable=4),
    Column("NODES", least=8, expendable=7),
    Column("PHASE"),
    Column("READERS", expendable=5),
    Column("AGE", expendable=3),
)
_WIDE = (
    Column("RUNTIME"),
    Column("WORKERS"),
    Column("HIT RATIO"),
    Column("DATALOAD"),
    Column("STAGED BY"),
    Column("QUOTA"),
    Column("WARNINGS"),
)

SORTS: dict[str, Callable[[Inspection], Any]] = {
    "name": lambda one: (one.name, one.namespace),
    "namespace": lambda one: (one.namespace, one.name),
    "size": lambda one: one.amount.total or -1,
    "cached": lambda one: -1.0 if one.amount.percent is None else one.amount.percent,
    "nodes": lambda one: len(one.nodes or ()),
    "phase": lambda one: one.phase,
    "readers": lambda one: len(one.readers or ()),
    "age": lambda one: one.age or 0.0,
}
"""What `--sort-by` takes; smallest first."""


def draw(
    caches: Sequence[Inspection],
    *,
    namespaces: bool = False,
    wide: bool = False,
    width: int | None = None,
    color: bool = False,
    header: bool = True,
    left_out: list[str] | None = None,
) -> str:
    """The table; fitted to `width` where one is given, unless all columns were asked for."""
    return table(
        columns(namespaces, wide),
        [row(one, namespaces, wide) for one in caches],
        width=None if wide else width,
        color=color,
        header=header,
        left_out=left_out,
    )


def columns(namespaces: bool, wide: bool) -> list[Column]:
    """The columns; the wide ones are for a wide terminal or a pipe, and nothing of them is cut."""
    found = [*([_NAMESPACE] if namespaces else []), *_COLUMNS]
    return [*found, *_WIDE] if wide else found


def row(one: Inspection, namespaces: bool = False, wide: bool = False) -> list[Cell]:
    """The cells of one cache."""
    cells = [
        Cell(one.name),
        Cell(one.model or NONE),
        Cell(total(one)),
        cached(one),
        Cell(one.medium or NONE),
        where(one),
        Cell(one.phase, phase_style(one.phase)),
        reading(one),
        Cell(UNKNOWN if one.age is None else duration(one.age)),
    ]
    if wide:
        cells += _wide(one)
    return [Cell(one.namespace), *cells] if namespaces else cells


def total(one: Inspection) -> str:
    if one.amount.total is None:
        return "counting" if one.amount.calculating else UNKNOWN
    return size(one.amount.total)


def percent(value: float) -> str:
    """`100%`, `99.9%`, `0%`: what is no whole number keeps its decimal."""
    return f"{value:.0f}%" if value == int(value) else f"{value:.1f}%"


def cached(one: Inspection) -> Cell:
    """Share and bytes; copies where there shall be several; never a share that nobody knows."""
    held, share = one.amount.cached, one.amount.percent
    if held is None:
        return Cell(UNKNOWN if one.phase not in ("New", "NotBound", "No Dataset") else NONE)
    if share is None:
        return Cell(f"{size(held)} of ?")
    text = percent(share) + (f" x{one.amount.copies}" if one.amount.copies > 1 else "")
    return Cell(f"{text} {size(held)}", "good" if one.amount.whole else "warn", text)


def where(one: Inspection) -> Cell:
    if one.nodes is None:
        return Cell(UNKNOWN)
    names = [node.name for node in one.nodes]
    if not names:
        return Cell(NONE)
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    text = ",".join(names) if len(names) <= 3 else f"{','.join(names[:2])} +{len(names) - 2}"
    return Cell(text, "", names[0] + more)


def phase_style(phase: str) -> str:
    if phase == "Bound":
        return "good"
    return "bad" if phase in ("Failed", "No Dataset") else "warn"


def reading(one: Inspection) -> Cell:
    """Readers on the cache's nodes of all readers."""
    if one.readers is None:
        return Cell(UNKNOWN)
    style = "" if not one.readers else "good" if one.near == len(one.readers) else "warn"
    return Cell(f"{one.near}/{len(one.readers)}", style)


def _wide(one: Inspection) -> list[Cell]:
    worker = next((part for part in one.parts if part.name == "worker"), None)
    load = one.loads[0].phase if one.loads else ""
    staged = one.staging
    by = f"job/{staged.job}" if staged and staged.job else "the Hub" if staged else ""
    codes = sorted({warned.code for warned in one.warnings or ()})
    return [
        Cell(one.runtime or NONE),
        count(worker),
        Cell(one.hit or UNKNOWN),
        Cell(load or NONE, {"Complete": "good", "Failed": "bad"}.get(load, "")),
        Cell(by or NONE),
        Cell(size(one.quota) if one.quota is not None else UNKNOWN),
        Cell(",".join(codes) or (UNKNOWN if one.warnings is None else NONE), "warn" * bool(codes)),
    ]


def count(part: Part | None) -> Cell:
    """Ready of desired."""
    if part is None or part.ready is None or part.desired is None:
        return Cell(UNKNOWN)
    return Cell(f"{part.ready}/{part.desired}", "good" if part.well else "warn")
