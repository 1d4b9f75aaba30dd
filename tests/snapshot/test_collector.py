"""One bulk read against a server that lacks kinds, refuses, fails for a while, or pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import name_of
from kubectl_fluidmodel.snapshot import collector, queries
from tests.inventory import samples
from tests.kube.server import client
from tests.loopback import free_port, serve
from tests.snapshot.served import Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(objects=samples.cache())


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Client]:
    with serve(cluster) as server:
        yield client(server)


def test_the_number_of_requests_depends_on_the_kinds_alone(cluster: Cluster, kube: Client) -> None:
    collector.collect(kube, None, queries.INSPECT_QUERIES)
    few, cluster.asked = len(cluster.asked), []
    cluster.objects += [
        obj for i in range(40) for obj in samples.cache(f"m{i}", nodes=[f"n{i}", "x"])
    ]
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    assert len(cluster.asked) == few
    assert len(snapshot.of_kind(names.DATASETS)) == 41


def test_pages_are_followed(cluster: Cluster, kube: Client) -> None:
    cluster.objects = [obj for i in range(7) for obj in samples.cache(f"m{i}")]
    cluster.page = 3
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    assert sorted(name_of(obj) for obj in snapshot.of_kind(names.DATASETS)) == [
        f"m{i}" for i in range(7)
    ]
    assert len(snapshot.of_kind(kinds.PODS)) == 14


def test_what_is_of_no_cache_is_let_go(cluster: Cluster, kube: Client) -> None:
    cluster.objects += [
        samples.pod("web-0"),
        samples.pod("db-0", claim="data"),
        samples.reader(),
    ]
    cluster.objects += [
        samples.claim("data"),
        samples.pod("x", labels={"release": "wordpress"}),
    ]
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    pods = {name_of(pod) for pod in snapshot.of_kind(kinds.PODS)}
    assert pods == {"demo-master-0", "demo-worker-0", "chat-0"}
    assert [name_of(claim) for claim in snapshot.of_kind(kinds.PVCS)] == ["demo"]


def test_what_rbac_hides_is_recorded_and_the_rest_is_there(cluster: Cluster, kube: Client) -> None:
    cluster.forbidden = {"/api/v1/nodes", "/api/v1/namespaces/default/pods"}
    snapshot = collector.collect(kube, "default", queries.INSPECT_QUERIES)
    assert {
        (failure.resource, failure.namespace, failure.forbidden)
        for failure in snapshot.read_failures
    } == {
        ("nodes", "", True),
        ("pods", "default", True),
    }
    assert not snapshot.was_read(kinds.PODS, "default")
    assert snapshot.was_read(kinds.PVCS, "default")
    assert len(snapshot.of_kind(names.DATASETS)) == 1


def test_a_server_that_is_overloaded_for_a_while_is_asked_again(
    cluster: Cluster, kube: Client
) -> None:
    cluster.failing["/api/v1/pods"] = 2
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    assert snapshot.read_failures == []
    assert len(snapshot.of_kind(kinds.PODS)) == 2
    assert kube.retry_timeout == 0.0, "as it was before"


def test_a_persistently_overloaded_server_is_recorded(
    cluster: Cluster, kube: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_RETRY_TIMEOUT", 0.4)
    cluster.failing["/api/v1/pods"] = 1000
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    (missing,) = snapshot.read_failures
    assert (missing.resource, missing.forbidden) == ("pods", False)
    assert "shutting down" in missing.reason


def test_a_kind_that_is_not_served_is_no_failure(cluster: Cluster, kube: Client) -> None:
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    assert snapshot.is_served(names.DATASETS)
    assert not snapshot.is_served(names.RUNTIME_KINDS[1])
    assert not snapshot.is_served(names.ADVANCED_SETS)
    assert snapshot.read_failures == []
    asked = {request.path for request in cluster.asked}
    assert "/apis/data.fluid.io/v1alpha1/juicefsruntimes" not in asked


def test_the_newest_version_is_read(cluster: Cluster, kube: Client) -> None:
    cluster.versions["nvidia.com"] = ["v1alpha1", "v1beta1"]
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    assert snapshot.versions["dynamographdeployments.nvidia.com"] == "v1beta1"


def test_discovery_that_is_forbidden_falls_back_to_the_lists(
    cluster: Cluster, kube: Client
) -> None:
    cluster.forbidden = {"/apis/data.fluid.io"}
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    assert len(snapshot.of_kind(names.DATASETS)) == 1
    assert not snapshot.is_served(names.RUNTIME_KINDS[1])


def test_nodes_are_known_in_part(kube: Client) -> None:
    snapshot = collector.collect(kube, None, queries.INSPECT_QUERIES)
    assert snapshot.selectors == {"nodes": "fluid.io/dataset-num"}
    assert not snapshot.was_read(kinds.NODES)


def test_a_wrong_address_is_an_error_at_once() -> None:
    from kubectl_fluidmodel.kube.config import ConfigFlags

    nobody = Client.connect(ConfigFlags(server=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ClusterUnreachableError):
        collector.collect(nobody, None, queries.INSPECT_QUERIES)
