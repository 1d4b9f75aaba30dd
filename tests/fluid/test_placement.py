"""Which nodes hold a cache, and why not the others."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid.placement import (
    Candidate,
    NodeRequirement,
    bound_hostnames,
    build_candidate,
    eligible_nodes,
    node_affinity,
    required_affinity,
    required_tolerations,
    select_nodes,
)
from kubectl_fluidmodel.model.sizing import DISK_PATH, NodeCapacity
from kubectl_fluidmodel.objects.taints import Departure, Taint
from tests.fluid.cluster import GIB, make_node, make_pod

NEED = NodeRequirement(memory=10 * GIB, disk=0)
CONTROL = (Taint("node-role.kubernetes.io/control-plane", "", "NoSchedule"),)
CORDONED = Departure("it is cordoned", True)


def named(name: str, memory: int | None = 100, disk: int | None = 1000, **more: Any) -> Candidate:
    def gib(count: int | None) -> int | None:
        return None if count is None else count * GIB

    settings: dict[str, Any] = {"gpus": 8, "caches": 0, "hostname": name, **more}
    return Candidate(
        name=name, capacity=NodeCapacity(gib(memory), gib(disk), gib(memory)), **settings
    )


class TestCandidate:
    def test_allocatable_less_what_pods_request(self) -> None:
        candidate = build_candidate(make_node("a"), [make_pod("10Gi", "512Mi"), make_pod("1G")])
        assert candidate.capacity.memory == 100 * GIB - 10 * GIB - 512 * (1 << 20) - 10**9
        assert candidate.capacity.disk == 1000 * GIB - 3 * GIB
        assert candidate.capacity.memory_total == 100 * GIB
        assert (candidate.name, candidate.gpus, candidate.caches, candidate.is_eligible) == (
            "a",
            8,
            0,
            True,
        )

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_terminated_pods_use_no_resources(self, phase: str) -> None:
        assert (
            build_candidate(make_node("a"), [make_pod("10Gi", phase=phase)]).capacity.memory
            == 100 * GIB
        )

    @pytest.mark.parametrize(
        ("which", "taken"),
        [
            (make_pod("2Gi", inits=("1Gi", "8Gi")), 8),
            (make_pod("5Gi", "5Gi", inits=("8Gi",)), 10),
            (make_pod("2Gi", overhead={"memory": "3Gi"}), 5),
            (make_pod(), 0),
            ({"spec": {"containers": [{"name": "x"}]}}, 0),
            ({}, 0),
        ],
    )
    def test_the_requests_of_a_pod(self, which: dict[str, Any], taken: int) -> None:
        assert build_candidate(make_node("a"), [which]).capacity.memory == (100 - taken) * GIB

    @pytest.mark.parametrize(
        ("inits", "taken"),
        [
            ([("4Gi", True)], 6),
            ([("4Gi", True), ("9Gi", False)], 13),
            ([("9Gi", False), ("4Gi", True)], 9),
        ],
    )
    def test_a_sidecars_requests_count_for_the_pods_lifetime(
        self, inits: list[tuple[str, bool]], taken: int
    ) -> None:
        pod = make_pod("2Gi")
        pod["spec"]["initContainers"] = [
            {
                "resources": {"requests": {"memory": memory}},
                **({"restartPolicy": "Always"} if sidecar else {}),
            }
            for memory, sidecar in inits
        ]
        assert build_candidate(make_node("a"), [pod]).capacity.memory == (100 - taken) * GIB

    def test_unknown_pods_leave_what_the_node_allocates(self) -> None:
        assert build_candidate(make_node("a"), None).capacity.memory == 100 * GIB

    def test_an_empty_node_has_unknown_capacity(self) -> None:
        candidate = build_candidate({"metadata": {"name": "a"}})
        assert candidate.capacity == NodeCapacity(None, None, None)
        assert (candidate.gpus, candidate.is_eligible, candidate.hostname) == (0, False, "a")

    @pytest.mark.parametrize(
        ("obj", "ready"),
        [
            (make_node("a"), True),
            (make_node("a", ready=False), False),
            (make_node("a", cordoned=True), False),
        ],
    )
    def test_ready(self, obj: dict[str, Any], ready: bool) -> None:
        assert build_candidate(obj).is_eligible is ready

    def test_host_name_and_caches_come_from_labels(self) -> None:
        candidate = build_candidate(
            make_node("a", labels={"kubernetes.io/hostname": "host-a"}, caches=3)
        )
        assert (candidate.hostname, candidate.caches) == ("host-a", 3)

    def test_gpus_of_all_makers_count(self) -> None:
        obj = make_node("a", gpus=0)
        obj["status"]["allocatable"] |= {"amd.com/gpu": "4", "nvidia.com/mig-1g.10gb": "7"}
        assert build_candidate(obj).gpus == 11


class TestEligible:
    def test_gpu_nodes_by_default(self) -> None:
        eligible, notes = eligible_nodes([named("a", gpus=0), named("b")], [])
        assert ([candidate.name for candidate in eligible], notes) == (["b"], [])

    def test_without_gpus_every_node_but_the_control_plane(self) -> None:
        master = named("m", gpus=0, taints=CONTROL, untolerated=CONTROL)
        eligible, notes = eligible_nodes([master, named("a", gpus=0)], [])
        assert [candidate.name for candidate in eligible] == ["a"]
        assert "no node has GPUs" in notes[0]

    @pytest.mark.parametrize("others", [[named("b")], [named("b", gpus=0)]], ids=["gpus", "none"])
    @pytest.mark.parametrize(
        "holder",
        [named("a", gpus=0), named("a", gpus=0, taints=CONTROL)],
        ids=["plain", "control plane"],
    )
    def test_a_node_that_has_the_cache_stays_eligible(
        self, holder: Candidate, others: list[Candidate]
    ) -> None:
        eligible, _ = eligible_nodes([holder, *others], [], current=[holder.hostname])
        assert eligible == [holder, *others]

    def test_a_cluster_of_one_control_plane_node(self) -> None:
        master = named("m", gpus=0, taints=CONTROL, untolerated=CONTROL)
        [candidate] = eligible_nodes([master], [])[0]
        assert (candidate.name, candidate.untolerated) == ("m", ())

    def test_named_nodes_even_without_gpus(self) -> None:
        eligible, _ = eligible_nodes([named("a", gpus=0), named("b")], [], node_names=["a"])
        assert [candidate.name for candidate in eligible] == ["a"]

    def test_a_named_node_that_does_not_exist(self) -> None:
        with pytest.raises(UsageError, match="node 'c' does not exist"):
            eligible_nodes([named("a")], [], node_names=["a", "c"])

    def test_a_selector(self) -> None:
        objects = [
            make_node("a", labels={"pool": "x", "zone": "1"}),
            make_node("b", labels={"pool": "x"}),
        ]
        nodes = [build_candidate(obj) for obj in objects]
        eligible, _ = eligible_nodes(nodes, objects, selector={"pool": "x", "zone": "1"})
        assert [candidate.name for candidate in eligible] == ["a"]
        with pytest.raises(UsageError, match="no node has pool=y") as caught:
            eligible_nodes(nodes, objects, selector={"pool": "y"})
        assert caught.value.hint == "kubectl get nodes -l pool=y"


class TestChoose:
    def test_fewest_caches_then_most_memory_then_name(self) -> None:
        nodes = [
            named("d", caches=1, memory=900),
            named("c", memory=200),
            named("b", memory=200),
            named("a", memory=100),
        ]
        placement = select_nodes(nodes, NEED, 1)
        assert placement.names == ("b",)
        assert [candidate.name for candidate in placement.runners_up] == ["c", "a", "d"]
        assert placement.reason == "8 GPUs, no other cache, the most free memory"

    def test_several_copies_on_several_nodes(self) -> None:
        assert select_nodes([named("a"), named("b"), named("c")], NEED, 2).names == ("a", "b")

    def test_a_further_copy_has_the_reason_of_its_own_node(self) -> None:
        """Where the cache is already, one of the caches is itself."""
        nodes = [named("a", caches=2), named("b", caches=1), named("c", caches=3)]
        placement = select_nodes(nodes, NEED, 2, current=["a"])
        assert placement.names == ("a", "b")
        assert placement.reason == "8 GPUs, 1 other cache, the most free memory"

    def test_an_existing_cache_stays_on_a_node_that_became_fuller(self) -> None:
        nodes = [named("a", memory=500), named("b", memory=1, caches=4)]
        placement = select_nodes(nodes, NEED, 1, current=["b"])
        assert placement.names == ("b",)
        assert placement.reason == "the cache is already there"

    def test_an_existing_cache_leaves_a_node_that_is_not_ready(self) -> None:
        placement = select_nodes([named("a"), named("b", leaving=CORDONED)], NEED, 1, current=["b"])
        assert placement.names == ("a",)
        assert placement.rejected == (("b", "it is cordoned"),)

    def test_unknown_room_is_given_the_benefit_of_the_doubt(self) -> None:
        assert select_nodes([named("a", memory=None, disk=None)], NEED, 1).names == ("a",)

    def test_if_no_node_fits_the_error_has_the_shortage_and_a_fix(self) -> None:
        with pytest.raises(FluidModelError) as caught:
            select_nodes([named("a", memory=4), named("b", leaving=CORDONED)], NEED, 1)
        err = caught.value
        assert err.message == "no node fits the cache"
        assert "a: 10.0 GiB of memory needed, 4.0 GiB free (6.0 GiB short)" in err.reason
        assert "b: it is cordoned" in err.reason
        assert "--medium SSD" in err.hint

    def test_memory_and_disk_can_both_lack(self) -> None:
        with pytest.raises(FluidModelError) as caught:
            select_nodes([named("a", memory=4, disk=1)], NodeRequirement(10 * GIB, 50 * GIB), 1)
        assert "6.0 GiB short" in caught.value.reason
        assert "50.0 GiB of ephemeral storage needed, 1.0 GiB free" in caught.value.reason

    def test_an_overcommitted_node_has_nothing_free_and_not_less(self) -> None:
        with pytest.raises(FluidModelError, match="0 B free"):
            select_nodes([named("a", memory=-5)], NEED, 1)

    def test_too_few_fit(self) -> None:
        with pytest.raises(FluidModelError, match="only 1 of 2 nodes fit"):
            select_nodes([named("a"), named("b", memory=4)], NEED, 2)

    def test_many_that_do_not_fit_are_not_all_listed(self) -> None:
        with pytest.raises(FluidModelError) as caught:
            select_nodes([named(f"n{i}", memory=i) for i in range(9)], NEED, 1)
        assert "n4:" in caught.value.reason
        assert "n5:" not in caught.value.reason
        assert "and 4 more" in caught.value.reason

    def test_nodes_with_the_same_obstacle_are_listed_together(self) -> None:
        nodes = [*(named(f"n{i}", memory=4) for i in range(5)), named("c", leaving=CORDONED)]
        with pytest.raises(FluidModelError) as caught:
            select_nodes(nodes, NEED, 1)
        assert caught.value.reason == (
            "n0, n1, n2 and 2 more: 10.0 GiB of memory needed, 4.0 GiB free (6.0 GiB short); "
            "c: it is cordoned"
        )

    def test_a_cluster_without_nodes(self) -> None:
        with pytest.raises(FluidModelError, match="the cluster has no nodes"):
            select_nodes([], NEED, 1)


def taint(key: str, effect: str = "NoSchedule", value: str | None = None) -> dict[str, str]:
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


TAINTS: dict[str, tuple[list[dict[str, str]], list[dict[str, str]], str]] = {
    "none": ([], [], ""),
    "of GPUs": (
        [taint("nvidia.com/gpu")],
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "",
    ),
    "of GPUs, with a value": (
        [taint("amd.com/gpu", "NoExecute", "present")],
        [{"key": "amd.com/gpu", "operator": "Equal", "value": "present", "effect": "NoExecute"}],
        "",
    ),
    "only preferred": ([taint("soft", "PreferNoSchedule")], [], ""),
    "nobody's": ([taint("team", value="ml")], [], "untolerated taint team=ml:NoSchedule"),
    "for the workers of graphs": (
        [taint("pool", value="llm")],
        [{"key": "pool", "operator": "Equal", "value": "llm", "effect": "NoSchedule"}],
        "",
    ),
    "not ready": ([taint("node.kubernetes.io/not-ready", "NoExecute")], [], "it is not ready"),
    "cordoned": ([taint("node.kubernetes.io/unschedulable")], [], "it is cordoned"),
    "Karpenter": ([taint("karpenter.sh/disrupted")], [], "Karpenter is about to remove it"),
    "Karpenter before 1.0": (
        [taint("karpenter.sh/disruption", value="disrupting")],
        [],
        "Karpenter is about to remove it",
    ),
    "the cluster autoscaler": (
        [taint("ToBeDeletedByClusterAutoscaler", value="1700000000")],
        [],
        "the cluster autoscaler is about to remove it",
    ),
    "a candidate of the cluster autoscaler": (
        [taint("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule", "1700000000")],
        [],
        "the cluster autoscaler may remove it",
    ),
    "GPUs, and going": (
        [taint("nvidia.com/gpu"), taint("karpenter.sh/disrupted")],
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "Karpenter is about to remove it",
    ),
}


@pytest.mark.parametrize("case", TAINTS)
def test_which_taints_are_tolerated_and_which_nodes_are_never_chosen(case: str) -> None:
    taints, expected, against = TAINTS[case]
    workers = [{"key": "pool", "operator": "Equal", "value": "llm"}]
    candidate = build_candidate(make_node("a", taints=taints), tolerations=workers)
    assert required_tolerations([candidate]) == expected
    assert candidate.rejection_reason(NEED).startswith(against) and bool(
        candidate.rejection_reason(NEED)
    ) == bool(against)
    other = select_nodes([candidate, named("b", memory=11)], NEED, 1)
    assert other.names == (("b",) if against else ("a",))


class TestATaintThatNobodyKnows:
    STRANGE = build_candidate(
        make_node("a", taints=[{"key": "team", "value": "ml", "effect": "NoSchedule"}])
    )

    def test_the_flag_that_allows_it_is_named(self) -> None:
        with pytest.raises(FluidModelError) as caught:
            select_nodes([self.STRANGE], NEED, 1)
        assert "a: untolerated taint team=ml:NoSchedule" in caught.value.reason
        assert caught.value.hint == "--node a"

    def test_a_named_nodes_taint_is_tolerated_with_a_note(self) -> None:
        eligible, notes = eligible_nodes([self.STRANGE], [], node_names=["a"])
        assert required_tolerations(eligible) == [
            {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}
        ]
        assert notes == [
            "node a: its taint team=ml:NoSchedule is tolerated, because --node names it"
        ]

    def test_a_node_that_is_being_removed_cannot_be_chosen_by_name(self) -> None:
        gone = build_candidate(make_node("a", taints=[taint("karpenter.sh/disrupted")]))
        eligible, _ = eligible_nodes([gone], [], node_names=["a"])
        with pytest.raises(FluidModelError, match="Karpenter is about to remove it"):
            select_nodes(eligible, NEED, 1)

    @pytest.mark.parametrize(("pool", "chosen"), [("ml", True), ("other", False)])
    def test_a_pool_is_selected_with_its_own_taint(self, pool: str, chosen: bool) -> None:
        where = make_node("a", labels={"team": pool}, taints=[taint("team", value="ml")])
        eligible, _ = eligible_nodes([build_candidate(where)], [where], selector={"team": pool})
        assert (eligible[0].rejection_reason(NEED) == "") is chosen


def test_an_existing_cache_stays_on_a_candidate_for_removal() -> None:
    soft = build_candidate(
        make_node("a", taints=[taint("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule")])
    )
    assert select_nodes([soft, named("b")], NEED, 1, current=["a"]).names == ("a",)


def test_an_existing_cache_leaves_a_node_that_will_be_removed() -> None:
    gone = build_candidate(make_node("a", taints=[taint("ToBeDeletedByClusterAutoscaler")]))
    assert select_nodes([gone, named("b")], NEED, 1, current=["a"]).names == ("b",)


def test_caches_on_a_nodes_disk_take_room_there() -> None:
    candidate = build_candidate(make_node("a", disk="200Gi"), [], disks=[(DISK_PATH, 150 * GIB)])
    assert candidate.capacity.disk == 50 * GIB
    assert "150.0 GiB of ephemeral storage needed, 50.0 GiB free" in candidate.shortage(
        NodeRequirement(0, 150 * GIB)
    )


def test_caches_on_a_disk_of_its_own_are_known_by_its_path() -> None:
    disks = [("/mnt/nvme/a", 150 * GIB), ("/mnt/nvme/b", 50 * GIB), ("/data", GIB)]
    candidate = build_candidate(make_node("a", disk="200Gi"), [], disks=disks)
    assert candidate.capacity.disk == 200 * GIB
    assert candidate.disk_used_by_caches("/mnt/nvme/cache") == 200 * GIB
    assert candidate.disk_used_by_caches("/mnt/other") == 0


def test_a_pods_own_resources_count() -> None:
    pod = make_pod("1Gi", resources={"requests": {"memory": "40Gi"}})
    assert build_candidate(make_node("a"), [pod]).capacity.memory == 60 * GIB


def test_a_node_that_is_full_of_pods() -> None:
    candidate = build_candidate(make_node("a"), [make_pod() for _ in range(109)])
    assert candidate.shortage(NEED) == "1 more pods allowed, 2 needed"


def test_the_taints_of_several_nodes_are_tolerated_once_each() -> None:
    own = [{"operator": "Exists"}]
    nodes = [
        build_candidate(
            make_node("a", taints=[taint("x"), taint("team", value="a")]), tolerations=own
        ),
        build_candidate(
            make_node("b", taints=[taint("team", value="b"), taint("x")]), tolerations=own
        ),
    ]
    tolerations = required_tolerations(nodes)
    assert [(toleration["key"], toleration.get("value")) for toleration in tolerations] == [
        ("team", "a"),
        ("team", "b"),
        ("x", None),
    ]


def test_the_affinity_is_for_host_names_and_reads_back() -> None:
    nodes = [named("b", hostname="host-b"), named("a", hostname="host-a")]
    affinity = node_affinity(nodes)
    assert bound_hostnames({"spec": {"nodeAffinity": affinity}}) == ["host-a", "host-b"]


@pytest.mark.parametrize(
    "affinity",
    [
        {},
        required_affinity([{"key": "pool", "operator": "In", "values": ["x"]}]),
        required_affinity(
            [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["x"]}]
        ),
        {"required": {"nodeSelectorTerms": [{}, {}]}},
        {"required": {"nodeSelectorTerms": [{"matchFields": []}]}},
    ],
)
def test_other_affinities_name_no_hosts(affinity: dict[str, Any]) -> None:
    assert bound_hostnames({"spec": {"nodeAffinity": affinity}}) == []
