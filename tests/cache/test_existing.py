"""What changes an existing cache, and whether it is scaled or recreated for that."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kubectl_fluidmodel.cache.existing import ExistingObjects, Resize
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import placement
from kubectl_fluidmodel.fluid.mount import MountCredentials, SecretKeys
from kubectl_fluidmodel.fluid.placement import build_candidate
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.objects.access import Object
from tests.cache.samples import GPU_TAINT, LARGE, NARROW, ROOMY, as_existing, hosts, plan
from tests.fluid.cluster import GIB, make_node


class TestSecondRun:
    def test_the_same_again_changes_nothing(self) -> None:
        first = plan({"replicas": 1})
        second = plan(existing=as_existing(first))
        assert second.immutable_changes == ()
        assert second.objects == first.objects
        assert second.load == first.load

    def test_it_stays_though_the_cluster_has_changed(self) -> None:
        first = plan()
        fuller = build_candidate(make_node("gpu-1", memory="12Gi", caches=1, taints=GPU_TAINT))
        roomier = build_candidate(make_node("gpu-9", memory="900Gi"))
        second = plan(nodes=(fuller, roomier), existing=as_existing(first))
        assert (hosts(second), second.medium.type, second.quota) == (["gpu-1"], "MEM", first.quota)
        assert second.immutable_changes == ()

    def test_it_stays_where_it_is_when_nodes_cannot_be_listed(self) -> None:
        first = plan()
        second = plan(nodes=None, existing=as_existing(first))
        assert second.dataset == first.dataset
        assert second.immutable_changes == ()

    def test_its_replicas_stay_unless_others_are_given(self) -> None:
        first = plan({"replicas": 2})
        assert plan(existing=as_existing(first)).runtime["spec"]["replicas"] == 2
        before = replace(as_existing(first), worker_nodes=("gpu-2", "gpu-1"))
        fewer = plan({"replicas": 1}, existing=before)
        assert fewer.runtime["spec"]["replicas"] == 1
        assert hosts(fewer) == ["gpu-2"], "Fluid removes the worker with the highest number"

    def test_its_quota_stays_while_it_is_enough(self) -> None:
        first = plan({"quota": "50Gi"})
        assert plan(existing=as_existing(first)).quota == 50 * GIB
        grown = FileListing((SourceFile("w.safetensors", 90 * GIB),))
        second = plan(listing=grown, existing=as_existing(first))
        assert second.quota == sizing.quota_for(90 * GIB)
        assert second.immutable_changes == (f"quota: 50Gi → {second.quota >> 30}Gi",)

    @pytest.mark.parametrize(
        ("flags", "change"),
        [
            ({"medium": "SSD"}, "medium: MEM → SSD"),
            ({"path": "/mnt/x"}, "path: /dev/shm → /mnt/x"),
            ({"quota": "50Gi"}, "quota: 24Gi → 50Gi"),
        ],
    )
    def test_what_cannot_change_while_it_runs_is_named(
        self, flags: dict[str, Any], change: str
    ) -> None:
        second = plan(flags, existing=as_existing(plan()))
        assert change in second.immutable_changes

    def test_another_node_is_named(self) -> None:
        first = plan({"medium": "SSD"}, nodes=(ROOMY,))
        second = plan({"nodes": ("gpu-2",)}, nodes=(NARROW,), existing=as_existing(first))
        assert second.immutable_changes == ("nodes: gpu-1 → gpu-2",)

    def test_changed_access_is_named_by_what_is_no_secret(self) -> None:
        keys = SecretKeys("a-secret", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        first = plan(access=MountCredentials(endpoint="http://old:9000"))
        second = plan(
            access=MountCredentials(endpoint="http://new:9000", keys=keys),
            existing=as_existing(first),
        )
        changes = "; ".join(second.immutable_changes)
        assert "http://old:9000" in changes
        assert "http://new:9000" in changes
        assert "a-secret" in changes

    def test_server_side_defaults_are_no_change(self) -> None:
        """What Kubernetes and Fluid write into the objects besides is not ours to compare."""
        first = plan()
        dataset: Object = json.loads(json.dumps(first.dataset))
        dataset["status"] = {"phase": "Bound"}
        dataset["metadata"]["finalizers"] = ["fluid-dataset-controller-finalizer"]
        dataset["spec"]["mounts"][0]["shared"] = False
        runtime: Object = json.loads(json.dumps(first.runtime))
        runtime["spec"]["worker"]["env"] = {}
        assert plan(existing=ExistingObjects(dataset, runtime)).immutable_changes == ()

    def test_another_node_affinity_does_not_recreate_the_cache(self) -> None:
        first = plan()
        first.dataset["spec"]["nodeAffinity"] = placement.required_affinity(
            [{"key": "pool", "operator": "In", "values": ["x"]}]
        )
        assert plan(existing=as_existing(first)).immutable_changes == ()


class TestResizing:
    """Another number of copies of a running cache."""

    def test_a_copy_is_added_to_the_existing_ones(self) -> None:
        first = plan()
        more = plan({"replicas": 2}, nodes=(LARGE, ROOMY, NARROW), existing=as_existing(first))
        assert more.immutable_changes == ()
        assert hosts(more) == ["gpu-1", "gpu-3"]
        assert more.resize == Resize(1, 2, ())
        assert more.load is not None
        assert more.load["spec"]["target"][0]["replicas"] == 2
        assert str(more.resize) == "copies: 1 → 2; the running workers stay as they are"

    def test_a_copy_is_added_on_the_named_node(self) -> None:
        first = plan()
        more = plan(
            {"nodes": ("gpu-1", "gpu-3")}, nodes=(ROOMY, LARGE), existing=as_existing(first)
        )
        assert more.immutable_changes == ()
        assert more.resize == Resize(1, 2, ())

    def test_the_last_workers_copy_is_removed(self) -> None:
        before = replace(
            as_existing(plan({"replicas": 2}, nodes=(ROOMY, LARGE))),
            worker_nodes=("gpu-3", "gpu-1"),
        )
        fewer = plan({"replicas": 1}, nodes=(ROOMY, LARGE), existing=before)
        assert fewer.immutable_changes == ()
        assert fewer.resize == Resize(2, 1, ("gpu-1",))
        assert "gpu-1 loses its copy" in str(fewer.resize)

    def test_to_keep_another_worker_than_the_first_it_is_recreated(self) -> None:
        before = replace(
            as_existing(plan({"replicas": 2}, nodes=(ROOMY, LARGE))),
            worker_nodes=("gpu-3", "gpu-1"),
        )
        fewer = plan({"nodes": ("gpu-1",)}, nodes=(ROOMY,), existing=before)
        assert fewer.immutable_changes == ("nodes: gpu-1, gpu-3 → gpu-1",)
        assert fewer.resize is None

    def test_no_copy_is_removed_from_an_unknown_node(self) -> None:
        before = as_existing(plan({"replicas": 2}, nodes=(ROOMY, LARGE)))
        with pytest.raises(FluidModelError, match="from 2: which nodes its workers run on"):
            plan({"replicas": 1}, nodes=(ROOMY, LARGE), existing=before)

    def test_no_copy_is_added_where_nodes_cannot_be_listed(self) -> None:
        with pytest.raises(FluidModelError, match="nodes cannot be listed"):
            plan({"replicas": 2}, nodes=None, existing=as_existing(plan()))

    def test_an_interrupted_resize_is_no_reason_to_recreate(self) -> None:
        """The Dataset names the new node already, and the runtime has its old number."""
        first = plan()
        more = plan({"replicas": 2}, nodes=(ROOMY, LARGE), existing=as_existing(first))
        half = ExistingObjects(more.dataset, first.runtime, worker_nodes=("gpu-1",))
        again = plan(nodes=(ROOMY, LARGE), existing=half)
        assert again.immutable_changes == () and hosts(again) == ["gpu-1"]
        onward = plan({"replicas": 2}, nodes=(ROOMY, LARGE), existing=half)
        assert onward.objects == more.objects and onward.resize == Resize(1, 2, ())

    def test_another_change_recreates_it(self) -> None:
        changed = plan(
            {"replicas": 2, "quota": "60Gi"}, nodes=(ROOMY, LARGE), existing=as_existing(plan())
        )
        assert changed.immutable_changes == ("quota: 24Gi → 60Gi",)
        assert changed.resize is None
