"""The view of one cache: its sections, from the source to the warnings.

`_SECTIONS` has their order. `details_page.py` formats them, and `details_tables.py` has those that
are tables.
"""

from __future__ import annotations

from collections.abc import Callable

from kubectl_fluidmodel.cache.cost_estimate import estimate_rows
from kubectl_fluidmodel.inspect.details import CacheDetails
from kubectl_fluidmodel.inspect.details_page import DetailsPage, Fact
from kubectl_fluidmodel.inspect.details_tables import (
    files_section,
    nodes_section,
    readers_section,
    runtime_section,
)
from kubectl_fluidmodel.inspect.doctor_warnings import describe_with_warnings
from kubectl_fluidmodel.inspect.table_view import (
    UNKNOWN,
    cached_cell,
    format_source_size,
    nodes_cell,
    phase_style,
    readers_cell,
)
from kubectl_fluidmodel.inspect.view import Rendering, ViewContext
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize

_MARKS = {"good": "✓", "warn": "!", "bad": "✗", "info": "·"}


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
    style = details.startup.level if details.phase == "Bound" else phase_style(details.phase)
    page.add_title(details.name, _summary(details), style)
    for heading, section in _SECTIONS:
        page.add_section(heading, section(page, details))
    return page.text


def _summary(details: CacheDetails) -> str:
    share = cached_cell(details)
    parts = [
        details.phase,
        f"{share.short or share.text} of {format_source_size(details)} cached",
    ]
    if details.medium and details.nodes:
        parts.append(f"{details.medium} on {nodes_cell(details).text}")
    parts.append(f"readers {readers_cell(details).text} local")
    return " · ".join(parts)


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


def _update_rows(details: CacheDetails) -> list[Fact]:
    """Return whether the Hub has a newer commit, and an update that is not finished."""

    def update_command(name: str) -> str:
        return kubectl("fluidmodel", "update", Operand(name), namespace=details.namespace)

    rows = []
    hub = details.hub
    if hub is not None and not hub.commit:
        rows.append(("hub", f"not queried: {hub.reason}", "dim"))
    elif hub is not None and hub.commit == details.commit:
        rows.append(("hub", "this is the newest commit", "good"))
    elif hub is not None:
        command = "" if details.replaced_by else f": {update_command(details.name)}"
        rows.append(("hub", f"has moved to {hub.commit[:12]}{command}", "warn"))
    if details.replaced_by:
        rows.append(("update", f"is being replaced by {details.replaced_by}", "warn"))
    if details.replaces:
        command = update_command(f"{details.name}@{details.commit[:12]}")
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
    creator = ", made by this plugin" if details.is_managed else ""
    if details.is_adopted:
        creator = ", made by hand and adopted"
    rows = [("phase", f"{details.phase}{age}{creator}", phase_style(details.phase))]
    for condition in details.conditions:
        text = f"{condition.type} {condition.status}"
        if condition.reason:
            text += f" ({condition.reason})"
        if condition.message and condition.message != details.message:
            text += f": {condition.message}"
        rows.append(("condition", text, ""))
    rows.append(("trouble", details.message, "bad"))
    share = cached_cell(details)
    rows.append(("cached", f"{share.text} of {format_source_size(details)}", share.style))
    if details.usage.skipped_bytes:
        skipped = format_bytes(details.usage.skipped_bytes)
        rows.append(("beside it", f"{skipped} in the source are none of the model's", "dim"))
    if details.usage.capacity_bytes is not None:
        rows.append(("capacity", format_bytes(details.usage.capacity_bytes), ""))
    if details.hit_ratio:
        ratios = (("local", details.local_hit_ratio), ("remote", details.remote_hit_ratio))
        parts = ", ".join(f"{name} {ratio}" for name, ratio in ratios if ratio)
        rows.append(("hit ratio", details.hit_ratio + (f" ({parts})" if parts else ""), ""))
    for load in details.loads[:3]:
        duration = f" in {load.duration}" if load.duration else ""
        style = {"Complete": "good", "Failed": "bad"}.get(load.phase, "warn")
        text = f": {load.message}" if load.message and load.phase == "Failed" else ""
        rows.append(("load", f"{load.name} {load.phase}{duration}{text}", style))
    if details.claim is not None:
        rows.append(
            ("claim", details.claim or "does not exist", "" if details.claim == "Bound" else "warn")
        )
    return page.format_facts(rows)


def _placement_section(page: DetailsPage, details: CacheDetails) -> str:
    startup = details.startup
    duration = f": {startup.duration} to start" if startup.duration else ""
    lines = [(f"{_MARKS[startup.level]} {startup.text}{duration}", startup.level)]
    if startup.improvement:
        lines.append((startup.improvement, ""))
    if startup.command:
        lines.append((startup.command, "bold"))
    if startup.duration or "~" in startup.improvement:
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
    text = f"measured on {rates.node}: the model loads in {format_duration(size / rates.mapped)}"
    if rates.best_parallel:
        threads, rate = rates.best_parallel
        text += f", with {pluralize(threads, 'thread')} in {format_duration(size / rate)}"
    if rates.off_node:
        text += f"; from another node in {format_duration(size / rates.off_node)}"
    return text


def _estimate_section(page: DetailsPage, details: CacheDetails) -> str:
    if details.estimate is None:
        return ""
    rows = estimate_rows(details.estimate, page.price_per_gib)
    return page.format_facts([(label, text, "") for label, text in rows])


def _warnings_section(page: DetailsPage, details: CacheDetails) -> str:
    if not details.warnings:
        return ""
    body = ""
    for warning in details.warnings:
        style = "bad" if warning.severity == "error" else "warn"
        body += page.format_text(f"{warning.code}  {warning.cause}", style)
        if warning.fix:
            is_command = warning.fix_kind == "command"
            format_fix = page.format_command if is_command else page.format_text
            body += format_fix(warning.fix, "bold")
    doctor = kubectl("fluidmodel", "doctor", Operand(details.name), namespace=details.namespace)
    return body + page.format_text("more:", "dim") + page.format_command(doctor, "dim")


_SECTIONS: tuple[tuple[str, Callable[[DetailsPage, CacheDetails], str]], ...] = (
    ("Source", _source_section),
    ("Staging", _staging_section),
    ("Dataset", _dataset_section),
    ("Runtime", runtime_section),
    ("Cache by node", nodes_section),
    ("Files", files_section),
    ("Readers", readers_section),
    ("Placement", _placement_section),
    ("Estimate", _estimate_section),
    ("Warnings", _warnings_section),
)
