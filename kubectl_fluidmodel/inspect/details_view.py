"""The view of one cache: its sections from the source to the readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubectl_fluidmodel.cache.cost_estimate import estimate_rows
from kubectl_fluidmodel.inspect.details import CacheDetails
from kubectl_fluidmodel.inspect.doctor_warnings import describe_with_warnings
from kubectl_fluidmodel.inspect.table_view import (
    NONE,
    UNKNOWN,
    cached_cell,
    format_percent,
    format_source_size,
    nodes_cell,
    phase_style,
    readers_cell,
)
from kubectl_fluidmodel.inspect.view import Rendering, ViewContext
from kubectl_fluidmodel.inventory.page_cache import WELL_PREHEATED, PageCache
from kubectl_fluidmodel.inventory.readers import mount_paths
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.output.table import Cell, Column, apply_style, format_table, truncate
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize

_MAX_FILES = 12
"""Maximum number of files to show; the rest is counted."""
_MARKS = {"good": "✓", "warn": "!", "bad": "✗", "info": "·"}
_INDENT = 2
_HIGH_CONCURRENCY = "many at once (--high-concurrency): JNR-FUSE, no page cache"

Line = tuple[str, str]
"""A text and its style."""


def render(context: ViewContext) -> Rendering:
    """The cache that was named."""
    (details,) = describe_with_warnings(context)
    return Rendering(
        render_details(
            details,
            width=context.width,
            color=context.color,
            price_per_gib=context.options.price_per_gib,
        )
    )


def render_details(
    details: CacheDetails,
    *,
    width: int | None = None,
    color: bool = False,
    price_per_gib: float | None = None,
) -> str:
    """Format all sections; fitted to `width` if given."""
    page = DetailsPage(width, color, price_per_gib)
    page.add_title(details)
    for heading, section in _SECTIONS:
        page.add_section(heading, section(page, details))
    return page.text


class DetailsPage:
    """The text of the view, and the terminal that it is for."""

    def __init__(self, width: int | None, color: bool, price_per_gib: float | None = None) -> None:
        self.width = width
        self.color = color
        self.price_per_gib = price_per_gib
        self.text = ""

    def add_title(self, details: CacheDetails) -> None:
        """Add the name, and a one-line summary."""
        share = cached_cell(details)
        parts = [
            details.phase,
            f"{share.short or share.text} of {format_source_size(details)} cached",
        ]
        if details.medium and details.nodes:
            parts.append(f"{details.medium} on {nodes_cell(details).text}")
        parts.append(f"readers {readers_cell(details).text} local")
        subtitle = escape_control(" · ".join(parts))
        subtitle = subtitle if self.width is None else truncate(subtitle, self.width)
        style = details.startup.level if details.phase == "Bound" else phase_style(details.phase)
        self.text += apply_style(escape_control(details.name), "bold", self.color) + "\n"
        self.text += apply_style(subtitle, style, self.color) + "\n"

    def add_section(self, heading: str, body: str) -> None:
        if body:
            self.text += "\n" + apply_style(heading, "bold", self.color) + "\n" + body

    def format_facts(self, rows: Sequence[tuple[str, str, str]]) -> str:
        """Format pairs of a label and a styled text; long texts are wrapped."""
        shown = [row for row in rows if row[1]]
        if not shown:
            return ""
        name_width = max(len(word) for word, _, _ in shown)
        found = ""
        for word, text, style in shown:
            lines = self.wrap(escape_control(" ".join(text.split())), name_width + 2 + _INDENT)
            for index, line in enumerate(lines):
                label = word.ljust(name_width) if index == 0 else " " * name_width
                painted = apply_style(line, style, self.color)
                found += " " * _INDENT + apply_style(label, "dim", self.color) + f"  {painted}\n"
        return found

    def format_lines(self, lines: Sequence[Line]) -> str:
        found = ""
        for text, style in lines:
            for line in self.wrap(escape_control(" ".join(text.split())), _INDENT):
                found += " " * _INDENT + apply_style(line, style, self.color) + "\n"
        return found

    def format_text(self, text: str, style: str) -> str:
        return self.format_lines([(text, style)])

    def format_command(self, command: str, style: str) -> str:
        """Format a command on one line, so that it can be pasted."""
        return " " * _INDENT + apply_style(escape_control(command), style, self.color) + "\n"

    def wrap(self, text: str, indent: int) -> list[str]:
        if self.width is None:
            return [text]
        import textwrap

        room = max(self.width - indent, 20)
        # Do not wrap commands and addresses, which users copy.
        return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]

    def format_table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
        return format_table(columns, rows, width=self.width, color=self.color, indent=_INDENT)


def _source_section(page: DetailsPage, details: CacheDetails) -> str:
    rows = [("model", details.uri or UNKNOWN, "")]
    if details.commit:
        rows.append(("commit", details.commit, ""))
    rows += _update_rows(details)
    for point, path in details.mounts:
        if point != details.uri or path != "/":
            rows.append(("mounted", f"{point} at {path}", ""))
    usage = details.usage
    count = f"{pluralize(usage.files, 'file')}, " if usage.files is not None else ""
    rows.append(("size", f"{count}{format_source_size(details)}", ""))
    if usage.source_changed:
        rows.append(("", f"Fluid now counts {format_bytes(usage.fluid_bytes)} there", "warn"))
    return page.format_facts(rows)


def _update_rows(details: CacheDetails) -> list[tuple[str, str, str]]:
    """Return whether the Hub has a newer commit, and an update that is not finished."""

    def update(name: str) -> str:
        return kubectl("fluidmodel", "update", Operand(name), namespace=details.namespace)

    rows = []
    hub = details.hub
    if hub is not None and not hub.commit:
        rows.append(("hub", f"not queried: {hub.reason}", "dim"))
    elif hub is not None and hub.commit == details.commit:
        rows.append(("hub", "this is the newest commit", "good"))
    elif hub is not None:
        moved = f"has moved to {hub.commit[:12]}"
        command = "" if details.replaced_by else f": {update(details.name)}"
        rows.append(("hub", f"{moved}{command}", "warn"))
    if details.replaced_by:
        rows.append(("update", f"is being replaced by {details.replaced_by}", "warn"))
    if details.replaces:
        command = update(f"{details.name}@{details.commit[:12]}")
        rows.append(
            ("update", f"replaces {details.replaces}, which still exists: {command}", "warn")
        )
    return rows


def _staging_section(page: DetailsPage, details: CacheDetails) -> str:
    staged = details.staging
    if staged is None:
        return ""
    rows = [("bucket", staged.to, ""), ("manifest", staged.manifest, "")]
    files = pluralize(staged.files, "file") if staged.files is not None else ""
    amount = ", ".join(filter(None, (files, format_bytes(staged.bytes) if staged.bytes else "")))
    if staged.verified:
        when = f", staged {staged.staged_at}" if staged.staged_at else ""
        rows.append(("proven", f"{amount}, every byte{when}", "good"))
    elif staged.verified is False:
        rows.append(("proven", f"no: {staged.reason}", "bad"))
    else:
        rows.append(("recorded", amount, ""))
        rows.append(("proven", f"not checked: {staged.reason}" if staged.reason else "", "dim"))
    if staged.job:
        style = {"Complete": "good", "Failed": "bad"}.get(staged.job_state, "warn")
        rows.append(("job", f"{staged.job} {staged.job_state}", style))
    return page.format_facts(rows)


def _dataset_section(page: DetailsPage, details: CacheDetails) -> str:
    age = f", {format_duration(details.age)} old" if details.age is not None else ""
    by = ", made by this plugin" if details.is_managed else ""
    if details.is_adopted:
        by = ", made by hand and adopted"
    rows = [("phase", f"{details.phase}{age}{by}", phase_style(details.phase))]
    for condition in details.conditions:
        text = f"{condition.type} {condition.status}"
        text += f" ({condition.reason})" if condition.reason else ""
        text += (
            f": {condition.message}"
            if condition.message and condition.message != details.message
            else ""
        )
        rows.append(("condition", text, ""))
    rows.append(("trouble", details.message, "bad"))
    share = cached_cell(details)
    rows.append(("cached", f"{share.text} of {format_source_size(details)}", share.style))
    if details.usage.skipped_bytes:
        beside = (
            f"{format_bytes(details.usage.skipped_bytes)} in the source are none of the model's"
        )
        rows.append(("beside it", beside, "dim"))
    if details.usage.capacity_bytes is not None:
        rows.append(("capacity", format_bytes(details.usage.capacity_bytes), ""))
    ratios = [
        f"local {details.local_hit_ratio}" if details.local_hit_ratio else "",
        details.remote_hit_ratio,
    ]
    ratios[1] = f"remote {ratios[1]}" if ratios[1] else ""
    detail = ", ".join(filter(None, ratios))
    rows.append(
        (
            "hit ratio",
            details.hit_ratio + (f" ({detail})" if details.hit_ratio and detail else ""),
            "",
        )
    )
    for load in details.loads[:3]:
        took = f" in {load.duration}" if load.duration else ""
        style = {"Complete": "good", "Failed": "bad"}.get(load.phase, "warn")
        text = f": {load.message}" if load.message and load.phase == "Failed" else ""
        rows.append(("load", f"{load.name} {load.phase}{took}{text}", style))
    if details.claim is not None:
        rows.append(
            ("claim", details.claim or "does not exist", "" if details.claim == "Bound" else "warn")
        )
    return page.format_facts(rows)


def _runtime_section(page: DetailsPage, details: CacheDetails) -> str:
    if not details.runtime:
        return page.format_lines([("no runtime of this name: nothing holds the cache", "bad")])
    rows = []
    for part in details.components:
        known = part.ready is not None and part.desired is not None
        ready = f"{part.ready}/{part.desired}" if known else UNKNOWN
        mark, style = _health_mark(part.is_healthy)
        text = f"Fluid says {part.phase}" if part.phase else ""
        if part.name == "fuse" and part.phase:
            text += ", as it always does"
        rows.append(
            [
                Cell(f"{mark} {part.name}", style),
                Cell(ready, style),
                Cell(part.object or NONE),
                Cell(
                    text + (f": {part.reason}" if part.reason and not part.is_healthy else ""),
                    "dim",
                ),
            ]
        )
    found = page.format_facts(
        [
            ("kind", ", ".join(details.runtime_kinds), ""),
            ("note", details.runtime_note, "dim"),
            ("reads", _HIGH_CONCURRENCY if details.high_concurrency else "", ""),
        ]
    )
    if len(details.runtime_kinds) > 1:
        found += page.format_lines([("two runtimes with this name: Fluid accepts neither", "bad")])
    heads = (Column("PART"), Column("READY"), Column("OF", min_width=10), Column("", min_width=12))
    return found + (page.format_table(heads, rows) if rows else "")


def _health_mark(is_healthy: bool | None) -> tuple[str, str]:
    return ("·", "dim") if is_healthy is None else ("✓", "good") if is_healthy else ("✗", "bad")


def _nodes_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.nodes is None:
        return page.format_lines([(f"{UNKNOWN}: neither pods nor nodes could be read", "dim")])
    if not details.nodes:
        return page.format_lines([("no node holds it", "warn")])
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


def _files_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.files is None:
        return page.format_lines([(details.files_reason, "dim")]) if details.files_reason else ""
    if not details.files:
        return page.format_lines([("the master lists no file", "warn")])
    short = [file for file in details.files if file.percent < 100 and file.bytes]
    shown = [*short, *(file for file in details.files if file not in short)][:_MAX_FILES]
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
    found = page.format_table(heads, rows)
    hidden = len(details.files) - len(shown)
    omitted = len(short) - sum(file in short for file in shown)
    if hidden:
        state = f", {omitted} of them incomplete" if omitted else ", all complete"
        found += page.format_lines([(f"and {pluralize(hidden, 'more file')}{state}", "dim")])
    return found


def _readers_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.readers is None:
        return page.format_lines([(f"{UNKNOWN}: pods could not be read", "dim")])
    if not details.readers:
        named = ", ".join(details.graphs)
        text = f"none yet; {named} will mount it" if named else "none"
        return page.format_lines([(text, "dim")])
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
    for row in details.readers:
        local = {True: ("yes", "good"), False: ("no", "warn"), None: (UNKNOWN, "dim")}[row.is_local]
        rows.append(
            [
                Cell(row.pod),
                Cell(row.graph or NONE),
                Cell(row.component or NONE),
                Cell(row.node or NONE),
                Cell(row.state, "good" if row.state == "Ready" else "warn"),
                Cell(*local),
                Cell(",".join(mount_paths(row)) or NONE),
            ]
        )
    found = page.format_table(heads, rows)
    found += page.format_lines(
        [(f"! {row.problem}", "warn") for row in details.readers if row.problem][:5]
    )
    return found


def _placement_section(page: DetailsPage, details: CacheDetails) -> str:
    found = details.startup
    start = f": {found.duration} to start" if found.duration else ""
    lines = [(f"{_MARKS[found.level]} {found.text}{start}", found.level)]
    if found.improvement:
        lines.append((found.improvement, ""))
    if found.command:
        lines.append((found.command, "bold"))
    if found.duration or "~" in found.improvement:
        lines.append(("(figures of Dynamo's write-up, Llama-3.3-70B)", "dim"))
    measured = _measured_load(details)
    if measured:
        lines.append((measured, ""))
    return page.format_lines(lines)


def _measured_load(details: CacheDetails) -> str:
    """How long the model takes to load by the rates that `bench` measured; empty without them."""
    rates, size = details.read_rates, details.usage.source_bytes
    if rates is None or not rates.mapped or not size:
        return ""
    found = f"measured on {rates.node}: the model loads in {format_duration(size / rates.mapped)}"
    if rates.best_parallel:
        threads, rate = rates.best_parallel
        found += f", with {pluralize(threads, 'thread')} in {format_duration(size / rate)}"
    if rates.off_node:
        found += f"; from another node in {format_duration(size / rates.off_node)}"
    return found


def _estimate_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.estimate is None:
        return ""
    rows = estimate_rows(details.estimate, page.price_per_gib)
    return page.format_facts([(label, text, "") for label, text in rows])


def _warnings_section(page: DetailsPage, details: CacheDetails) -> str:
    if not details.warnings:
        return ""
    found = ""
    for warning in details.warnings:
        style = "bad" if warning.severity == "error" else "warn"
        found += page.format_lines([(f"{warning.code}  {warning.cause}", style)])
        if warning.fix:
            fixed = page.format_command if warning.fix_kind == "command" else page.format_text
            found += fixed(warning.fix, "bold")
    doctor = kubectl("fluidmodel", "doctor", Operand(details.name), namespace=details.namespace)
    return found + page.format_lines([("more:", "dim")]) + page.format_command(doctor, "dim")


_SECTIONS: tuple[tuple[str, Callable[[DetailsPage, CacheDetails], str]], ...] = (
    ("Source", _source_section),
    ("Staging", _staging_section),
    ("Dataset", _dataset_section),
    ("Runtime", _runtime_section),
    ("Cache by node", _nodes_section),
    ("Files", _files_section),
    ("Readers", _readers_section),
    ("Placement", _placement_section),
    ("Estimate", _estimate_section),
    ("Warnings", _warnings_section),
)
