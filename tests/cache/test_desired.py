"""From flags, source, cluster and what stands to the objects of a cache."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kubectl_fluidmodel.cache.cost_estimate import room_of_runtime
from kubectl_fluidmodel.cache.desired import (
    CandidateNodes,
    DesiredCache,
    ExistingObjects,
    Resize,
    build_desired,
)
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names, placement, secret
from kubectl_fluidmodel.fluid.mount import MountCredentials, SecretKeys
from kubectl_fluidmodel.fluid.placement import build_candidate
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.objects.access import Object, get_path
from tests.cache.test_options import make_options
from tests.fluid import golden
from tests.fluid.cluster import GIB, make_node

MODEL = FileListing((SourceFile("config.json", 826), SourceFile("w.safetensors", 20 * GIB)))
GPU_TAINT = [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]
ROOMY = build_candidate(make_node("gpu-1", memory="400Gi", taints=GPU_TAINT))
NARROW = build_candidate(make_node("gpu-2", memory="30Gi"))


def plan(
    flags: dict[str, Any] | None = None,
    *,
    listing: FileListing | None = MODEL,
    nodes: tuple[placement.Candidate, ...] | None = (ROOMY, NARROW),
    existing: ExistingObjects | None = None,
    source: str = "s3://models/llama",
    **more: Any,
) -> DesiredCache:
    return build_desired(
        make_options(source, **(flags or {})),
        "ns",
        credentials=more.pop("access", MountCredentials()),
        listing=listing,
        candidates=None if nodes is None else CandidateNodes(nodes),
        existing=existing or ExistingObjects(),
        **more,
    )


def standing(made: DesiredCache) -> ExistingObjects:
    """The cache that a design made."""
    return ExistingObjects(made.dataset, made.runtime, made.load)


def kinds(made: DesiredCache) -> list[str]:
    return [obj["kind"] for obj in made.objects]


def hosts(made: DesiredCache) -> list[str]:
    return placement.bound_hostnames(made.dataset)


class TestFirstRun:
    def test_memory_on_the_node_that_has_it(self) -> None:
        made = plan()
        assert (made.medium.type, hosts(made)) == ("MEM", ["gpu-1"])
        assert made.quota == sizing.quota_for(MODEL.bytes)
        assert made.dataset["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert made.immutable_changes == ()

    def test_disk_is_chosen_if_memory_does_not_fit_with_the_engine(self) -> None:
        made = plan(nodes=(NARROW,))
        assert (made.medium.type, made.medium.path) == ("SSD", sizing.DISK_PATH)
        assert "does not fit beside the engine" in made.medium.reason

    def test_disk_where_only_one_of_two_nodes_has_the_memory(self) -> None:
        made = plan({"replicas": 2})
        assert made.medium.type == "SSD"
        assert hosts(made) == ["gpu-1", "gpu-2"]

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
        made = plan({"path": "/mnt/nvme"}, nodes=(full,))
        assert made.medium.path == "/mnt/nvme"
        assert any("/mnt/nvme" in note and "does not show" in note for note in made.notes)

    @pytest.mark.parametrize("medium", ["MEM", "SSD", "HDD"])
    def test_a_given_medium(self, medium: str) -> None:
        assert plan({"medium": medium}).medium.type == medium

    def test_given_memory_that_no_node_has(self) -> None:
        with pytest.raises(FluidModelError, match="memory needed") as caught:
            plan({"medium": "MEM"}, nodes=(NARROW,))
        assert "--medium SSD" in caught.value.hint

    def test_order_and_annotations(self) -> None:
        made = plan(secret=secret.build_secret("llama", "ns", {"k": "v"}))
        assert kinds(made) == ["Secret", "Dataset", "AlluxioRuntime"]
        assert made.load is not None
        assert made.load["kind"] == "DataLoad"
        annotations = made.dataset["metadata"]["annotations"]
        assert annotations == {
            names.SOURCE_ANNOTATION: "s3://models/llama",
            names.BYTES_ANNOTATION: str(MODEL.bytes),
            names.FILES_ANNOTATION: "2",
        }

    def test_the_volume_of_nfs_comes_first(self) -> None:
        made = plan({"quota": "50Gi"}, source="nfs://h/export/m", listing=None)
        assert kinds(made) == [
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Dataset",
            "AlluxioRuntime",
        ]

    def test_no_load(self) -> None:
        assert plan({"load": False}).load is None

    @pytest.mark.parametrize("replicas", [1, 2])
    def test_runtime_and_load_agree_on_replicas(self, replicas: int) -> None:
        made = plan({"replicas": replicas})
        assert made.load is not None
        assert made.runtime["spec"]["replicas"] == replicas
        assert made.runtime["spec"]["data"]["replicas"] == replicas
        assert made.load["spec"]["target"] == [{"path": "/", "replicas": replicas}]


class TestQuota:
    def test_a_too_small_quota_is_refused_with_one_that_suffices(self) -> None:
        with pytest.raises(UsageError, match="too small") as caught:
            plan({"quota": "20Gi"})
        flag, size = caught.value.hint.split()
        assert flag == "--quota"
        assert plan({"quota": size}).quota == sizing.quota_for(MODEL.bytes)

    def test_a_larger_one_is_taken(self) -> None:
        assert plan({"quota": "50Gi"}).quota == 50 * GIB

    def test_an_unknown_size_requires_a_quota(self) -> None:
        with pytest.raises(UsageError, match="is unknown") as caught:
            plan(source="pvc://claim/m", listing=None)
        assert caught.value.hint.startswith("--quota SIZE")
        made = plan({"quota": "50Gi"}, source="pvc://claim/m", listing=None)
        assert made.quota == 50 * GIB
        assert names.BYTES_ANNOTATION not in made.dataset["metadata"]["annotations"]


class TestSecondRun:
    def test_the_same_again_changes_nothing(self) -> None:
        first = plan({"replicas": 1})
        second = plan(existing=standing(first))
        assert second.immutable_changes == ()
        assert second.objects == first.objects
        assert second.load == first.load

    def test_it_stays_though_the_cluster_has_changed(self) -> None:
        first = plan()
        fuller = build_candidate(make_node("gpu-1", memory="12Gi", caches=1, taints=GPU_TAINT))
        roomier = build_candidate(make_node("gpu-9", memory="900Gi"))
        second = plan(nodes=(fuller, roomier), existing=standing(first))
        assert (hosts(second), second.medium.type, second.quota) == (["gpu-1"], "MEM", first.quota)
        assert second.immutable_changes == ()

    def test_it_stays_where_it_is_when_nodes_cannot_be_listed(self) -> None:
        first = plan()
        second = plan(nodes=None, existing=standing(first))
        assert second.dataset == first.dataset
        assert second.immutable_changes == ()

    def test_its_replicas_stay_unless_others_are_given(self) -> None:
        first = plan({"replicas": 2})
        assert plan(existing=standing(first)).runtime["spec"]["replicas"] == 2
        before = replace(standing(first), worker_nodes=("gpu-2", "gpu-1"))
        fewer = plan({"replicas": 1}, existing=before)
        assert fewer.runtime["spec"]["replicas"] == 1
        assert hosts(fewer) == ["gpu-2"], "Fluid removes the worker with the highest number"

    def test_its_quota_stays_while_it_is_enough(self) -> None:
        first = plan({"quota": "50Gi"})
        assert plan(existing=standing(first)).quota == 50 * GIB
        grown = FileListing((SourceFile("w.safetensors", 90 * GIB),))
        second = plan(listing=grown, existing=standing(first))
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
        second = plan(flags, existing=standing(plan()))
        assert change in second.immutable_changes

    def test_another_node_is_named(self) -> None:
        first = plan({"medium": "SSD"}, nodes=(ROOMY,))
        second = plan({"nodes": ("gpu-2",)}, nodes=(NARROW,), existing=standing(first))
        assert second.immutable_changes == ("nodes: gpu-1 → gpu-2",)

    def test_changed_access_is_named_by_what_is_no_secret(self) -> None:
        keys = SecretKeys("a-secret", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        first = plan(access=MountCredentials(endpoint="http://old:9000"))
        second = plan(
            access=MountCredentials(endpoint="http://new:9000", keys=keys), existing=standing(first)
        )
        shown = "; ".join(second.immutable_changes)
        assert "http://old:9000" in shown
        assert "http://new:9000" in shown
        assert "a-secret" in shown

    def test_server_side_defaults_are_no_change(self) -> None:
        """What Kubernetes and Fluid write into the objects besides is not ours to compare."""
        first = plan()
        kept: Object = json.loads(json.dumps(first.dataset))
        kept["status"] = {"phase": "Bound"}
        kept["metadata"]["finalizers"] = ["fluid-dataset-controller-finalizer"]
        kept["spec"]["mounts"][0]["shared"] = False
        runtime: Object = json.loads(json.dumps(first.runtime))
        runtime["spec"]["worker"]["env"] = {}
        assert plan(existing=ExistingObjects(kept, runtime)).immutable_changes == ()

    def test_another_node_affinity_does_not_recreate_the_cache(self) -> None:
        first = plan()
        first.dataset["spec"]["nodeAffinity"] = placement.required_affinity(
            [{"key": "pool", "operator": "In", "values": ["x"]}]
        )
        assert plan(existing=standing(first)).immutable_changes == ()


class TestHighConcurrency:
    """Fluid's docs/en/samples/alluxio_s3_high_concurrency.md."""

    def test_it_writes_the_settings_into_the_runtime(self) -> None:
        spec = plan({"high_concurrency": True}).runtime["spec"]
        properties = spec["properties"]
        assert properties["alluxio.fuse.jnifuse.enabled"] == "false"
        assert properties["alluxio.fuse.jnifuse.libfuse.version"] == "2"
        assert properties["alluxio.user.block.size.bytes.default"] == "64MB"
        command, options = spec["fuse"]["args"]
        assert command == "fuse"
        assert "ro," in options and "max_background=256" in options
        assert "max_idle_threads" not in options, "an option of libfuse 3"
        assert "-XX:MaxDirectMemorySize=16g" in spec["fuse"]["jvmOptions"]
        assert spec["fuse"]["cleanPolicy"] == "OnRuntimeDeleted"

    def test_it_is_off_by_default(self) -> None:
        made = plan()
        assert "args" not in made.runtime["spec"]["fuse"]
        assert not any("jnifuse" in key for key in made.runtime["spec"]["properties"])

    def test_the_node_needs_the_memory_of_the_chunks(self) -> None:
        """256 reads of 64 MiB, in the worker and in the FUSE client."""
        rooms = [room_of_runtime(plan({"high_concurrency": on}).runtime) for on in (None, True)]
        assert [room and room.heaps for room in rooms] == [16 * GIB, 40 * GIB]

    def test_a_running_cache_is_recreated_for_it(self) -> None:
        first = plan()
        second = plan({"high_concurrency": True}, existing=standing(first))
        assert second.immutable_changes == ("high concurrency: off → on",)
        back = plan({"high_concurrency": False}, existing=standing(second))
        assert back.immutable_changes == ("high concurrency: on → off",)
        assert back.runtime == first.runtime

    def test_a_second_run_without_the_flag_keeps_it(self) -> None:
        first = plan({"high_concurrency": True})
        second = plan(existing=standing(first))
        assert second.runtime == first.runtime
        assert second.immutable_changes == ()
        assert any("no page cache" in note for note in second.notes)


LARGE = build_candidate(make_node("gpu-3", memory="900Gi"))


class TestResizing:
    """Another number of copies of a running cache."""

    def test_a_copy_is_added_to_the_existing_ones(self) -> None:
        first = plan()
        more = plan({"replicas": 2}, nodes=(LARGE, ROOMY, NARROW), existing=standing(first))
        assert more.immutable_changes == ()
        assert hosts(more) == ["gpu-1", "gpu-3"]
        assert more.resize == Resize(1, 2, ())
        assert more.load is not None
        assert more.load["spec"]["target"][0]["replicas"] == 2
        assert str(more.resize) == "copies: 1 → 2; the running workers stay as they are"

    def test_a_copy_is_added_on_the_named_node(self) -> None:
        first = plan()
        more = plan({"nodes": ("gpu-1", "gpu-3")}, nodes=(ROOMY, LARGE), existing=standing(first))
        assert more.immutable_changes == ()
        assert more.resize == Resize(1, 2, ())

    def test_the_last_workers_copy_is_removed(self) -> None:
        before = replace(
            standing(plan({"replicas": 2}, nodes=(ROOMY, LARGE))), worker_nodes=("gpu-3", "gpu-1")
        )
        fewer = plan({"replicas": 1}, nodes=(ROOMY, LARGE), existing=before)
        assert fewer.immutable_changes == ()
        assert fewer.resize == Resize(2, 1, ("gpu-1",))
        assert "gpu-1 loses its copy" in str(fewer.resize)

    def test_to_keep_another_worker_than_the_first_it_is_recreated(self) -> None:
        before = replace(
            standing(plan({"replicas": 2}, nodes=(ROOMY, LARGE))), worker_nodes=("gpu-3", "gpu-1")
        )
        fewer = plan({"nodes": ("gpu-1",)}, nodes=(ROOMY,), existing=before)
        assert fewer.immutable_changes == ("nodes: gpu-1, gpu-3 → gpu-1",)
        assert fewer.resize is None

    def test_no_copy_is_removed_from_an_unknown_node(self) -> None:
        before = standing(plan({"replicas": 2}, nodes=(ROOMY, LARGE)))
        with pytest.raises(FluidModelError, match="from 2: which nodes its workers run on"):
            plan({"replicas": 1}, nodes=(ROOMY, LARGE), existing=before)

    def test_no_copy_is_added_where_nodes_cannot_be_listed(self) -> None:
        with pytest.raises(FluidModelError, match="nodes cannot be listed"):
            plan({"replicas": 2}, nodes=None, existing=standing(plan()))

    def test_an_interrupted_resize_is_no_reason_to_recreate(self) -> None:
        """The Dataset names the new node already, and the runtime has its old number."""
        first = plan()
        more = plan({"replicas": 2}, nodes=(ROOMY, LARGE), existing=standing(first))
        half = ExistingObjects(more.dataset, first.runtime, worker_nodes=("gpu-1",))
        again = plan(nodes=(ROOMY, LARGE), existing=half)
        assert again.immutable_changes == () and hosts(again) == ["gpu-1"]
        onward = plan({"replicas": 2}, nodes=(ROOMY, LARGE), existing=half)
        assert onward.objects == more.objects and onward.resize == Resize(1, 2, ())

    def test_another_change_recreates_it(self) -> None:
        changed = plan(
            {"replicas": 2, "quota": "60Gi"}, nodes=(ROOMY, LARGE), existing=standing(plan())
        )
        assert changed.immutable_changes == ("quota: 24Gi → 60Gi",)
        assert changed.resize is None


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
        made = plan(flags, nodes=None)
        terms = get_path(made.dataset, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
        assert terms == [{"matchExpressions": [expression]}]
        assert made.placement is None
        assert made.medium.type == "SSD"

    def test_gpu_nodes_are_tolerated(self) -> None:
        made = plan(nodes=None)
        assert made.load is not None
        for obj in (made.dataset, made.load):
            assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in obj[
                "spec"
            ]["tolerations"]


def test_no_value_of_a_secret_leaves_it() -> None:
    keys = SecretKeys("llama-store", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    values = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "h1dden"}
    made = plan(
        access=MountCredentials(endpoint="http://minio:9000", keys=keys),
        secret=secret.build_secret("llama", "ns", values),
    )
    others = [obj for obj in (*made.objects, made.load) if obj and obj["kind"] != "Secret"]
    assert len(others) == 3
    assert not any(value in json.dumps(others) for value in values.values())
    assert not any(value in repr(made.immutable_changes + made.notes) for value in values.values())


def test_golden_of_a_70b_model_in_memory() -> None:
    big = build_candidate(make_node("gpu-1", memory="2000Gi", taints=GPU_TAINT))
    listing = FileListing(
        (
            SourceFile("config.json", 879),
            *(SourceFile(f"model-{i:05}.safetensors", 4_703_580_000) for i in range(30)),
        )
    )
    made = plan(
        source="s3://models/meta-llama/Llama-3.3-70B-Instruct",
        listing=listing,
        nodes=(big,),
        access=MountCredentials(
            endpoint="http://minio:9000",
            keys=SecretKeys("keys", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ),
    )
    assert made.load is not None
    golden.require_golden("llama-3-3-70b-instruct", [*made.objects, made.load])


class TestRubbish:
    """What lies beside the model is neither counted nor loaded, where that saves something."""

    def test_much_is_left_out_of_the_load(self) -> None:
        made = plan(listing=FileListing(MODEL.files, (SourceFile(".git/lfs/x", 20 * GIB),)))
        assert made.load is not None
        assert [each["path"] for each in made.load["spec"]["target"]] == [
            "/config.json",
            "/w.safetensors",
        ]
        assert made.quota == plan().quota
        notes = made.dataset["metadata"]["annotations"]
        assert notes[names.BYTES_ANNOTATION] == str(MODEL.bytes)
        assert notes[names.EXCLUDED_BYTES_ANNOTATION] == str(20 * GIB)
        assert (
            "1 file of 20.0 GiB is Git's own (.git/lfs/x): neither loaded nor counted" in made.notes
        )

    @pytest.mark.parametrize(
        "listing",
        [
            FileListing(MODEL.files, (SourceFile(".DS_Store", 6148),)),
            FileListing(
                (*MODEL.files, SourceFile("odd name", 1)), (SourceFile(".git/x", 20 * GIB),)
            ),
            FileListing(
                tuple(SourceFile(f"{n}.safetensors", GIB) for n in range(90)),
                (SourceFile(".git/x", 90 * GIB),),
            ),
        ],
        ids=["little", "a path that Fluid's script would split", "too many paths"],
    )
    def test_what_would_not_pay_is_loaded_and_has_room(self, listing: FileListing) -> None:
        made = plan(listing=listing)
        assert made.load is not None
        assert [each["path"] for each in made.load["spec"]["target"]] == ["/"]
        beside = sum(file.size for file in listing.junk)
        assert sizing.max_model_bytes(made.quota) >= listing.bytes + beside
        assert any("loaded with the model" in note for note in made.notes)

    def test_a_model_alone_has_no_such_annotation(self) -> None:
        made = plan()
        assert names.EXCLUDED_BYTES_ANNOTATION not in made.dataset["metadata"]["annotations"]
