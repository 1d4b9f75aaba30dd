"""The control plane taken apart and put together again: on a cluster of its own."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.alone]


def test_components_can_be_stopped_and_started(fragile: Cluster) -> None:
    before = fragile.processes.pid("kube-apiserver")
    fragile.restart("kube-apiserver")
    assert fragile.processes.pid("kube-apiserver") != before
    assert fragile.api.list("v1", "Node")
    fragile.scale("alluxioruntime-controller", 0)
    assert fragile.processes.pid("alluxioruntime-controller") is None
    fragile.scale("alluxioruntime-controller", 1)
    assert fragile.processes.pid("alluxioruntime-controller")


@pytest.mark.parametrize("generation", ["v1alpha1", "2025-08", "current"])
def test_dynamo_generations(fragile: Cluster, generation: str) -> None:
    fragile.install_dynamo(generation)
    crd = fragile.api.get(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", "dynamographdeployments.nvidia.com"
    )
    served = [each["name"] for each in crd["spec"]["versions"] if each["served"]]
    assert served == (["v1alpha1", "v1beta1"] if generation == "current" else ["v1alpha1"])
