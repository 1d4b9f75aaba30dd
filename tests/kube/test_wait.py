"""Waiting for watched objects, and for deleted ones to be gone."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.wait import read_until, wait_until, wait_until_deleted
from kubectl_fluidmodel.kube.watch import Informer, WatchEvent
from kubectl_fluidmodel.objects.kinds import JOBS, PODS, Kind


class FakeInformer:
    """Watches whose events are given; without one it waits as long as it is told to."""

    def __init__(self, events: int = 0, denied: dict[Kind, str] | None = None) -> None:
        self.events = events
        self.denied = denied or {}

    def next_event(self, timeout: float) -> WatchEvent | None:
        if self.events:
            self.events -= 1
            return WatchEvent(PODS, "MODIFIED", {}, time.monotonic())
        time.sleep(timeout)
        return None


def wait(informer: FakeInformer, *arguments: Any, **more: Any) -> bool:
    return wait_until(cast(Informer, informer), *arguments, **more)


def test_a_true_condition_ends_the_wait_without_an_event() -> None:
    ticks: list[int] = []
    assert wait(FakeInformer(), lambda: True, time.monotonic(), lambda: ticks.append(1))
    assert ticks == []


def test_an_event_wakes_the_wait_before_the_interval() -> None:
    informer = FakeInformer(events=1)
    began = time.monotonic()
    done = iter([False, True])
    assert wait(informer, lambda: next(done), began + 30, interval=20.0)
    assert time.monotonic() - began < 5


def test_events_that_come_together_are_one_check() -> None:
    informer = FakeInformer(events=50)
    checks: list[int] = []

    def done() -> bool:
        checks.append(1)
        return not informer.events

    assert wait(informer, done, time.monotonic() + 5)
    assert len(checks) == 2


def test_the_deadline_ends_the_wait_after_a_last_check() -> None:
    ticks: list[int] = []
    assert not wait(
        FakeInformer(),
        lambda: False,
        time.monotonic() + 0.05,
        lambda: ticks.append(1),
        interval=0.02,
    )
    assert len(ticks) >= 2


def test_a_required_kind_that_may_not_be_watched_is_an_error() -> None:
    informer = FakeInformer(denied={JOBS: "jobs is forbidden"})
    with pytest.raises(FluidModelError) as caught:
        wait(informer, lambda: False, time.monotonic() + 5, required=(JOBS,))
    assert str(caught.value) == "cannot watch jobs.batch: jobs is forbidden"


def test_what_the_condition_raises_ends_the_wait() -> None:
    def done() -> bool:
        raise FluidModelError("it failed")

    with pytest.raises(FluidModelError, match="it failed"):
        wait(FakeInformer(), done, time.monotonic() + 5)


class FakeClient:
    """Returns the UIDs of an object one after the other; None is an object that is gone."""

    def __init__(self, *uids: str | None) -> None:
        self.uids = list(uids)

    def get_or_none(self, _kind: Kind, _name: str, _namespace: str | None) -> Any:
        uid = self.uids.pop(0) if len(self.uids) > 1 else self.uids[0]
        return None if uid is None else {"metadata": {"uid": uid}}


@pytest.mark.parametrize(
    ("uids", "uid", "gone"),
    [
        (["a", None], "", True),
        (["a", None], "a", True),
        (["a", "b"], "a", True),
        (["a", "b"], "", False),
        (["a"], "a", False),
    ],
)
def test_a_deleted_object_is_gone_or_replaced(uids: list[str | None], uid: str, gone: bool) -> None:
    client = cast(Client, FakeClient(*uids))
    assert wait_until_deleted(client, JOBS, "x", "ns", uid=uid, timeout=0.4) is gone


def test_a_state_is_read_until_it_is_the_expected_one() -> None:
    states, ticks = iter([1, 2, 3, 4]), list[int]()
    deadline = time.monotonic() + 30
    state = read_until(
        lambda: next(states), lambda n: n == 3, deadline, ticks.append, interval=0.01
    )
    assert (state, ticks) == (3, [1, 2])


def test_at_the_deadline_the_state_is_read_a_last_time() -> None:
    began = time.monotonic()
    reads: list[float] = []

    def read() -> float:
        reads.append(time.monotonic() - began)
        return reads[-1]

    state = read_until(read, lambda _: False, began + 0.2, interval=30)
    assert state == reads[-1] >= 0.2
    assert len(reads) == 2
    assert state < 5


def test_without_time_the_state_is_read_once() -> None:
    ticks: list[str] = []
    state = read_until(
        lambda: "old", lambda _: False, time.monotonic() - 1, ticks.append, interval=1
    )
    assert (state, ticks) == ("old", [])
