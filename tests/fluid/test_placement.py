"""Which nodes hold a cache, and why not the others."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid.placement import (
    Candidate,
    Need,
    candidate,
    choose,
    eligible,
    hosts_of,
    node_affinity,
    required,
    tolerations,
)
from kubectl_fluidmodel.model.sizing import Room
from tests.fluid.cluster import GIB, node, pod

NEED = Need(memory=10 * GIB, disk=0)


def named(name: str, memory: int | None = 100, disk: int | None = 1000, **more: Any) -> Candidate:
    def gib(count: int | None) -> int | None:
        return None if count is None else count * GIB

    settings: dict[str, Any] = {"gpus": 8, "caches": 0, "ready": True, "hostname": name, **more}
    return Candidate(name=name, room=Room(gib(memory), gib(disk), gib(memory)), **settings)


class TestCandidate:
    def test_allocatable_less_what_pods_request(self) -> None:
        found = candidate(node("a"), [pod("10Gi", "512Mi"), pod("1G")])
        assert found.room.memory == 100 * GIB - 10 * GIB - 512 * (1 << 20) - 10**9
        assert found.room.disk == 1000 * GIB - 3 * GIB
        assert found.room.memory_total == 100 * GIB
        assert (found.name, found.gpus, found.caches, found.ready) == ("a", 8, 0, True)

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_pods_that_are_over_take_nothing(self, phase: str) -> None:
        assert candidate(node("a"), [pod("10Gi", phase=phase)]).room.memory == 100 * GIB

    @pytest.mark.parametrize(
        ("which", "taken"),
        [
            (pod("2Gi", inits=("1Gi", "8Gi")), 8),
            (pod("5Gi", "5Gi", inits=("8Gi",)), 10),
            (pod("2Gi", overhead={"memory": "3Gi"}), 5),
            (pod(), 0),
            ({"spec": {"containers": [{"name": "x"}]}}, 0),
            ({}, 0),
        ],
    )
    def test_what_a_pod_takes(self, which: dict[str, Any], taken: int) -> None:
        assert candidate(node("a"), [which]).room.memory == (100 - taken) * GIB

    @pytest.mark.parametrize(
        ("inits", "taken"),
        [
            ([("4Gi", True)], 6),
            ([("4Gi", True), ("9Gi", False)], 13),
            ([("9Gi", False), ("4Gi", True)], 9),
        ],
    )
    def test_a_sidecar_counts_for_the_pods_whole_life(
        self, inits: list[tuple[str, bool]], taken: int
    ) -> None:
        one = pod("2Gi")
        one["spec"]["initContainers"] = [
            {
                "resources": {"requests": {"memory": memory}},
                **({"restartPolicy": "Always"} if sidecar else {}),
            }
            for memory, sidecar in inits
        ]
        assert candidate(node("a"), [one]).room.memory == (100 - taken) * GIB

    def test_unknown_pods_leave_what_the_node_allocates(self) -> None:
        assert candidate(node("a"), None).room.memory == 100 * GIB

    def test_a_node_that_says_nothing(self) -> None:
        found = candidate({"metadata": {"name": "a"}})
        assert found.room == Room(None, None, None)
        assert (found.gpus, found.ready, found.hostname) == (0, False, "a")

    @pytest.mark.parametrize(
        ("obj", "ready"),
        [
            (node("a"), True),
            (node("a", ready=False), False),
            (node("a", cordoned=True), False),
        ],
    )
    def test_ready(self, obj: dict[str, Any], ready: bool) -> None:
        assert candidate(obj).ready is ready

    def test_host_name_and_caches_come_from_labels(self) -> None:
        found = candidate(node("a", labels={"kubernetes.io/hostname": "host-a"}, caches=3))
        assert (found.hostname, found.caches) == ("host-a", 3)

    def test_gpus_of_all_makers_count(self) -> None:
        obj = node("a", gpus=0)
        obj["status"]["allocatable"] |= {"amd.com/gpu": "4", "example.com/gpu-slices": "9"}
        assert candidate(obj).gpus == 4


class TestEligible:
    def test_gpu_nodes_by_default(self) -> None:
        found, notes = eligible([named("a", gpus=0), named("b")], [])
        assert ([one.name for one in found], notes) == (["b"], [])

    def test_without_gpus_every_node_but_the_control_plane(self) -> None:
        master = named("m", gpus=0, taints=({"key": "node-role.kubernetes.io/control-plane"},))
        found, notes = eligible([master, named("a", gpus=0)], [])
        assert [one.name for one in found] == ["a"]
        assert "no node has GPUs" in notes[0]

    def test_a_cluster_of_one_control_plane_node(self) -> None:
        master = named("m", gpus=0, taints=({"key": "node-role.kubernetes.io/control-plane"},))
        assert eligible([master], [])[0] == [master]

    def test_named_nodes_even_without_gpus(self) -> None:
        found, _ = eligible([named("a", gpus=0), named("b")], [], named=["a"])
        assert [one.name for one in found] == ["a"]

    def test_a_named_node_that_does_not_exist(self) -> None:
        with pytest.raises(UsageError, match="node 'c' does not exist"):
            eligible([named("a")], [], named=["a", "c"])

    def test_a_selector(self) -> None:
        objects = [node("a", labels={"pool": "x", "zone": "1"}), node("b", labels={"pool": "x"})]
        nodes = [candidate(obj) for obj in objects]
        found, _ = eligible(nodes, objects, selector={"pool": "x", "zone": "1"})
        assert [one.name for one in found] == ["a"]
        with pytest.raises(UsageError, match="no node has pool=y") as caught:
            eligible(nodes, objects, selector={"pool": "y"})
        assert caught.value.try_ == "kubectl get nodes -l pool=y"


class TestChoose:
    def test_fewest_caches_then_most_memory_then_name(self) -> None:
        nodes = [
            named("d", caches=1, memory=900),
            named("c", memory=200),
            named("b", memory=200),
            named("a", memory=100),
        ]
        found = choose(nodes, NEED, 1)
        assert found.names == ("b",)
        assert [one.name for one in found.runners_up] == ["c", "a", "d"]
        assert found.why == "8 GPUs, no other cache, the most room"

    def test_several_copies_on_several_nodes(self) -> None:
        assert choose([named("a"), named("b"), named("c")], NEED, 2).names == ("a", "b")

    def test_a_standing_cache_stays_though_its_node_is_fuller_now(self) -> None:
        nodes = [named("a", memory=500), named("b", memory=1, caches=4)]
        found = choose(nodes, NEED, 1, keep=["b"])
        assert found.names == ("b",)
        assert found.why == "the cache is there already"

    def test_a_standing_cache_leaves_a_node_that_is_not_ready(self) -> None:
        found = choose([named("a"), named("b", ready=False)], NEED, 1, keep=["b"])
        assert found.names == ("a",)
        assert found.rejected == (("b", "not ready or cordoned"),)

    def test_unknown_room_is_given_the_benefit_of_the_doubt(self) -> None:
        assert choose([named("a", memory=None, disk=None)], NEED, 1).names == ("a",)

    def test_none_fits_says_by_how_much_and_what_would(self) -> None:
        with pytest.raises(FluidModelError) as caught:
            choose([named("a", memory=4), named("b", ready=False)], NEED, 1)
        err = caught.value
        assert err.what == "no node fits the cache"
        assert "a: 10.0 GiB of memory needed, 4.0 GiB free (6.0 GiB short)" in err.why
        assert "b: not ready or cordoned" in err.why
        assert "--medium SSD" in err.try_

    def test_memory_and_disk_can_both_lack(self) -> None:
        with pytest.raises(FluidModelError) as caught:
            choose([named("a", memory=4, disk=1)], Need(10 * GIB, 50 * GIB), 1)
        assert "6.0 GiB short" in caught.value.why
        assert "50.0 GiB of ephemeral storage needed, 1.0 GiB free" in caught.value.why

    def test_an_overcommitted_node_has_nothing_free_and_not_less(self) -> None:
        with pytest.raises(FluidModelError, match=r"0\.0 GiB free"):
            choose([named("a", memory=-5)], NEED, 1)

    def test_too_few_fit(self) -> None:
        with pytest.raises(FluidModelError, match="only 1 of 2 nodes fit"):
            choose([named("a"), named("b", memory=4)], NEED, 2)

    def test_many_that_do_not_fit_are_not_all_listed(self) -> None:
        with pytest.raises(FluidModelError) as caught:
            choose([named(f"n{i}", memory=4) for i in range(9)], NEED, 1)
        assert "n4:" in caught.value.why
        assert "n5:" not in caught.value.why
        assert "and 4 more" in caught.value.why

    def test_a_cluster_without_nodes(self) -> None:
        with pytest.raises(FluidModelError, match="the cluster has no nodes"):
            choose([], NEED, 1)


def taint(key: str, effect: str = "NoSchedule", value: str | None = None) -> dict[str, str]:
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


@pytest.mark.parametrize(
    ("taints", "expected"),
    [
        ([], []),
        (
            [taint("nvidia.com/gpu")],
            [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        ),
        (
            [taint("team", "NoExecute", "ml")],
            [{"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"}],
        ),
        ([taint("soft", "PreferNoSchedule")], []),
        ([taint("node.kubernetes.io/not-ready", "NoExecute")], []),
        ([taint("node.kubernetes.io/unschedulable")], []),
    ],
)
def test_taints_become_tolerations(
    taints: list[dict[str, str]], expected: list[dict[str, str]]
) -> None:
    assert tolerations([candidate(node("a", taints=taints))]) == expected


def test_the_taints_of_several_nodes_are_tolerated_once_each() -> None:
    nodes = [
        candidate(node("a", taints=[taint("x"), taint("team", value="a")])),
        candidate(node("b", taints=[taint("team", value="b"), taint("x")])),
    ]
    found = tolerations(nodes)
    assert [(one["key"], one.get("value")) for one in found] == [
        ("team", "a"),
        ("team", "b"),
        ("x", None),
    ]


def test_the_affinity_is_for_host_names_and_reads_back() -> None:
    nodes = [named("b", hostname="host-b"), named("a", hostname="host-a")]
    affinity = node_affinity(nodes)
    assert hosts_of({"spec": {"nodeAffinity": affinity}}) == ["host-a", "host-b"]


@pytest.mark.parametrize(
    "affinity",
    [
        {},
        required([{"key": "pool", "operator": "In", "values": ["x"]}]),
        required([{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["x"]}]),
        {"required": {"nodeSelectorTerms": [{}, {}]}},
        {"required": {"nodeSelectorTerms": [{"matchFields": []}]}},
    ],
)
def test_other_affinities_name_no_hosts(affinity: dict[str, Any]) -> None:
    assert hosts_of({"spec": {"nodeAffinity": affinity}}) == []
