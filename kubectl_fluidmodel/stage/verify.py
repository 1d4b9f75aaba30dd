"""Whether a staged model is what its manifest says, and what the Hub has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.layout import STATE, Place
from kubectl_fluidmodel.objectstore.s3 import Store
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.stage import manifest
from kubectl_fluidmodel.stage.bucket import Bucket, Hidden
from kubectl_fluidmodel.stage.file_hasher import Digest


@dataclass
class Report:
    """What was found; no problems means that it is sound."""

    place: Place
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    store: Store,
    place: Place,
    tree: list[PlanFile] | None,
    *,
    read: bool = False,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Report:
    """Compare the objects of a place with its manifest, and the manifest with the Hub's tree.

    An object stands for its content by its size, its ETag as it was when the content was
    proven, and the hash in its metadata. With `read` every byte is read back and hashed, too.
    `tree` is None where the Hub was not asked.

    Raises:
        FluidModelError: there is no manifest.
    """
    bucket = Bucket(store, place.to.bucket, patience=15.0)
    marked = manifest.read(store, place)
    if marked is None:
        raise FluidModelError(
            f"{place.repo} is not staged at {place.uri}",
            _others(bucket, place) or "it has no manifest",
            shell.command(
                *("kubectl", "fluidmodel", "stage", shell.Operand(f"{place.repo}@{place.commit}")),
                *("--to", place.to.uri),
            ),
        )
    report = Report(place, len(marked.entries), marked.bytes)
    try:
        listed = {key: size for key, size, _ in bucket.list(f"{place.files}/")}
    except Hidden as err:
        report.notes.append(f"whether there are other objects was not looked at: {err}")
        listed = None
    by_path = {file.path: file for file in tree or ()}
    for entry in marked.entries:
        file = entry.file
        if tree is not None and by_path.get(file.path) != file:
            report.problems.append(f"{file.path}: the hub has another file at this commit")
        if listed is not None:
            listed.pop(place.key(file.path), None)
        stands = bucket.head(place.key(file.path))
        if stands is None:
            hidden = bucket.unseen is not None
            lacks = "missing, or it may not be looked at" if hidden else "missing"
            report.problems.append(f"{file.path}: {lacks}")
            continue
        if stands.size != file.size:
            report.problems.append(f"{file.path}: {stands.size} bytes instead of {file.size}")
            continue
        if stands.etag != entry.etag:
            report.problems.append(f"{file.path}: written anew since it was proven")
        if stands.identity != file.identity:
            report.problems.append(f"{file.path}: its metadata does not name the hub's hash")
        if read and not _reads_right(bucket, place, file, on_bytes):
            report.problems.append(f"{file.path}: its bytes do not match their hash")
    for key in sorted(listed or ()):
        report.problems.append(f"{key[len(place.files) + 1 :]}: not in the manifest")
    return report


def _reads_right(
    bucket: Bucket, place: Place, file: PlanFile, on_bytes: Callable[[int], None]
) -> bool:
    digest = Digest(file)
    for chunk in bucket.stream(place.key(file.path), file.size):
        digest.update(memoryview(bytearray(chunk)))
        on_bytes(len(chunk))
    return digest.matches()


def _others(bucket: Bucket, place: Place) -> str:
    """The commits of the model that are staged, in words."""
    prefix = f"{place.model}/{STATE}/"
    try:
        keys = [key for key, _, _ in bucket.list(prefix)]
    except Hidden:
        return ""
    commits = [
        key[len(prefix) :].partition("/")[0] for key in keys if key.endswith("/manifest.json")
    ]
    return f"what is staged is {', '.join(sorted(commits))}" if commits else ""
