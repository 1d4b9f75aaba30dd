"""What lies beside a model and is none of it."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.model.junk import group_junk, junk_owner

HUB = "the Hub client's own"


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        (".cache/huggingface/download/model.safetensors.metadata", HUB),
        (".cache/huggingface/.gitignore", HUB),
        ("sub/.cache/huggingface/download/x.incomplete", HUB),
        (".locks/models--a--b/x.lock", HUB),
        ("model.safetensors.lock", HUB),
        ("blobs/4d3f.incomplete", "downloads that were cut off"),
        ("model.gguf.part", "downloads that were cut off"),
        (".git/lfs/objects/4d/3f/4d3f", "Git's own"),
        (".DS_Store", "a desktop's own"),
        ("a/._config.json", "a desktop's own"),
        ("__pycache__/modeling_x.cpython-311.pyc", "Python's own"),
        ("models_$folder$", "markers of folders"),
        ("config.json", ""),
        (".gitattributes", ""),
        ("cache/x.safetensors", ""),
        ("block.safetensors", ""),
        ("generation.metadata", ""),
        ("parts/a.safetensors", ""),
    ],
)
def test_whose_file_it_is(path: str, whose: str) -> None:
    assert junk_owner(path) == whose


def test_by_owner_with_what_would_have_to_go() -> None:
    groups = group_junk(
        [
            ("config.json", 9),
            (".cache/huggingface/download/a.metadata", 1),
            (".cache/huggingface/download/b.incomplete", 2),
            ("sub/.cache/x", 3),
            (".DS_Store", 100),
        ]
    )
    assert [(group.owner, group.files, group.bytes) for group in groups] == [
        ("a desktop's own", 1, 100),
        (HUB, 3, 6),
    ]
    assert groups[1].paths == (".cache/", "sub/.cache/")
    assert groups[1].example == ".cache/huggingface/download/a.metadata"
