"""Is what lies below a mount a model, and is all of it there? Pure, but for the reader it is given.

A model's directory is known by the file that an engine looks for first. What is missing is told
from the weights' own index (`*.safetensors.index.json`, `*.bin.index.json`) and, without one,
from their numbering (`model-00003-of-00030.safetensors`).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kubectl_fluidmodel.doctor.answer import SHOWN, Found
from kubectl_fluidmodel.model.listing import WEIGHTS

MARKS = (
    "config.json",
    "params.json",
    "model_index.json",
    "adapter_config.json",
    "model_config.yaml",
    "genai_config.json",
)
"""Transformers and TensorRT-LLM, Mistral, Diffusers, LoRA, NeMo, ONNX Runtime."""
MARKED = (".gguf", ".nemo", ".onnx", ".llamafile")
"""Endings of files that are a whole model each."""
INDEX = (".safetensors.index.json", ".bin.index.json")
_INDEXES = 8
"""Index files that are read."""
INDEX_BYTES = 64 << 20
"""The largest index that is read; DeepSeek-R1's has 9 MB."""
_NUMBERED = re.compile(r"(?P<head>.*?)(?P<n>\d{5})-of-(?P<of>\d{5})(?P<tail>\.[^/]+)")


@dataclass(frozen=True)
class Entry:
    """One file below the mount; `written` is its last write as RFC 3339, empty if not told."""

    path: str
    size: int
    written: str = ""


def examine(entries: Sequence[Entry], whole: bool, read: Callable[[str], bytes]) -> Found:
    """What a listing shows; `read` gives the content of a small file by its path.

    `read` may raise OSError or ValueError, which makes the index a broken one.
    """
    paths = {entry.path for entry in entries}
    weights = [entry for entry in entries if entry.path.endswith(WEIGHTS)]
    missing: dict[str, None] = {}
    broken: list[str] = []
    if whole:
        indexes = [e for e in entries if e.path.endswith(INDEX) and e.size <= INDEX_BYTES]
        for index in sorted(indexes, key=lambda each: each.path)[:_INDEXES]:
            try:
                named = shards_of(index.path, read(index.path))
            except (OSError, ValueError) as err:
                broken.append(f"{index.path}: {err}")
                continue
            missing.update(dict.fromkeys(path for path in sorted(named) if path not in paths))
        missing.update(dict.fromkeys(unnumbered(entry.path for entry in weights)))
    newest = sorted(entries, key=lambda each: (each.written, each.path), reverse=True)
    return Found(
        files=len(entries),
        bytes=sum(entry.size for entry in entries),
        whole=whole,
        models=tuple(model_directories(paths))[:SHOWN],
        weights=len(weights),
        hollow=tuple(entry.path for entry in weights if entry.size == 0)[:SHOWN],
        shards=tuple(missing)[:SHOWN],
        broken=tuple(broken),
        paths=tuple(sorted(paths, key=lambda path: (path.count("/"), path)))[:SHOWN],
        newest=tuple((each.path, each.written) for each in newest if each.written)[:SHOWN],
    )


def is_mark(name: str) -> bool:
    """Whether a file name says that its directory is a model."""
    return name in MARKS or name.endswith(MARKED)


def model_directories(paths: Iterable[str]) -> list[str]:
    """The directories that hold a model, the root (empty text) first, then by depth."""
    found = {
        path.rpartition("/")[0]
        for path in paths
        if is_mark(path.rpartition("/")[2]) and not path.startswith(".")
    }
    # A part of a model (tokenizer/config.json of Diffusers) is no model of its own.
    tops = [
        one
        for one in found
        if not any(one.startswith(f"{up}/" if up else "") for up in found - {one})
    ]
    return sorted(tops, key=lambda each: (each.count("/") if each else -1, each))


def shards_of(index: str, content: bytes) -> set[str]:
    """The files that an index names, as paths of the listing.

    Raises:
        ValueError: it is no index.
    """
    try:
        named = json.loads(content)["weight_map"].values()
        folder = index.rpartition("/")[0]
        return {f"{folder}/{each}".lstrip("/") for each in {str(name) for name in named}}
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"it has no weight_map ({err})") from err


def unnumbered(paths: Iterable[str]) -> list[str]:
    """The paths that are missing from numbered series, `…-00002-of-00003.safetensors`."""
    series: dict[tuple[str, str, str], set[int]] = {}
    for path in paths:
        match = _NUMBERED.fullmatch(path)
        if match:
            key = (match["head"], match["of"], match["tail"])
            series.setdefault(key, set()).add(int(match["n"]))
    missing = []
    for (head, of, tail), have in sorted(series.items()):
        first = 0 if 0 in have else 1
        wanted = range(first, int(of) + first)
        missing += [f"{head}{n:05d}-of-{of}{tail}" for n in wanted if n not in have]
    return missing


def by_likeness(wanted: str, names: Iterable[str]) -> list[str]:
    """Names by how alike they are to the one that was wanted, the likeliest first."""
    plain = wanted.lower()

    def likeness(name: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, plain, name.lower()).ratio(), name

    return sorted(set(names), key=likeness)
