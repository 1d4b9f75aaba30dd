"""Whether a staged model is what its manifest says, and what the Hub has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import STATE_DIR, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.stage import manifest
from kubectl_fluidmodel.stage.bucket import Bucket, OperationUnavailableError
from kubectl_fluidmodel.stage.file_hasher import FileHasher


@dataclass
class VerificationReport:
    """What was found; no problems means that it is sound."""

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
    on_bytes: Callable[[int], None] = lambda _: None,
) -> VerificationReport:
    """Compare the objects of a place with its manifest, and the manifest with the Hub's tree.

    An object stands for its content by its size, its ETag as it was when the content was
    proven, and the hash in its metadata. With `read` every byte is read back and hashed, too.
    `tree` is None where the Hub was not asked.

    Raises:
        FluidModelError: there is no manifest.
    """
    bucket = Bucket(store, layout.destination.bucket, retry_timeout=15.0)
    staged_manifest = manifest.read_manifest(store, layout)
    if staged_manifest is None:
        raise FluidModelError(
            f"{layout.repo} is not staged at {layout.uri}",
            _staged_commits(bucket, layout) or "it has no manifest",
            shell.command(
                *(
                    "kubectl",
                    "fluidmodel",
                    "stage",
                    shell.Operand(f"{layout.repo}@{layout.commit}"),
                ),
                *("--to", layout.destination.uri),
            ),
        )
    report = VerificationReport(layout, len(staged_manifest.entries), staged_manifest.bytes)
    try:
        listed = {key: size for key, size, _ in bucket.list_objects(f"{layout.files_prefix}/")}
    except OperationUnavailableError as err:
        report.notes.append(f"whether there are other objects was not looked at: {err}")
        listed = None
    by_path = {file.path: file for file in tree or ()}
    for entry in staged_manifest.entries:
        file = entry.file
        if tree is not None and by_path.get(file.path) != file:
            report.problems.append(f"{file.path}: the hub has another file at this commit")
        if listed is not None:
            listed.pop(layout.object_key(file.path), None)
        object_info = bucket.head_object(layout.object_key(file.path))
        if object_info is None:
            hidden = bucket.denied_error is not None
            lacks = "missing, or it may not be looked at" if hidden else "missing"
            report.problems.append(f"{file.path}: {lacks}")
            continue
        if object_info.size != file.size:
            report.problems.append(f"{file.path}: {object_info.size} bytes instead of {file.size}")
            continue
        if object_info.etag != entry.etag:
            report.problems.append(f"{file.path}: written anew since it was proven")
        if object_info.identity != file.identity:
            report.problems.append(f"{file.path}: its metadata does not name the hub's hash")
        if read_content and not _content_matches(bucket, layout, file, on_bytes):
            report.problems.append(f"{file.path}: its bytes do not match their hash")
    for key in sorted(listed or ()):
        report.problems.append(f"{key[len(layout.files_prefix) + 1 :]}: not in the manifest")
    return report


def _content_matches(
    bucket: Bucket, layout: StagingLayout, file: PlanFile, on_bytes: Callable[[int], None]
) -> bool:
    hasher = FileHasher(file)
    for chunk in bucket.read_chunks(layout.object_key(file.path), file.size):
        hasher.update(memoryview(bytearray(chunk)))
        on_bytes(len(chunk))
    return hasher.matches()


def _staged_commits(bucket: Bucket, layout: StagingLayout) -> str:
    """The commits of the model that are staged, in words."""
    prefix = f"{layout.model_prefix}/{STATE_DIR}/"
    try:
        keys = [key for key, _, _ in bucket.list_objects(prefix)]
    except OperationUnavailableError:
        return ""
    commits = [
        key[len(prefix) :].partition("/")[0] for key in keys if key.endswith("/manifest.json")
    ]
    return f"what is staged is {', '.join(sorted(commits))}" if commits else ""
