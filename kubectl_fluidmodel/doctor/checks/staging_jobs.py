"""6xx: staging Jobs. The probe of the store covers what is in the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Scope,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.jobs import job_state
from kubectl_fluidmodel.output.shell import Command, Operand
from kubectl_fluidmodel.output.units import format_bytes
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.job_description import (
    STAGE_CONTAINER,
    STAGE_LABEL,
    cache_flags,
    update_flags,
)


@dataclass(frozen=True)
class StagingJob:
    """One staging Job."""

    job: Object
    repo: str
    commit: str

    @property
    def state(self) -> str:
        """`Complete`, `Failed` or `Running`."""
        return job_state(self.job)

    @property
    def rerun_command(self) -> Command:
        """The `cache` command that continues this staging."""
        name = labels_of(self.job).get(names.MODEL_LABEL, "")
        arguments = ("cache", Operand(f"{self.repo}@{self.commit}"), "--name", name)
        return cache_commands.plugin_command(self.job, *arguments, *cache_flags(self.job))

    def update_command(self, cache: Cache) -> Command:
        """The `update` command that moves a cache's graphs to this commit."""
        named = ("update", Operand(f"{cache.name}@{self.commit}"))
        return cache_commands.plugin_command(cache, *named, *update_flags(self.job))


def staging_jobs(jobs: list[Object]) -> list[StagingJob]:
    """The staging Jobs among the given ones, oldest first."""
    stagings = []
    for job in jobs:
        if labels_of(job).get(STAGE_LABEL) != "true":
            continue
        notes = annotations_of(job)
        repo = str(notes.get(names.SOURCE_ANNOTATION, "")).removeprefix("hf://").partition("@")[0]
        stagings.append(StagingJob(job, repo, str(notes.get(names.COMMIT_ANNOTATION, ""))))
    return sorted(
        stagings,
        key=lambda staging: str(get_path(staging.job, "metadata", "creationTimestamp", default="")),
    )


def _cached_commit(cache: Cache) -> str:
    """The commit in a cache, "" if it is not from the Hub."""
    return str(annotations_of(cache.dataset or {}).get(names.COMMIT_ANNOTATION, ""))


def _failure_cause(context: CheckContext, staging: StagingJob) -> tuple[str, tuple[Evidence, ...]]:
    """Why a Job failed, from its pods' logs if possible, else from its condition."""
    job = staging.job
    condition = observations.condition_of(job, "Failed")
    reason, message = condition.get("reason") or "", condition.get("message") or ""
    reported = Evidence(
        object_reference(job), "status.conditions Failed", f"{reason}: {message}".rstrip(": ")
    )
    for pod in _pods_of_job(context, job):
        for line in reversed(context.container_log(pod, STAGE_CONTAINER).splitlines()):
            logged = _logged_error(line)
            if logged:
                return logged, (
                    Evidence(object_reference(pod), f"log of {STAGE_CONTAINER}", logged),
                    reported,
                )
    return str(message or reason or "it gives no reason"), (reported,)


def _pods_of_job(context: CheckContext, job: Object) -> list[Object]:
    """The pods of a Job, newest last."""

    def index() -> dict[tuple[str, str], list[Object]]:
        pods: dict[tuple[str, str], list[Object]] = {}
        for pod in context.snapshot.of_kind(kinds.PODS):
            labels = labels_of(pod)
            owner = labels.get("batch.kubernetes.io/job-name") or labels.get("job-name")
            if owner:
                pods.setdefault((namespace_of(pod), owner), []).append(pod)
        return pods

    return context.cached("job-pods", index).get((namespace_of(job), name_of(job)), [])


def _logged_error(line: str) -> str:
    """The message of an error in a staging log, which has one JSON object per line."""
    try:
        document = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(document, dict) or document.get("event") != "Error":
        return ""
    return ": ".join(str(document[key]) for key in ("what", "why") if document.get(key))


@register_check(
    "FM620", "staging succeeded", needs=(kinds.JOBS,), explains=("FM605", "FM614", "FM621")
)
def staging_succeeded(context: CheckContext) -> Iterator[Finding]:
    """The last Job that staged this model failed.

    The Hub or the store rejected a request, or the Job's pods failed too often. The same command
    continues from what is already staged. A complete cache is not affected.
    """
    cache = context.cache
    stagings = staging_jobs(cache.staging_jobs)
    if not stagings or stagings[-1].state != "Failed":
        return
    last = stagings[-1]
    message, evidence = _failure_cause(context, last)
    yield Finding(
        object_reference(last.job),
        f"staging {last.repo} failed: {message}",
        evidence,
        Fix(last.rerun_command),
        Severity.WARNING if cache_usage(cache).is_complete else None,
    )


@register_check(
    "FM621",
    "the cached commit is staged completely",
    needs=(kinds.JOBS,),
    explains=("FM614", "FM605"),
)
def cached_commit_is_staged(context: CheckContext) -> Iterator[Finding]:
    """The cached commit is still being staged, so the bucket lacks files.

    Wait for the Job; the same command then loads what is new.
    """
    cache = context.cache
    for staging in staging_jobs(cache.staging_jobs):
        if not staging.commit or staging.commit != _cached_commit(cache):
            continue
        if staging.state != "Running" or get_path(cache.dataset, "status", "phase") != "Bound":
            continue
        recorded = annotations_of(staging.job).get(names.BYTES_ANNOTATION, "")
        total = format_bytes(int(recorded)) if str(recorded).isdigit() else "all"
        yield Finding(
            object_reference(staging.job),
            f"it is still staging the {total} of the commit that is cached",
            (
                Evidence(object_reference(staging.job), "status.conditions", "not over"),
                observations.field_evidence(
                    cache.dataset or {}, "metadata", "annotations", names.COMMIT_ANNOTATION
                ),
            ),
            Fix(staging.rerun_command),
        )


@register_check(
    "FM622",
    "the cache has the commit that was staged last",
    severity=Severity.WARNING,
    needs=(kinds.JOBS,),
)
def latest_staged_commit_is_cached(context: CheckContext) -> Iterator[Finding]:
    """A newer commit is staged than the one in the cache.

    Each commit has its own prefix, so nothing is mixed. `update` builds a second cache of the new
    commit, moves the graphs to it, and removes the old one.
    """
    cache = context.cache
    complete = [job for job in staging_jobs(cache.staging_jobs) if job.state == "Complete"]
    if not complete:
        return
    last, cached_commit = complete[-1], _cached_commit(cache)
    if not cached_commit or not last.commit or last.commit == cached_commit:
        return
    if f"hf://{last.repo}" != names.source_uri(cache.dataset or {}):
        return
    path = ("metadata", "annotations", names.COMMIT_ANNOTATION)
    yield Finding(
        object_reference(cache.dataset or {}),
        f"commit {last.commit[:12]} is staged, and the cache holds {cached_commit[:12]}",
        (
            observations.field_evidence(cache.dataset or {}, *path),
            observations.field_evidence(last.job, *path),
        ),
        Fix(last.update_command(cache)),
    )


@register_check(
    "FM623",
    "every staging leads to a cache",
    scope=Scope.CLUSTER,
    needs=(kinds.JOBS, names.DATASETS),
)
def staging_leads_to_a_cache(context: CheckContext) -> Iterator[Finding]:
    """A staging Job failed, and no cache uses its model.

    The same command continues from what is already staged. Delete the Job if nobody needs the
    model.
    """
    caches = {(cache.namespace, cache.name) for cache in context.caches}
    newest: dict[tuple[str, str], StagingJob] = {}
    for staging in staging_jobs(context.snapshot.of_kind(kinds.JOBS)):
        key = (namespace_of(staging.job), labels_of(staging.job).get(names.MODEL_LABEL, ""))
        newest[key] = staging
    for key, staging in sorted(newest.items()):
        if key in caches or staging.state != "Failed":
            continue
        message, evidence = _failure_cause(context, staging)
        yield Finding(
            object_reference(staging.job),
            f"staging {staging.repo} failed, and there is no cache of it: {message}",
            evidence,
            Fix(staging.rerun_command),
        )
