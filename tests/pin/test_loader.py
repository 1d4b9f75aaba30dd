"""`pin --loader`: the flags that engines get, what stays as it is, and the limit on reads."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.loader_names import CHOICES
from kubectl_fluidmodel.dynamo.weight_loader import (
    MAX_PARALLEL_READS,
    loading_engines,
    parallel_reads,
)
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import PinResult, pin_graph, unpin_graph
from tests.dynamo.test_weight_loader import graph, worker

REQUEST = PinRequest("llama", "fluid.io/s-prod-llama", node_gpus=8)
GIB = 1 << 30


def pinned(obj: dict[str, Any], loader: str, **request: Any) -> PinResult:
    """A graph with a loader; taken back, it is what it was."""
    asked = replace(REQUEST, loader=loader, **request)
    result = pin_graph(obj, asked)
    assert not pin_graph(result.object, asked).changed
    assert unpin_graph(result.object, "llama").object == obj
    return result


def main(obj: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = obj["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
    return container


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container.get("env", [])}


@dataclass(frozen=True)
class Set:
    """A worker, the loader asked for, and what its command gets."""

    name: str
    worker: dict[str, Any]
    loader: str
    added: list[str]
    threads: str = ""
    """The value of the Run:ai Model Streamer's variable."""


PREFETCH = ["--safetensors-load-strategy", "prefetch"]
STREAMER = ["--load-format", "runai_streamer"]
SETS = (
    Set("vLLM on one GPU", worker("vllm"), "prefetch", PREFETCH),
    Set(
        "vLLM on a whole node",
        worker("vllm", "-tp", "8", gpus=8),
        "prefetch",
        [*PREFETCH, "--safetensors-prefetch-num-threads", "2"],
    ),
    Set("vLLM's streamer", worker("vllm"), "runai", STREAMER, "16"),
    Set(
        "vLLM's streamer on a whole node",
        worker("vllm", "-tp", "8", gpus=8),
        "runai",
        STREAMER,
        "3",
    ),
    Set(
        "vLLM's streamer in four pods of a node",
        worker("vllm", "-tp", "2", gpus=2, replicas=4),
        "runai",
        STREAMER,
        "3",
    ),
    Set(
        "fastsafetensors",
        worker("vllm"),
        "fastsafetensors",
        ["--load-format", "fastsafetensors"],
    ),
    Set("SGLang", worker("sglang"), "prefetch", ["--weight-loader-prefetch-checkpoints"]),
    Set(
        "SGLang on a whole node",
        worker("sglang", "--tp", "8", gpus=8),
        "prefetch",
        ["--weight-loader-prefetch-checkpoints", "--weight-loader-prefetch-num-threads", "2"],
    ),
    Set("SGLang's streamer", worker("sglang"), "runai", STREAMER, "16"),
    Set("auto", worker("vllm"), "auto", PREFETCH),
    Set("auto for SGLang", worker("sglang"), "auto", ["--weight-loader-prefetch-checkpoints"]),
    Set("auto before prefetch", worker("vllm", release="1.0.1"), "auto", STREAMER, "16"),
    Set(
        "auto where the threads of prefetch cannot be set",
        worker("vllm", "-tp", "8", gpus=8, release="1.2.1"),
        "auto",
        STREAMER,
        "3",
    ),
    Set("an own tag with its release", worker("vllm", release="x"), "prefetch", PREFETCH),
    Set("default", worker("vllm"), "default", []),
)


@pytest.mark.parametrize("row", SETS, ids=lambda row: row.name)
def test_an_engine_gets_a_loader(row: Set) -> None:
    before = graph(row.worker)
    after = main(pinned(before, row.loader).object)
    assert after["args"] == main(before)["args"] + row.added
    assert variables(after).get("RUNAI_STREAMER_CONCURRENCY", "") == row.threads


@dataclass(frozen=True)
class Kept:
    """A worker whose command stays as it is, and the reason given."""

    name: str
    worker: dict[str, Any]
    loader: str
    words: str


def script(text: str, **more: Any) -> dict[str, Any]:
    made = worker("vllm", **more)
    container = made["podTemplate"]["spec"]["containers"][0]
    container.update(command=["/bin/sh", "-c"], args=[text])
    return made


def command(*arguments: str) -> dict[str, Any]:
    made = worker("vllm")
    made["podTemplate"]["spec"]["containers"][0].update(command=list(arguments), args=[])
    return made


KEPT = (
    Kept("another program", command("my-engine"), "runai", "starts no known engine"),
    Kept("vllm-rs", command("vllm-rs", "serve", "a/b"), "auto", "flags of vllm-rs are not known"),
    Kept("a file of flags", worker("vllm", "--config", "/etc/x"), "auto", "from a file"),
    Kept(
        "a variable of flags", script("python3 -m dynamo.vllm $ARGS"), "auto", "$ARGS may contain"
    ),
    Kept(
        "a variable with flags in it",
        script("python3 -m dynamo.vllm $ARGS", env={"ARGS": "--load-format dummy"}),
        "runai",
        "$ARGS may contain",
    ),
    Kept(
        "a variable behind a flag without value",
        worker("vllm", "--enforce-eager", "$(EXTRA)"),
        "auto",
        "$(EXTRA) may contain",
    ),
    Kept(
        "a substitution", script("python3 -m dynamo.vllm --x `cat f`"), "auto", "`cat may contain"
    ),
    Kept("a subshell", script("python3 -m dynamo.vllm $(cat f)"), "auto", "not understood"),
    Kept(
        "flags behind a redirection",
        script("python3 -m dynamo.vllm > log --load-format dummy"),
        "runai",
        "not understood",
    ),
    Kept("other weights", worker("vllm", "--load-format", "gguf"), "runai", "gguf reads another"),
    Kept(
        "unknown configuration",
        worker("vllm", "--model-loader-extra-config", '{"tensorizer_uri": "s3://x"}'),
        "runai",
        "is not understood",
    ),
    Kept(
        "no JSON", worker("vllm", "--model-loader-extra-config", "x"), "runai", "is not understood"
    ),
    Kept("an unknown release", worker("vllm", release="my-tag"), "auto", "runtimeVersionOverride"),
    Kept("too old", worker("vllm", release="1.1.1"), "prefetch", "requires Dynamo 1.2 or later"),
    Kept(
        "threads that cannot be set",
        worker("vllm", "-tp", "8", gpus=8, release="1.2.1"),
        "prefetch",
        "8 ranks on a node would have more than 31 reads",
    ),
    Kept(
        "two ranks of fastsafetensors",
        worker("vllm", "-tp", "2", gpus=2),
        "fastsafetensors",
        "2 ranks on a node would have more than 31 reads",
    ),
    Kept("not in SGLang's image", worker("sglang"), "fastsafetensors", "does not have it"),
    Kept("TensorRT-LLM", worker("trtllm"), "prefetch", "prefetches by itself"),
    Kept("TensorRT-LLM's only loader", worker("trtllm"), "runai", "TensorRT-LLM has none"),
    Kept("TensorRT-LLM, automatically", worker("trtllm"), "auto", "prefetches by itself"),
    Kept(
        "the author's own loader",
        worker("vllm", "--load-format", "runai_streamer"),
        "auto",
        "keeps the loader that its command names",
    ),
)


@pytest.mark.parametrize("row", KEPT, ids=lambda row: row.name)
def test_a_command_stays_as_it_is_and_the_reason_is_one_line(row: Kept) -> None:
    before = graph(row.worker)
    result = pinned(before, row.loader)
    after = main(result.object)
    assert (after["command"], after["args"]) == (main(before)["command"], main(before)["args"])
    (note,) = result.notes()
    assert row.words in note
    assert "\n" not in note


def test_variables_that_are_values_are_understood() -> None:
    text = "exec python3 -m dynamo.vllm --model $M --served-model-name $N $TP_FLAG --port ${PORT}"
    env = {"TP_FLAG": "plain"}
    after = main(pinned(graph(script(text, env=env)), "prefetch").object)
    assert after["args"] == [f"{text} --safetensors-load-strategy prefetch"]


def test_the_authors_flags_are_replaced_where_a_loader_is_named() -> None:
    flags = [
        *("--load-format=runai_streamer", "--model-loader-extra-config"),
        '{"concurrency": 16, "memory_limit": 4000000000}',
    ]
    before = graph(worker("vllm", "--model", "/m", *flags, "-tp", "8", gpus=8))
    limited = main(pinned(before, "runai").object)
    assert limited["args"] == [
        *("--model", "/m", "-tp", "8", *STREAMER),
        *("--model-loader-extra-config", '{"memory_limit":4000000000}'),
    ]
    assert variables(limited)["RUNAI_STREAMER_CONCURRENCY"] == "3"
    prefetching = main(pinned(before, "prefetch").object)
    assert "--load-format=runai_streamer" not in prefetching["args"]
    assert "--model-loader-extra-config" not in prefetching["args"]


def test_a_variable_from_elsewhere_is_not_overwritten() -> None:
    before = graph(worker("vllm"))
    source = {"configMapKeyRef": {"name": "c", "key": "k"}}
    main(before)["env"] = [{"name": "RUNAI_STREAMER_CONCURRENCY", "valueFrom": source}]
    (note,) = pinned(before, "runai").notes()
    assert "RUNAI_STREAMER_CONCURRENCY comes from elsewhere" in note


def test_a_runtime_without_jni_fuse_has_no_limit() -> None:
    before = graph(worker("vllm", "-tp", "8", gpus=8))
    after = main(pinned(before, "runai", limits_reads=False).object)
    assert variables(after)["RUNAI_STREAMER_CONCURRENCY"] == "16"
    assert main(pinned(before, "fastsafetensors", limits_reads=False).object)["args"][-1] == (
        "fastsafetensors"
    )


def test_without_a_page_cache_nothing_is_prefetched() -> None:
    """With --high-concurrency, the FUSE client mounts with direct_io."""
    before = graph(worker("vllm"))
    settings = {"limits_reads": False, "has_page_cache": False}
    assert main(pinned(before, "auto", **settings).object)["args"] == STREAMER
    refused = pinned(before, "prefetch", **settings)
    assert main(refused.object)["args"] == main(before)["args"]
    assert "no page cache keeps files" in refused.notes()[0]


def test_a_loader_that_does_not_fit_names_what_lifts_the_limit() -> None:
    before = graph(worker("vllm", "-tp", "8", gpus=8))
    (note,) = pinned(before, "fastsafetensors").notes()
    assert note.endswith("can hang (fluid#5802); cache --high-concurrency uses another client")


def test_the_loader_and_the_model_path_are_taken_back_together() -> None:
    before = graph(worker("vllm", "--model", "a/b"))
    after = pinned(before, "runai", use_model_path=True).object
    assert main(after)["args"] == ["--model", "/model", "--served-model-name", "a/b", *STREAMER]


def test_pinning_again_without_the_flag_keeps_the_loader() -> None:
    first = pinned(graph(worker("vllm")), "prefetch").object
    assert not pin_graph(first, REQUEST).changed
    moved = pin_graph(first, replace(REQUEST, mount_path="/elsewhere"))
    assert main(moved.object)["args"] == PREFETCH


def test_default_removes_a_loader_and_keeps_the_pin() -> None:
    before = graph(worker("vllm"))
    taken = pin_graph(pinned(before, "runai").object, replace(REQUEST, loader="default")).object
    assert taken["spec"] == pin_graph(before, REQUEST).object["spec"]


def limited(component: dict[str, Any], memory: str) -> dict[str, Any]:
    limits = component["podTemplate"]["spec"]["containers"][0]["resources"]["limits"]
    limits["memory"] = memory
    return component


def test_auto_requires_the_memory_of_its_loader() -> None:
    """Prefetching needs the page cache of the whole model; the streamer needs its buffers."""
    result = pinned(graph(limited(worker("vllm"), "500Gi")), "auto", model_bytes=132 * GIB)
    assert main(result.object)["args"] == PREFETCH
    assert "up to 132.0 GiB of page cache, which its node's readers share" in result.notes()[0]
    smaller = pinned(graph(limited(worker("vllm"), "64Gi")), "auto", model_bytes=132 * GIB)
    assert main(smaller.object)["args"] == STREAMER
    least = pinned(graph(limited(worker("vllm"), "16Gi")), "auto", model_bytes=132 * GIB)
    assert main(least.object)["args"] == []
    assert "memory limit of 16.0 GiB" in least.notes()[0]


def test_a_named_loader_is_set_with_a_warning_about_memory_or_release() -> None:
    least = pinned(graph(limited(worker("vllm"), "16Gi")), "prefetch", model_bytes=132 * GIB)
    assert main(least.object)["args"] == PREFETCH
    assert any("memory limit of 16.0 GiB cannot keep" in remark for remark in least.remarks())
    unknown = pinned(graph(worker("vllm", "-tp", "8", gpus=8, release="x")), "prefetch")
    assert any("prefetch takes Dynamo 1.3 or later, but" in text for text in unknown.remarks())


@dataclass(frozen=True)
class Measured:
    """A worker, the reads at once that were best on a node, and what `auto` adds to its command."""

    name: str
    worker: dict[str, Any]
    best: int
    added: list[str]
    threads: str = ""
    limited: bool = True


def prefetching(threads: int) -> list[str]:
    return [*PREFETCH, "--safetensors-prefetch-num-threads", str(threads)]


MEASURED = (
    Measured("one rank gets the measured number", worker("vllm"), 4, prefetching(4)),
    Measured("more than the loader's default", worker("vllm"), 16, prefetching(16)),
    Measured("its default", worker("vllm"), 8, PREFETCH),
    Measured("shared by the ranks", worker("vllm", "-tp", "4", gpus=4), 8, prefetching(2)),
    Measured("rounded up", worker("vllm", "-tp", "8", gpus=8), 4, prefetching(1)),
    Measured("below the limit", worker("vllm", "-tp", "8", gpus=8), 31, prefetching(2)),
    Measured("without the limit", worker("vllm", "-tp", "8", gpus=8), 64, PREFETCH, limited=False),
    Measured("the streamer", worker("vllm", release="1.0.1"), 4, STREAMER, "4"),
    Measured("threads that cannot be set", worker("vllm", release="1.2.1"), 4, PREFETCH),
    Measured(
        "SGLang",
        worker("sglang"),
        8,
        ["--weight-loader-prefetch-checkpoints", "--weight-loader-prefetch-num-threads", "8"],
    ),
)


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row.name)
def test_auto_uses_what_bench_measured(row: Measured) -> None:
    before = graph(row.worker)
    result = pinned(before, "auto", best_reads=row.best, limits_reads=row.limited)
    after = main(result.object)
    assert after["args"] == main(before)["args"] + row.added
    assert variables(after).get("RUNAI_STREAMER_CONCURRENCY", "") == row.threads
    assert f"bench measured {row.best} as the best for a node" in result.notes()[0]


def test_auto_sets_no_loader_where_parallel_reads_were_not_faster() -> None:
    before = graph(worker("vllm"))
    result = pinned(before, "auto", best_reads=1)
    assert main(result.object)["args"] == main(before)["args"]
    assert "bench measured that parallel reads are not much faster" in result.notes()[0]


def test_a_named_loader_is_set_as_if_nothing_was_measured() -> None:
    for best in (1, 4):
        result = pinned(graph(worker("vllm")), "prefetch", best_reads=best)
        assert main(result.object)["args"] == PREFETCH
        assert "bench" not in result.notes()[0]


def test_an_override_of_the_release_counts() -> None:
    before = graph(worker("vllm", release="my-tag", runtimeVersionOverride="1.5.1"))
    assert main(pinned(before, "auto").object)["args"] == PREFETCH


LOADERS = [loader for loader in CHOICES if loader != "default"]


@given(
    st.sampled_from(["vllm", "sglang"]),
    st.sampled_from(LOADERS),
    st.sampled_from(["1.0.2", "1.2.1", "1.6.0"]),
    st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(0, 9)), min_size=1, max_size=3),
    st.sampled_from([0, 4, 8, 16]),
    st.sampled_from([0, 2, 16, 200]),
)
def test_no_node_gets_more_reads_than_its_fuse_client_supports(
    engine: str,
    loader: str,
    release: str,
    workers: list[tuple[int, int]],
    node_gpus: int,
    best: int,
) -> None:
    """Counted anew from the result, for every set of pods that fits on the node."""
    components = [
        worker(
            engine,
            "--tensor-parallel-size",
            str(gpus),
            gpus=gpus,
            replicas=replicas,
            release=release,
        )
        | {"name": f"W{index}"}
        for index, (gpus, replicas) in enumerate(workers)
    ]
    result = pinned(graph(*components), loader, node_gpus=node_gpus, best_reads=best)
    changed = [
        (component, engine)
        for component in open_graph(result.object).components
        for engine in loading_engines(component)
        if engine.loader_flags()
    ]
    room = node_gpus or 8
    counts = [range(min(c.replicas, room // e.processes) + 1) for c, e in changed]
    for chosen in itertools.product(*counts):
        pods = list(zip(chosen, changed, strict=True))
        if sum(count * e.processes for count, (_, e) in pods) <= room:
            reads = sum(count * parallel_reads(e).total for count, (_, e) in pods)
            assert reads <= MAX_PARALLEL_READS
