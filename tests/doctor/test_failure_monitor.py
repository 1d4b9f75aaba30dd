"""What ends a wait: doctor's own findings, of those that last."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import kubectl_fluidmodel.doctor.checks
from kubectl_fluidmodel.doctor import failure_monitor
from kubectl_fluidmodel.doctor.check import REGISTRY, Finding, Fix, Scope, select_checks
from kubectl_fluidmodel.doctor.diagnosis import Problem, diagnose
from kubectl_fluidmodel.doctor.failure_monitor import (
    CACHE_FAILURES,
    GRAPH_FAILURES,
    FailureMonitor,
    failure_error,
    persistent_failures,
)
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import pods
from tests.doctor.fluid import NAME, NS

assert kubectl_fluidmodel.doctor.checks.__all__
CLIENT = object()


def codes(snapshot: Snapshot) -> list[str]:
    diagnosis = diagnose(snapshot, select_checks(CACHE_FAILURES, ()), namespace=NS, name=NAME)
    return [failure.check.code for failure in persistent_failures(diagnosis, CACHE_FAILURES)]


def worker(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, kinds.PODS, f"{NAME}-worker-0")


def unscheduled(message: str) -> Callable[[Snapshot], object]:
    return lambda snapshot: b.make_unschedulable(worker(snapshot), message)


def quota(snapshot: Snapshot) -> None:
    b.remove_object(snapshot, kinds.PODS, f"{NAME}-worker-0")
    owner = b.get_object(snapshot, kinds.STATEFUL_SETS, f"{NAME}-worker")
    message = (
        f'create Pod {NAME}-worker-0 in StatefulSet {NAME}-worker failed error: pods "w" is '
        "forbidden: exceeded quota: team, requested: memory=9Gi, limited: memory=8Gi"
    )
    b.add_warning_event(snapshot, owner, "FailedCreate", message)


def image(snapshot: Snapshot) -> None:
    b.make_container_wait(
        worker(snapshot), "alluxio-worker", "ImagePullBackOff", "Back-off pulling image"
    )


def key(snapshot: Snapshot) -> None:
    master = b.make_unready(b.get_object(snapshot, kinds.PODS, f"{NAME}-master-0"))
    line = "Caused by: …AmazonS3Exception: denied (Error Code: SignatureDoesNotMatch; Request)"
    b.set_log(snapshot, master, "alluxio-master", line)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (unscheduled("0/3 nodes are available: 3 node(s) didn't have free ports."), "FM305"),
        (unscheduled("0/3 nodes are available: 3 Insufficient memory."), "FM301"),
        (quota, "FM307"),
        (image, "FM320"),
        (key, "FM311"),
    ],
)
def test_permanent_failures_end_the_wait(change: Callable[[Snapshot], object], code: str) -> None:
    snapshot = b.healthy_snapshot()
    change(snapshot)
    assert code in codes(snapshot)


def starting(snapshot: Snapshot) -> None:
    b.make_unready(b.get_object(snapshot, kinds.PODS, f"{NAME}-master-0"))


def crashing(snapshot: Snapshot) -> None:
    """Nobody says why: it may come up at its next start."""
    b.make_container_wait(
        b.get_object(snapshot, kinds.PODS, f"{NAME}-master-0"), "alluxio-master", "CrashLoopBackOff"
    )


@pytest.mark.parametrize("change", [lambda snapshot: None, starting, crashing])
def test_what_may_pass_is_waited_for(change: Callable[[Snapshot], object]) -> None:
    snapshot = b.healthy_snapshot()
    change(snapshot)
    assert codes(snapshot) == []


@pytest.mark.parametrize("table", [CACHE_FAILURES, GRAPH_FAILURES])
def test_every_code_is_a_check(table: dict[str, float]) -> None:
    for code, seconds in table.items():
        assert code in REGISTRY.checks and 0 <= seconds <= 60


def problem(code: str, about: str = "pod a/b", fix: Fix | None = None) -> Problem:
    return Problem(REGISTRY.checks[code], Finding(about, "because", (), fix), (NS, NAME))


@pytest.mark.parametrize(
    ("fix", "command"),
    [
        (Fix("kubectl do this"), "kubectl do this"),
        (Fix("think", "advice"), "doctor"),
        (Fix("a: b", "yaml", "there"), "doctor"),
        (None, "doctor"),
    ],
)
def test_the_error_has_cause_code_and_a_command(fix: Fix | None, command: str) -> None:
    error = failure_error("it cannot be", problem("FM305", fix=fix), "doctor")
    assert str(error) == f"it cannot be: pod a/b: because (FM305); try: {command}"
    assert error.exit_code == 1


class TestWatch:
    @pytest.fixture
    def watch(self, monkeypatch: pytest.MonkeyPatch) -> FailureMonitor:
        self.now, self.snapshot, self.looks = 0.0, b.healthy_snapshot(), 0
        monkeypatch.setattr(failure_monitor.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(failure_monitor.collector, "collect_snapshot", self.gather)
        return FailureMonitor(CLIENT, NS, NAME, {"FM305": 8.0}, interval=4.0)  # type: ignore[arg-type]

    def gather(self, *_: object, **__: object) -> Snapshot:
        self.looks += 1
        if self.snapshot is None:
            raise FluidModelError("away")
        return self.snapshot

    def tick(self, watch: FailureMonitor, now: float) -> str:
        self.now = now
        failure = watch.poll()
        watch._thread.join() if watch._thread.ident else None
        return failure.check.code if failure else ""

    def test_a_failure_ends_the_wait_after_two_polls_and_its_codes_timeout(
        self, watch: FailureMonitor
    ) -> None:
        b.make_unschedulable(worker(self.snapshot), "0/1: 1 node(s) didn't have free ports.")
        assert [self.tick(watch, now) for now in (1, 4, 8, 11)] == ["", "", "", ""]
        assert self.looks == 2
        assert self.tick(watch, 12) == "", "the third look begins"
        assert self.tick(watch, 13) == "FM305"

    def test_a_failure_that_returns_has_to_last_again(self, watch: FailureMonitor) -> None:
        b.make_unschedulable(worker(self.snapshot), "0/1: 1 node(s) didn't have free ports.")
        self.tick(watch, 4)
        self.snapshot = b.healthy_snapshot()
        self.tick(watch, 8)
        b.make_unschedulable(worker(self.snapshot), "0/1: 1 node(s) didn't have free ports.")
        assert [self.tick(watch, now) for now in (12, 16, 19)] == ["", "", ""]

    def test_a_cluster_that_is_away_ends_nothing(self, watch: FailureMonitor) -> None:
        self.snapshot = None  # type: ignore[assignment]
        assert [self.tick(watch, now) for now in (4, 8, 12)] == ["", "", ""]


def test_no_check_of_the_cluster_ends_the_wait_for_a_cache() -> None:
    assert all(REGISTRY.checks[code].scope is Scope.CACHE for code in CACHE_FAILURES)
    assert pods.worker_pod()["metadata"]["name"] == f"{NAME}-worker-0"
