"""Checks whether a source is a complete model; used by `cache`, `stage` and `doctor`. Pure.

The input is the files of a source and what `model/sample.py` read of them. The result is errors (no
engine can load the files) and warnings (some engines cannot, or bytes are wasted). What was not
read is not checked. The checks know the layouts that engines serve: Transformers with safetensors,
pickles or GGUF, Mistral's own, Diffusers, LoRA, NeMo, ONNX, TensorRT-LLM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kubectl_fluidmodel.model import hub_cache, wrong_content
from kubectl_fluidmodel.model.config_files import check_configs, find_model_directories
from kubectl_fluidmodel.model.files import SourceFile, is_weights
from kubectl_fluidmodel.model.hub_cache import HubCache
from kubectl_fluidmodel.model.issue import (
    CONTENT,
    LINKS,
    MAX_PATHS,
    WARNING,
    WEIGHTS,
    ModelIssue,
    is_or_are,
)
from kubectl_fluidmodel.model.shard_checks import check_shards
from kubectl_fluidmodel.output.units import format_bytes, pluralize, summarize
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.model.sample import Sample

_MIN_UNKNOWN_WEIGHTS = 1 << 20
"""Minimum size in bytes of weights in a file with an unknown extension."""
_OTHER_SUFFIXES = (
    *(".json", ".jsonl", ".md", ".txt", ".py", ".jinja", ".yaml", ".yml", ".toml", ".cfg", ".ini"),
    *(".model", ".tiktoken", ".vocab", ".csv", ".tsv", ".html", ".pdf", ".sh", ".ipynb", ".xml"),
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".mp4", ".wav", ".mp3", ".parquet"),
)
"""Extensions of files beside the weights."""
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class ModelAssessment:
    """The issues of a source."""

    issues: tuple[ModelIssue, ...] = ()

    @property
    def errors(self) -> tuple[ModelIssue, ...]:
        """Why no engine can load it; empty if an engine may."""
        return tuple(issue for issue in self.issues if issue.fatal)

    @property
    def warnings(self) -> tuple[ModelIssue, ...]:
        return tuple(issue for issue in self.issues if not issue.fatal)


def assess_model(files: Sequence[SourceFile], sample: Sample, path: str = "") -> ModelAssessment:
    """Assess a model's files without junk; `path` is the location of the source in its store."""
    cache = hub_cache.find_hub_cache(files, path)
    if cache is not None and cache.links_lost:
        return ModelAssessment((_lost_links_issue(cache),))
    essential = essential_filter(files)
    issues: list[ModelIssue] = []
    if cache is not None and cache.snapshot:
        issues.append(_hub_cache_issue(cache))
    issues += _check_contents(sample, essential)
    issues += _check_weights(files, issues, essential)
    issues += check_shards(files, sample, essential)
    issues += check_configs(files, sample.texts)
    issues += _check_formats(files)
    errors_first = sorted(dict.fromkeys(issues), key=lambda issue: not issue.fatal)
    return ModelAssessment(tuple(errors_first))


def essential_filter(files: Sequence[SourceFile]) -> Callable[[str], bool]:
    """Return a filter for the files that an engine reads from the source.

    If the root has its own weights, directories below it hold other formats (`original/`) or other
    states (`checkpoint-500/`); otherwise they are parts of the model.
    """
    names = {file.path for file in files if "/" not in file.path}
    all_of_it = (
        "model_index.json" in names
        or find_model_directories(names) != [""]
        or not any(is_weights(name) for name in names)
    )
    return lambda path: all_of_it or "/" not in path


def _lost_links_issue(cache: HubCache) -> ModelIssue:
    location = f"snapshots/{cache.commit[:12]}" if cache.commit else "snapshots/"
    blobs = format_bytes(cache.blob_bytes)
    blobs_note = f", and the {blobs} in blobs/ have no file names" if cache.blob_bytes else ""
    return ModelIssue(
        LINKS,
        "this is a copied cache of the Hub's client without its symbolic links: the files of "
        f"{location} are empty or missing{blobs_note}",
        True,
        hub_model=(cache.repo + (f"@{cache.commit}" if cache.commit else "")) if cache.repo else "",
    )


def _hub_cache_issue(cache: HubCache) -> ModelIssue:
    return ModelIssue(
        WARNING,
        f"this is a cache of the Hub's client: the model is in {cache.snapshot}, and the "
        f"{format_bytes(cache.blob_bytes)} in blobs/ are duplicates",
    )


def _check_contents(sample: Sample, essential: Callable[[str], bool]) -> Iterator[ModelIssue]:
    """Yield files whose content does not match their name."""
    paths_by_content: dict[str, list[str]] = {}
    for path, start in sorted(sample.first_bytes.items()):
        content = wrong_content.identify_wrong_content(start)
        if not content and path.endswith(".gguf") and not start.startswith(b"GGUF"):
            content = "not a GGUF file: its header is missing"
        if content:
            paths_by_content.setdefault(content, []).append(path)
    for content, paths in paths_by_content.items():
        first, wrong = paths[0], any(map(essential, paths))
        subject = first if len(paths) == 1 else f"each of {summarize(paths)}"
        yield ModelIssue(CONTENT, f"{subject} is {content}", wrong, tuple(paths[:MAX_PATHS]))


def _check_weights(
    files: Sequence[SourceFile], issues: Sequence[ModelIssue], essential: Callable[[str], bool]
) -> Iterator[ModelIssue]:
    """Yield errors if there are no weights, or only empty ones."""
    wrong_content_paths = {
        path for issue in issues if issue.kind == CONTENT for path in issue.paths
    }
    weights = [file for file in files if is_weights(file.path)]
    empty = [file.path for file in weights if not file.size]
    if not any(file.size for file in files):
        yield ModelIssue(WEIGHTS, f"all of its {pluralize(len(files), 'file')} are empty", True)
        return
    if not weights:
        unknown = [
            file
            for file in files
            if file.size >= _MIN_UNKNOWN_WEIGHTS and not file.path.endswith(_OTHER_SUFFIXES)
        ]
        text = "no weights (*.safetensors, *.gguf, *.bin …)"
        if unknown:
            text += (
                f"; {summarize([file.path for file in unknown])} may be weights of another format"
            )
        yield ModelIssue(WEIGHTS, text, not unknown)
    if empty and wrong_content_paths.isdisjoint(empty):
        # A pickle beside safetensors is not read.
        safe = any(file.path.endswith(".safetensors") and file.size for file in files)
        loaded = [
            path
            for path in empty
            if essential(path) and not (safe and path.endswith(_PICKLE_SUFFIXES))
        ]
        shown = loaded or empty
        yield ModelIssue(
            WEIGHTS,
            f"{summarize(shown)} {is_or_are(shown)} empty",
            bool(loaded),
            tuple(shown[:MAX_PATHS]),
        )


def _check_formats(files: Sequence[SourceFile]) -> Iterator[ModelIssue]:
    """Yield warnings about what only some engines and loaders support."""
    filled = [file for file in files if file.size and is_weights(file.path)]
    names = [file.name for file in filled]
    if not names:
        return
    if all(name.endswith(".gguf") for name in names):
        yield ModelIssue(
            WARNING,
            f"it has only GGUF: pass the file to the engine ({summarize(names, 1)}), not "
            "the directory",
        )
    if all(name.endswith(_PICKLE_SUFFIXES) and not name.startswith("openvino") for name in names):
        yield ModelIssue(
            WARNING,
            f"the weights are pickles ({summarize(names, 1)}): they can run code when "
            "they are loaded, and streaming loaders support only safetensors",
        )
    consolidated = [file for file in filled if file.name.startswith("consolidated")]
    directories = {file.directory for file in consolidated}
    duplicates = [
        file
        for file in filled
        if file.directory in directories
        and file.name.startswith("model")
        and file.path.endswith(".safetensors")
    ]
    if duplicates and any(file.path.endswith(".safetensors") for file in consolidated):
        yield ModelIssue(
            WARNING,
            f"the weights exist twice: consolidated*.safetensors "
            f"({format_bytes(sum(file.size for file in consolidated))}) beside model*.safetensors",
        )
