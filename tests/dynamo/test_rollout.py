"""What a roll-out says of pods that do not come."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.dynamo import rollout
from kubectl_fluidmodel.dynamo.rollout import ExpectedPods, PodStatus, RolloutStatus
from kubectl_fluidmodel.pin import wait

GATE = "grove.io/podgang-pending-creation"


def pod(**changes: Any) -> dict[str, Any]:
    return {"metadata": {"name": "w-0"}, "spec": {}, "status": {}, **changes}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(status={"containerStatuses": [{"name": "main", "state": state}]})


@pytest.mark.parametrize(
    ("obj", "message", "unschedulable"),
    [
        (pod(), "", False),
        (pod(spec={"schedulingGates": [{"name": GATE}]}), f"SchedulingGated by {GATE}", False),
        (
            pod(spec={"schedulingGates": [{"name": GATE}, {"name": "b"}]}),
            f"SchedulingGated by {GATE}, b",
            False,
        ),
        (waiting("ImagePullBackOff", "back-off"), "ImagePullBackOff: back-off", False),
        (waiting("ContainerCreating"), "", False),
    ],
)
def test_the_problem_of_a_pod(obj: dict[str, Any], message: str, unschedulable: bool) -> None:
    assert rollout.startup_problem(obj) == (message, unschedulable)


def row(trouble: str = "", *, gated: bool = False, pod: str = "w-0") -> PodStatus:
    return PodStatus("worker", pod, "", False, False, trouble, False, gated)


def progress(*rows: PodStatus) -> RolloutStatus:
    return RolloutStatus(True, [ExpectedPods("worker", 3, "mount")], list(rows))


def test_the_summary_names_a_gate() -> None:
    text = f"SchedulingGated by {GATE}"
    one, two = row(text, gated=True), row(text, gated=True, pod="w-1")
    assert progress(one).summary() == f"0 of 3 pods ready; w-0 is {text}"
    assert progress(one, two).summary() == f"0 of 3 pods ready; w-0 is {text}, and 1 more"


@pytest.mark.parametrize(
    ("trouble", "broken"),
    [
        ("ImagePullBackOff: not found", True),
        ("ErrImagePull: x", True),
        ("InvalidImageName: x", True),
        ("CreateContainerConfigError: x", True),
        ("CrashLoopBackOff: it may wait for another part", False),
        (f"SchedulingGated by {GATE}", False),
        ("", False),
    ],
)
def test_permanent_problems_fail_the_rollout(trouble: str, broken: bool) -> None:
    status = progress(row(trouble))
    assert status.pods[0].cannot_start is broken
    if broken:
        with pytest.raises(
            wait.RolloutFailedError, match="pod w-0 of dgd/g does not start"
        ) as caught:
            wait.raise_if_failed(status, "dgd/g", "ns")
        assert caught.value.exit_code == 1 and trouble in str(caught.value)
    else:
        wait.raise_if_failed(status, "dgd/g", "ns")


@pytest.mark.parametrize(("local", "misplaced"), [(True, 0), (False, 1), (None, 0)])
def test_a_pod_is_misplaced_only_where_the_cache_is_known_not_to_be(local, misplaced):
    pod = PodStatus("worker", "w-0", "gpu-1", True, local, "", False)
    status = RolloutStatus(True, [ExpectedPods("worker", 1, "required")], [pod])
    assert len(status.misplaced) == misplaced and status.done
