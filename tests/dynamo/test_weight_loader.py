"""How many reads an engine has under way at once, by its flags or by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.weight_loader import (
    LoadingEngine,
    loading_engines,
    parallel_reads,
    ranks_on_node,
)


def worker(
    engine: str,
    *args: str,
    gpus: int = 1,
    release: str = "1.6.0",
    env: dict[str, str] | None = None,
    **component: Any,
) -> dict[str, Any]:
    """A component of v1beta1 that starts an engine."""
    names = {"trtllm": "tensorrtllm"}
    main = {
        "name": "main",
        "image": f"nvcr.io/nvidia/ai-dynamo/{names.get(engine, engine)}-runtime:{release}",
        "command": ["python3", "-m", f"dynamo.{engine}"],
        "args": list(args),
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
    }
    template = {"spec": {"containers": [main]}}
    return {"name": "W", "type": "worker", "podTemplate": template, **component}


def graph(*components: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "chat", "namespace": "prod"},
        "spec": {"components": list(components)},
    }


def engine_of(component: dict[str, Any]) -> LoadingEngine:
    (engine,) = loading_engines(open_graph(graph(component)).components[0])
    return engine


@dataclass(frozen=True)
class Reads:
    """An engine's flags, and its reads: of each process, and of how many processes."""

    name: str
    engine: str
    args: list[str]
    threads: int
    processes: int = 1
    gpus: int = 1
    release: str = "1.6.0"
    env: dict[str, str] = field(default_factory=dict)


TP8 = ["--tensor-parallel-size", "8"]
STREAMER = ["--load-format", "runai_streamer"]
MULTITHREAD = ["--model-loader-extra-config", '{"enable_multithread_load": true}']
READS = (
    Reads("vLLM by default", "vllm", TP8, 1, 8, 8),
    Reads("SGLang by default", "sglang", ["--tp", "4"], 8, 4, 4),
    Reads("SGLang before it read with threads", "sglang", ["--tp", "4"], 1, 4, 4, "1.0.2"),
    Reads("TensorRT-LLM by default", "trtllm", TP8, 16, 8, 8),
    Reads("streamer", "vllm", [*STREAMER, *TP8], 16, 8, 8),
    Reads("streamer with =", "sglang", ["--load-format=runai_streamer"], 16),
    Reads("streamer by its variable", "vllm", STREAMER, 3, env={"RUNAI_STREAMER_CONCURRENCY": "3"}),
    Reads(
        "streamer by its configuration",
        "vllm",
        [*STREAMER, "--model-loader-extra-config", '{"concurrency": 5}'],
        5,
        env={"RUNAI_STREAMER_CONCURRENCY": "3"},
    ),
    Reads("threads", "vllm", MULTITHREAD, 8),
    Reads(
        "some threads",
        "vllm",
        ['--model-loader-extra-config={"enable_multithread_load": true, "num_threads": 4}'],
        4,
    ),
    Reads("prefetch goes before the loader", "vllm", ["--safetensors-load-strategy=prefetch"], 9),
    Reads(
        "prefetch with fewer threads",
        "vllm",
        [
            *("--safetensors-load-strategy", "prefetch"),
            *("--safetensors-prefetch-num-threads", "2", "-tp", "8"),
        ],
        3,
        8,
        8,
    ),
    Reads("SGLang's prefetch", "sglang", ["--weight-loader-prefetch-checkpoints"], 5),
    Reads("fastsafetensors", "vllm", ["--load-format", "fastsafetensors"], 16),
    Reads("more ranks than GPUs in a pod", "vllm", ["-tp", "16"], 1, 8, 8),
    Reads("data parallel", "vllm", ["-tp", "2", "--data-parallel-size", "4"], 1, 8, 8),
)


@pytest.mark.parametrize("row", READS, ids=lambda row: row.name)
def test_reads_at_once(row: Reads) -> None:
    engine = engine_of(
        worker(row.engine, *row.args, gpus=row.gpus, release=row.release, env=row.env)
    )
    reads = parallel_reads(engine)
    assert (reads.threads, reads.processes) == (row.threads, row.processes)
    assert reads.total == row.threads * row.processes


@dataclass(frozen=True)
class Ranks:
    """Workers, the GPUs of a node, and how many processes may load there."""

    name: str
    workers: list[dict[str, Any]]
    node_gpus: int
    ranks: int


RANKS = (
    Ranks("one pod", [worker("vllm", "-tp", "2", gpus=2)], 8, 2),
    Ranks("replicas", [worker("vllm", "-tp", "2", gpus=2, replicas=3)], 8, 6),
    Ranks("more replicas than fit", [worker("vllm", "-tp", "2", gpus=2, replicas=9)], 8, 8),
    Ranks("on an unknown node", [worker("vllm", "-tp", "2", gpus=2, replicas=9)], 0, 8),
    Ranks("on a larger node", [worker("vllm", gpus=1, replicas=99)], 16, 16),
    Ranks("a pod larger than assumed", [worker("vllm", "-tp", "16", gpus=16)], 0, 16),
    Ranks("scaled to zero", [worker("vllm", "-tp", "4", gpus=4, replicas=0)], 8, 4),
    Ranks("scaled by an adapter", [worker("vllm", gpus=1, replicas=1, scalingAdapter={})], 8, 8),
    Ranks("two components", [worker("vllm", gpus=1), worker("vllm", "-tp", "4", gpus=4)], 8, 5),
    Ranks("no engine", [], 8, 1),
)


@pytest.mark.parametrize("row", RANKS, ids=lambda row: row.name)
def test_ranks_that_may_load_on_one_node(row: Ranks) -> None:
    components = open_graph(graph(*row.workers)).components
    assert ranks_on_node(components, row.node_gpus) == row.ranks
