"""How engines read weights: the loaders they have, their flags, and their parallel reads. Pure.

Read from the engines' code (vLLM 0.20.1, 0.23.0 and its main branch, `config/load.py` and
`model_loader/`; SGLang 0.5.9 to 0.5.23, `server_args.py` and `model_loader/`; TensorRT-LLM,
`checkpoints/hf/weight_loader.py`; Run:ai Model Streamer 0.17; fastsafetensors 0.5):

- By default vLLM maps the files and copies one tensor after another, one read for each process.
  SGLang has done that with 8 threads since 0.5.11.
- `prefetch` reads the files once into the page cache, ahead of the default loader, which goes on
  reading: vLLM with 8 threads for each process (a flag for that came with 0.23), SGLang with 4.
- The Run:ai Model Streamer reads with 16 threads for each process into buffers of up to 40 GB.
- fastsafetensors reads with 16 threads for each process, which no flag changes. Dynamo's SGLang
  image does not have it.
- TensorRT-LLM prefetches by itself, with up to 16 threads for each process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.engine_command import EngineCommand, FlagValue, find_command
from kubectl_fluidmodel.dynamo.loader_names import FASTSAFETENSORS, RUNAI
from kubectl_fluidmodel.dynamo.model_path import env_value
from kubectl_fluidmodel.dynamo.object_paths import Path, value_at
from kubectl_fluidmodel.dynamo.runtime_release import RuntimeRelease, runtime_release
from kubectl_fluidmodel.records import dataclass

VLLM, SGLANG, TRTLLM = "vllm", "sglang", "trtllm"
ENGINE_NAMES = {VLLM: "vLLM", SGLANG: "SGLang", TRTLLM: "TensorRT-LLM"}

MAX_PARALLEL_READS = 31
"""Reads of one FUSE client at once. From 32 on, Alluxio's JNI-FUSE has hung (fluid#5802,
Alluxio#18749, with Alluxio 2.9.5)."""
STREAMER_THREADS = 16
"""Run:ai Model Streamer's default per process for files."""
STREAMER_BUFFER_BYTES = 40_000_000_000
"""Its default limit of host memory; before 0.17 of each process, since then of all on a node."""
FASTSAFETENSORS_THREADS = 16
MULTITHREAD_THREADS = 8
"""vLLM's and SGLang's default per process with `enable_multithread_load`."""
PREFETCH_THREADS = {VLLM: 8, SGLANG: 4, TRTLLM: 16}

LOAD_FORMAT = "--load-format"
EXTRA_CONFIG = "--model-loader-extra-config"
STRATEGY = "--safetensors-load-strategy"
SGLANG_PREFETCH = "--weight-loader-prefetch-checkpoints"
PREFETCH_THREADS_FLAG = {
    VLLM: "--safetensors-prefetch-num-threads",
    SGLANG: "--weight-loader-prefetch-num-threads",
}
_SWITCHES = (SGLANG_PREFETCH, "--weight-loader-disable-mmap")
LOADER_FLAGS = (
    LOAD_FORMAT,
    EXTRA_CONFIG,
    STRATEGY,
    *PREFETCH_THREADS_FLAG.values(),
    "--safetensors-prefetch-block-size",
    *_SWITCHES,
)
"""Flags that set how an engine reads weights."""
STREAMER_ENV = "RUNAI_STREAMER_CONCURRENCY"
_RANK_FLAGS = (
    ("--tensor-parallel-size", "--tp-size", "--tp", "-tp"),
    ("--pipeline-parallel-size", "--pp-size", "--pp", "-pp"),
    ("--data-parallel-size", "--dp-size", "--dp", "-dp"),
)


@dataclass(frozen=True)
class LoadingEngine:
    """An engine in a component, as it loads weights."""

    component: Component
    container_path: Path
    command: EngineCommand
    release: RuntimeRelease

    @property
    def name(self) -> str:
        return ENGINE_NAMES.get(self.command.engine, self.command.engine)

    @property
    def processes(self) -> int:
        """Processes of one pod that load at the same time: its ranks, at most one for each GPU."""
        count = 1
        for flags in _RANK_FLAGS:
            count *= positive(self.command.value(flags)) or 1
        gpus = sum(self.component.gpus().values())
        return min(count, gpus) if gpus else count

    def loader_flags(self) -> list[FlagValue]:
        """The flags of its command that say how it reads weights."""
        return [
            FlagValue(flag.words[:1], flag.name, None) if flag.name in _SWITCHES else flag
            for flag in self.command.flags(LOADER_FLAGS)
        ]

    def extra_config(self) -> dict[str, Any] | None:
        """The value of `--model-loader-extra-config`; None if it is not a JSON object."""
        try:
            config = json.loads(self.command.value((EXTRA_CONFIG,)) or "{}")
        except ValueError:
            return None
        return config if isinstance(config, dict) else None


@dataclass(frozen=True)
class ParallelReads:
    """The reads of one pod at once."""

    threads: int
    """Of each process."""
    processes: int
    setting: str
    """The flag, or the key of `--model-loader-extra-config`, that sets the threads; or empty."""
    unsettable: int = 0
    """Of the threads, those beside the ones that the setting counts."""

    @property
    def total(self) -> int:
        return self.threads * self.processes


def loading_engines(component: Component) -> list[LoadingEngine]:
    """The engines of a component that load weights, by their commands."""
    engines = []
    for path in component.reader_paths():
        container = value_at(component.spec, path)
        command = find_command(container)
        if command is not None:
            release = runtime_release(component.spec, container)
            engines.append(LoadingEngine(component, path, command, release))
    return engines


def parallel_reads(engine: LoadingEngine) -> ParallelReads:
    """How many reads an engine has under way at once, by its flags or by default."""
    kind, command = engine.command.engine, engine.command
    load_format = command.value((LOAD_FORMAT,)).lower()
    config = engine.extra_config() or {}
    processes = engine.processes
    if load_format.startswith("runai_streamer"):
        variable = env_value(engine.component, STREAMER_ENV, engine.container_path)
        default = positive(variable) or STREAMER_THREADS
        threads = positive(config.get("concurrency")) or default
        return ParallelReads(threads, processes, "concurrency")
    if load_format == "fastsafetensors":
        return ParallelReads(FASTSAFETENSORS_THREADS, processes, "")
    if kind == TRTLLM:
        return ParallelReads(PREFETCH_THREADS[TRTLLM], processes, "")
    if kind in PREFETCH_THREADS_FLAG and _is_prefetching(command):
        flag = PREFETCH_THREADS_FLAG[kind]
        threads = positive(command.value((flag,))) or PREFETCH_THREADS[kind]
        return ParallelReads(threads + 1, processes, flag, 1)
    # SGLang's default since Dynamo 1.2.
    is_new = engine.release.is_dynamo and engine.release.has((1, 2)) is not False
    multithread = kind == SGLANG and is_new
    if config.get("enable_multithread_load", multithread):
        threads = positive(config.get("num_threads")) or MULTITHREAD_THREADS
        return ParallelReads(threads, processes, "num_threads")
    return ParallelReads(1, processes, "")


def _is_prefetching(command: EngineCommand) -> bool:
    if command.engine == SGLANG:
        return bool(command.flags((SGLANG_PREFETCH,)))
    return command.value((STRATEGY,)) == "prefetch"


def ranks_on_node(workers: Iterable[Component], node_gpus: int) -> int:
    """Processes that may load on one node at the same time.

    Each has a GPU, so a node has no more of them than GPUs, however many pods there are. Where a
    scaling adapter sets the number of pods, it has as many.

    Args:
        workers: the components that read the cache.
        node_gpus: of the cache's node with the most; 0 if that is not known, and 8 are assumed.
    """
    total = largest = 0
    for component in workers:
        for engine in loading_engines(component):
            largest = max(largest, engine.processes)
            total += engine.processes * max(component.replicas, 1)
            if component.spec.get("scalingAdapter") is not None:
                total += node_gpus or 8
    return max(min(total, max(node_gpus or 8, largest)), 1)


def loader_arguments(engine: LoadingEngine, loader: str, threads: int) -> list[str]:
    """The flags that give an engine a loader with so many threads for each process.

    The Run:ai Model Streamer takes its threads from the environment; see `loader_env`.
    """
    kind = engine.command.engine
    if loader == RUNAI:
        config = engine.extra_config() or {}
        remaining = {key: config[key] for key in ("distributed", "memory_limit") if key in config}
        text = json.dumps(remaining, separators=(",", ":"))
        return [LOAD_FORMAT, "runai_streamer", *([EXTRA_CONFIG, text] if remaining else [])]
    if loader == FASTSAFETENSORS:
        return [LOAD_FORMAT, "fastsafetensors"]
    flags = [SGLANG_PREFETCH] if kind == SGLANG else [STRATEGY, "prefetch"]
    if threads != PREFETCH_THREADS[kind]:
        flags += [PREFETCH_THREADS_FLAG[kind], str(threads)]
    return flags


def loader_env(loader: str, threads: int) -> dict[str, str]:
    """The variables that a loader needs."""
    return {STREAMER_ENV: str(threads)} if loader == RUNAI else {}


def with_loader(engine: LoadingEngine, arguments: Sequence[str]) -> dict[str, list[Any]]:
    """The fields of the engine's container with other loader flags than it has."""
    removed = [word for flag in engine.loader_flags() for word in flag.words]
    return engine.command.edited(removed, arguments)


def positive(value: Any) -> int:
    """A positive number as written in a flag, variable or JSON; 0 for anything else."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else 0
