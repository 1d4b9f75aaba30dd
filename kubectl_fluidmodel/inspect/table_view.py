"""Several caches as a table, in kubectl's style."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.inspect.summary import CacheSummary, summarize_caches
from kubectl_fluidmodel.inspect.view import Rendering, ViewContext
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


def render(context: ViewContext) -> Rendering:
    """Format the table of the caches; empty without caches."""
    if not context.caches:
        return Rendering("")
    options, left_out = context.options, list[str]()
    text = render_table(
        summarize_caches(context),
        namespaces=options.all_namespaces,
        width=context.width,
        color=context.color,
        header=options.header,
        left_out=left_out,
    )
    return Rendering(text, left_out)


def render_table(
    caches: Sequence[CacheSummary],
    *,
    namespaces: bool = False,
    width: int | None = None,
    color: bool = False,
    header: bool = True,
    left_out: list[str] | None = None,
) -> str:
    """Format the table; fitted to `width` if given."""
    return format_table(
        table_columns(namespaces),
        [table_row(cache, namespaces) for cache in caches],
        width=width,
        color=color,
        header=header,
        dropped_columns=left_out,
    )


def table_columns(namespaces: bool) -> list[Column]:
    return [_NAMESPACE, *_COLUMNS] if namespaces else [*_COLUMNS]


def table_row(cache: CacheSummary, namespaces: bool) -> list[Cell]:
    """Return the cells of one cache."""
    cells = [
        Cell(cache.name),
        Cell(cache.model or NONE),
        Cell(format_source_size(cache)),
        cached_cell(cache),
        Cell(cache.medium or NONE),
        nodes_cell(cache),
        Cell(cache.phase, phase_style(cache.phase)),
        readers_cell(cache),
        Cell(UNKNOWN if cache.age is None else format_duration(cache.age)),
    ]
    return [Cell(cache.namespace), *cells] if namespaces else cells


def format_source_size(cache: CacheSummary) -> str:
    if cache.usage.source_bytes is None:
        return "counting" if cache.usage.is_calculating else UNKNOWN
    return format_bytes(cache.usage.source_bytes)


def format_percent(value: float) -> str:
    """Format `100%`, `99.9%`, `0%`: only fractions have a decimal."""
    return f"{value:.0f}%" if value == int(value) else f"{value:.1f}%"


def cached_cell(cache: CacheSummary) -> Cell:
    """Format the cached percentage and bytes, and the copies if there are several."""
    cached, share = cache.usage.cached_bytes, cache.usage.percent
    if cached is None:
        return Cell(UNKNOWN if cache.phase not in ("New", "NotBound", "No Dataset") else NONE)
    if share is None:
        return Cell(f"{format_bytes(cached)} of ?")
    text = format_percent(share) + (f" x{cache.usage.copies}" if cache.usage.copies > 1 else "")
    return Cell(
        f"{text} {format_bytes(cached)}", "good" if cache.usage.is_complete else "warn", text
    )


def nodes_cell(cache: CacheSummary) -> Cell:
    if cache.nodes is None:
        return Cell(UNKNOWN)
    names = [node.name for node in cache.nodes]
    if not names:
        return Cell(NONE)
    rest = f" +{len(names) - 1}" if len(names) > 1 else ""
    text = ",".join(names) if len(names) <= 3 else f"{','.join(names[:2])} +{len(names) - 2}"
    return Cell(text, "", names[0] + rest)


def phase_style(phase: str) -> str:
    if phase == "Bound":
        return "good"
    return "bad" if phase in ("Failed", "No Dataset") else "warn"


def readers_cell(cache: CacheSummary) -> Cell:
    """Format the number of readers on the cache's nodes, out of all readers."""
    if cache.readers is None:
        return Cell(UNKNOWN)
    style = (
        "" if not cache.readers else "good" if cache.local_readers == len(cache.readers) else "warn"
    )
    return Cell(f"{cache.local_readers}/{len(cache.readers)}", style)
