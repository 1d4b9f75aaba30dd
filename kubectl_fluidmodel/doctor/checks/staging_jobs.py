"""6xx: staging, by what its Jobs say; what the bucket holds is asked elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Scope,
    Severity,
    check,
    reference,
)
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.inventory.usage import amount
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    at,
    dicts,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.output.shell import Command, Operand
from kubectl_fluidmodel.output.text import size
from kubectl_fluidmodel.stage.job import CONTAINER, STAGE_LABEL, flags_of


@dataclass(frozen=True)
class Staging:
    """One staging Job."""

    job: Object
    repo: str
    commit: str

    @property
    def state(self) -> str:
        """`Complete`, `Failed` or `Running`."""
        for condition in dicts(self.job, "status", "conditions"):
            if condition.get("status") == "True" and condition.get("type") in (
                "Complete",
                "Failed",
            ):
                return str(condition["type"])
        return "Running"

    @property
    def again(self) -> Command:
        """The `cache` command that this Job is part of."""
        name = labels_of(self.job).get(names.MODEL_LABEL, "")
        named = ("cache", Operand(f"{self.repo}@{self.commit}"), "--name", name)
        return fix_commands.fluidmodel(self.job, *named, *flags_of(self.job))


def stagings(jobs: list[Object]) -> list[Staging]:
    """The staging Jobs among some, oldest first."""
    found = []
    for job in jobs:
        if labels_of(job).get(STAGE_LABEL) != "true":
            continue
        notes = annotations_of(job)
        repo = str(notes.get(names.SOURCE_ANNOTATION, "")).removeprefix("hf://").partition("@")[0]
        found.append(Staging(job, repo, str(notes.get(names.COMMIT_ANNOTATION, ""))))
    return sorted(
        found, key=lambda each: str(at(each.job, "metadata", "creationTimestamp", default=""))
    )


def _commit(cache: Cached) -> str:
    """The commit that a cache holds, empty where it is not of the Hub."""
    return str(annotations_of(cache.dataset or {}).get(names.COMMIT_ANNOTATION, ""))


def _failure(case: Case, staging: Staging) -> tuple[str, tuple[Evidence, ...]]:
    """Why a Job failed: in the words of its pods where they are known, else in its own."""
    job = staging.job
    condition = next(
        (c for c in dicts(job, "status", "conditions") if c.get("type") == "Failed"), {}
    )
    reason, message = condition.get("reason") or "", condition.get("message") or ""
    told = Evidence(reference(job), "status.conditions Failed", f"{reason}: {message}".rstrip(": "))
    for pod in _pods(case, job):
        for line in reversed(case.log(pod, CONTAINER).splitlines()):
            words = _error(line)
            if words:
                return words, (Evidence(reference(pod), f"log of {CONTAINER}", words), told)
    return str(message or reason or "it gives no reason"), (told,)


def _pods(case: Case, job: Object) -> list[Object]:
    """The pods of a Job, newest last."""

    def index() -> dict[tuple[str, str], list[Object]]:
        found: dict[tuple[str, str], list[Object]] = {}
        for pod in case.snapshot.all(kinds.PODS):
            labels = labels_of(pod)
            owner = labels.get("batch.kubernetes.io/job-name") or labels.get("job-name")
            if owner:
                found.setdefault((namespace_of(pod), owner), []).append(pod)
        return found

    return case.once("job-pods", index).get((namespace_of(job), name_of(job)), [])


def _error(line: str) -> str:
    """What and why of an error as staging logs it, one JSON object per line."""
    try:
        document = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(document, dict) or document.get("event") != "Error":
        return ""
    return ": ".join(str(document[key]) for key in ("what", "why") if document.get(key))


@check("FM620", "staging ended well", needs=(kinds.JOBS,), explains=("FM605", "FM614", "FM621"))
def ended_well(case: Case) -> Iterator[Finding]:
    """The last Job that staged this model failed: the Hub or the store refused it, or its pods died
    too often. The same command goes on from what is staged. A cache that is whole is not touched
    by it.
    """
    cache = case.own
    found = stagings(cache.staging)
    if not found or found[-1].state != "Failed":
        return
    words, evidence = _failure(case, found[-1])
    yield Finding(
        reference(found[-1].job),
        f"staging {found[-1].repo} failed: {words}",
        evidence,
        Fix(found[-1].again),
        Severity.WARNING if amount(cache).whole else None,
    )


@check(
    "FM621", "what is cached is staged completely", needs=(kinds.JOBS,), explains=("FM614", "FM605")
)
def staged(case: Case) -> Iterator[Finding]:
    """The cache is of a commit whose staging is not over, so that files are still missing in the
    bucket. Wait for the Job; the same command then loads what is new.
    """
    cache = case.own
    for staging in stagings(cache.staging):
        if not staging.commit or staging.commit != _commit(cache):
            continue
        if staging.state != "Running" or at(cache.dataset, "status", "phase") != "Bound":
            continue
        noted = annotations_of(staging.job).get(names.BYTES_ANNOTATION, "")
        total = size(int(noted)) if str(noted).isdigit() else "all"
        yield Finding(
            reference(staging.job),
            f"it is still staging the {total} of the commit that is cached",
            (
                Evidence(reference(staging.job), "status.conditions", "not over"),
                observations.field(
                    cache.dataset or {}, "metadata", "annotations", names.COMMIT_ANNOTATION
                ),
            ),
            Fix(staging.again),
        )


@check(
    "FM622",
    "the cache has the revision that was staged last",
    severity=Severity.WARNING,
    needs=(kinds.JOBS,),
)
def revision(case: Case) -> Iterator[Finding]:
    """A newer commit of the model was staged, and the cache still has the older one. Each commit
    has its own prefix, so nothing is mixed; the cache has to be made anew to serve the new one.
    """
    cache = case.own
    ready = [each for each in stagings(cache.staging) if each.state == "Complete"]
    have = _commit(cache)
    if not ready or not have or not ready[-1].commit or ready[-1].commit == have:
        return
    if f"hf://{ready[-1].repo}" != names.source_of(cache.dataset or {}):
        return
    yield Finding(
        reference(cache.dataset or {}),
        f"commit {ready[-1].commit[:12]} is staged, and the cache holds {have[:12]}",
        (
            observations.field(
                cache.dataset or {}, "metadata", "annotations", names.COMMIT_ANNOTATION
            ),
            observations.field(ready[-1].job, "metadata", "annotations", names.COMMIT_ANNOTATION),
        ),
        Fix(ready[-1].again),
    )


@check(
    "FM623",
    "every staging leads to a cache",
    scope=Scope.CLUSTER,
    needs=(kinds.JOBS, names.DATASETS),
)
def abandoned(case: Case) -> Iterator[Finding]:
    """A model is being put into a bucket by a Job, and that failed before there was a cache of it.
    The same command goes on from what is staged; delete the Job if nobody wants the model.
    """
    known = {(each.namespace, each.name) for each in case.caches}
    newest: dict[tuple[str, str], Staging] = {}
    for staging in stagings(case.snapshot.all(kinds.JOBS)):
        key = (namespace_of(staging.job), labels_of(staging.job).get(names.MODEL_LABEL, ""))
        newest[key] = staging
    for key, staging in sorted(newest.items()):
        if key in known or staging.state != "Failed":
            continue
        words, evidence = _failure(case, staging)
        yield Finding(
            reference(staging.job),
            f"staging {staging.repo} failed, and there is no cache of it: {words}",
            evidence,
            Fix(staging.again),
        )
