"""From flags, source, cluster and what exists to the objects of a cache."""

from __future__ import annotations

import json

import pytest

from kubectl_fluidmodel.cache.cost_estimate import room_of_runtime
from kubectl_fluidmodel.cache.desired import DesiredCache
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import names, secret
from kubectl_fluidmodel.fluid.mount import MountCredentials, SecretKeys
from kubectl_fluidmodel.fluid.placement import build_candidate
from kubectl_fluidmodel.model import sizing
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from tests.cache.samples import GPU_TAINT, MODEL, as_existing, plan
from tests.fluid import golden
from tests.fluid.cluster import GIB, make_node


def kinds(desired: DesiredCache) -> list[str]:
    return [obj["kind"] for obj in desired.objects]


class TestObjects:
    def test_order_and_annotations(self) -> None:
        desired = plan(secret=secret.build_secret("llama", "ns", {"k": "v"}))
        assert kinds(desired) == ["Secret", "Dataset", "AlluxioRuntime"]
        assert desired.load is not None
        assert desired.load["kind"] == "DataLoad"
        annotations = desired.dataset["metadata"]["annotations"]
        assert annotations == {
            names.SOURCE_ANNOTATION: "s3://models/llama",
            names.BYTES_ANNOTATION: str(MODEL.bytes),
            names.FILES_ANNOTATION: "2",
        }

    def test_the_volume_of_nfs_comes_first(self) -> None:
        desired = plan({"quota": "50Gi"}, source="nfs://h/export/m", listing=None)
        assert kinds(desired) == [
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Dataset",
            "AlluxioRuntime",
        ]

    def test_no_load(self) -> None:
        assert plan({"load": False}).load is None

    @pytest.mark.parametrize("replicas", [1, 2])
    def test_runtime_and_load_agree_on_replicas(self, replicas: int) -> None:
        desired = plan({"replicas": replicas})
        assert desired.load is not None
        assert desired.runtime["spec"]["replicas"] == replicas
        assert desired.runtime["spec"]["data"]["replicas"] == replicas
        assert desired.load["spec"]["target"] == [{"path": "/", "replicas": replicas}]


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
        desired = plan({"quota": "50Gi"}, source="pvc://claim/m", listing=None)
        assert desired.quota == 50 * GIB
        assert names.BYTES_ANNOTATION not in desired.dataset["metadata"]["annotations"]


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
        desired = plan()
        assert "args" not in desired.runtime["spec"]["fuse"]
        assert not any("jnifuse" in key for key in desired.runtime["spec"]["properties"])

    def test_the_node_needs_the_memory_of_the_chunks(self) -> None:
        """256 reads of 64 MiB, in the worker and in the FUSE client."""
        rooms = [room_of_runtime(plan({"high_concurrency": on}).runtime) for on in (None, True)]
        assert [room and room.heaps for room in rooms] == [16 * GIB, 40 * GIB]

    def test_a_running_cache_is_recreated_for_it(self) -> None:
        first = plan()
        second = plan({"high_concurrency": True}, existing=as_existing(first))
        assert second.immutable_changes == ("high concurrency: off → on",)
        back = plan({"high_concurrency": False}, existing=as_existing(second))
        assert back.immutable_changes == ("high concurrency: on → off",)
        assert back.runtime == first.runtime

    def test_a_second_run_without_the_flag_keeps_it(self) -> None:
        first = plan({"high_concurrency": True})
        second = plan(existing=as_existing(first))
        assert second.runtime == first.runtime
        assert second.immutable_changes == ()
        assert any("no page cache" in note for note in second.notes)


def test_no_value_of_a_secret_leaves_it() -> None:
    keys = SecretKeys("llama-store", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    values = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "h1dden"}
    desired = plan(
        access=MountCredentials(endpoint="http://minio:9000", keys=keys),
        secret=secret.build_secret("llama", "ns", values),
    )
    others = [obj for obj in (*desired.objects, desired.load) if obj and obj["kind"] != "Secret"]
    assert len(others) == 3
    assert not any(value in json.dumps(others) for value in values.values())
    assert not any(
        value in repr(desired.immutable_changes + desired.notes) for value in values.values()
    )


def test_golden_of_a_70b_model_in_memory() -> None:
    big = build_candidate(make_node("gpu-1", memory="2000Gi", taints=GPU_TAINT))
    listing = FileListing(
        (
            SourceFile("config.json", 879),
            *(SourceFile(f"model-{i:05}.safetensors", 4_703_580_000) for i in range(30)),
        )
    )
    desired = plan(
        source="s3://models/meta-llama/Llama-3.3-70B-Instruct",
        listing=listing,
        nodes=(big,),
        access=MountCredentials(
            endpoint="http://minio:9000",
            keys=SecretKeys("keys", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ),
    )
    assert desired.load is not None
    golden.require_golden("llama-3-3-70b-instruct", [*desired.objects, desired.load])


class TestJunk:
    """What lies beside the model is neither counted nor loaded, where that saves something."""

    def test_much_is_left_out_of_the_load(self) -> None:
        desired = plan(listing=FileListing(MODEL.files, (SourceFile(".git/lfs/x", 20 * GIB),)))
        assert desired.load is not None
        assert [target["path"] for target in desired.load["spec"]["target"]] == [
            "/config.json",
            "/w.safetensors",
        ]
        assert desired.quota == plan().quota
        notes = desired.dataset["metadata"]["annotations"]
        assert notes[names.BYTES_ANNOTATION] == str(MODEL.bytes)
        assert notes[names.EXCLUDED_BYTES_ANNOTATION] == str(20 * GIB)
        assert (
            "1 file of 20.0 GiB is Git's own (.git/lfs/x): neither loaded nor counted"
            in desired.notes
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
        desired = plan(listing=listing)
        assert desired.load is not None
        assert [target["path"] for target in desired.load["spec"]["target"]] == ["/"]
        beside = sum(file.size for file in listing.junk)
        assert sizing.max_model_bytes(desired.quota) >= listing.bytes + beside
        assert any("loaded with the model" in note for note in desired.notes)

    def test_a_model_alone_has_no_such_annotation(self) -> None:
        desired = plan()
        assert names.EXCLUDED_BYTES_ANNOTATION not in desired.dataset["metadata"]["annotations"]
