"""What is read of nodes, their pods and caches before one is chosen."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.cache import nodes
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.node_choice import CandidateNodes
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.placement import build_candidate, node_affinity
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import PODS
from tests.cache.objects import Objects, objects
from tests.cache.test_options import make_options
from tests.fluid.cluster import GIB, make_node, make_pod

__all__ = ["objects"]


def survey(
    objects: Objects, existing: ExistingObjects | None = None, **flags: Any
) -> CandidateNodes | None:
    return nodes.candidate_nodes(
        objects.client, make_options(**flags), "ns", existing or ExistingObjects()
    )


def cache_worker(name: str, namespace: str = "ns") -> Object:
    pod = make_pod("8Gi")
    pod["metadata"] = {
        "name": f"{name}-worker-0",
        "namespace": namespace,
        "labels": {"release": name, "role": "alluxio-worker"},
    }
    return pod


def runtime(name: str, namespace: str = "ns", **level: Any) -> Object:
    tier = {"mediumtype": "SSD", "path": "/var/lib/fluidmodel/cache", "quota": "150Gi", **level}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"tieredstore": {"levels": [tier]}},
    }


class TestNodes:
    def cluster(self, objects: Objects, *nodes: Object) -> None:
        objects.lists["/api/v1/nodes"] = list(nodes)

    def test_the_node_of_a_cache_is_among_them_without_a_gpu(self, objects: Objects) -> None:
        self.cluster(objects, make_node("a"), make_node("cpu", gpus=0))
        holder = build_candidate(make_node("cpu", gpus=0))
        dataset = {"spec": {"nodeAffinity": node_affinity([holder])}}
        candidates = survey(objects, ExistingObjects(dataset=dataset))
        assert candidates is not None
        assert {node.name for node in candidates.nodes} == {"a", "cpu"}

    def test_free_room_is_what_pods_leave(self, objects: Objects) -> None:
        self.cluster(objects, make_node("a"), make_node("cpu", gpus=0))
        objects.lists["/api/v1/pods"] = [make_pod("30Gi")]
        candidates = survey(objects)
        assert candidates is not None
        (one,) = candidates.nodes
        assert (one.name, one.capacity.memory) == ("a", 70 * GIB)
        assert [request.query.get("fieldSelector") for request in objects.asked] == [
            None,
            "spec.nodeName=a",
        ]

    def test_pods_that_cannot_be_read_are_noted(self, objects: Objects) -> None:
        self.cluster(objects, make_node("a"))
        objects.forbidden.add(PODS.path())
        candidates = survey(objects)
        assert candidates is not None
        assert candidates.nodes[0].capacity.memory == 100 * GIB
        assert "pods in other namespaces cannot be read" in candidates.notes[0]

    def test_nodes_that_cannot_be_listed(self, objects: Objects) -> None:
        objects.forbidden.add("/api/v1/nodes")
        assert survey(objects) is None

    def test_the_cost_does_not_grow_with_the_cluster(self, objects: Objects) -> None:
        self.cluster(objects, *(make_node(f"n{i:04}") for i in range(300)))
        candidates = survey(objects)
        assert candidates is not None
        assert len(candidates.nodes) == 300
        assert len(objects.asked) == 1 + 8

    def test_named_nodes(self, objects: Objects) -> None:
        self.cluster(objects, make_node("a"), make_node("b"))
        candidates = survey(objects, nodes=("b",))
        assert candidates is not None
        assert [one.name for one in candidates.nodes] == ["b"]
        with pytest.raises(UsageError, match="node 'c' does not exist"):
            survey(objects, nodes=("c",))


class TestCachesOnDisk:
    def free(self, objects: Objects, *runtimes: Object, **flags: Any) -> int | None:
        objects.lists["/api/v1/nodes"] = [make_node("a", disk="200Gi")]
        objects.lists["/api/v1/pods"] = [
            cache_worker(obj["metadata"]["name"], obj["metadata"]["namespace"]) for obj in runtimes
        ]
        objects.lists.setdefault(names.ALLUXIO_RUNTIMES.path(), list(runtimes))
        candidates = survey(objects, **flags)
        assert candidates is not None
        room = candidates.nodes[0].capacity.disk
        taken = len(runtimes) * GIB  # what their pods request
        return None if room is None else (room + taken) // GIB

    def test_their_quota_is_taken(self, objects: Objects) -> None:
        assert self.free(objects, runtime("other")) == 50

    def test_of_every_namespace(self, objects: Objects) -> None:
        assert self.free(objects, runtime("other"), runtime("third", "far", quota="30Gi")) == 20

    def test_a_list_of_quotas(self, objects: Objects) -> None:
        assert self.free(objects, runtime("other", quotaList="20Gi,30Gi")) == 150

    def test_memory_is_requested_and_not_counted_twice(self, objects: Objects) -> None:
        assert self.free(objects, runtime("other", mediumtype="MEM", path="/dev/shm")) == 200

    def test_a_disk_of_its_own_does_not_count(self, objects: Objects) -> None:
        assert self.free(objects, runtime("other", path="/mnt/nvme")) == 200

    def test_an_empty_dir_is_on_the_nodes_disk(self, objects: Objects) -> None:
        assert self.free(objects, runtime("other", path="/mnt/x", volumeType="emptyDir")) == 50

    def test_the_cache_itself_is_not_in_its_own_way(self, objects: Objects) -> None:
        assert self.free(objects, runtime("llama"), name="llama") == 200

    def test_runtimes_that_cannot_be_read_are_noted(self, objects: Objects) -> None:
        objects.forbidden.add(names.ALLUXIO_RUNTIMES.path())
        objects.lists["/api/v1/nodes"] = [make_node("a")]
        objects.lists["/api/v1/pods"] = [cache_worker("other")]
        candidates = survey(objects)
        assert candidates is not None and "is not counted" in candidates.notes[0]

    def test_without_caches_no_runtime_is_asked_for(self, objects: Objects) -> None:
        self.free(objects)
        assert not any("alluxioruntimes" in request.path for request in objects.asked)


class TestTaintsOfGraphs:
    TAINT = {"key": "pool", "value": "llm", "effect": "NoSchedule"}  # noqa: RUF012
    GRAPHS = "/apis/nvidia.com/v1beta1/namespaces/ns/dynamographdeployments"

    def against(self, objects: Objects, existing: ExistingObjects | None = None) -> str:
        objects.lists["/api/v1/nodes"] = [make_node("a", taints=[self.TAINT])]
        candidates = survey(objects, existing)
        assert candidates is not None
        return ", ".join(str(taint) for taint in candidates.nodes[0].untolerated)

    def graph(self, kind: str, *tolerations: Object) -> Object:
        component = {
            "name": "W",
            "type": kind,
            "podTemplate": {"spec": {"tolerations": list(tolerations), "containers": []}},
        }
        return {"metadata": {"name": "g", "namespace": "ns"}, "spec": {"components": [component]}}

    def test_what_workers_tolerate_the_cache_tolerates(self, objects: Objects) -> None:
        objects.lists[self.GRAPHS] = [self.graph("worker", {"key": "pool", "operator": "Exists"})]
        assert self.against(objects) == ""

    def test_a_frontends_tolerations_are_ignored(self, objects: Objects) -> None:
        objects.lists[self.GRAPHS] = [self.graph("frontend", {"operator": "Exists"})]
        assert self.against(objects) == "pool=llm:NoSchedule"

    def test_without_graphs_or_the_right_to_see_them(self, objects: Objects) -> None:
        assert self.against(objects) == "pool=llm:NoSchedule"
        objects.forbidden.add(self.GRAPHS)
        assert self.against(objects) == "pool=llm:NoSchedule"

    def test_tolerations_of_an_existing_cache_are_kept(self, objects: Objects) -> None:
        dataset = {"spec": {"tolerations": [{"key": "pool", "operator": "Exists"}]}}
        assert self.against(objects, ExistingObjects(dataset=dataset)) == ""

    def test_graphs_are_read_only_for_an_unknown_taint(self, objects: Objects) -> None:
        objects.lists["/api/v1/nodes"] = [
            make_node("a", taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}])
        ]
        survey(objects)
        assert not any("nvidia.com" in request.path for request in objects.asked)
