"""What a directory must look like to be a model, and what is said of one that does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from kubectl_fluidmodel.model.assessment import assess_model
from kubectl_fluidmodel.model.files import SourceFile
from kubectl_fluidmodel.model.issue import LINKS
from kubectl_fluidmodel.model.sample import Sample
from tests import weights
from tests.model.assessing import Files, assess, error_texts, warning_texts
from tests.weights import MODEL, model_config, safetensors_file

SHA = "a" * 40
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 4976698672\n"
)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
GGUF = b"GGUF\x03\0\0\0" + b"x" * 5000
PICKLE = b"PK\x03\x04" + b"x" * 5000


def shards(count: int, of: int | None = None, head: str = "model") -> dict[str, bytes]:
    of = count if of is None else of
    names = [f"{head}-{n:05d}-of-{of:05d}.safetensors" for n in range(1, count + 1)]
    return {name: safetensors_file(2048, f"t{n}") for n, name in enumerate(names)}


def index(files: Files, total: int | None = None, **more: str) -> bytes:
    """The index of files made by `shards`."""
    named = {f"t{n}": name for n, name in enumerate(sorted(files))}
    size = (2048 - weights.HEADER_BYTES) * len(files) if total is None else total
    return json.dumps({"metadata": {"total_size": size}, "weight_map": {**named, **more}}).encode()


SMALL = {name: content for name, content in MODEL.items() if name != "model.safetensors"}
SHARDED = {**SMALL, **shards(3), "model.safetensors.index.json": index(shards(3))}


def without(files: Files, *names: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in names}


# -- what engines serve ------------------------------------------------------------------------

NEAT = {
    "one file": MODEL,
    "shards with an index": SHARDED,
    "shards without an index": without(SHARDED, "model.safetensors.index.json"),
    "six digits, as DeepSeek numbers": {
        **SMALL,
        **{f"model-{n:05d}-of-000002.safetensors": safetensors_file(2048, f"t{n}") for n in (1, 2)},
    },
    "pickles and their index left beside safetensors": {
        **SHARDED,
        "pytorch_model.bin.index.json": index({"pytorch_model-00001-of-00002.bin": b""}),
    },
    "the index of what staging leaves out": {
        **SHARDED,
        "consolidated.safetensors.index.json": index(
            {"consolidated-00001-of-00009.safetensors": b""}
        ),
    },
    "gaps in the numbers that the index does not name": {
        **SMALL,
        **without(shards(3), "model-00002-of-00003.safetensors"),
        "model.safetensors.index.json": index(
            without(shards(3), "model-00002-of-00003.safetensors")
        ).replace(b'"t1"', b'"t2"'),
    },
    "what training left": {
        **MODEL,
        "optimizer.bin": b"",
        "training_args.bin": b"x" * 3000,
        "checkpoint-500/model.safetensors": b"cut off while it was written",
        "checkpoint-500/config.json": b"{}",
    },
    "the vendor's own format beside it": {
        **MODEL,
        "original/consolidated.00.pth": PICKLE,
        "original/params.json": b"{}",
    },
    "remote code, templates and pictures": {
        **MODEL,
        "modeling_x.py": b"pass",
        "chat_template.jinja": b"{{ x }}",
        "README.md": b"",
        "figures/a.png": b"\x89PNG",
        ".gitattributes": b"*.bin filter=lfs",
    },
    "a vision model whose text part has the tokens": {
        **without(MODEL, "generation_config.json"),
        "config.json": json.dumps(
            {"model_type": "qwen2_5_vl", "text_config": {"eos_token_id": [1, 2]}}
        ).encode(),
    },
    "a config that only Python's JSON takes": {
        **MODEL,
        "config.json": model_config()[:-1] + b', "time_step_limit": [0.0, Infinity]}',
    },
    "a file without tensors": {**SHARDED, "empty.safetensors": b"\x02\0\0\0\0\0\0\0{}"},
    "TensorRT-LLM": {
        "config.json": b'{"version": "1.0", "pretrained_config": {"architecture": "Llama"}}',
        "rank0.engine": b"ftrt" + b"x" * 5000,
    },
    "Mistral's own": {
        "params.json": b"{}",
        "tekken.json": b"{}",
        "consolidated.safetensors": safetensors_file(2048),
    },
    "Diffusers": {
        "model_index.json": b'{"_class_name": "FluxPipeline"}',
        "unet/config.json": b'{"_class_name": "UNet"}',
        "unet/diffusion_pytorch_model.safetensors": safetensors_file(2048),
        "unet/diffusion_pytorch_model.fp16.safetensors.index.json": index(
            {"gone.safetensors": b""}
        ),
        "tokenizer/vocab.json": b"{}",
    },
    "NeMo": {"model.nemo": b"x" * 5000},
    "ONNX": {"genai_config.json": b"{}", "model.onnx": b"x" * 5000, "model.onnx_data": b"x" * 5000},
    "two models side by side, and one is asked for": {
        **{f"a/{name}": content for name, content in MODEL.items()},
    },
}  # fmt: skip


@pytest.mark.parametrize("files", NEAT.values(), ids=NEAT)
def test_what_engines_serve_is_not_refused(files: Files) -> None:
    assert error_texts(files) == []


@pytest.mark.parametrize(
    "kind",
    [
        *("one file", "shards with an index", "Mistral's own", "Diffusers", "TensorRT-LLM", "NeMo"),
        *("pickles and their index left beside safetensors", "remote code, templates and pictures"),
        *("a vision model whose text part has the tokens", "six digits, as DeepSeek numbers"),
    ],
)
def test_a_complete_model_has_no_issue(kind: str) -> None:
    assert warning_texts(NEAT[kind]) == []


# -- what no engine can load -------------------------------------------------------------------

WRONG = [
    (without(SHARDED, "model-00002-of-00003.safetensors"),
     "model-00002-of-00003.safetensors is missing: model.safetensors.index.json names it"),
    (without(SHARDED, "model-00002-of-00003.safetensors", "model.safetensors.index.json"),
     "model-00002-of-00003.safetensors is missing"),
    (without(SHARDED, *shards(3)), "no weights"),
    ({**SMALL, **shards(2), "model.safetensors.index.json": index(shards(3, 9))},
     "belongs to other files"),
    ({**SHARDED, "model.safetensors.index.json": b"{cut"}, "cannot be read: it is not an index"),
    ({**SHARDED, "model.safetensors.index.json": b"{}"}, "cannot be read: it has no weight_map"),
    ({**MODEL, "model.safetensors": safetensors_file(4096)[:3000]}, "1096 more than it has"),
    ({**MODEL, "model.safetensors": safetensors_file(4096)[:60]}, "it is truncated"),
    ({**MODEL, "model.safetensors": safetensors_file(4096) + b"tail"}, "4 fewer than it has"),
    ({**MODEL, "model.safetensors": b"\0" * 4096}, "damaged: it is zeros"),
    ({**MODEL, "model.safetensors": b"weights?" * 99}, "it is not a safetensors file"),
    ({**MODEL, "model.safetensors": b""}, "model.safetensors is empty"),
    ({**MODEL, "model.safetensors": POINTER}, "a Git LFS pointer"),
    ({**MODEL, "tokenizer.json": POINTER}, "tokenizer.json is a Git LFS pointer"),
    ({**MODEL, "model.safetensors": PAGE}, "an HTML page"),
    ({**SMALL, "pytorch_model.bin": PAGE}, "pytorch_model.bin is an HTML page"),
    ({**SMALL, "pytorch_model.bin": POINTER}, "pytorch_model.bin is a Git LFS pointer"),
    ({**SMALL, "pytorch_model.bin": b""}, "pytorch_model.bin is empty"),
    ({"m.Q4_K_M.gguf": b"\0" * 5000}, "m.Q4_K_M.gguf is zeros"),
    ({"m.Q4_K_M.gguf": b"plain text"}, "not a GGUF file"),
    ({"m-00001-of-00002.gguf": GGUF}, "m-00002-of-00002.gguf is missing"),
    ({**MODEL, "config.json": b""}, "config.json is empty"),
    ({**MODEL, "config.json": PAGE}, "config.json is an HTML page"),
    ({**MODEL, "config.json": b"[" * 90_000}, "config.json is not JSON"),
    ({**MODEL, "config.json": b"[]"}, "config.json is not a JSON object"),
    ({**MODEL, "config.json": b'{"error": "Repository not found"}'}, "Repository not found"),
    ({**MODEL, "config.json": b"../../blobs/0f3c"}, "a link into the Hub's cache"),
    (SMALL, "no weights"),
    ({"README.md": b"hello"}, "no weights"),
    ({"a": b"", "b/c": b""}, "all of its 2 files are empty"),
    ({"model_index.json": b"{}", "unet/config.json": b"{}", "unet/x.safetensors": b"no"},
     "unet/x.safetensors is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "text"), WRONG, ids=[text for _, text in WRONG])
def test_what_no_engine_can_load(files: Files, text: str) -> None:
    assert any(text in error for error in error_texts(files)), error_texts(files)


# -- what is only said ---------------------------------------------------------------------------

DOUBTFUL = [
    (without(MODEL, "config.json"), "no config.json at its root"),
    ({f"v1/{name}": content for name, content in MODEL.items()},
     "no config.json at its root (there is one at v1/config.json; did you mean that directory"),
    ({f"{place}/{name}": content for name, content in MODEL.items() for place in "ab"},
     "it holds 2 models (a, b): an engine loads one"),
    ({**without(MODEL, "generation_config.json"), "config.json": model_config(eos_token_id=None)},
     "no generation_config.json, and config.json has no eos_token_id: Dynamo's frontend finds no "
     "eos_token_id and does not list the model (dynamo#10805)"),
    ({**MODEL, "config.json": model_config(eos_token_id=None), "generation_config.json": b"{}"},
     "neither generation_config.json nor config.json has an eos_token_id"),
    ({**without(MODEL, "generation_config.json"), "config.json": model_config(eos_token_id=None),
      "tokenizer_config.json": b'{"eos_token": "</s>"}'}, "before June 2026"),
    (without(MODEL, "tokenizer.json"), "it has no tokenizer"),
    ({"adapter_config.json": b'{"base_model_name_or_path": "org/base"}',
      "adapter_model.safetensors": safetensors_file(2048)}, "it is an adapter (LoRA) of org/base"),
    ({"m.Q4_K_M.gguf": GGUF}, "it has only GGUF"),
    ({**SMALL, "pytorch_model.bin": PICKLE}, "the weights are pickles (pytorch_model.bin)"),
    ({**MODEL, "params.json": b"{}", "consolidated.safetensors": safetensors_file(9000)},
     "the weights exist twice: consolidated*.safetensors (8.8 KiB)"),
    ({**SHARDED, **shards(2)}, "model-00001-of-00002.safetensors, model-00002-of-00002.safetensors "
     "are of another sharding"),
    ({**MODEL, "model.safetensors.index.json": index(shards(3))}, "belongs to other files"),
    ({**SHARDED, "model.safetensors.index.json": index(shards(3), total=99 << 30)},
     "model.safetensors.index.json counts 99.0 GiB of tensors, and its files hold 5.6 KiB"),
    ({**SHARDED, "model.safetensors.index.json":
      index(shards(3), lost="model-00001-of-00003.safetensors")},
     "names 1 tensor that the files do not have where it says ('lost' in model-00001"),
    ({**SMALL, "weights.sharded": b"x" * (2 << 20)}, "weights.sharded may be weights of another"),
    ({**MODEL, "old.bin": b""}, "old.bin is empty"),
    ({**NEAT["what training left"]}, "checkpoint-500/model.safetensors is damaged"),
    ({"m-q8-00001-of-00002.gguf": GGUF, "m-q4.gguf": GGUF}, "m-q8-00002-of-00002.gguf is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "text"), DOUBTFUL, ids=[text for _, text in DOUBTFUL])
def test_doubtful_leftovers_are_marked(files: Files, text: str) -> None:
    assert any(text in warning for warning in warning_texts(files)), warning_texts(files)


def lines_run(act: Callable[[], object]) -> int:
    """The lines of Python that a call runs, each as often as it runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "name",
    ["{n}.bin", "d{n}/config.json", "d{n}/x.gguf", "m{n}-00001-of-00002.gguf", "blobs/{n}"],
)
def test_the_work_for_many_odd_files_grows_with_their_number(name: str) -> None:
    def work(count: int) -> int:
        files = [SourceFile(name.format(n=n), n % 2) for n in range(count)]
        return lines_run(lambda: assess_model(files, Sample(), "models/m"))

    work(10)  # compiles the patterns
    assert work(1000) < 2.2 * work(500)


# -- caches of the Hub's client ------------------------------------------------------------------

TOP = "models--acme--tiny"
BLOBS = {f"blobs/{n:064x}": content for n, content in enumerate(MODEL.values())}
EMPTY = dict.fromkeys((f"snapshots/{SHA}/{name}" for name in MODEL), b"")
REFS = {"refs/main": SHA.encode()}


def below(folder: str, files: Files) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


@pytest.mark.parametrize(
    ("files", "path", "model"),
    [
        ({**BLOBS, **REFS, **EMPTY}, f"hub/{TOP}", f"acme/tiny@{SHA}"),
        (below(TOP, {**BLOBS, **REFS, **EMPTY}), "hub", f"acme/tiny@{SHA}"),
        ({**BLOBS, **REFS}, f"hub/{TOP}", "acme/tiny"),
        ({**BLOBS, **REFS, **EMPTY}, "somewhere", ""),
        (dict.fromkeys(MODEL, b""), f"hub/{TOP}/snapshots/{SHA}", f"acme/tiny@{SHA}"),
        ({name: f"../../blobs/{n:064x}".encode() for n, name in enumerate(MODEL)},
         f"{TOP}/snapshots/{SHA}", f"acme/tiny@{SHA}"),
        ({f"{name}.rclonelink": b"../../blobs/x" for name in MODEL},
         f"{TOP}/snapshots/{SHA}", f"acme/tiny@{SHA}"),
        ({**BLOBS, f"snapshots/{SHA}/config.json": model_config()}, TOP, f"acme/tiny@{SHA}"),
    ],
)  # fmt: skip
def test_a_hub_cache_whose_links_were_lost(files: Files, path: str, model: str) -> None:
    (remark,) = assess(files, path).issues
    assert (remark.kind, remark.fatal, remark.hub_model) == (LINKS, True, model)
    assert "without its symbolic links" in remark.text


@pytest.mark.parametrize("path", [f"{TOP}/snapshots/{SHA}", "models/m", "snapshots/v2"])
def test_a_snapshot_whose_links_were_followed_is_a_model(path: str) -> None:
    assert assess(MODEL, path).issues == ()


def test_a_hub_cache_with_copied_files_is_reported_as_duplicated() -> None:
    files = {**BLOBS, **REFS, **below(f"snapshots/{SHA}", MODEL)}
    assessment = assess(files, TOP)
    assert assessment.errors == ()
    assert f"the model is in snapshots/{SHA}" in assessment.warnings[0].text


def test_a_folder_called_blobs_is_no_hub_cache() -> None:
    assert assess({**MODEL, "blobs/x.bin": PICKLE}).errors == ()
