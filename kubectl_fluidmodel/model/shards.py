"""Weights in several files: the files that an index or the numbering implies. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import field
from functools import cache
from typing import Any

from kubectl_fluidmodel.records import dataclass

SAFETENSORS_INDEX_SUFFIX = ".safetensors.index.json"
INDEX_SUFFIXES = (SAFETENSORS_INDEX_SUFFIX, ".bin.index.json")
_NUMBERED = re.compile(r"(?P<head>.*?)(?P<n>\d{5,6})-of-(?P<of>\d{5,6})(?P<tail>\.[^/]+)")
"""`model-00003-of-00030.safetensors`; DeepSeek writes `-of-000163`."""
Series = tuple[str, str, str]
"""The prefix, the total as written, and the extension."""
_MAX_SHARDS = 10_000
"""Shards of a series up to which missing ones are listed."""


@dataclass(frozen=True)
class ShardIndex:
    """A `*.index.json`: the file of each tensor."""

    path: str
    tensors: dict[str, str] = field(repr=False)
    """Name of the tensor to path of the file, as in the listing."""
    total_bytes: int | None
    """`metadata.total_size`; None if it is missing."""

    @property
    def files(self) -> set[str]:
        return set(self.tensors.values())


def parse_index(path: str, content: bytes) -> ShardIndex:
    """Parse an index; `path` is its own path, to which the names in it are relative.

    Raises:
        ValueError: it is not an index.
    """
    import msgspec

    objects, names = _decoders()
    try:
        document = objects.decode(content) or {}
        if "weight_map" not in document:
            raise ValueError("it has no weight_map")
        path_by_tensor = names.decode(document["weight_map"])
        metadata = objects.decode(document.get("metadata") or b"{}") or {}
        total = msgspec.json.decode(metadata.get("total_size") or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ValueError(f"it is not an index ({' '.join(str(err).split())[:120]})") from err
    folder = path.rpartition("/")[0]
    tensors = {name: f"{folder}/{file}".lstrip("/") for name, file in path_by_tensor.items()}
    is_valid = isinstance(total, int | float) and not isinstance(total, bool) and total >= 0
    return ShardIndex(path, tensors, int(total) if is_valid and total < 1 << 63 else None)


@cache
def _decoders() -> tuple[Any, Any]:
    """Return decoders for an object with any content, and for one with strings."""
    import msgspec

    anything = dict[str, msgspec.Raw] | None
    return msgspec.json.Decoder(anything), msgspec.json.Decoder(dict[str, str])


def missing_shards(paths: Iterable[str]) -> list[str]:
    """Return the missing paths of numbered series, `…-00002-of-00003.safetensors`."""
    missing = []
    for (head, count, tail), digits in sorted(_group_by_series(paths).items()):
        width = max(map(len, digits))
        numbers = set(map(int, digits))
        first = 0 if 0 in numbers else 1
        expected = range(first, min(int(count), _MAX_SHARDS) + first)
        missing += [f"{head}{n:0{width}d}-of-{count}{tail}" for n in expected if n not in numbers]
    return missing


def series_of(path: str) -> Series | None:
    """Return what the files of a series have in common; None if it is not in a series."""
    match = _NUMBERED.fullmatch(path)
    return (match["head"], match["of"], match["tail"]) if match else None


def _group_by_series(paths: Iterable[str]) -> dict[Series, set[str]]:
    numbers_by_series: dict[Series, set[str]] = {}
    for path in paths:
        match = _NUMBERED.fullmatch(path)
        if match:
            series = (match["head"], match["of"], match["tail"])
            numbers_by_series.setdefault(series, set()).add(match["n"])
    return numbers_by_series
