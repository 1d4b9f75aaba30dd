"""7xx: how the engines of a graph read the mount: with which loader, and how many reads at once."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.engine_paths import engines_with_mount
from kubectl_fluidmodel.doctor.graph_usage import ComponentUsage
from kubectl_fluidmodel.dynamo import loader_names, loader_plan
from kubectl_fluidmodel.dynamo.model_path import is_within
from kubectl_fluidmodel.dynamo.object_paths import value_at
from kubectl_fluidmodel.dynamo.probe_budget import ASSUMED_BYTES_PER_SECOND
from kubectl_fluidmodel.dynamo.weight_loader import (
    EXTRA_CONFIG,
    MAX_PARALLEL_READS,
    TRTLLM,
    LoadingEngine,
    ParallelReads,
    loading_engines,
    parallel_reads,
)
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.fuse import JNI_FUSE_PROPERTY, limits_parallel_reads, uses_jnr_fuse
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.read_rates import best_reads, read_rates
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.output.units import format_bytes, format_duration, pluralize

SLOW_LOAD_SECONDS = 300
"""A load with the default loader that is worth another one: 36 GiB at the assumed rate."""


@register_check(
    "FM748",
    "engines read the mount with fewer than 32 threads",
    severity=Severity.WARNING,
    needs=(names.ALLUXIO_RUNTIMES,),
)
def engines_limit_parallel_reads(context: CheckContext) -> Iterator[Finding]:
    """The engines of a node read the mount with 32 or more threads at once.

    Alluxio's JNI-FUSE client can hang with that many parallel reads (fluid#5802, seen with Alluxio
    2.9.5): the pod can no longer be deleted, and only a reboot of the node helps. The number is the
    threads of each process (`concurrency` of the Run:ai Model Streamer, `num_threads` of the
    multi-threaded loaders, which SGLang uses by default, the threads that prefetch) times the GPUs
    of the pod and the pods of the node. Use fewer threads (`pin --loader` does), or a cache with
    `--high-concurrency`, which has another FUSE client (`alluxio.fuse.jnifuse.enabled: "false"`).
    """
    runtime = context.cache.fuse_runtime
    if not limits_parallel_reads(runtime):
        return
    files = cache_usage(context.cache).files
    for use, engine in _reading_engines(context):
        reads, pods = parallel_reads(engine), _pods_of_a_node(use)
        total = reads.total * pods
        if engine.command.engine == TRTLLM:  # it prefetches each file with one thread
            total = min(total, (files or 0) * pods)
        if total <= MAX_PARALLEL_READS:
            continue
        threads = f"{reads.threads} for each of {pluralize(reads.processes, 'rank')}"
        threads += f" and of {pods} pods of a node" if pods > 1 else ""
        yield Finding(
            use.about,
            f"component {use.component.name} reads the mount with {total} threads ({threads}), and "
            f"Alluxio's FUSE client can hang from {MAX_PARALLEL_READS + 1} on",
            (
                _loader_evidence(use, engine),
                *([_jni_evidence(runtime)] if runtime is not None else []),
            ),
            _limit_fix(context.cache, use, engine, reads, pods),
        )


@register_check("FM749", "engines load large models with a fast loader", severity=Severity.WARNING)
def large_models_have_a_fast_loader(context: CheckContext) -> Iterator[Finding]:
    """An engine reads a large model from the mount with its default loader.

    It maps the files and copies one tensor after another, in small reads, each of which is a
    request to the FUSE client. On a shared file system that gave 124 MiB/s: 554 GiB took 4,575 s,
    and 318 s with another loader and layout (Dynamo's documentation on fast model loading). If
    `bench` has measured the cache, its rate counts instead. `pin --loader auto` chooses a loader
    that the engine's release has, with as many reads at once as the mount can handle.
    """
    model_bytes = cache_usage(context.cache).source_bytes or 0
    measured = read_rates(context.cache.dataset)
    rate = (measured.mapped if measured else None) or ASSUMED_BYTES_PER_SECOND
    source = "bench" if measured and measured.mapped else "Dynamo's documentation"
    seconds = model_bytes / rate
    if seconds < SLOW_LOAD_SECONDS:
        return
    for use, engine in _reading_engines(context):
        fix = _loader_fix(context.cache, use, engine, model_bytes)
        if engine.loader_flags() or engine.command.engine == TRTLLM or fix is None:
            continue
        yield Finding(
            use.about,
            f"component {use.component.name} loads {format_bytes(model_bytes)} with the default "
            f"loader of {engine.name}, which takes about {format_duration(seconds)} at the "
            f"{format_bytes(rate)}/s that {source} measured",
            (
                _loader_evidence(use, engine),
                observations.field_evidence(context.cache.dataset or {}, "status", "ufsTotal"),
            ),
            fix,
        )


def _reading_engines(context: CheckContext) -> Iterator[tuple[ComponentUsage, LoadingEngine]]:
    """The engines that read a model from the cache's mount."""
    for use, model, mount in engines_with_mount(context):
        for engine in loading_engines(use.component):
            if engine.container_path == model.container_path and is_within(model.value, mount):
                yield use, engine


def _pods_of_a_node(use: ComponentUsage) -> int:
    """The most pods of a component that run on one node."""
    nodes = Counter(get_path(pod, "spec", "nodeName") or "" for pod in use.pods)
    return max((count for node, count in nodes.items() if node), default=1)


def _loader_evidence(use: ComponentUsage, engine: LoadingEngine) -> Evidence:
    flags = " ".join(word.raw for flag in engine.loader_flags() for word in flag.words)
    name = engine.container_path[-1].strip("[]")
    return use.field_evidence(f"command of {name}", flags or f"{engine.name}'s default loader")


def _jni_evidence(runtime: Object) -> Evidence:
    return observations.field_evidence(runtime, "spec", "properties", JNI_FUSE_PROPERTY)


def _loader_fix(
    cache: Cache, use: ComponentUsage, engine: LoadingEngine, model_bytes: int
) -> Fix | None:
    """What gives an engine another loader; None where its command says too little to tell."""
    node = loader_plan.node_reads(
        [use.component],
        0,
        is_limited=limits_parallel_reads(cache.fuse_runtime),
        has_page_cache=not uses_jnr_fuse(cache.fuse_runtime),
        best=best_reads(cache.dataset),
    )
    plan = loader_plan.plan_loader(use.component, loader_names.AUTO, node, model_bytes)
    if plan.loader:
        return use.pin_fix("--loader", loader_names.AUTO)
    if engine.release.is_dynamo and engine.release.version is None:
        return Fix(
            "set runtimeVersionOverride, by which pin --loader auto knows the engine's flags",
            "advice",
            f"{use.about} component {use.component.name}",
        )
    return None


def _limit_fix(
    cache: Cache, use: ComponentUsage, engine: LoadingEngine, reads: ParallelReads, pods: int
) -> Fix:
    """Fewer threads for each process, where a flag sets them."""
    limit = MAX_PARALLEL_READS // (reads.processes * pods) - reads.unsettable
    if limit < 1 or not reads.setting:
        return Fix(cache_commands.rebuild_cache(cache.origin or cache, "--high-concurrency"))
    if reads.setting.startswith("--"):
        arguments, name = [reads.setting, str(limit)], reads.setting
    else:
        config = {**(engine.extra_config() or {}), reads.setting: limit}
        arguments, name = [EXTRA_CONFIG, json.dumps(config)], EXTRA_CONFIG
    removed = [word for flag in engine.command.flags((name,)) for word in flag.words]
    changed = engine.command.edited(removed, arguments)
    container = value_at(use.component.spec, engine.container_path)
    different = [field for field, items in changed.items() if items != container[field]]
    if len(different) != 1:
        return Fix(" ".join(map(shlex.quote, arguments)), "advice", f"{use.about}, command")
    return use.set_field_fix(container, different[0], changed[different[0]])
