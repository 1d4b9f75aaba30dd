"""Which loader a component gets from `pin --loader`, and how many threads. Pure.

Two rules come before speed: a command that is not fully understood stays as it is, and the readers
of a node together stay below what Alluxio's JNI-FUSE client was seen to hang at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.engine_command import EngineCommand, Word, variable_name
from kubectl_fluidmodel.dynamo.loader_names import (
    AUTO,
    DEFAULT,
    FASTSAFETENSORS,
    PREFETCH,
    RUNAI,
)
from kubectl_fluidmodel.dynamo.model_path import env_entry, env_value, set_env
from kubectl_fluidmodel.dynamo.object_paths import EditLog, value_at
from kubectl_fluidmodel.dynamo.runtime_release import format_version
from kubectl_fluidmodel.dynamo.weight_loader import (
    EXTRA_CONFIG,
    FASTSAFETENSORS_THREADS,
    LOAD_FORMAT,
    MAX_PARALLEL_READS,
    PREFETCH_THREADS,
    SGLANG,
    STREAMER_BUFFER_BYTES,
    STREAMER_ENV,
    STREAMER_THREADS,
    TRTLLM,
    VLLM,
    LoadingEngine,
    loader_arguments,
    loader_env,
    loading_engines,
    ranks_on_node,
    with_loader,
)
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.objects.quantity import quantity_to_int
from kubectl_fluidmodel.output.units import format_bytes, pluralize
from kubectl_fluidmodel.records import dataclass

PREFERENCE = (PREFETCH, RUNAI)
"""What `auto` tries. Prefetching comes first: it runs ahead of the default loader and replaces
nothing of it, so that a failure costs time alone. fastsafetensors is left out: its thread count
cannot be set, and FUSE does not have the GPUDirect Storage that it is made for."""

_SINCE = {
    (VLLM, PREFETCH): (1, 2),
    (VLLM, RUNAI): (1, 0),
    (VLLM, FASTSAFETENSORS): (1, 2),
    (SGLANG, PREFETCH): (1, 2),
    (SGLANG, RUNAI): (1, 2),
}
"""The release of Dynamo whose engine has a loader, and whose image has its package."""
_VLLM_PREFETCH_THREADS_SINCE = (1, 3)
_PLAIN_FORMATS = ("", "auto", "hf", "safetensors", "runai_streamer", "fastsafetensors")
"""Values of `--load-format` that read the same files."""
_PLAIN_CONFIG = {
    *("concurrency", "memory_limit", "distributed"),
    *("enable_multithread_load", "num_threads", "enable_gds"),
}
_VALUED = {
    *("--model", "--model-path", "--served-model-name", "--tokenizer", "--tokenizer-path"),
    *("--tensor-parallel-size", "--tp-size", "--tp", "-tp"),
    *("--pipeline-parallel-size", "--pp-size", "--pp", "-pp"),
    *("--data-parallel-size", "--dp-size", "--dp", "-dp"),
    *("--max-model-len", "--context-length", "--max-num-seqs", "--max-num-batched-tokens"),
    *("--gpu-memory-utilization", "--mem-fraction-static", "--block-size", "--page-size"),
    *("--dtype", "--quantization", "--kv-cache-dtype", "--kv-transfer-config"),
    *("--disaggregation-mode", "--disaggregation-transfer-backend", "--connector"),
    *("--extra-engine-args", "--chat-template", "--endpoint", "--host", "--port"),
    *("--dist-init-addr", "--nnodes", "--node-rank"),
}
"""Flags whose next word is a value, so that a variable there brings no flags."""


@dataclass(frozen=True)
class NodeReads:
    """The limits of a cache's node."""

    ranks: int
    """Processes that may load there at the same time."""
    is_limited: bool = True
    """Whether its FUSE client may hang from `MAX_PARALLEL_READS` + 1 reads on."""
    has_page_cache: bool = True
    """Whether the kernel keeps what was read through its FUSE client."""
    best: int = 0
    """Reads at once that were measured to be the best there, 1 where parallel reads do not pay; 0
    if that was not measured."""

    def best_threads(self, default: int) -> int:
        """Threads for each process that together give the best number of reads, else a default."""
        return -(-self.best // self.ranks) or default

    def threads(self, requested: int, unsettable: int = 0) -> int:
        """Threads for each process, at most as many as requested; 0 where none is allowed.

        Args:
            requested: threads that would be best.
            unsettable: reads of each process that come on top.
        """
        if not self.is_limited:
            return requested
        return max(min(requested, MAX_PARALLEL_READS // self.ranks - unsettable), 0)


@dataclass(frozen=True)
class LoaderPlan:
    """The loader of one component."""

    loader: str = ""
    """One of `loader_names.LOADERS`; empty for the flags of the graph's author, or none."""
    threads: int = 0
    """For each process."""
    note: str = ""
    """What the loader needs, or why none is set."""
    remark: str = ""
    """Remarks on the loader."""


@dataclass(frozen=True)
class _Option:
    """One loader for one engine: its threads, or why it does not do."""

    loader: str
    threads: int = 0
    reason: str = ""


def node_reads(
    workers: Iterable[Component],
    node_gpus: int,
    *,
    is_limited: bool = True,
    has_page_cache: bool = True,
    best: int = 0,
) -> NodeReads:
    """What the workers that read a cache may do on one of its nodes; see `ranks_on_node`."""
    return NodeReads(ranks_on_node(workers, node_gpus), is_limited, has_page_cache, best)


def plan_loader(
    component: Component, loader: str, node: NodeReads, model_bytes: int = 0
) -> LoaderPlan:
    """The loader for a component.

    Args:
        component: as it is without a loader of ours.
        loader: one of `CHOICES`.
        node: what the cache's nodes allow.
        model_bytes: size of the model; 0 if it is not known.
    """
    if component.role is not Role.WORKER or loader == DEFAULT:
        return LoaderPlan()
    engines = loading_engines(component)
    problem = _problem(engines)
    if problem:
        return LoaderPlan(note=f"component {component.name}: its loader stays as it is: {problem}")
    (engine,) = engines
    if loader == AUTO:
        return _automatic(engine, node, model_bytes)
    option = _option(engine, loader, replace(node, best=0))
    if option.reason:
        return _not_set(engine, loader, option.reason)
    return _plan(engine, option, model_bytes)


def set_loader(component: Component, log: EditLog, loader: str, threads: int) -> None:
    """Give a component's engine a loader that was planned for it."""
    for engine in loading_engines(component):
        lists = with_loader(engine, loader_arguments(engine, loader, threads))
        for field, items in lists.items():
            log.set_value((*engine.container_path, field), items)
        for name, value in loader_env(loader, threads).items():
            set_env(component, log, engine.container_path, name, value)


def _automatic(engine: LoadingEngine, node: NodeReads, model_bytes: int) -> LoaderPlan:
    """The first loader of `PREFERENCE` that is safe; the author's own choice stays."""
    name = engine.component.name
    if engine.command.engine == TRTLLM:
        return LoaderPlan(note=f"component {name}: TensorRT-LLM prefetches by itself")
    if engine.loader_flags():
        return LoaderPlan(note=f"component {name} keeps the loader that its command names")
    if engine.release.version is None:
        return _not_set(
            engine, AUTO, f"{engine.release}; name a loader, or set runtimeVersionOverride"
        )
    if node.best == 1:
        return _not_set(engine, AUTO, "bench measured that parallel reads are not much faster")
    reasons = []
    for loader in PREFERENCE:
        option = _option(engine, loader, node)
        lacking = _lacking_memory(engine, loader, model_bytes)
        if not option.reason and not lacking:
            plan = _plan(engine, option, model_bytes)
            measured = f"; bench measured {node.best} as the best for a node" if node.best else ""
            return replace(plan, note=plan.note + measured)
        reasons.append(f"{loader}: {option.reason or lacking}")
    return _not_set(engine, AUTO, "; ".join(reasons))


def _plan(engine: LoadingEngine, option: _Option, model_bytes: int) -> LoaderPlan:
    name = engine.component.name
    reads = option.threads + (1 if option.loader == PREFETCH else 0)
    note = (
        f"component {name} loads with {option.loader}: {pluralize(reads, 'read')} at once for each "
        f"of {pluralize(engine.processes, 'rank')}"
    )
    if option.loader == PREFETCH and model_bytes:
        note += f", up to {format_bytes(model_bytes)} of page cache, which its node's readers share"
    remark = _lacking_memory(engine, option.loader, model_bytes)
    if engine.release.version is None:
        since = format_version(_since(engine, option))
        remark = f"{option.loader} takes Dynamo {since} or later, but {engine.release}"
    remark = f"component {name}: {remark}" if remark else ""
    return LoaderPlan(option.loader, option.threads, note, remark)


def _not_set(engine: LoadingEngine, loader: str, reason: str) -> LoaderPlan:
    name = engine.component.name
    return LoaderPlan(note=f"component {name}: loader {loader} is not set: {reason}")


def _option(engine: LoadingEngine, loader: str, node: NodeReads) -> _Option:
    """A loader for an engine, with as many threads as its node allows."""
    kind = engine.command.engine
    if kind == TRTLLM:
        behavior = (
            "TensorRT-LLM prefetches by itself" if loader == PREFETCH else "TensorRT-LLM has none"
        )
        return _Option(loader, reason=behavior)
    since = _SINCE.get((kind, loader))
    if since is None:
        return _Option(loader, reason=f"Dynamo's {engine.name} image does not have it")
    if engine.release.has(since) is False:
        reason = (
            f"it requires Dynamo {format_version(since)} or later, but this is {engine.release}"
        )
        return _Option(loader, reason=reason)
    if loader == PREFETCH and not node.has_page_cache:
        reason = "the cache was made with --high-concurrency, with which no page cache keeps files"
        return _Option(loader, reason=reason)
    entry = env_entry(engine.component, STREAMER_ENV, engine.container_path)
    if loader == RUNAI and entry is not None and "value" not in entry:
        return _Option(loader, reason=f"{STREAMER_ENV} comes from elsewhere")
    threads = _threads(engine, loader, node)
    if threads:
        return _Option(loader, threads)
    reason = (
        f"{pluralize(node.ranks, 'rank')} on a node would have more than {MAX_PARALLEL_READS} "
        "reads at once, with which Alluxio's FUSE client can hang (fluid#5802); cache "
        "--high-concurrency uses another client"
    )
    return _Option(loader, reason=reason)


def _threads(engine: LoadingEngine, loader: str, node: NodeReads) -> int:
    """Threads for each process; 0 where no number is both possible and allowed."""
    if loader == RUNAI:
        return node.threads(node.best_threads(STREAMER_THREADS))
    if loader == FASTSAFETENSORS:
        fixed = FASTSAFETENSORS_THREADS
        return fixed if node.threads(fixed) == fixed else 0
    default = PREFETCH_THREADS[engine.command.engine]
    if not _can_set_prefetch_threads(engine):
        return default if node.threads(default, unsettable=1) == default else 0
    return node.threads(node.best_threads(default), unsettable=1)


def _can_set_prefetch_threads(engine: LoadingEngine) -> bool:
    since = _VLLM_PREFETCH_THREADS_SINCE
    return engine.command.engine == SGLANG or engine.release.has(since) is not False


def _since(engine: LoadingEngine, option: _Option) -> tuple[int, int]:
    kind = engine.command.engine
    if kind == VLLM and option.loader == PREFETCH and option.threads != PREFETCH_THREADS[kind]:
        return _VLLM_PREFETCH_THREADS_SINCE
    return _SINCE[kind, option.loader]


def _lacking_memory(engine: LoadingEngine, loader: str, model_bytes: int) -> str:
    """What the container's memory limit is too small for; empty if it is not known to be."""
    container = value_at(engine.component.spec, engine.container_path)
    limit = quantity_to_int(get_path(container, "resources", "limits", "memory")) or 0
    if not limit or not model_bytes:
        return ""
    if loader == PREFETCH and limit < model_bytes:
        return (
            f"its memory limit of {format_bytes(limit)} cannot keep the {format_bytes(model_bytes)}"
            " that prefetching reads ahead"
        )
    buffers = engine.processes * min(STREAMER_BUFFER_BYTES, model_bytes)
    if loader == RUNAI and limit < buffers:
        return (
            f"its memory limit of {format_bytes(limit)} is less than the streamer's buffers, up to "
            f"{format_bytes(buffers)}"
        )
    return ""


def _problem(engines: list[LoadingEngine]) -> str:
    """Why a component's command is not touched; empty if it is understood."""
    if len(engines) != 1:
        return "its command starts no known engine" if not engines else "it starts several engines"
    (engine,) = engines
    command = engine.command
    if command.engine not in (VLLM, SGLANG, TRTLLM):
        return f"the flags of {command.engine} are not known"
    if command.flags(("--config",)):
        return "it reads flags from a file (--config)"
    if command.is_shell and re.match(r"\(|[^|;&\n]*\s--\w", command.tail):
        return "its shell string has flags in a place that is not understood"
    opaque = next(_opaque_words(engine), None)
    if opaque is not None:
        return f"{opaque.raw} may contain other flags"
    load_format = command.value((LOAD_FORMAT,)).lower()
    if load_format not in _PLAIN_FORMATS:
        return f"{LOAD_FORMAT} {load_format} reads another format"
    config = engine.extra_config()
    if config is None or set(config) - _PLAIN_CONFIG:
        return f"the value of {EXTRA_CONFIG} is not understood"
    return ""


def _opaque_words(engine: LoadingEngine) -> Iterator[Word]:
    """Words that a shell or the kubelet replaces by something that may be flags."""
    command = engine.command
    for index, word in enumerate(command.words):
        starts_open = word.raw.lstrip("\"'").startswith("$") or "`" in word.raw
        if starts_open and not (_is_value(command, index) or _is_plain(engine, word)):
            yield word


def _is_value(command: EngineCommand, index: int) -> bool:
    """Whether a word is the value of the flag before it, or the model of `serve`."""
    if index == 0:
        return command.is_served
    before = command.words[index - 1].text
    return before.replace("_", "-") in _VALUED


def _is_plain(engine: LoadingEngine, word: Word) -> bool:
    """Whether a variable's value is in the graph, and is one word that is no flag."""
    name = variable_name(word.raw)
    value = env_value(engine.component, name, engine.container_path) if name else ""
    return bool(value) and not value.startswith("-") and not any(map(str.isspace, value))
