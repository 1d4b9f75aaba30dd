"""The result of `bench` as text, Markdown, JSON and YAML. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.bench.plan import MIB, Measurement, Pattern, Source
from kubectl_fluidmodel.bench.result import BenchResult, NodeResult, find_limit
from kubectl_fluidmodel.inventory.read_rates import PARALLEL, advise_loader
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.table import format_plain_table
from kubectl_fluidmodel.output.units import format_bytes, format_duration

_TITLES = ("FROM", "READ AS", "THREADS", "BLOCK", "RATE", "MODEL IN")
_PATTERNS = {Pattern.MMAP: "memory map", Pattern.PREAD: "blocks", Pattern.GET: "requests"}


def result_text(result: BenchResult, *, markdown: bool = False) -> str:
    """Format the table and its interpretation, at most 80 columns wide except for node names."""
    rows = [
        _row(result, node, measurement)
        for node in result.nodes
        for measurement in node.measurements
    ]
    lines = [f"{result.name}: {format_bytes(result.model_bytes)} of weights"]
    lines += [_describe_node(node) for node in result.nodes]
    table = _markdown_table(rows) if markdown else format_plain_table(_TITLES, rows)
    closing = _conclusions(result)
    closing += [
        f"the page cache of {node.node} now has {format_bytes(node.pages.bytes)} of the "
        f"{format_bytes(node.pages.total_bytes)}"
        for node in result.nodes
        if node.pages
    ]
    closing += [
        f"not measured: {case}: {reason}" for node in result.nodes for case, reason in node.skipped
    ]
    bullet = "- " if markdown else ""
    heading = "\n\n" if markdown else "\n"
    return (
        heading.join(lines)
        + "\n\n"
        + table
        + "\n"
        + "".join(f"{bullet}{line}\n" for line in closing)
    )


def result_document(result: BenchResult) -> dict[str, Any]:
    """Return the result as our own document; rates in bytes per second, times in seconds."""
    rates = result.rates()
    limit, advice = find_limit(rates), advise_loader(rates)
    return {
        "apiVersion": API_VERSION,
        "kind": "Bench",
        "metadata": {"name": result.name, "namespace": result.namespace},
        "measuredAt": result.measured_at,
        "modelBytes": result.model_bytes,
        "nodes": [
            {
                "name": node.node,
                "holdsCache": node.holds_cache,
                "pageCache": (
                    {"bytes": node.pages.bytes, "ofBytes": node.pages.total_bytes}
                    if node.pages
                    else None
                ),
                "reads": [_read_document(result, measurement) for measurement in node.measurements],
                "skipped": [{"case": case, "reason": reason} for case, reason in node.skipped],
            }
            for node in result.nodes
        ],
        "limit": {"code": limit.code, "text": limit.text},
        "loader": (
            {"name": advice.loader, "readers": advice.readers, "text": advice.text}
            if advice
            else None
        ),
    }


def _describe_node(node: NodeResult) -> str:
    if node.holds_cache:
        return f"read on {node.node}, which holds the cache"
    return f"and on {node.node}, which does not: every byte crosses the network"


def _row(result: BenchResult, node: NodeResult, measurement: Measurement) -> list[str]:
    case = measurement.case
    seconds = result.load_seconds(measurement)
    source = {
        Source.MOUNT: "cache" if node.holds_cache else node.node,
        Source.PAGE_CACHE: "page cache",
        Source.STORE: "store",
    }[case.source]
    block = "" if case.pattern is Pattern.MMAP else f"{case.block_bytes // MIB} MiB"
    return [
        source,
        _PATTERNS[case.pattern],
        str(case.readers),
        block,
        f"{format_bytes(measurement.bytes_per_second)}/s",
        format_duration(seconds) if seconds is not None else "never",
    ]


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return str(tabulate(rows, headers=_TITLES, tablefmt="github", disable_numparse=True)) + "\n"


def _conclusions(result: BenchResult) -> list[str]:
    rates = result.rates()
    lines = [f"limited by {find_limit(rates).text}"]
    advice = advise_loader(rates)
    if advice is not None:
        lines.append(f"use {advice.text}")
    if advice is not None and advice.loader == PARALLEL:
        graph = (Operand(result.name), Operand("GRAPH"), "-n", result.namespace)
        lines.append(f"try: {command('kubectl', 'fluidmodel', 'pin', *graph, '--loader', 'auto')}")
    best = rates.best_parallel
    if rates.store and best:
        lines.append(f"the cache reads {best[1] / rates.store:.1f} times as fast as the store")
    if rates.off_node and rates.mapped:
        lines.append(
            f"on a node of the cache it reads {rates.mapped / rates.off_node:.1f} times as fast as "
            "on another"
        )
    return lines


def _read_document(result: BenchResult, measurement: Measurement) -> dict[str, Any]:
    case = measurement.case
    seconds = result.load_seconds(measurement)
    return {
        "source": case.source.value,
        "pattern": case.pattern.value,
        "threads": case.readers,
        "blockBytes": case.block_bytes,
        "bytes": measurement.bytes,
        "seconds": round(measurement.seconds, 3),
        "cpuSeconds": round(measurement.cpu_seconds, 3),
        "bytesPerSecond": round(measurement.bytes_per_second),
        "modelSeconds": round(seconds, 1) if seconds is not None else None,
    }
