"""Which files of a tree are staged."""

from __future__ import annotations

import shlex

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan, build_plan
from kubectl_fluidmodel.stage.report import unloadable_note


def plan(*paths: str, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> StagingPlan:
    files = [PlanFile(path, 10, "git", "0" * 40) for path in paths]
    return build_plan("o/m", "main", "c" * 40, files, include=include, exclude=exclude)


def selected_paths(staging_plan: StagingPlan) -> list[str]:
    return [file.path for file in staging_plan.files]


LLAMA = (
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "original/consolidated.00.pth",
    "original/params.json",
    "pytorch_model.bin",
    "tokenizer.json",
    "onnx/model.onnx",
    "flax_model.msgpack",
    "README.md",
)


def test_redundant_formats_are_skipped_if_there_are_safetensors() -> None:
    staging_plan = plan(*LLAMA)
    assert selected_paths(staging_plan) == [
        "README.md",
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    assert staging_plan.bytes == 60 and staging_plan.bytes_skipped == 50
    assert all(file.reason for file in staging_plan.skipped)


def test_without_safetensors_no_format_is_redundant() -> None:
    assert selected_paths(plan("config.json", "pytorch_model.bin")) == [
        "config.json",
        "pytorch_model.bin",
    ]
    assert selected_paths(plan("model.gguf")) == ["model.gguf"]


def test_safetensors_below_original_do_not_count_as_weights() -> None:
    paths = ("original/x.safetensors", "pytorch_model.bin")
    assert selected_paths(plan(*paths)) == sorted(paths)


def test_consolidated_weights_are_skipped_only_if_there_are_others() -> None:
    both = plan("consolidated.safetensors", "model-1.safetensors")
    assert selected_paths(both) == ["model-1.safetensors"]
    assert selected_paths(plan("consolidated.safetensors")) == ["consolidated.safetensors"]


def test_globs_of_the_user_replace_the_defaults() -> None:
    assert selected_paths(plan(*LLAMA, include=("*.bin", "original/"))) == [
        "original/consolidated.00.pth",
        "original/params.json",
        "pytorch_model.bin",
    ]
    assert "README.md" not in selected_paths(plan(*LLAMA, exclude=("*.md",)))
    assert len(selected_paths(plan(*LLAMA, include=("*",)))) == len(LLAMA)
    assert selected_paths(plan(*LLAMA, include=("*.json",), exclude=("o*",)))[0] == "config.json"


def test_junk_is_left_out_unless_it_is_included() -> None:
    tree = ("config.json", ".DS_Store", "sub/.ipynb_checkpoints/x.json")
    assert selected_paths(plan(*tree)) == ["config.json"]
    assert len(selected_paths(plan(*tree, include=("*",)))) == len(tree)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (
            ("config.json", "model-00001-of-00002.safetensors"),
            "model-00002-of-00002",
        ),
        (("config.json", "tokenizer.json"), "no weights"),
        (("config.json", "model.safetensors"), ""),
        (("m.gguf",), ""),
    ],
)
def test_a_note_has_the_reason_why_no_engine_can_load_the_plan(
    tree: tuple[str, ...], text: str
) -> None:
    note = unloadable_note(plan(*tree))
    assert (text in note) if text else note == ""


def test_globs_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="no file of o/m"):
        plan(*LLAMA, include=("*.nothing",))
    with pytest.raises(UsageError, match="no file of o/m"):
        plan()


@pytest.mark.parametrize("path", ["../x", "a//b", "/a", "a/./b", "a\nb", "a/", "x" * 900])
def test_paths_that_cannot_be_keys_are_refused(path: str) -> None:
    with pytest.raises(FluidModelError, match="cannot be staged"):
        plan("ok", path)


@pytest.mark.parametrize(
    "path",
    [
        "a\u3000b.png",
        "a\xa0b",
        "\U0001f469\u200d\U0001f4bb.md",
        "a\nb",
        "a[1]\n*?",
        "../x",
        "x" * 900,
    ],
)
def test_the_hint_for_an_unusable_path_excludes_it(path: str) -> None:
    with pytest.raises(FluidModelError, match="cannot be staged") as caught:
        plan("ok", path, "okay")
    flag, glob, *_ = shlex.split(caught.value.hint.partition(", if ")[0])
    assert flag == "--exclude" and glob.isprintable()
    assert selected_paths(plan("ok", path, "okay", exclude=(glob,))) == ["ok", "okay"]
    assert selected_paths(plan("ok", path, include=("o*",))) == ["ok"], (
        "what is not staged needs no name"
    )
