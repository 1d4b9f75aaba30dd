"""Is this a model, and is it whole? One judge for `cache`, `stage` and `doctor`. Pure.

It is given the files of a source and what `model/sample.py` read of them, and says what is wrong
(no engine can load it), and what is doubtful (some engines cannot, or bytes are there for nothing).
What it was not given it does not judge. It knows the layouts that engines serve: Transformers with
safetensors, pickles or GGUF, Mistral's own, Diffusers, LoRA, NeMo, ONNX, TensorRT-LLM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubectl_fluidmodel.model import hub_cache, impostor
from kubectl_fluidmodel.model.configs import check_configs, model_directories
from kubectl_fluidmodel.model.files import File, is_weights
from kubectl_fluidmodel.model.hub_cache import HubCache
from kubectl_fluidmodel.model.remark import (
    CONTENT,
    DOUBT,
    LINKS,
    WEIGHTS,
    Remark,
    are,
    some,
)
from kubectl_fluidmodel.model.sharding import check_shards
from kubectl_fluidmodel.output.text import plural, size

if TYPE_CHECKING:
    from kubectl_fluidmodel.model.sample import Sample

_SHOWN = 20
_UNKNOWN = 1 << 20
"""Bytes from which on a file of an ending that we do not know may be weights."""
_PLAIN = (
    *(".json", ".jsonl", ".md", ".txt", ".py", ".jinja", ".yaml", ".yml", ".toml", ".cfg", ".ini"),
    *(".model", ".tiktoken", ".vocab", ".csv", ".tsv", ".html", ".pdf", ".sh", ".ipynb", ".xml"),
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".mp4", ".wav", ".mp3", ".parquet"),
)
"""Endings of what lies beside weights."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Verdict:
    """What there is to say of a source."""

    remarks: tuple[Remark, ...] = ()

    @property
    def wrong(self) -> tuple[Remark, ...]:
        """Why no engine can load it; nothing where one may."""
        return tuple(each for each in self.remarks if each.wrong)

    @property
    def doubts(self) -> tuple[Remark, ...]:
        return tuple(each for each in self.remarks if not each.wrong)


def judge(files: Sequence[File], sample: Sample, path: str = "") -> Verdict:
    """Judge a model's files, without rubbish; `path` is where the source lies in its store."""
    cache = hub_cache.find(files, path)
    if cache is not None and cache.lost:
        return Verdict((_lost(cache),))
    essential = essential_of(files)
    known: list[Remark] = []
    if cache is not None and cache.snapshot:
        known.append(_copied(cache))
    known += _contents(sample, essential)
    known += _weights(files, known, essential)
    known += check_shards(files, sample, essential)
    known += check_configs(files, sample.texts)
    known += _formats(files)
    order = sorted(dict.fromkeys(known), key=lambda each: not each.wrong)
    return Verdict(tuple(order))


def essential_of(files: Sequence[File]) -> Callable[[str], bool]:
    """Which of the files an engine reads that is given the source.

    Where the root is a model with weights of its own, directories below it hold other formats
    (`original/`) or other states (`checkpoint-500/`); elsewhere they are what the model is made of.
    """
    names = {file.path for file in files if "/" not in file.path}
    all_of_it = (
        "model_index.json" in names
        or model_directories(names) != [""]
        or not any(is_weights(name) for name in names)
    )
    return lambda path: all_of_it or "/" not in path


def _lost(cache: HubCache) -> Remark:
    where = f"snapshots/{cache.commit[:12]}" if cache.commit else "snapshots/"
    blobs = size(cache.blob_bytes)
    rest = f", and the {blobs} of blobs/ have no names" if cache.blob_bytes else ""
    return Remark(
        LINKS,
        f"this is a cache of the Hub's client whose links were lost: the files of {where} are "
        f"empty or not there{rest}",
        True,
        model=(cache.repo + (f"@{cache.commit}" if cache.commit else "")) if cache.repo else "",
    )


def _copied(cache: HubCache) -> Remark:
    return Remark(
        DOUBT,
        f"this is a cache of the Hub's client: the model is in {cache.snapshot}, and the "
        f"{size(cache.blob_bytes)} of blobs/ are the same bytes once more",
    )


def _contents(sample: Sample, essential: Callable[[str], bool]) -> Iterator[Remark]:
    """Files that are something else than their name says."""
    masks: dict[str, list[str]] = {}
    for path, start in sorted(sample.starts.items()):
        mask = impostor.unmask(start)
        if not mask and path.endswith(".gguf") and not start.startswith(b"GGUF"):
            mask = "no GGUF file: it does not begin as one"
        if mask:
            masks.setdefault(mask, []).append(path)
    for mask, paths in masks.items():
        first, wrong = paths[0], any(map(essential, paths))
        what = first if len(paths) == 1 else f"each of {some(paths)}"
        yield Remark(CONTENT, f"{what} is {mask}", wrong, tuple(paths[:_SHOWN]))


def _weights(
    files: Sequence[File], known: Sequence[Remark], essential: Callable[[str], bool]
) -> Iterator[Remark]:
    """Whether there are weights at all, and bytes in them."""
    masked = {path for each in known if each.kind == CONTENT for path in each.paths}
    weights = [file for file in files if is_weights(file.path)]
    hollow = [file.path for file in weights if not file.size]
    if not any(file.size for file in files):
        yield Remark(WEIGHTS, f"all of its {plural(len(files), 'file')} are empty", True)
        return
    if not weights:
        odd = [file for file in files if file.size >= _UNKNOWN and not file.path.endswith(_PLAIN)]
        text = "no weights (*.safetensors, *.gguf, *.bin …)"
        if odd:
            text += f"; {some([file.path for file in odd])} may be some of another format"
        yield Remark(WEIGHTS, text, not odd)
    if hollow and masked.isdisjoint(hollow):
        # A pickle beside safetensors is not read.
        safe = any(file.path.endswith(".safetensors") and file.size for file in files)
        loaded = [
            path for path in hollow if essential(path) and not (safe and path.endswith(_PICKLES))
        ]
        shown = loaded or hollow
        yield Remark(
            WEIGHTS,
            f"{some(shown)} {are(shown)} empty",
            bool(loaded),
            tuple(shown[:_SHOWN]),
        )


def _formats(files: Sequence[File]) -> Iterator[Remark]:
    """What only some engines and loaders take."""
    filled = [file for file in files if file.size and is_weights(file.path)]
    names = [file.path.rpartition("/")[2] for file in filled]
    if not names:
        return
    if all(name.endswith(".gguf") for name in names):
        yield Remark(
            DOUBT,
            f"it has GGUF alone: an engine is given the file ({some(names, 1)}), not the directory",
        )
    if all(name.endswith(_PICKLES) and not name.startswith("openvino") for name in names):
        yield Remark(
            DOUBT,
            f"the weights are pickles ({some(names, 1)}): they can run code as they are loaded, "
            "and loaders that stream take safetensors alone",
        )
    vendor = [f for f in filled if f.path.rpartition("/")[2].startswith("consolidated")]
    folders = {file.path.rpartition("/")[0] for file in vendor}
    again = [
        file
        for file in filled
        if file.path.rpartition("/")[0] in folders
        and file.path.rpartition("/")[2].startswith("model")
        and file.path.endswith(".safetensors")
    ]
    if again and any(file.path.endswith(".safetensors") for file in vendor):
        yield Remark(
            DOUBT,
            f"the weights are there twice: consolidated*.safetensors "
            f"({size(sum(file.size for file in vendor))}) beside model*.safetensors",
        )
