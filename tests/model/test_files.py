"""What a list of files says about the model."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.model.files import FileListing, SourceFile, is_weights


def test_bytes_are_those_of_all_files() -> None:
    assert FileListing((SourceFile("a", 3), SourceFile("b", 7))).bytes == 10
    assert FileListing(()).bytes == 0


@pytest.mark.parametrize(
    ("path", "weights"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("a/b.gguf", True),
        ("consolidated.00.pth", True),
        ("optimizer.bin", False),
        ("checkpoint-5/training_args.bin", False),
        ("tokenizer.model", False),
    ],
)
def test_files_with_weights(path: str, weights: bool) -> None:
    assert is_weights(path) == weights
