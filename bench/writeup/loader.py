"""Loads a model as vLLM does, in a pod: every tensor, by `safetensors`, file by file.

    python loader.py cache DIR             a mounted cache, with nothing of it in the page cache
    python loader.py page-cache DIR        the same, with what the page cache has
    python loader.py hub DIR REPOSITORY    downloads the model from the Hub to DIR before

Prints one JSON object: seconds of downloading and of loading, and the bytes of all tensors.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def weights(folder: Path) -> list[Path]:
    """The files of weights in the order in which engines load them."""
    return sorted(folder.glob("*.safetensors"))


def drop_pages(folder: Path) -> None:
    """Drop what the page cache has of the files, so that a load measures the mount."""
    for path in weights(folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def tensors(folder: Path) -> Iterator[int]:
    """Copy every tensor from the memory map that `safetensors` makes; yields its bytes."""
    from safetensors import safe_open

    for path in weights(folder):
        with safe_open(path, framework="numpy") as opened:
            # As engines do it: in the order of the data, not of the names.
            for name in opened.offset_keys():
                yield opened.get_tensor(name).nbytes


def download(repository: str, folder: Path) -> None:
    """Download a model as the Hub's client does, from $HF_ENDPOINT."""
    from huggingface_hub import snapshot_download

    snapshot_download(repository, local_dir=folder)


def main(way: str, folder: Path, repository: str = "") -> None:
    began = time.monotonic()
    if way == "hub":
        download(repository, folder)
    elif way == "cache":
        drop_pages(folder)
    downloaded = time.monotonic()
    loaded = sum(tensors(folder))
    ended = time.monotonic()
    found = {"download": downloaded - began, "load": ended - downloaded, "bytes": loaded}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
