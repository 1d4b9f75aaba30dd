"""The result of `bench` as a person and a program read it."""

from __future__ import annotations

import json

from kubectl_fluidmodel.bench.plan import PagesMeasured
from kubectl_fluidmodel.bench.view import result_document, result_text
from kubectl_fluidmodel.fluid.names import READ_RATES_ANNOTATION
from kubectl_fluidmodel.inventory.read_rates import read_rates
from tests.bench.results import GIB, bench_result, node_result

RESULT = bench_result(
    node_result(
        mapped=0.8 * GIB,
        parallel={1: 0.9 * GIB, 4: 2.4 * GIB, 16: 2.5 * GIB},
        page_cache=6 * GIB,
        store=0.3 * GIB,
        skipped=(("store, blocks of 16 MiB, 8 threads", "AccessDenied"),),
    ),
    node_result(mapped=0.1 * GIB, parallel={4: 0.2 * GIB}, node="cpu-0", holds_cache=False),
)


def test_the_table_says_how_long_the_model_takes_in_each_way() -> None:
    assert result_text(RESULT) == (
        """\
llama: 140.0 GiB of weights
read on gpu-0, which holds the cache
and on cpu-0, which does not: every byte crosses the network

FROM         READ AS      THREADS   BLOCK    RATE          MODEL IN
cache        memory map   1                  819.2 MiB/s   2m55s
cache        blocks       1         16 MiB   921.6 MiB/s   2m36s
cache        blocks       4         16 MiB   2.4 GiB/s     58s
cache        blocks       16        16 MiB   2.5 GiB/s     56s
page cache   blocks       4         16 MiB   6.0 GiB/s     23s
store        requests     8         16 MiB   307.2 MiB/s   7m47s
cpu-0        memory map   1                  102.4 MiB/s   23m20s
cpu-0        blocks       4         16 MiB   204.8 MiB/s   11m40s

limited by round trips to the FUSE client: 4 threads read 2.7 times as fast as one
use a loader with 4 parallel reads: 3.0 times as fast as the default loader's memory map
try: kubectl fluidmodel pin llama GRAPH -n default --loader auto
the cache reads 8.0 times as fast as the store
on a node of the cache it reads 8.0 times as fast as on another
not measured: store, blocks of 16 MiB, 8 threads: AccessDenied
"""
    )


def test_markdown_is_a_table_and_a_list() -> None:
    lines = result_text(RESULT, markdown=True).splitlines()
    assert [line for line in lines if line.startswith("|")][2].split("|")[1].strip() == "cache"
    assert any(line.startswith("- limited by ") for line in lines)


def test_the_document_has_bytes_per_second_and_seconds() -> None:
    document = json.loads(json.dumps(result_document(RESULT)))
    assert document["kind"] == "Bench"
    assert document["metadata"] == {"name": "llama", "namespace": "default"}
    assert [node["holdsCache"] for node in document["nodes"]] == [True, False]
    first = document["nodes"][0]["reads"][0]
    assert first["pattern"] == "mmap"
    assert first["bytesPerSecond"] == int(0.8 * GIB)
    assert first["modelSeconds"] == 175.0
    assert document["limit"]["code"] == "fuse-latency"
    assert document["loader"]["readers"] == 4


def test_the_page_cache_is_told_where_it_was_measured() -> None:
    pages = PagesMeasured(2 * GIB, 8 * GIB)
    result = bench_result(node_result(mapped=GIB, parallel={1: GIB}, pages=pages))
    assert "the page cache of gpu-0 now has 2.0 GiB of the 8.0 GiB\n" in result_text(result)
    (node,) = result_document(result)["nodes"]
    assert node["pageCache"] == {"bytes": 2 * GIB, "ofBytes": 8 * GIB}
    assert result_document(RESULT)["nodes"][0]["pageCache"] is None
    assert result.rates().resident_bytes == 2 * GIB
    annotations = {READ_RATES_ANNOTATION: result.rates().to_annotation()}
    assert read_rates({"metadata": {"annotations": annotations}}) == result.rates()
