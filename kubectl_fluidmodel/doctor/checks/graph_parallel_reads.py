"""7xx: how many threads the engines of a graph read the mount with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.engine_paths import engines_with_mount, is_within
from kubectl_fluidmodel.doctor.graph_usage import ComponentUsage
from kubectl_fluidmodel.dynamo.model_path import EngineModel, env_value
from kubectl_fluidmodel.dynamo.object_paths import value_at
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, get_path

MAX_PARALLEL_READS = 31
"""Threads of one pod that may read at once. From 32 on, Alluxio's JNI-FUSE was seen to hang
(fluid#5802, Alluxio#18749, with Alluxio 2.9.5)."""
_STREAMER_THREADS = 16
"""Run:ai Model Streamer's default per process for files."""
_LOADER_THREADS = 8
"""vLLM's and SGLang's default per process with `enable_multithread_load`."""
_STREAMER_ENV = "RUNAI_STREAMER_CONCURRENCY"
_JNI_FUSE = "alluxio.fuse.jnifuse.enabled"
_EXTRA_CONFIG = "--model-loader-extra-config"
_LOAD_FORMAT = "--load-format"
_RANK_FLAGS = (
    ("--tensor-parallel-size", "--tp-size", "--tp", "-tp"),
    ("--pipeline-parallel-size", "--pp-size", "--pp", "-pp"),
)


@dataclass(frozen=True)
class _Reads:
    """How an engine reads its weights."""

    threads: int
    """Of each process."""
    processes: int
    """Of one pod."""
    setting: str
    """The key of `--model-loader-extra-config` that sets `threads`."""
    shown: str
    """The flags or variables that say so, as they are written."""

    @property
    def total(self) -> int:
        return self.threads * self.processes


@register_check(
    "FM748", "engines read the mount with fewer than 32 threads", severity=Severity.WARNING
)
def engines_limit_parallel_reads(context: CheckContext) -> Iterator[Finding]:
    """An engine reads the mount with 32 or more threads at once.

    Alluxio's JNI-FUSE client can hang with that many parallel reads (fluid#5802, seen with Alluxio
    2.9.5): the pod can no longer be deleted, and only a reboot of the node helps. The number is the
    threads of each process (`concurrency` of the Run:ai Model Streamer, `num_threads` of the
    multi-threaded loaders) times the GPUs of the pod. Use fewer threads, or Fluid's settings for
    high concurrency, which turn JNI-FUSE off (`alluxio.fuse.jnifuse.enabled: "false"`).
    """
    cache = context.cache
    runtime = cache.runtime
    if runtime is not None and runtime.get("kind") != names.ALLUXIO_RUNTIMES.name:
        return
    properties = get_path(runtime, "spec", "properties", default={})
    if str(properties.get(_JNI_FUSE)).lower() == "false":
        return
    for use, engine, mount in engines_with_mount(context):
        reads = _parallel_reads(use, engine)
        if not is_within(engine.value, mount) or reads is None:
            continue
        if reads.total <= MAX_PARALLEL_READS:
            continue
        yield Finding(
            use.about,
            f"component {use.component.name} reads the mount with {reads.total} threads "
            f"({reads.threads} for each of {reads.processes} processes), and Alluxio's FUSE client "
            f"can hang from {MAX_PARALLEL_READS + 1} on",
            (
                use.field_evidence(
                    f"command of {engine.container_path[-1].strip('[]')}", reads.shown
                ),
                *([_jni_evidence(runtime)] if runtime is not None else []),
            ),
            _limit_fix(use, engine, reads),
        )


def _jni_evidence(runtime: Object) -> Evidence:
    return observations.field_evidence(runtime, "spec", "properties", _JNI_FUSE)


def _parallel_reads(use: ComponentUsage, engine: EngineModel) -> _Reads | None:
    """How an engine reads its weights; None where its command asks for no threads."""
    words = _words(value_at(use.component.spec, engine.container_path))
    load_format = _flag_value(words, (_LOAD_FORMAT,))
    written = _flag_value(words, (_EXTRA_CONFIG,))
    config = _json_object(written)
    if load_format.startswith("runai_streamer"):
        variable = env_value(use.component, _STREAMER_ENV, engine.container_path)
        setting, default = "concurrency", _positive(variable) or _STREAMER_THREADS
    elif config.get("enable_multithread_load"):
        setting, default = "num_threads", _LOADER_THREADS
    else:
        return None
    processes = 1
    for flags in _RANK_FLAGS:
        processes *= _positive(_flag_value(words, flags)) or 1
    gpus = sum(use.component.gpus().values())
    shown = [f"{_LOAD_FORMAT} {load_format}"] if load_format else []
    shown += [f"{_EXTRA_CONFIG} {written}"] if written else []
    return _Reads(
        _positive(config.get(setting)) or default,
        min(processes, gpus) if gpus else processes,
        setting,
        " ".join(shown),
    )


def _words(container: Any) -> list[str]:
    """The words of a container's command, those of a shell string one by one."""
    words: list[str] = []
    for part in ("command", "args"):
        for word in map(str, get_path(container, part, default=[])):
            if any(each.isspace() for each in word) and not word.startswith("{"):
                words += _shell_words(word)
            else:
                words.append(word)
    return words


def _shell_words(script: str) -> list[str]:
    try:
        return shlex.split(script, comments=True)
    except ValueError:  # an unclosed quote
        return script.split()


def _flag_value(words: Sequence[str], flags: Sequence[str]) -> str:
    """The value of a flag, as `--flag value` or `--flag=value`; "" where it is not given."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in flags and equals:
            return value
        if word in flags and index + 1 < len(words):
            return words[index + 1]
    return ""


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _positive(value: Any) -> int:
    """A positive number as written in a flag, variable or JSON; 0 for anything else."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else 0


def _limit_fix(use: ComponentUsage, engine: EngineModel, reads: _Reads) -> Fix:
    """Fewer threads for each process, where the command is a list; else what to write."""
    limit = MAX_PARALLEL_READS // reads.processes
    if not limit:
        return Fix(f'{_JNI_FUSE}: "false", in the properties of the runtime', "advice")
    container = value_at(use.component.spec, engine.container_path)
    for part in ("args", "command"):
        words = get_path(container, part, default=[])
        changed = _with_setting([str(word) for word in words], reads.setting, limit)
        if changed is not None:
            return use.set_field_fix(container, part, changed)
    written = json.dumps({reads.setting: limit})
    return Fix(f"{_EXTRA_CONFIG} '{written}'", "advice", f"{use.about}, command")


def _with_setting(words: list[str], setting: str, value: int) -> list[str] | None:
    """A list of arguments with a loader setting; None where the list has no loader flags."""
    for index, word in enumerate(words):
        name, equals, written = word.partition("=")
        if name != _EXTRA_CONFIG:
            continue
        at = index if equals else index + 1
        written = written if equals else "".join(words[at : at + 1])
        made = json.dumps({**_json_object(written), setting: value})
        return [*words[:at], f"{_EXTRA_CONFIG}={made}" if equals else made, *words[at + 1 :]]
    if any(word.partition("=")[0] == _LOAD_FORMAT for word in words):
        return [*words, _EXTRA_CONFIG, json.dumps({setting: value})]
    return None
