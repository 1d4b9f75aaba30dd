"""Where a cache's model was staged, by whom, and whether it was proven there. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.inventory.usage import whole_number
from kubectl_fluidmodel.objects.access import annotations_of, at, dicts, meta, name_of
from kubectl_fluidmodel.objectstore.layout import STATE, Destination, Place


@dataclass(frozen=True)
class Staging:
    """A model of the Hub in its bucket; None where nobody says."""

    to: str
    """URI of the files."""
    job: str
    """The Job that did it, empty where none is there (any more)."""
    job_state: str
    """Complete, Failed or Running; empty without a Job."""
    files: int | None
    bytes: int | None
    manifest: str = ""
    """URI of the manifest, empty where the source is no commit of a model that we staged."""
    verified: bool | None = None
    """Whether the manifest is there, is valid and is of this commit; None where it was not read."""
    staged_at: str = ""
    why: str = ""
    """Why it was not read, or what is wrong with it."""


def place(cache: Cached) -> Place | None:
    """Where the staging of a cache's commit lies; None where its source is no such thing."""
    dataset = cache.dataset or {}
    source, commit = names.source_of(dataset), annotations_of(dataset).get(names.COMMIT_ANNOTATION)
    point = str(at(dataset, "spec", "mounts", 0, "mountPoint", default="")).rstrip("/")
    repo = source.removeprefix("hf://").split("@")[0]
    if not source.startswith("hf://") or not commit or not point.startswith("s3://"):
        return None
    bucket, _, path = point.removeprefix("s3://").partition("/")
    ending = f"{repo}/{commit}"
    if not (path == ending or path.endswith(f"/{ending}")) or STATE in path.split("/"):
        return None
    return Place(Destination(bucket, path.removesuffix(ending).rstrip("/")), repo, commit)


def staging(cache: Cached) -> Staging | None:
    """What the objects alone tell; None for what was never staged."""
    where = place(cache)
    jobs = sorted(cache.staging, key=lambda job: str(meta(job).get("creationTimestamp", "")))
    if where is None and not jobs:
        return None
    job = jobs[-1] if jobs else None
    notes = annotations_of(cache.dataset or job or {})
    return Staging(
        to=where.uri if where else "",
        job=name_of(job) if job else "",
        job_state=_state(job) if job else "",
        files=whole_number(notes.get(names.FILES_ANNOTATION)),
        bytes=whole_number(notes.get(names.BYTES_ANNOTATION)),
        manifest=f"s3://{where.to.bucket}/{where.manifest}" if where else "",
    )


def _state(job: dict[str, object]) -> str:
    for condition in dicts(job, "status", "conditions"):
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return str(condition["type"])
    return "Running"
