"""A Job of one pod: its log is passed on, and every way in which it can end deletes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.kube import job_run
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.job_run import (
    JobTimeouts,
    PodCannotStartError,
    PodStalledError,
    run_job,
)
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import PODS, Kind

JOB: Object = {
    "metadata": {"name": "probe", "namespace": "ai"},
    "spec": {"template": {"spec": {"containers": [{"name": "main"}]}}},
}
TIMEOUTS = JobTimeouts(schedule=30, start=30, stall=30, total=30)


def pod(phase: str, *waiting: str) -> Object:
    statuses = [{"state": {"waiting": {"reason": reason, "message": ""}}} for reason in waiting]
    return {
        "metadata": {"name": "probe-1", "namespace": "ai"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


class FakeClient:
    """Returns each state of the pod and of its log once, and then the last one again."""

    def __init__(self, *states: tuple[Object | None, str]) -> None:
        self.states = list(states)
        self.log = ""
        self.requests: list[str] = []

    def create(self, _kind: Kind, _job: Object) -> None:
        self.requests.append("create")

    def delete(self, _kind: Kind, name: str, namespace: str) -> None:
        self.requests.append(f"delete {namespace}/{name}")

    def list_objects(self, kind: Kind, _namespace: str, **_selectors: str) -> list[Object]:
        if kind != PODS:
            return []
        state, self.log = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return [state] if state else []

    def pod_logs(self, _namespace: str, _name: str, _container: str, *, tail: int) -> str:
        return self.log


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    monkeypatch.setattr(job_run, "_POLL_INTERVAL", 0.01)

    def run(client: FakeClient, timeouts: JobTimeouts = TIMEOUTS, **callbacks: Any) -> bool:
        try:
            callbacks = {"on_line": lambda _: None, **callbacks}
            return run_job(cast(Client, client), JOB, timeouts, **callbacks)
        finally:
            assert client.requests == ["create", "delete ai/probe"]

    return run


@pytest.mark.parametrize(("phase", "succeeded"), [("Succeeded", True), ("Failed", False)])
def test_each_line_is_passed_on_once(run: Callable[..., bool], phase: str, succeeded: bool) -> None:
    lines: list[str] = []
    reasons: list[str] = []
    client = FakeClient(
        (None, ""),
        (pod("Pending", "ContainerCreating"), ""),
        (pod("Running"), "one\n"),
        (pod("Running"), "one\ntwo\n"),
        (pod(phase), "one\ntwo\nthree\n"),
    )
    assert run(client, on_line=lines.append, on_wait=reasons.append) is succeeded
    assert lines == ["one", "two", "three"]
    assert reasons == ["no pod was created", "its container is being created"]


@pytest.mark.parametrize(
    ("state", "timeouts", "error", "message"),
    [
        pytest.param(
            pod("Pending", "ImagePullBackOff"),
            TIMEOUTS,
            PodCannotStartError,
            "does not start: ImagePullBackOff",
            id="fatal",
        ),
        pytest.param(
            None,
            JobTimeouts(schedule=0.05, start=30, stall=30, total=30),
            PodCannotStartError,
            "does not start: no pod was created",
            id="unscheduled",
        ),
        pytest.param(
            pod("Pending"),
            JobTimeouts(schedule=0, start=0.05, stall=30, total=30),
            PodCannotStartError,
            "does not start: its container is being created",
            id="slow-start",
        ),
        pytest.param(
            pod("Running"),
            JobTimeouts(schedule=30, start=30, stall=0.05, total=30),
            PodStalledError,
            "has printed nothing",
            id="stalled",
        ),
        pytest.param(
            pod("Running"),
            JobTimeouts(schedule=30, start=30, stall=30, total=0.05),
            WaitTimeoutError,
            "did not finish",
            id="too-long",
        ),
    ],
)
def test_a_pod_that_gets_nowhere_is_an_error(
    run: Callable[..., bool],
    state: Object | None,
    timeouts: JobTimeouts,
    error: type[FluidModelError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        run(FakeClient((state, "")), timeouts)
