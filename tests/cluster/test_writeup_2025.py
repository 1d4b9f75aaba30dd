"""The write-up's own graph on the CRDs of its age: each verb takes it for what it is.

It has a cluster of its own: changing what an API server serves is nothing to do beside others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cache.adoption.samples import load_fixture
from tests.cluster.api import Object
from tests.cluster.cluster import Cluster
from tests.cluster.objects import until
from tests.cluster.operator import Operator
from tests.cluster.pinning import pods, running
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.test_adopt import ENGINE, NAME, SERVING, loaded, make_by_hand

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

ALPHA = "nvidia.com/v1alpha1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """With what the operators of 2025 served: `v1alpha1`, whose services mount by `pvc`."""
    made = Cluster(f"writeup-{os.getpid()}")
    try:
        yield made.up(dynamo="2025-08")
    finally:
        made.down()


def stored(cluster: Cluster, namespace: str) -> Object:
    return cluster.api.get(ALPHA, "DynamoGraphDeployment", SERVING, namespace)


def test_every_verb_leaves_the_graph_of_the_write_up_running(
    cluster: Cluster, namespace: str, bucket: Any, plugin: Plugin
) -> None:
    make_by_hand(cluster, namespace, bucket)
    until("the load", lambda: loaded(cluster, namespace))
    (graph,) = load_fixture("graph-2025", NAMESPACE=namespace)
    for service in graph["spec"]["services"].values():
        service.setdefault("extraPodSpec", {})["tolerations"] = [ENGINE]
    with Operator(cluster.api, "v1alpha1", first=True):
        cluster.api.create(graph, fieldValidation="Strict")
        started = {pod["metadata"]["uid"] for pod in running(cluster, namespace, SERVING, 2)}
        before = stored(cluster, namespace)

        by_hand = plugin("pin", NAME, SERVING).ok()
        assert "unchanged (pinned already, by hand: fluid.io/s-alluxio-" in by_hand.out
        assert "without which operators from 1.5 refuse it" in by_hand.err
        assert_pinned(plugin)
        adopted = plugin("cache", NAME, "--adopt", timeout=120).ok()
        assert "every byte proven" in adopted.out
        plugin("pin", NAME, SERVING, "--adopt", "--wait", "--timeout", "60s").ok()
        again = plugin("pin", NAME, SERVING).ok()
        assert f"unchanged (already pinned to {NAME})" in again.out
        assert_pinned(plugin)
        assert "has no newer commit to update to" in error_line(plugin("update", NAME))

        after = stored(cluster, namespace)
        assert after["spec"] == before["spec"]
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert {pod["metadata"]["uid"] for pod in pods(cluster, namespace, SERVING)} == started


def assert_pinned(plugin: Plugin) -> None:
    """`inspect` and `doctor` have nothing to say against the graph, and know its pods."""
    found = json.loads(plugin("inspect", NAME, "-o", "json").ok().out)
    assert found["placement"]["verdict"] == "whole-on-node", found["placement"]
    readers = {(each["graph"], each["component"], each["local"]) for each in found["readers"]}
    assert (SERVING, "VllmWorker", True) in readers and len(readers) == 2
    assert {graph for graph, _, _ in readers} == {SERVING}
    problems = json.loads(plugin("doctor", NAME, "-o", "json").ok().out)["problems"]
    assert [each["code"] for each in problems] == ["FM211"], "only the keys in plain text"
