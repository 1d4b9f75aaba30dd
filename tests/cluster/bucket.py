"""A bucket for one test, and models to put into it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests import weights

from .s3 import S3

MIB = 1 << 20


class Bucket:
    """A fresh bucket of the real S3 server."""

    def __init__(self, s3: S3, name: str) -> None:
        self.s3, self.name = s3, name
        self.client: Any = s3.client()
        self.client.create_bucket(Bucket=name)

    def uri(self, prefix: str = "") -> str:
        return f"s3://{self.name}/{prefix.strip('/')}".rstrip("/")

    def put(self, key: str, content: bytes | int = b"") -> None:
        """An object with this content, or of this many bytes."""
        body = content if isinstance(content, bytes) else _bytes(key, content)
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def put_sparse(self, key: str, size: int) -> None:
        """An object of any size that takes no room on disk: a file with a hole, put in place."""
        path = self.s3.state / "s3" / "data" / self.name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            if key.endswith(".safetensors"):
                out.write(weights.safetensors_header(size))
            out.truncate(size)

    def put_model(
        self,
        prefix: str = "",
        files: dict[str, int] | None = None,
        shards: int = 3,
        shard_size: int = MIB,
        sparse: bool = False,
    ) -> dict[str, int]:
        """Files as a model has them; returns the bytes of each by its name below the prefix.

        ``files`` gives names and sizes outright; otherwise there are ``shards`` weights with an
        index, a tokenizer and configs. Sparse weights may be as large as they like.
        """
        folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        contents: dict[str, bytes | int] = dict(files or {})
        if files is None:
            names = [f"model-{n:05d}-of-{shards:05d}.safetensors" for n in range(1, shards + 1)]
            index = {
                "metadata": {"total_size": shards * (shard_size - weights.HEADER_BYTES)},
                "weight_map": {_tensor(name): name for name in names},
            }
            contents = {
                "config.json": weights.model_config(
                    num_hidden_layers=shards, torch_dtype="bfloat16"
                ),
                "generation_config.json": b'{"do_sample": true, "temperature": 0.6}',
                "tokenizer.json": _bytes("tokenizer", 20_000),
                "tokenizer_config.json": b'{"model_max_length": 131072}',
                "model.safetensors.index.json": json.dumps(index).encode(),
                **dict.fromkeys(names, shard_size),
            }
        sizes: dict[str, int] = {}
        for name, content in contents.items():
            if sparse and isinstance(content, int) and content > MIB:
                self.put_sparse(folder + name, content)
            else:
                self.put(folder + name, content)
            sizes[name] = content if isinstance(content, int) else len(content)
        return sizes

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """What the server lists below a prefix: bytes by key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}

    def user(
        self,
        access_key: str,
        secret_key: str,
        actions: list[str] | None = None,
        deny: list[str] | None = None,
    ) -> None:
        """Make an S3 user who may do these things with this bucket (default: list and read)."""
        self.s3.create_user(access_key, secret_key)
        self.s3.allow(self.name, access_key, actions, deny)

    def delete(self) -> None:
        """Take the bucket away, whatever is in it."""
        for folder in ("data", "meta"):
            shutil.rmtree(Path(self.s3.state) / "s3" / folder / self.name, ignore_errors=True)


def _tensor(path: str) -> str:
    """The name of the tensor in a file of weights."""
    return path.rpartition("/")[2].removesuffix(".safetensors")


def _bytes(seed: str, size: int) -> bytes:
    """Bytes that are the same in every run and not all alike, and what the name says."""
    if seed.endswith(".safetensors") and size >= weights.HEADER_BYTES:
        return weights.safetensors_file(size, _tensor(seed), f"{seed}\n".encode())
    if seed.endswith(".json") and size >= 2:
        return b"{" + b" " * (size - 2) + b"}"
    line = (seed + "\n").encode() * 64
    return (line * (size // len(line) + 1))[:size]
