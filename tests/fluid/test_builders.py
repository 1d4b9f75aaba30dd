"""Dataset, AlluxioRuntime, DataLoad and Secret, whole against golden files and by their rules."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kubectl_fluidmodel.fluid import alluxio_runtime, dataload, dataset, names, secret
from kubectl_fluidmodel.fluid.mount import Mount, MountCredentials, SecretKeys, build_mount
from kubectl_fluidmodel.fluid.placement import build_candidate, node_affinity, required_tolerations
from kubectl_fluidmodel.model.sizing import GIB, MIB, HeapSizes, Medium, heap_sizes
from kubectl_fluidmodel.model.source import parse_source
from kubectl_fluidmodel.objects.access import Object, get_path
from tests.fluid import golden
from tests.fluid.cluster import make_node

NODES = [
    build_candidate(make_node("gpu-1", taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]))
]
MEMORY = Medium("MEM", "/dev/shm", "")
DISK = Medium("SSD", "/var/lib/fluidmodel/cache", "")
JVM = heap_sizes(100 * GIB, 30)


def everything(text: str, medium: Medium = DISK, **access: Any) -> list[Object]:
    source = parse_source(text)
    mounted = build_mount(source, "demo", "ns", MountCredentials(**access))
    return [
        *mounted.objects,
        dataset.build_dataset(
            "demo",
            "ns",
            mounted,
            annotations={names.SOURCE_ANNOTATION: source.uri},
            node_affinity=node_affinity(NODES),
            tolerations=required_tolerations(NODES),
        ),
        runtime(mounted, medium, web=source.scheme.startswith("http")),
        dataload.build_dataload("demo", "ns", replicas=1, tolerations=required_tolerations(NODES)),
    ]


def runtime(
    mounted: Mount | None = None,
    medium: Medium = DISK,
    *,
    replicas: int = 1,
    jvm: HeapSizes = JVM,
    web: bool = False,
) -> Object:
    return alluxio_runtime.build_runtime(
        "demo",
        "ns",
        mounted or Mount({}),
        replicas=replicas,
        medium=medium,
        quota=110 * GIB,
        heaps=jvm,
        web=web,
    )


KEYS = SecretKeys("demo-store", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("s3-aws-memory", everything("s3://models/llama", MEMORY, region="eu-1", keys=KEYS)),
        ("s3-minio-disk", everything("s3://models/llama", endpoint="http://minio:9000", keys=KEYS)),
        ("gs-secret", everything("gs://models/llama", gcs_secret="sa")),
        ("https", everything("https://host/models/llama/")),
        ("nfs", everything("nfs://10.0.0.9/export/llama")),
        ("pvc", everything("pvc://claim/llama")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_golden(name: str, made: list[Object]) -> None:
    golden.require_golden(name, made)


@pytest.mark.parametrize("text", ["s3://models/llama", "nfs://h/e", "gs://b123/m", "pvc://c/d"])
def test_every_object_has_our_labels_and_its_namespace(text: str) -> None:
    for obj in everything(text):
        assert names.is_managed(obj)
        assert obj["metadata"]["labels"][names.MODEL_LABEL] == "demo"
        assert obj["kind"] == "PersistentVolume" or obj["metadata"]["namespace"] == "ns"


def test_datasets_share_their_nodes_and_are_read_by_many() -> None:
    made = next(obj for obj in everything("s3://models/llama") if obj["kind"] == "Dataset")
    assert made["spec"]["placement"] == "Shared"
    assert made["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert len(made["spec"]["mounts"]) == 1


def test_a_dataset_without_taints_tolerates_nothing() -> None:
    made = dataset.build_dataset(
        "demo", "ns", Mount({}), annotations={}, node_affinity={}, tolerations=[]
    )  # fmt: skip
    assert "tolerations" not in made["spec"]


class TestRuntime:
    @pytest.mark.parametrize("replicas", [1, 3])
    def test_every_worker_caches_the_complete_model(self, replicas: int) -> None:
        spec = runtime(replicas=replicas)["spec"]
        assert spec["replicas"] == spec["data"]["replicas"] == replicas

    def test_a_memory_tier_is_in_the_workers_request_in_full(self) -> None:
        """Else Fluid raises the request itself and the two managers fight."""
        assert requested(runtime(medium=MEMORY)) == 110 * GIB + JVM.worker + JVM.worker_direct

    def test_a_disk_tier_is_not(self) -> None:
        assert requested(runtime(medium=DISK)) == JVM.worker + JVM.worker_direct

    def test_the_quota_is_exact(self) -> None:
        assert alluxio_runtime.parse_tier(runtime()) == ("SSD", DISK.path, 110 * GIB)

    def test_heaps_in_gibibytes_and_in_mebibytes(self) -> None:
        spec = runtime(jvm=HeapSizes(GIB, 1536 * MIB, GIB, GIB, GIB))["spec"]
        assert spec["master"]["jvmOptions"] == ["-Xmx1g"]
        assert "-Xmx1536m" in spec["worker"]["jvmOptions"]

    def test_fuse_does_not_allocate_its_heap_at_startup(self) -> None:
        """Fluid's own default is -Xms16G, which a small node cannot give."""
        assert not any("-Xms" in option for option in runtime()["spec"]["fuse"]["jvmOptions"])

    def test_blocks_are_fluids_own_for_web_sources(self) -> None:
        key = "alluxio.user.block.size.bytes.default"
        assert runtime()["spec"]["properties"][key] == "128MB"
        assert key not in runtime(web=True)["spec"]["properties"]

    def test_clients_soon_forget_where_blocks_were(self) -> None:
        """Fluid's 10 minutes let a load of lost blocks succeed without loading them."""
        key = "alluxio.user.metadata.cache.expiration.time"
        assert runtime()["spec"]["properties"][key] == "10s"

    def test_volumes_are_mounted_into_master_and_workers(self) -> None:
        mounted = build_mount(
            parse_source("gs://b123/m"), "demo", "ns", MountCredentials(gcs_secret="sa")
        )
        spec = runtime(mounted)["spec"]
        assert spec["volumes"] == list(mounted.volumes)
        for part in ("master", "worker"):
            assert spec[part]["volumeMounts"] == list(mounted.volume_mounts)
        assert "volumes" not in runtime()["spec"]

    @pytest.mark.parametrize(
        ("levels", "expected"),
        [
            ([], ("", "", None)),
            ([{"mediumtype": "MEM"}], ("MEM", "", None)),
            ([{"mediumtype": "SSD", "path": "/a", "quota": "2Gi"}], ("SSD", "/a", 2 * GIB)),
            ([{"mediumtype": "SSD", "quota": "nonsense"}], ("SSD", "", None)),
        ],
    )
    def test_the_tier_of_any_runtime(
        self, levels: list[Object], expected: tuple[str, str, int | None]
    ) -> None:
        assert alluxio_runtime.parse_tier({"spec": {"tieredstore": {"levels": levels}}}) == expected


def requested(made: Object) -> int | None:
    from kubectl_fluidmodel.objects.quantity import quantity_to_int

    return quantity_to_int(get_path(made, "spec", "worker", "resources", "requests", "memory"))


class TestDataLoad:
    def test_it_names_the_namespace_which_fluid_does_not_default(self) -> None:
        made = dataload.build_dataload("demo", "ns", replicas=2, tolerations=[])
        assert made["spec"]["dataset"] == {"name": "demo", "namespace": "ns"}
        assert made["spec"]["target"] == [{"path": "/", "replicas": 2}]
        assert made["spec"]["loadMetadata"] is True
        assert "tolerations" not in made["spec"]

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            (None, [("/", 1)]),
            ([], [("/", 1)]),
            ([{"path": "/a"}, {"path": "/b", "replicas": 3}], [("/a", 1), ("/b", 3)]),
            ([{"path": "/a", "replicas": 0}], [("/a", 1)]),
            ([{"replicas": 2}], [("", 2)]),
        ],
    )
    def test_targets_are_read_as_fluid_reads_them(
        self, target: list[Object] | None, expected: list[tuple[str, int]]
    ) -> None:
        targets = dataload.load_targets({"spec": {"target": target}})
        assert [(load_target.path, load_target.copies) for load_target in targets] == expected

    def test_its_attempt_is_the_first(self) -> None:
        made = dataload.build_dataload("demo", "ns", replicas=1, tolerations=[])
        assert made["metadata"]["annotations"] == {dataload.ATTEMPT_ANNOTATION: "1"}


class TestSecret:
    VALUES = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "h1dden/va+lue="}  # noqa: RUF012

    def test_it_decodes_to_what_was_given(self) -> None:
        made = secret.build_secret("demo", "ns", self.VALUES)
        assert made["metadata"]["name"] == "demo-store"
        decoded = {key: base64.b64decode(value).decode() for key, value in made["data"].items()}
        assert decoded == self.VALUES
