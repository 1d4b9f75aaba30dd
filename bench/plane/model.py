"""A model of random safetensors, of any size."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from tests import weights

SHARDS = 4
TENSOR_BYTES = 32 << 20


def write_model(folder: Path, size: int, shards: int = SHARDS) -> None:
    """Write a model of this many bytes: files of random tensors, and a config."""
    folder.mkdir(parents=True)
    for number in range(shards):
        path = folder / f"model-{number + 1:05}-of-{shards:05}.safetensors"
        with path.open("wb") as out:
            for piece in safetensors_pieces(size // shards, f"layers.{number}"):
                out.write(piece)
    (folder / "config.json").write_bytes(weights.model_config())


def safetensors_pieces(size: int, prefix: str) -> Iterator[bytes]:
    """The bytes of a file of safetensors, about this many, in pieces: the header, then tensors."""
    count = max(1, size // TENSOR_BYTES)
    each = size // count // 2 * 2
    header = {
        f"{prefix}.{n}.weight": {
            "dtype": "F16",
            "shape": [each // 2],
            "data_offsets": [n * each, (n + 1) * each],
        }
        for n in range(count)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for _ in range(count):
        yield os.urandom(each)
