"""Files of a model that are what their names say, of any size, for the assessment of models."""

from __future__ import annotations

import json
import os
import struct

HEADER_BYTES = 128
"""Bytes before the data of a file made here."""


def safetensors_header(size: int, name: str = "w") -> bytes:
    """The header of a safetensors file of `size` bytes with one tensor; what follows is data."""
    data = size - HEADER_BYTES
    if data < 0:
        raise ValueError(f"a safetensors file of {size} bytes is not made here")
    entry = {name: {"dtype": "U8", "shape": [data], "data_offsets": [0, data]}}
    return struct.pack("<Q", HEADER_BYTES - 8) + json.dumps(entry).encode().ljust(HEADER_BYTES - 8)


def safetensors_file(size: int, name: str = "w", fill: bytes = b"\x3c\x1f") -> bytes:
    """A whole file of `size` bytes; `fill` is repeated as its data."""
    return (
        safetensors_header(size, name)
        + (fill * ((size - HEADER_BYTES) // len(fill) + 1))[: size - HEADER_BYTES]
    )


def random_safetensors(size: int) -> bytes:
    """A whole file of `size` bytes whose data is of no other."""
    return safetensors_header(size) + os.urandom(size - HEADER_BYTES)


def model_config(**more: object) -> bytes:
    """A config.json with what engines and frontends ask for."""
    usual = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "eos_token_id": 2}
    return json.dumps({**usual, **more}).encode()


MODEL: dict[str, bytes] = {
    "config.json": model_config(),
    "generation_config.json": b'{"eos_token_id": 2}',
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": safetensors_file(4096),
}
"""A small model in which nothing is wrong."""
