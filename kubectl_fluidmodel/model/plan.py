"""What to stage: the files of one commit, filtered for serving, with sizes and hashes. Pure.

Sizes are bytes. A dry run prints the plan, the cache is sized by it, and progress is measured
against it. Every shard computes the same plan from the same commit.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.model.junk import junk_owner
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass

SHA256 = "sha256"
GIT = "git"
"""Kinds of digests: SHA-256 of the bytes (LFS), or git's blob ID, sha1("blob N\0" + bytes)."""

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
"""Formats that engines which load safetensors never read; skipped if there are safetensors."""

_CONSOLIDATED = "consolidated*.safetensors"
"""Mistral's own format, with the same weights as `model*.safetensors`."""

_MAX_PATH_BYTES = 800
"""S3 allows keys of 1,024 bytes, prefix included."""


@dataclass(frozen=True, order=True)
class PlanFile:
    """One file of the commit; `digest` has 64 hexadecimal digits for SHA-256, 40 for git."""

    path: str
    size: int
    kind: str
    digest: str

    @property
    def identity(self) -> str:
        """Return kind and digest in one string, as in an object's metadata."""
        return f"{self.kind}:{self.digest}"


@dataclass(frozen=True)
class SkippedFile:
    """A file that is skipped, and why."""

    path: str
    size: int
    reason: str


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
        """Return only the paths and sizes."""
        return FileListing(tuple(SourceFile(file.path, file.size) for file in self.files))

    def to_document(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            "repo": self.repo,
            "revision": self.revision,
            "commit": self.commit,
            "endpoint": self.endpoint,
            "bytes": self.bytes,
            "files": [
                {"path": file.path, "size": file.size, "kind": file.kind, "digest": file.digest}
                for file in self.files
            ],
            "bytesSkipped": self.bytes_skipped,
            "skipped": [
                {"path": file.path, "size": file.size, "why": file.reason} for file in self.skipped
            ],
        }


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
    """Select the files of a tree.

    Without `include`, formats that engines never read are skipped if the weights exist as
    safetensors. Globs match the whole path, and `*` also matches `/`, as in `hf download`.

    Raises:
        UsageError: the globs select no file.
        FluidModelError: a path in the tree cannot be part of an object's key.
    """
    files = sorted(tree)
    selected: list[PlanFile] = []
    skipped: list[SkippedFile] = []
    default_exclusions = () if include else _default_exclusions(files)
    for file in files:
        reason = _skip_reason(file.path, include, exclude, default_exclusions)
        if reason:
            skipped.append(SkippedFile(file.path, file.size, reason))
        else:
            _require_safe_path(file.path)
            selected.append(file)
    if not selected:
        examples = ", ".join(file.path for file in files[:5])
        raise UsageError(
            f"no file of {repo} is selected",
            f"the globs match none of its files ({examples}, …)" if files else "it has no files",
            "other --include and --exclude globs",
        )
    return StagingPlan(repo, revision, commit, tuple(selected), tuple(skipped), endpoint)


def _default_exclusions(files: Sequence[PlanFile]) -> tuple[tuple[str, str], ...]:
    weights = [
        file.path
        for file in files
        if file.path.endswith(".safetensors") and not _matches(file.path, "original/*")
    ]
    if not weights:
        return ()
    unconsolidated = [
        path for path in weights if not fnmatch.fnmatchcase(_basename(path), _CONSOLIDATED)
    ]
    if len(unconsolidated) in (0, len(weights)):
        return _REDUNDANT_FORMATS
    reason = "the same weights are there as model*.safetensors"
    return (*_REDUNDANT_FORMATS, (_CONSOLIDATED, reason))


def _skip_reason(
    path: str,
    include: Sequence[str],
    exclude: Sequence[str],
    default_exclusions: Sequence[tuple[str, str]],
) -> str:
    """Return why a file is skipped; empty if it is not."""
    if include and not any(_matches(path, glob) for glob in include):
        return "not in --include"
    for glob in exclude:
        if _matches(path, glob):
            return f"--exclude {glob}"
    for glob, reason in default_exclusions:
        if _matches(path, glob):
            return reason
    owner = "" if include else junk_owner(path)
    return f"{owner}, not the model's" if owner else ""


def _matches(path: str, glob: str) -> bool:
    return fnmatch.fnmatchcase(path, f"{glob}*" if glob.endswith("/") else glob)


def _basename(path: str) -> str:
    return path.rpartition("/")[2]


def _require_safe_path(path: str) -> None:
    parts = path.split("/")
    is_legal = all(part not in ("", ".", "..") for part in parts) and path.isprintable()
    if not is_legal or len(path.encode()) > _MAX_PATH_BYTES:
        raise FluidModelError(
            f"the repository has a file that cannot be staged: {path[:80]!r}",
            "its path is too long, or has an empty part, '.', '..' or unprintable characters",
            f"{command('--exclude', exclude_glob(path))}, if the engine does not need it",
        )


def exclude_glob(path: str) -> str:
    """Return a glob for `--exclude` that matches a path and has only printable characters."""
    literal = re.sub(r"([*?[])", r"[\1]", path[:100])
    printable = "".join(char if char.isprintable() else "?" for char in literal)
    return printable if len(path) <= 100 else f"{printable}*"
