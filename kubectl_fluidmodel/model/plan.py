"""What to stage: the files of one commit, filtered for serving, with their sizes and hashes. Pure.

Sizes are bytes. The plan is what a dry run prints, what sizes the cache and what the progress
counts towards; every shard computes the same one from the same commit.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.model.junk import junk_owner
from kubectl_fluidmodel.output.shell import quote

SHA256 = "sha256"
GIT = "git"
"""How a digest is taken: of the bytes (LFS), or as git names a blob: sha1("blob N\\0" + bytes)."""

_REDUNDANT_FORMATS = (
    ("original/*", "the vendor's own format"),
    ("metal/*", "for Apple's GPUs"),
    ("coreml/*", "for Core ML"),
    ("onnx/*", "for ONNX runtimes"),
    ("openvino/*", "for OpenVINO"),
    ("*.pth", "the weights are there as safetensors"),
    ("*.pt", "the weights are there as safetensors"),
    ("*.bin", "the weights are there as safetensors"),
    ("*.ckpt", "the weights are there as safetensors"),
    ("*.h5", "for TensorFlow"),
    ("*.tflite", "for TensorFlow"),
    ("*.msgpack", "for Flax"),
    ("*.ot", "for Rust"),
    ("*.onnx", "for ONNX runtimes"),
    ("*.onnx_data", "for ONNX runtimes"),
    ("*.gguf", "the weights are there as safetensors"),
)
"""What serving engines that load safetensors never read; applied where safetensors exist."""

_CONSOLIDATED = "consolidated*.safetensors"
"""Mistral's own format, beside the same weights as `model*.safetensors`."""


@dataclass(frozen=True, order=True)
class PlanFile:
    """One file of the commit: `digest` is 64 hex digits for sha256, 40 for git."""

    path: str
    size: int
    kind: str
    digest: str

    @property
    def identity(self) -> str:
        """The content in one word, as an object's metadata records it."""
        return f"{self.kind}:{self.digest}"


@dataclass(frozen=True)
class SkippedFile:
    """A file that is left out, and why."""

    path: str
    size: int
    why: str


@dataclass(frozen=True)
class StagingPlan:
    """The files to stage, ordered by path."""

    repo: str
    revision: str
    commit: str
    files: tuple[PlanFile, ...]
    skipped: tuple[SkippedFile, ...] = ()
    endpoint: str = field(default="", compare=False)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def bytes_skipped(self) -> int:
        return sum(file.size for file in self.skipped)

    @property
    def uri(self) -> str:
        return f"hf://{self.repo}@{self.commit}"

    def listing(self) -> FileListing:
        """The same as sizing and proof know it."""
        return FileListing(tuple(SourceFile(file.path, file.size) for file in self.files))

    def to_document(self) -> dict[str, Any]:
        """As JSON; `from_document` is its inverse."""
        return {
            "repo": self.repo,
            "revision": self.revision,
            "commit": self.commit,
            "endpoint": self.endpoint,
            "bytes": self.bytes,
            "files": [
                {"path": f.path, "size": f.size, "kind": f.kind, "digest": f.digest}
                for f in self.files
            ],
            "bytesSkipped": self.bytes_skipped,
            "skipped": [{"path": f.path, "size": f.size, "why": f.why} for f in self.skipped],
        }


def plan_from_document(document: Mapping[str, Any]) -> StagingPlan:
    """The plan that `Plan.document` wrote."""
    return StagingPlan(
        repo=str(document["repo"]),
        revision=str(document["revision"]),
        commit=str(document["commit"]),
        endpoint=str(document.get("endpoint", "")),
        files=tuple(PlanFile(**each) for each in document["files"]),
        skipped=tuple(SkippedFile(**each) for each in document.get("skipped", ())),
    )


def build_plan(
    repo: str,
    revision: str,
    commit: str,
    tree: Iterable[PlanFile],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    endpoint: str = "",
) -> StagingPlan:
    """Choose among the files of a tree.

    Without `include`, formats that engines never read are left out where the weights are there
    as safetensors. Globs match the whole path, and `*` matches `/` too, as in `hf download`.

    Raises:
        UsageError: the globs leave nothing.
        FluidModelError: a path in the tree is not fit to become part of an object's key.
    """
    files = sorted(tree)
    kept: list[PlanFile] = []
    skipped: list[SkippedFile] = []
    default_exclusions = () if include else _default_exclusions(files)
    for file in files:
        why = _skip_reason(file.path, include, exclude, default_exclusions)
        if why:
            skipped.append(SkippedFile(file.path, file.size, why))
        else:
            _require_safe_path(file.path)
            kept.append(file)
    if not kept:
        have = ", ".join(file.path for file in files[:5]) or "nothing at all"
        raise UsageError(
            f"nothing of {repo} is left to stage",
            f"the globs match no file of it (it has {have})" if files else "it has no files",
            "--include and --exclude",
        )
    return StagingPlan(repo, revision, commit, tuple(kept), tuple(skipped), endpoint)


def _default_exclusions(files: Sequence[PlanFile]) -> tuple[tuple[str, str], ...]:
    weights = [
        file.path
        for file in files
        if file.path.endswith(".safetensors") and not _matches(file.path, "original/*")
    ]
    if not weights:
        return ()
    own = [path for path in weights if not fnmatch.fnmatchcase(_basename(path), _CONSOLIDATED)]
    if len(own) in (0, len(weights)):
        return _REDUNDANT_FORMATS
    return (
        *_REDUNDANT_FORMATS,
        (_CONSOLIDATED, "the same weights are there as model*.safetensors"),
    )


def _skip_reason(
    path: str,
    include: Sequence[str],
    exclude: Sequence[str],
    default_exclusions: Sequence[tuple[str, str]],
) -> str:
    """Why a file is left out; empty where it is not."""
    if include and not any(_matches(path, glob) for glob in include):
        return "not in --include"
    for glob in exclude:
        if _matches(path, glob):
            return f"--exclude {glob}"
    for glob, why in default_exclusions:
        if _matches(path, glob):
            return why
    whose = "" if include else junk_owner(path)
    return f"{whose}, not the model's" if whose else ""


def _matches(path: str, glob: str) -> bool:
    return fnmatch.fnmatchcase(path, f"{glob}*" if glob.endswith("/") else glob)


def _basename(path: str) -> str:
    return path.rpartition("/")[2]


def _require_safe_path(path: str) -> None:
    parts = path.split("/")
    legal = all(part not in ("", ".", "..") for part in parts) and path.isprintable()
    if not legal or len(path.encode()) > 800:  # a key holds 1,024 bytes with the prefix
        raise FluidModelError(
            f"the repository has a file that cannot be staged: {path[:80]!r}",
            "its path has an empty part, '.', '..' or characters that cannot be printed, or is "
            "too long",
            f"--exclude {quote(exclude_glob(path))}, if the engine does without it",
        )


def exclude_glob(path: str) -> str:
    """A glob for `--exclude` that matches a path, of characters that can be typed."""
    literal = re.sub(r"([*?[])", r"[\1]", path[:100])
    typed = "".join(char if char.isprintable() else "?" for char in literal)
    return typed if len(path) <= 100 else f"{typed}*"
