"""What a list of files says about the model."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.model.listing import File, Listing


def listing(**files: int) -> Listing:
    return Listing(tuple(File(path, size) for path, size in files.items()))


def test_bytes_and_the_largest_file() -> None:
    found = Listing((File("a", 3), File("b", 7)))
    assert (found.bytes, found.largest) == (10, 7)
    assert (Listing(()).bytes, Listing(()).largest) == (0, 0)


@pytest.mark.parametrize(
    ("files", "doubts"),
    [
        ({"config.json": 1, "model.safetensors": 9}, []),
        ({"llama.Q4_K_M.gguf": 9}, []),
        ({"config.json": 1}, ["no weights (*.safetensors, *.gguf, *.bin …)"]),
        ({"model.safetensors": 9}, ["no config.json at its root"]),
        (
            {"v1/config.json": 1, "v1/model.safetensors": 9},
            ["no config.json at its root (there is one at v1/config.json: is that the directory "
             "you mean?)"],
        ),
        ({"config.json": 1, "a.safetensors": 0}, ["empty weight files: a.safetensors"]),
        ({"config.json": 1, "a.bin": 0, "b.bin": 0, "c.bin": 0, "d.bin": 0},
         ["empty weight files: a.bin, b.bin, c.bin"]),
    ],
)  # fmt: skip
def test_doubts(files: dict[str, int], doubts: list[str]) -> None:
    assert listing(**files).doubts() == doubts
