"""Where a cache's model was staged, by which Job, and whether it was verified. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.usage import parse_count
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    get_path,
    metadata_of,
    name_of,
)
from kubectl_fluidmodel.objects.jobs import job_state
from kubectl_fluidmodel.objectstore.layout import STATE_DIR, BucketPrefix, StagingLayout
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class StagedModel:
    """A Hub model in its bucket; fields are None if unknown."""

    to: str
    """URI of the files."""
    job: str
    """The Job that staged it; empty if it does not exist (any more)."""
    job_state: str
    """Complete, Failed or Running; empty without a Job."""
    files: int | None
    bytes: int | None
    manifest: str = ""
    """URI of the manifest; empty if the source is not a commit that we staged."""
    verified: bool | None = None
    """Whether the manifest exists, is valid and is for this commit; None if it was not read."""
    staged_at: str = ""
    reason: str = ""
    """Why it was not read, or what is wrong with it."""


def staging_layout(cache: Cache) -> StagingLayout | None:
    """Return where a cache's commit is staged; None if its source is not a staged commit."""
    dataset = cache.dataset or {}
    source, commit = names.source_uri(dataset), annotations_of(dataset).get(names.COMMIT_ANNOTATION)
    point = str(get_path(dataset, "spec", "mounts", 0, "mountPoint", default="")).rstrip("/")
    repo = source.removeprefix("hf://").split("@")[0]
    if not source.startswith("hf://") or not commit or not point.startswith("s3://"):
        return None
    bucket, _, path = point.removeprefix("s3://").partition("/")
    ending = f"{repo}/{commit}"
    if not (path == ending or path.endswith(f"/{ending}")) or STATE_DIR in path.split("/"):
        return None
    return StagingLayout(BucketPrefix(bucket, path.removesuffix(ending).rstrip("/")), repo, commit)


def staged_globs(dataset: Object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the globs of `--include` and `--exclude` with which a cache's model was staged."""
    notes = annotations_of(dataset)
    return _globs(notes.get(names.INCLUDE_ANNOTATION)), _globs(notes.get(names.EXCLUDE_ANNOTATION))


def glob_annotations(include: Sequence[str], exclude: Sequence[str]) -> dict[str, str]:
    """Return the annotations that record globs; the inverse of `staged_globs`."""
    pairs = ((names.INCLUDE_ANNOTATION, include), (names.EXCLUDE_ANNOTATION, exclude))
    return {key: json.dumps(list(globs)) for key, globs in pairs if globs}


def _globs(text: str | None) -> tuple[str, ...]:
    try:
        globs = json.loads(text or "[]")
    except ValueError:
        return ()
    return tuple(map(str, globs)) if isinstance(globs, list) else ()


def staged_model(cache: Cache) -> StagedModel | None:
    """Return what the objects show; None for a model that was never staged."""
    layout = staging_layout(cache)
    jobs = sorted(
        cache.staging_jobs, key=lambda job: str(metadata_of(job).get("creationTimestamp", ""))
    )
    if layout is None and not jobs:
        return None
    job = jobs[-1] if jobs else None
    annotations = annotations_of(cache.dataset or job or {})
    return StagedModel(
        to=layout.uri if layout else "",
        job=name_of(job) if job else "",
        job_state=job_state(job) if job else "",
        files=parse_count(annotations.get(names.FILES_ANNOTATION)),
        bytes=parse_count(annotations.get(names.BYTES_ANNOTATION)),
        manifest=f"s3://{layout.destination.bucket}/{layout.manifest_key}" if layout else "",
    )
