"""Which Jobs a run starts, replaces and leaves alone, and when waiting for one is pointless."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile, StagingPlan
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objectstore.layout import BucketPrefix
from kubectl_fluidmodel.stage import job_control, job_run
from kubectl_fluidmodel.stage.job import JobSettings, build_job
from kubectl_fluidmodel.stage.job_description import staged_source
from tests.cache.objects import Objects, objects

__all__ = ["objects"]

OURS = StagingPlan("meta/llama", "main", "a" * 40, (PlanFile("m", 10, "sha256", "b" * 64),))
THEIRS = replace(OURS, repo="unsloth/llama")
MOVED = replace(OURS, commit="c" * 40)
SETTINGS = JobSettings("llama", "ns", BucketPrefix("models"), image="r/i:1")


class Cluster:
    """Jobs by name, as a client sees them; what was done to them."""

    def __init__(self, *jobs: Object) -> None:
        self.jobs = {name_of(job): job for job in jobs}
        self.done: list[str] = []

    def get_or_none(self, kind: Any, name: str, namespace: str) -> Object | None:
        return self.jobs.get(name)

    def list_objects(self, kind: Any, namespace: str, *, labels: str, **_: Any) -> list[Object]:
        if kind != kinds.JOBS:
            return []
        labels_by_key = dict(pair.split("=") for pair in labels.split(","))
        return [
            job
            for job in self.jobs.values()
            if labels_by_key.items() <= job["metadata"]["labels"].items()
        ]

    def delete(self, kind: Any, name: str, namespace: str, **_: Any) -> bool:
        self.done.append(f"delete {staged_source(self.jobs.pop(name))}")
        return True

    def apply(self, kind: Any, job: Object) -> Object:
        self.done.append(f"apply {staged_source(job)}")
        self.jobs[name_of(job)] = job
        return job


def at_work(plan: StagingPlan, **settings: Any) -> Object:
    return {**build_job(plan, replace(SETTINGS, **settings)), "status": {"active": 1}}


def ensure(cluster: Cluster, plan: StagingPlan) -> str:
    return job_control.ensure_job(cluster, build_job(plan, SETTINGS))  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [THEIRS, MOVED], ids=["another model", "another commit"])
def test_jobs_for_other_sources_and_commits_are_not_touched(other: StagingPlan) -> None:
    """Two models of one last name; a branch that moved while a detached Job is at work."""
    cluster = Cluster(at_work(other))
    assert ensure(cluster, OURS) == "started"
    assert cluster.done == [f"apply {OURS.uri}"]


@pytest.mark.parametrize(
    "settings", [{"shards": 4}, {"image": "r/i:2"}, {"to": BucketPrefix("elsewhere")}]
)
def test_a_job_with_other_settings_for_the_same_source_is_replaced(
    settings: dict[str, Any],
) -> None:
    old = at_work(OURS, **settings)
    cluster = Cluster(old, at_work(THEIRS), at_work(MOVED))
    assert ensure(cluster, OURS) == f"started in place of {name_of(old)}"
    assert cluster.done == [f"delete {OURS.uri}", f"apply {OURS.uri}"]


def test_the_same_running_job_is_found() -> None:
    cluster = Cluster(at_work(OURS))
    assert ensure(cluster, OURS) == "found running"
    assert cluster.done == []


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_a_finished_job_is_recreated(kind: str) -> None:
    over = {"conditions": [{"type": kind, "status": "True"}]}
    cluster = Cluster({**at_work(OURS), "status": over})
    assert ensure(cluster, OURS) == "started"
    assert cluster.done == [f"delete {OURS.uri}", f"apply {OURS.uri}"]


def test_a_job_that_is_being_deleted_is_recreated() -> None:
    leaving = at_work(OURS)
    leaving["metadata"] = {**leaving["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    cluster = Cluster(leaving)
    assert ensure(cluster, OURS) == "started"
    assert cluster.done[-1] == f"apply {OURS.uri}"


def test_a_job_that_another_command_recreates_is_not_deleted(objects: Objects) -> None:
    job = at_work(OURS)
    job["metadata"]["uid"] = "old"
    objects.add(kinds.JOBS, job)
    seen: list[Any] = []

    class Other(Cluster):
        def delete(self, kind: Any, name: str, namespace: str, **more: Any) -> bool:
            seen.append(more)
            self.jobs[name] = {**job, "metadata": {**job["metadata"], "uid": "new"}}
            return True

    cluster = Other(job)
    began = time.monotonic()
    job_control.delete_job(cluster, name_of(job), "ns")  # type: ignore[arg-type]
    assert seen == [{"uid": "old"}] and time.monotonic() - began < 5
    assert cluster.jobs[name_of(job)]["metadata"]["uid"] == "new"


def waiting(reason: str, message: str) -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return {
        "metadata": {"name": "p", "namespace": "ns", "labels": {"job-name": "j"}},
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"name": "stage", "state": state}],
        },
    }


STUCK = [
    (waiting("ImagePullBackOff", "no such image"), "--image-pull-secret"),
    (waiting("InvalidImageName", "bad image"), "--image"),
    (waiting("CreateContainerConfigError", 'secret "x" not found'), "kubectl describe pods"),
]


@pytest.mark.parametrize(("pod", "way"), STUCK, ids=[way for _, way in STUCK])
def test_a_job_whose_pods_cannot_start_is_an_error(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, pod: Object, way: str
) -> None:
    monkeypatch.setattr(job_run, "_START_TIMEOUT", 0.5)
    job = at_work(OURS)
    objects.lists[kinds.JOBS.path("ns")] = [job]
    objects.lists[kinds.PODS.path("ns")] = [pod]
    objects.lists[kinds.EVENTS.path("ns")] = []
    with pytest.raises(FluidModelError, match="cannot start") as caught:
        job_run.wait_for_job(objects.client, job, lambda _: None, deadline=time.monotonic() + 30)
    assert caught.value.exit_code == 1
    assert (
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] in caught.value.reason
    )
    assert way in caught.value.hint


def test_a_job_that_exceeded_its_deadline_is_an_error(objects: Objects) -> None:
    job = at_work(OURS)
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "m"}
    job["status"] = {"conditions": [failed]}
    objects.lists[kinds.JOBS.path("ns")] = [job]
    for kind in (kinds.PODS, kinds.EVENTS):
        objects.lists[kind.path("ns")] = []
    with pytest.raises(FluidModelError, match="was stopped") as caught:
        job_run.wait_for_job(objects.client, job, lambda _: None, deadline=time.monotonic() + 30)
    assert "1.0 h" in caught.value.reason and "resumes" in caught.value.hint


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ('exec: "python": executable file not found in $PATH', "does not have this plugin"),
        ("the node ran out of memory", "failed"),
    ],
)
def test_the_termination_message_explains_a_container_without_a_log(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, message: str, what: str
) -> None:
    monkeypatch.setattr(job_run, "_LOG_TIMEOUT", 0.5)
    job = at_work(OURS)
    failed = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "m"}
    job["status"] = {"conditions": [failed]}
    pod = waiting("", "")
    state = {"terminated": {"exitCode": 128, "reason": "StartError", "message": message}}
    pod["status"] = {
        "phase": "Failed",
        "containerStatuses": [{"name": "stage", "state": state}],
    }
    objects.lists[kinds.JOBS.path("ns")] = [job]
    objects.lists[kinds.PODS.path("ns")] = [pod]
    objects.lists[kinds.EVENTS.path("ns")] = []
    with pytest.raises(FluidModelError, match=what) as caught:
        job_run.wait_for_job(objects.client, job, lambda _: None, deadline=time.monotonic() + 30)
    assert message in caught.value.reason
    assert ("docker build" in caught.value.hint) is ("plugin" in what)
