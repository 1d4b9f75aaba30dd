"""Results of `bench` for tests."""

from __future__ import annotations

from collections.abc import Mapping

from kubectl_fluidmodel.bench.plan import MIB, Measurement, PagesMeasured, Pattern, ReadCase, Source
from kubectl_fluidmodel.bench.result import BenchResult, NodeResult

GIB = 1024 * MIB


def measured(
    rate: float, source: Source, pattern: Pattern, threads: int = 1, block: int = 16 * MIB
) -> Measurement:
    """A case that read one second at a rate in bytes per second."""
    return Measurement(ReadCase(source, pattern, threads, block), int(rate), 1.0, 0.5)


def node_result(
    *,
    mapped: float,
    parallel: Mapping[int, float],
    page_cache: float = 0,
    store: float = 0,
    node: str = "gpu-0",
    holds_cache: bool = True,
    skipped: tuple[tuple[str, str], ...] = (),
    pages: PagesMeasured | None = None,
) -> NodeResult:
    """The measurements of one node, by rates in bytes per second."""
    measurements = [measured(mapped, Source.MOUNT, Pattern.MMAP, block=64 * MIB)]
    measurements += [
        measured(rate, Source.MOUNT, Pattern.PREAD, threads) for threads, rate in parallel.items()
    ]
    if page_cache:
        measurements.append(measured(page_cache, Source.PAGE_CACHE, Pattern.PREAD, 4))
    if store:
        measurements.append(measured(store, Source.STORE, Pattern.GET, 8))
    return NodeResult(node, holds_cache, tuple(measurements), skipped, pages)


def bench_result(*nodes: NodeResult, model_bytes: int = 140 * GIB) -> BenchResult:
    """A result of a cache named `llama`."""
    return BenchResult("default", "llama", "2026-11-29T08:00:00Z", model_bytes, nodes)
