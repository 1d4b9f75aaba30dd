"""Copies are added and removed where no pod loses what it reads."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.cache import resizing
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import PODS
from tests.cache.objects import Objects, objects

__all__ = ["objects"]


def worker(number: int, node: str) -> Object:
    labels = {"statefulset.kubernetes.io/pod-name": f"demo-worker-{number}"}
    return {
        "metadata": {"name": f"demo-worker-{number}", "labels": labels},
        "spec": {"nodeName": node},
    }


def reader(name: str, node: str, claim: str = "demo", phase: str = "Running") -> Object:
    volumes = [{"name": "m", "persistentVolumeClaim": {"claimName": claim}}]
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": node, "volumes": volumes},
        "status": {"phase": phase},
    }


def test_the_nodes_are_in_the_order_of_the_workers_numbers(objects: Objects) -> None:
    workers = [worker(10, "n10"), worker(2, "n2"), *(worker(n, f"n{n}") for n in (0, 1))]
    workers += [worker(n, f"n{n}") for n in range(3, 10)]
    objects.lists[PODS.path("ns")] = workers
    nodes = resizing.worker_nodes(objects.client, "ns", "demo")
    assert nodes == tuple(f"n{n}" for n in range(11))


@pytest.mark.parametrize(
    "pods", [[worker(1, "b")], [worker(0, "")], [worker(0, "a"), worker(2, "c")], []]
)
def test_a_missing_worker_or_node_makes_them_unknown(objects: Objects, pods: list[Object]) -> None:
    objects.lists[PODS.path("ns")] = pods
    assert resizing.worker_nodes(objects.client, "ns", "demo") == ()


def test_without_permission_they_are_unknown(objects: Objects) -> None:
    objects.forbidden.add(PODS.path("ns"))
    assert resizing.worker_nodes(objects.client, "ns", "demo") == ()


def require_unread(objects: Objects, *references: str) -> None:
    dataset: dict[str, Any] = {"status": {"datasetRef": list(references)}}
    resizing.require_unread(objects.client, "ns", dataset, "demo", ["b"])


def test_a_copy_that_is_read_is_not_removed(objects: Objects) -> None:
    objects.lists[PODS.path("ns")] = [reader("there", "b"), reader("elsewhere", "a")]
    with pytest.raises(FluidModelError) as caught:
        require_unread(objects)
    assert caught.value.reason == "pods read it there: there on b"


def test_a_copy_that_a_reference_reads_is_not_removed(objects: Objects) -> None:
    objects.lists[PODS.path("ns")] = []
    objects.lists[PODS.path("team")] = [reader("theirs", "b", "shared")]
    with pytest.raises(FluidModelError, match="theirs on b"):
        require_unread(objects, "team/shared")


def test_other_pods_do_not_hold_a_copy(objects: Objects) -> None:
    objects.lists[PODS.path("ns")] = [
        reader("done", "b", phase="Succeeded"),
        reader("elsewhere", "a"),
        reader("another-claim", "b", "other"),
    ]
    require_unread(objects)


def test_without_permission_to_see_readers_no_copy_is_removed(objects: Objects) -> None:
    objects.forbidden.add(PODS.path("ns"))
    with pytest.raises(FluidModelError, match="cannot check whether pods read it on b"):
        require_unread(objects)


@pytest.mark.parametrize(
    ("status", "scaled"),
    [
        ({"currentWorkerNumberScheduled": 2, "workerNumberReady": 2}, True),
        ({"currentWorkerNumberScheduled": 2, "workerNumberReady": 1}, False),
        ({"currentWorkerNumberScheduled": 3, "workerNumberReady": 2}, False),
        ({}, False),
    ],
)
def test_it_is_scaled_once_all_workers_are_ready_and_no_others_left(
    status: dict[str, Any], scaled: bool
) -> None:
    assert resizing.is_scaled({"status": status}, 2) is scaled
