"""What follows from measured rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from kubectl_fluidmodel.bench.result import find_limit
from kubectl_fluidmodel.inventory.read_rates import (
    ReadRates,
    advise_loader,
    best_reads,
    read_rates,
)
from tests.bench.results import GIB, bench_result, node_result


@dataclass(frozen=True)
class Row:
    """Rates in GiB/s, and what they mean."""

    id: str
    mapped: float
    parallel: Mapping[int, float]
    page_cache: float
    limit: str
    loader: str
    readers: int = 1


ROWS = [
    Row(
        "FUSE answers slowly, so threads help",
        mapped=0.5,
        parallel={1: 0.5, 4: 1.5, 16: 1.6},
        page_cache=6,
        limit="fuse-latency",
        loader="parallel",
        readers=4,
    ),
    Row(
        "one thread keeps the client busy",
        mapped=0.9,
        parallel={1: 1.0, 4: 1.0, 16: 1.05},
        page_cache=6,
        limit="fuse-throughput",
        loader="default",
    ),
    Row(
        "as fast as memory",
        mapped=4.0,
        parallel={1: 4.0, 4: 5.0},
        page_cache=5,
        limit="memory",
        loader="default",
    ),
    Row(
        "a memory map that is slower than one thread that reads blocks",
        mapped=0.2,
        parallel={1: 1.0, 4: 1.0},
        page_cache=6,
        limit="fuse-throughput",
        loader="parallel",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_rates_decide_limit_and_loader(row: Row) -> None:
    rates = ReadRates(
        "2026-11-29T08:00:00Z",
        "gpu-0",
        mapped=row.mapped * GIB,
        parallel={count: rate * GIB for count, rate in row.parallel.items()},
        page_cache=row.page_cache * GIB,
    )
    assert find_limit(rates).code == row.limit
    advice = advise_loader(rates)
    assert advice is not None
    assert (advice.loader, advice.readers) == (row.loader, row.readers)
    assert best_reads(dataset_with(rates.to_annotation())) == row.readers


def test_the_fewest_threads_near_the_fastest_rate_are_best() -> None:
    rates = ReadRates("", "n", parallel={1: 1.0, 2: 1.9, 4: 2.0, 16: 2.05})
    assert rates.best_parallel == (2, 1.9)


def test_without_parallel_reads_nothing_is_advised() -> None:
    rates = ReadRates("", "gpu-0", mapped=GIB)
    assert advise_loader(rates) is None
    assert find_limit(rates).code == "unknown"
    assert best_reads(dataset_with(rates.to_annotation())) == 0
    assert best_reads(None) == 0


def test_the_load_time_is_that_of_the_whole_model() -> None:
    result = bench_result(node_result(mapped=GIB, parallel={}), model_bytes=140 * GIB)
    assert result.load_seconds(result.local.measurements[0]) == 140


def test_the_dataset_keeps_what_was_measured() -> None:
    result = bench_result(
        node_result(mapped=GIB, parallel={1: GIB, 4: 2 * GIB}, page_cache=5 * GIB, store=GIB / 4),
        node_result(mapped=GIB / 8, parallel={4: GIB / 4}, node="cpu-0", holds_cache=False),
    )
    rates = read_rates(dataset_with(result.rates().to_annotation()))
    assert rates == result.rates()
    assert rates is not None
    assert (rates.node, rates.off_node, rates.store) == ("gpu-0", GIB / 8, GIB / 4)
    assert rates.parallel == {1: GIB, 4: 2 * GIB}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"measured_at": "x"}',
        '{"measured_at": "x", "node": "n", "parallel": [1]}',
        '{"measured_at": "x", "node": "n", "mapped": "fast"}',
        '{"measured_at": "x", "node": "n", "mapped": NaN}',
        '{"measured_at": "x", "node": "n", "mapped": 0}',
        '{"measured_at": "x", "node": "n", "parallel": {"4": -1}}',
    ],
)
def test_a_damaged_record_is_no_record(text: str) -> None:
    assert read_rates(dataset_with(text)) is None


def test_a_cache_that_was_never_measured_has_no_rates() -> None:
    assert read_rates(None) is None
    assert read_rates({"metadata": {}}) is None


def dataset_with(record: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {"fluidmodel.io/read-rates": record}}}
