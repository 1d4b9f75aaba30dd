"""Files of a model that are what their names say, of any size: what the judge of models takes."""

from __future__ import annotations

import json
import os
import struct

HEAD = 128
"""Bytes before the data of a file made here."""


def head(size: int, name: str = "w") -> bytes:
    """The header of a safetensors file of `size` bytes with one tensor; what follows is data."""
    data = size - HEAD
    if data < 0:
        raise ValueError(f"a safetensors file of {size} bytes is not made here")
    entry = {name: {"dtype": "U8", "shape": [data], "data_offsets": [0, data]}}
    return struct.pack("<Q", HEAD - 8) + json.dumps(entry).encode().ljust(HEAD - 8)


def safetensors(size: int, name: str = "w", fill: bytes = b"\x3c\x1f") -> bytes:
    """A whole file of `size` bytes; `fill` is repeated as its data."""
    return head(size, name) + (fill * ((size - HEAD) // len(fill) + 1))[: size - HEAD]


def noise(size: int) -> bytes:
    """A whole file of `size` bytes whose data is of no other."""
    return head(size) + os.urandom(size - HEAD)


def config(**more: object) -> bytes:
    """A config.json with what engines and frontends ask for."""
    usual = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "eos_token_id": 2}
    return json.dumps({**usual, **more}).encode()


MODEL: dict[str, bytes] = {
    "config.json": config(),
    "generation_config.json": b'{"eos_token_id": 2}',
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": safetensors(4096),
}
"""A small model in which nothing is wrong."""
