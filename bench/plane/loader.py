"""Loads a model in a pod, and prints how long it took.

    python loader.py DIR                   a mounted cache, with nothing of it in the page cache
    python loader.py DIR --keep-pages      the same, with what the page cache has
    python loader.py DIR --threads 4       by parallel reads instead of a memory map
    python loader.py DIR --hub REPOSITORY  downloads the model from the Hub to DIR before
    python loader.py --store URL…          reads objects from their store instead

Without `--threads`, it loads as vLLM does by default: every tensor, by `safetensors`, from a memory
map, file by file. Prints one JSON object: seconds of downloading and of loading, and the bytes of
all tensors, or of what was read.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SEGMENT = 64 << 20
"""What a thread reads at once: about a large tensor."""
BLOCK = 16 << 20


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


def segments(size: int) -> list[tuple[int, int]]:
    """The first byte and the length of each segment of so many bytes."""
    return [(first, min(SEGMENT, size - first)) for first in range(0, size, SEGMENT)]


def read_parallel(folder: Path, threads: int) -> int:
    """Read all files in large blocks, with threads that each open a file themselves."""
    work = [(path, *each) for path in weights(folder) for each in segments(path.stat().st_size)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(_read_segment, *zip(*work, strict=True)))


def _read_segment(path: Path, first: int, count: int) -> int:
    buffer, at, end = memoryview(bytearray(BLOCK)), first, first + count
    handle = os.open(path, os.O_RDONLY)
    try:
        while at < end:
            got = os.preadv(handle, [buffer[: min(BLOCK, end - at)]], at)
            if not got:
                raise OSError(f"{path} ends at byte {at}")
            at += got
    finally:
        os.close(handle)
    return count


def read_store(urls: Sequence[str], threads: int) -> int:
    """Read objects whole by HTTP, several at once; the bytes of all."""
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(_get, urls))


def _get(url: str) -> int:
    buffer, count = memoryview(bytearray(1 << 20)), 0
    with urllib.request.urlopen(url) as answer:
        while got := answer.readinto(buffer):
            count += got
    return count


def download(repository: str, folder: Path) -> None:
    """Download a model as the Hub's client does, from $HF_ENDPOINT."""
    from huggingface_hub import snapshot_download

    snapshot_download(repository, local_dir=folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--keep-pages", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--hub", metavar="REPOSITORY")
    parser.add_argument("--store", nargs="+", metavar="URL")
    options = parser.parse_args()
    began = time.monotonic()
    load: Callable[[], int]
    if options.store:
        load = lambda: read_store(options.store, options.threads or 1)  # noqa: E731
    elif options.threads:
        load = lambda: read_parallel(options.folder, options.threads)  # noqa: E731
    else:
        load = lambda: sum(tensors(options.folder))  # noqa: E731
    if options.hub:
        download(options.hub, options.folder)
    elif not options.keep_pages and not options.store:
        drop_pages(options.folder)
    downloaded = time.monotonic()
    loaded = load()
    ended = time.monotonic()
    found = {"download": downloaded - began, "load": ended - downloaded, "bytes": loaded}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
