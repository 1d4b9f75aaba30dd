"""Compares a staged model with its manifest and with the Hub."""

from __future__ import annotations

from dataclasses import field

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import STATE_DIR, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.bucket import Bucket, open_bucket
from kubectl_fluidmodel.stage.file_hasher import FileHasher
from kubectl_fluidmodel.stage.manifest import ManifestEntry, read_manifest
from kubectl_fluidmodel.stage.multipart import OperationUnavailableError


@dataclass
class VerificationReport:
    """The result of a verification; without problems the staged model is intact."""

    layout: StagingLayout
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_staged_model(
    store: S3Store,
    layout: StagingLayout,
    tree: list[PlanFile] | None,
    *,
    read_content: bool = False,
) -> VerificationReport:
    """Compare the objects of a commit with its manifest, and the manifest with the Hub's tree.

    An object is taken for its content if its size, the ETag that it had when the content was
    verified, and the hash in its metadata agree.

    Args:
        store: the store of the bucket.
        layout: the commit.
        tree: the Hub's files at the commit; None if the Hub was not asked.
        read_content: read and hash every byte, too.

    Raises:
        FluidModelError: there is no manifest.
    """
    bucket = open_bucket(store, layout.destination.bucket)
    manifest = read_manifest(store, layout)
    if manifest is None:
        raise _not_staged_error(bucket, layout)
    report = VerificationReport(layout, len(manifest.entries), manifest.bytes)
    by_path = {file.path: file for file in tree or ()}
    for entry in manifest.entries:
        file = entry.file
        if tree is not None and by_path.get(file.path) != file:
            report.problems.append(f"{file.path}: the Hub has another file at this commit")
        problems = _object_problems(bucket, layout.object_key(file.path), entry)
        if read_content and not any(problem.is_final for problem in problems):
            key = layout.object_key(file.path)
            if not _content_matches(bucket, key, file):
                problems.append(_Problem("its bytes do not match their hash"))
        report.problems += [f"{file.path}: {problem.text}" for problem in problems]
    _report_unlisted(report, bucket, {layout.object_key(file.path) for file in manifest.files})
    return report


@dataclass(frozen=True)
class _Problem:
    text: str
    is_final: bool = False
    """Whether reading the content is pointless."""


def _object_problems(bucket: Bucket, key: str, entry: ManifestEntry) -> list[_Problem]:
    """Return what is wrong with an object by its HEAD."""
    file, info = entry.file, bucket.head_object(key)
    if info is None:
        is_hidden = bucket.denied_error is not None
        text = "missing, or the credentials may not read it" if is_hidden else "missing"
        return [_Problem(text, is_final=True)]
    if info.size != file.size:
        return [_Problem(f"{info.size} bytes instead of {file.size}", is_final=True)]
    problems = []
    if info.etag != entry.etag:
        problems.append(_Problem("overwritten since it was verified"))
    if info.identity != file.identity:
        problems.append(_Problem("its metadata does not have the Hub's hash"))
    return problems


def _report_unlisted(report: VerificationReport, bucket: Bucket, expected: set[str]) -> None:
    """Report objects that are not in the manifest; the mount would show them."""
    prefix = f"{report.layout.files_prefix}/"
    try:
        keys = {entry.key for entry in bucket.list_objects(prefix)}
    except OperationUnavailableError as err:
        report.notes.append(f"could not check for other objects: {err}")
        return
    for key in sorted(keys - expected):
        report.problems.append(f"{key[len(prefix) :]}: not in the manifest")


def _content_matches(bucket: Bucket, key: str, file: PlanFile) -> bool:
    hasher = FileHasher(file)
    for chunk in bucket.read_chunks(key, file.size):
        hasher.update(memoryview(bytearray(chunk)))
    return hasher.matches()


def _not_staged_error(bucket: Bucket, layout: StagingLayout) -> FluidModelError:
    commits = _staged_commits(bucket, layout)
    return FluidModelError(
        f"{layout.repo} is not staged at {layout.uri}",
        f"these commits are: {', '.join(commits)}" if commits else "it has no manifest",
        command(
            *("kubectl", "fluidmodel", "stage", Operand(f"{layout.repo}@{layout.commit}")),
            *("--to", layout.destination.uri),
        ),
    )


def _staged_commits(bucket: Bucket, layout: StagingLayout) -> list[str]:
    """The commits of the model that have a manifest; empty if the bucket cannot be listed."""
    prefix = f"{layout.model_prefix}/{STATE_DIR}/"
    try:
        keys = [entry.key for entry in bucket.list_objects(prefix)]
    except OperationUnavailableError:
        return []
    return sorted(
        key[len(prefix) :].partition("/")[0] for key in keys if key.endswith("/manifest.json")
    )
