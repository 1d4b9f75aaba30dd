"""The medium and the nodes of a new cache."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.placement import build_candidate
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.objects.access import get_path
from tests.cache.samples import MODEL, NARROW, hosts, plan
from tests.fluid.cluster import make_node


class TestWithNodes:
    def test_memory_on_the_node_that_has_it(self) -> None:
        desired = plan()
        assert (desired.medium.type, hosts(desired)) == ("MEM", ["gpu-1"])
        assert desired.quota == sizing.quota_for(MODEL.bytes)
        assert desired.dataset["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert desired.immutable_changes == ()

    def test_disk_is_chosen_if_memory_does_not_fit_with_the_engine(self) -> None:
        desired = plan(nodes=(NARROW,))
        assert (desired.medium.type, desired.medium.path) == ("SSD", sizing.DISK_PATH)
        assert "does not fit beside the engine" in desired.medium.reason

    def test_disk_where_only_one_of_two_nodes_has_the_memory(self) -> None:
        desired = plan({"replicas": 2})
        assert desired.medium.type == "SSD"
        assert hosts(desired) == ["gpu-1", "gpu-2"]

    def test_memory_only_on_nodes_where_it_fits(self) -> None:
        """The narrow node has fewer caches, but is not why memory was chosen."""
        busy = build_candidate(make_node("gpu-1", memory="400Gi", caches=5))
        assert hosts(plan(nodes=(busy, NARROW))) == ["gpu-1"]

    def test_no_node_fits(self) -> None:
        tiny = build_candidate(make_node("gpu-3", memory="4Gi"))
        with pytest.raises(FluidModelError, match="no node fits") as caught:
            plan(nodes=(tiny,))
        assert "short" in caught.value.reason

    def test_a_full_disk_does_not_fit_either(self) -> None:
        full = build_candidate(make_node("gpu-3", memory="30Gi", disk="10Gi"))
        with pytest.raises(FluidModelError, match="ephemeral storage"):
            plan(nodes=(full,))

    def test_a_path_of_ones_own_is_not_weighed_against_the_root_disk(self) -> None:
        full = build_candidate(make_node("gpu-3", memory="30Gi", disk="10Gi"))
        desired = plan({"path": "/mnt/nvme"}, nodes=(full,))
        assert desired.medium.path == "/mnt/nvme"
        assert any("/mnt/nvme" in note and "does not show" in note for note in desired.notes)

    @pytest.mark.parametrize("medium", ["MEM", "SSD", "HDD"])
    def test_a_given_medium(self, medium: str) -> None:
        assert plan({"medium": medium}).medium.type == medium

    def test_given_memory_that_no_node_has(self) -> None:
        with pytest.raises(FluidModelError, match="memory needed") as caught:
            plan({"medium": "MEM"}, nodes=(NARROW,))
        assert "--medium SSD" in caught.value.hint


class TestWithoutNodes:
    """No cluster, or no permission to list nodes: labels decide, and the scheduler."""

    @pytest.mark.parametrize(
        ("flags", "expression"),
        [
            ({}, {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]}),
            (
                {"nodes": ("b", "a")},
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a", "b"]},
            ),
            ({"node_selector": "pool=x"}, {"key": "pool", "operator": "In", "values": ["x"]}),
        ],
    )
    def test_the_affinity(self, flags: dict[str, Any], expression: dict[str, Any]) -> None:
        desired = plan(flags, nodes=None)
        terms = get_path(desired.dataset, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
        assert terms == [{"matchExpressions": [expression]}]
        assert desired.placement is None
        assert desired.medium.type == "SSD"

    def test_gpu_nodes_are_tolerated(self) -> None:
        desired = plan(nodes=None)
        assert desired.load is not None
        for obj in (desired.dataset, desired.load):
            assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in obj[
                "spec"
            ]["tolerations"]
