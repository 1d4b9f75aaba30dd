"""How far a cache has come, from the objects as an Informer keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.cache.progress import CacheProgress, compute_progress, pending_steps
from kubectl_fluidmodel.cache.watch import CacheTarget
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.progress import WAITING
from tests.fluid import junk

GIB = 1 << 30


@dataclass
class FakeObjects:
    """Objects by kind."""

    objects: dict[Kind, list[Object]] = field(default_factory=dict)

    def list_objects(self, kind: Kind) -> list[Object]:
        return self.objects.get(kind, [])

    def get(self, kind: Kind, name: str) -> Object | None:
        return next((obj for obj in self.list_objects(kind) if name_of(obj) == name), None)


def dataset(phase: str, cached: str = "", **status: Any) -> Object:
    states = {"cached": cached} if cached else {}
    return {
        "metadata": {"name": "demo"},
        "status": {"phase": phase, "cacheStates": states, **status},
    }


def pod(name: str, ready: bool = True, node: str = "gpu-1", **status: Any) -> Object:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": conditions, **status},
    }


def load(phase: str, **status: Any) -> Object:
    return {"metadata": {"name": "demo"}, "status": {"phase": phase, **status}}


def claim(phase: str) -> Object:
    return {"metadata": {"name": "demo"}, "status": {"phase": phase}}


def compute(
    objects: dict[Kind, list[Object]],
    *,
    total: int | None = 10 * GIB,
    replicas: int = 1,
    load: bool = True,
    **more: Any,
) -> CacheProgress:
    listing = None if total is None else FileListing((SourceFile("model", total),))
    target = CacheTarget("ns", "demo", listing, replicas, load)
    return compute_progress(FakeObjects(objects), target, **more)


def states(progress: CacheProgress) -> dict[str, str]:
    return {step.name: step.state for step in progress.steps}


BOUND = {
    names.DATASETS: [dataset("Bound", "5.00GiB")],
    kinds.PODS: [pod("demo-master-0"), pod("demo-worker-0")],
    kinds.PVCS: [claim("Bound")],
}


def test_nothing_yet() -> None:
    progress = compute({})
    assert set(states(progress).values()) == {"waiting"}
    assert progress.current.name == "master"
    assert (progress.done_bytes, progress.total_bytes, progress.problems) == (None, 10 * GIB, ())


def test_on_the_way() -> None:
    progress = compute(
        {
            names.DATASETS: [dataset("NotBound")],
            kinds.PODS: [pod("demo-master-0"), pod("demo-worker-0", ready=False, node="gpu-2")],
        }
    )
    assert states(progress) == {
        "master": "done",
        "worker": "running",
        "Dataset": "running",
        "PVC": "waiting",
        "load": "waiting",
    }
    assert progress.current.detail == "0 of 1 ready, on gpu-2"


def test_loading() -> None:
    progress = compute({**BOUND, names.DATA_LOADS: [load("Executing")]})
    assert progress.current.name == "load"
    assert progress.is_transferring
    assert (progress.done_bytes, progress.total_bytes) == (5 * GIB, 10 * GIB)


def test_reserved_blocks_and_further_copies_are_not_more_than_all_of_it() -> None:
    more = {**BOUND, names.DATASETS: [dataset("Bound", "18.00GiB")]}
    progress = compute({**more, names.DATA_LOADS: [load("Executing")]})
    assert (progress.done_bytes, progress.total_bytes) == (10 * GIB, 10 * GIB)


def test_complete() -> None:
    progress = compute({**BOUND, names.DATA_LOADS: [load("Complete")]})
    assert set(states(progress).values()) == {"done"}
    assert progress.current.name == "load"
    assert not progress.is_transferring


def test_without_a_load() -> None:
    assert "load" not in states(compute(BOUND, load=False))


def test_several_workers() -> None:
    objects = {
        **BOUND,
        kinds.PODS: [pod("demo-master-0"), pod("demo-worker-0"), pod("demo-worker-1", False)],
    }
    workers = next(step for step in compute(objects, replicas=2).steps if step.name == "workers")
    assert (workers.state, workers.detail) == ("running", "1 of 2 ready, on gpu-1")


def test_pods_that_rbac_hides_are_ready_when_the_dataset_is_bound() -> None:
    progress = compute({names.DATASETS: [dataset("Bound")]})
    assert (states(progress)["master"], states(progress)["worker"]) == ("done", "done")


def test_pods_of_others_do_not_count() -> None:
    progress = compute(
        {kinds.PODS: [pod("demo-2-master-0"), pod("demo-2-worker-0"), pod("x-demo-worker-0")]}
    )
    assert (states(progress)["master"], states(progress)["worker"]) == ("waiting", "waiting")


@pytest.mark.parametrize(
    ("objects", "step"),
    [
        ({names.DATASETS: [dataset("Failed")]}, "Dataset"),
        ({**BOUND, names.DATA_LOADS: [load("Failed")]}, "load"),
    ],
)
def test_a_failure_is_the_current_step(objects: dict[Kind, list[Object]], step: str) -> None:
    state_by_step = {reached.name: reached.state for reached in compute(objects).steps}
    assert state_by_step[step] == "failed"


def test_the_total_is_fluids_where_the_source_was_not_measured() -> None:
    assert (
        compute({names.DATASETS: [dataset("Bound", ufsTotal="2.00GiB")]}, total=None).total_bytes
        == 2 * GIB
    )


class TestProblems:
    def test_stuck_objects_have_a_reason(self) -> None:
        waiting = {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
        event = {
            "type": "Warning",
            "reason": "FailedMount",
            "message": 'secret "x" not found',
            "involvedObject": {"kind": "Pod", "name": "demo-master-0"},
            "lastTimestamp": "2026-03-02T10:00:00Z",
        }
        failed = [{"type": "NotReady", "status": "True", "message": "mount failed"}]
        progress = compute(
            {
                names.DATASETS: [dataset("NotBound", conditions=failed)],
                kinds.PODS: [pod("demo-master-0", ready=False, containerStatuses=[waiting])],
                kinds.EVENTS: [event],
            },
            log="Error Code: NoSuchBucket",
            external_problems=["the API server is unreachable"],
        )
        assert list(progress.problems) == [
            "the API server is unreachable",
            "demo-master-0: the bucket does not exist: Error Code: NoSuchBucket",
            "demo-master-0/c: ImagePullBackOff",
            "Fluid: mount failed",
            'Pod demo-master-0: FailedMount: secret "x" not found',
        ]

    def test_each_is_reported_once(self) -> None:
        conditions = [{"type": "NotReady", "status": "True", "message": "mount failed"}]
        event = {
            "type": "Warning",
            "reason": "Sync",
            "message": "Failed to sync: mount  failed",
            "involvedObject": {"kind": "AlluxioRuntime", "name": "demo"},
        }
        progress = compute(
            {names.DATASETS: [dataset("NotBound", conditions=conditions)], kinds.EVENTS: [event]},
            external_problems=["same", "same"],
        )
        assert list(progress.problems) == ["same", "Fluid: mount failed"]

    def test_a_ready_cache_has_no_problem_despite_old_log_errors(self) -> None:
        assert compute(BOUND, log="Error Code: NoSuchBucket").problems == ()

    def test_a_finished_pod_is_no_problem(self) -> None:
        over = pod("demo-loader-job-x", ready=False)
        over["status"]["phase"] = "Succeeded"
        assert compute({**BOUND, kinds.PODS: [*BOUND[kinds.PODS], over]}).problems == ()

    def test_old_events_are_left_out(self) -> None:
        event = {
            "type": "Warning",
            "involvedObject": {"kind": "Dataset", "name": "demo"},
            "lastTimestamp": "2026-03-02T10:00:00Z",
        }
        assert compute({kinds.EVENTS: [event]}, since=4e9).problems == ()


NAMED = junk.any_object.map(lambda obj: {**obj, "metadata": {"name": "demo"}})
PODS = junk.any_object.map(lambda obj: {**obj, "metadata": {"name": "demo-master-0"}})


@settings(max_examples=50)
@given(NAMED, NAMED, NAMED, st.lists(PODS, max_size=2), st.lists(junk.any_object, max_size=2))
def test_no_objects_make_it_fail(
    one: Object, other: Object, third: Object, pods: list[Object], events: list[Object]
) -> None:
    progress = compute(
        {
            names.DATASETS: [one],
            names.DATA_LOADS: [other],
            kinds.PVCS: [third],
            kinds.PODS: pods,
            kinds.EVENTS: events,
        }
    )
    assert progress.current in progress.steps


def test_ahead_are_the_same_steps_as_later() -> None:
    steps = pending_steps(2, load=True)
    assert [step.name for step in steps] == ["master", "workers", "Dataset", "PVC", "load"]
    assert {step.state for step in steps} == {WAITING}
    assert [step.name for step in pending_steps(1, load=False)][-1] == "PVC"
