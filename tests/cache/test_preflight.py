"""What is looked at before the first write: permissions, Fluid, and whether the name is free."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubectl_fluidmodel.cache import preflight
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import installation, names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import JOBS, NAMESPACES, PODS, PVCS, PVS, SECRETS
from tests.cache.objects import Objects, objects
from tests.cache.test_options import make_options

__all__ = ["objects"]


def permissions(source: str = "s3://models/llama", **flags: Any) -> set[str]:
    return {
        str(permission)
        for permission in preflight.required_permissions(make_options(source, **flags), "ns")
    }


FLUID = {
    f"{verb} {kind}.data.fluid.io in namespace ns"
    for kind in ("datasets", "alluxioruntimes", "dataloads")
    for verb in ("get", "list", "watch", "create", "patch")
} | {"delete dataloads.data.fluid.io in namespace ns"}
CLAIMS = {f"{verb} persistentvolumeclaims in namespace ns" for verb in ("get", "list", "watch")}


class TestNeeded:
    def test_a_public_web_directory_needs_least(self) -> None:
        assert permissions("https://h/m/") == FLUID | CLAIMS

    def test_without_a_load_no_dataloads(self) -> None:
        assert not any("dataloads" in permission for permission in permissions(load=False))

    def test_a_secret_is_made_for_s3(self) -> None:
        secret_permissions = {
            f"{verb} secrets in namespace ns" for verb in ("get", "create", "patch")
        }
        assert permissions() == FLUID | CLAIMS | secret_permissions

    def test_an_existing_secret_is_only_read(self) -> None:
        required = permissions(s3_secret="keys")
        assert required == FLUID | CLAIMS | {"get secrets in namespace ns"}

    def test_nfs_makes_a_volume_and_a_claim(self) -> None:
        required = permissions("nfs://h/e") - FLUID - CLAIMS
        assert required == {
            "get persistentvolumes cluster-wide",
            "create persistentvolumes cluster-wide",
            "patch persistentvolumes cluster-wide",
            "create persistentvolumeclaims in namespace ns",
            "patch persistentvolumeclaims in namespace ns",
        }

    @pytest.mark.parametrize("source", ["gs://b123/m", "hdfs://nn:8020/m", "pvc://c/m"])
    def test_no_other_kind_touches_secrets(self, source: str) -> None:
        assert not any("secrets" in permission for permission in permissions(source))


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("fluidcloudnative/dataset-controller:v1.0.8-de578cd", (1, 0, 8)),
        ("registry.example:5000/fluid/dataset-controller:1.1.0-36f0467", (1, 1, 0)),
        ("dataset-controller:v0.9.2", (0, 9, 2)),
        ("dataset-controller:latest", None),
        ("dataset-controller@sha256:0123456789", None),
        ("10.0.0.1:5000/dataset-controller", None),
        ("", None),
    ],
)
def test_the_version_of_fluid(image: str, version: tuple[int, ...] | None) -> None:
    spec = {"template": {"spec": {"containers": [{"image": image}]}}}
    assert installation.parse_image_version({"spec": spec}) == version


def test_a_deployment_without_containers_has_no_version() -> None:
    assert installation.parse_image_version({}) is None


def deployment(image: str = "x:v1.0.8", replicas: int = 1, available: int = 1) -> Object:
    return {
        "metadata": {"name": "dataset-controller", "namespace": "fluid-system"},
        "spec": {
            "replicas": replicas,
            "template": {"spec": {"containers": [{"image": image}]}},
        },
        "status": {"availableReplicas": available} if available else {},
    }


DEPLOYMENT = "/apis/apps/v1/namespaces/fluid-system/deployments/dataset-controller"


class TestControllers:
    @pytest.mark.parametrize(
        ("controller", "message"),
        [
            (deployment("x:v0.9.3"), "Fluid 0.9.3 is too old"),
            (deployment(replicas=0, available=0), "scaled to 0"),
        ],
    )
    def test_what_stops_us(self, objects: Objects, controller: Object, message: str) -> None:
        objects.served[DEPLOYMENT] = controller
        with pytest.raises(FluidModelError, match=message):
            preflight.check_controllers(objects.client)

    @pytest.mark.parametrize(
        "controller", [deployment(), deployment("x:latest"), deployment("x:v1.0.0")]
    )
    def test_what_does_not(self, objects: Objects, controller: Object) -> None:
        objects.served[DEPLOYMENT] = controller
        assert preflight.check_controllers(objects.client) == []

    def test_no_ready_pod_is_noted(self, objects: Objects) -> None:
        objects.served[DEPLOYMENT] = deployment(available=0)
        assert "no ready pod" in preflight.check_controllers(objects.client)[0]

    def test_unreadable_objects_are_skipped(self, objects: Objects) -> None:
        assert preflight.check_controllers(objects.client) == []
        objects.forbidden.add(DEPLOYMENT)
        assert preflight.check_controllers(objects.client) == []


class TestFluid:
    @pytest.mark.parametrize(
        ("versions", "message"),
        [(None, "not installed"), (["v2"], "does not serve data.fluid.io/v1alpha1")],
    )
    def test_not_there(self, objects: Objects, versions: list[str] | None, message: str) -> None:
        objects.served["/version"] = {"gitVersion": "v1.36.3"}
        if versions:
            objects.served["/apis/data.fluid.io"] = {
                "versions": [{"version": version} for version in versions]
            }
        with pytest.raises(FluidModelError, match=message) as caught:
            preflight.require_fluid_api(objects.client)
        assert "helm" in caught.value.hint

    def test_there(self, objects: Objects) -> None:
        objects.served["/apis/data.fluid.io"] = {"versions": [{"version": "v1alpha1"}]}
        preflight.require_fluid_api(objects.client)
        assert len(objects.asked) == 1


class TestNamespace:
    def test_missing(self, objects: Objects) -> None:
        with pytest.raises(FluidModelError, match="namespace ns does not exist") as caught:
            preflight.check_namespace(objects.client, "ns")
        assert caught.value.hint == "kubectl create namespace ns"

    def test_not_to_be_seen_is_no_error(self, objects: Objects) -> None:
        objects.forbidden.add(NAMESPACES.path(None, "ns"))
        assert preflight.check_namespace(objects.client, "ns") == []
        assert len(objects.asked) == 1

    def test_pod_security_that_cannot_be_tried_is_noted(self, objects: Objects) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        objects.add(NAMESPACES, {"metadata": {"name": "ns", "labels": labels}})
        objects.forbidden.add(PODS.path("ns"))
        (note,) = preflight.check_namespace(objects.client, "ns")
        assert "'restricted'" in note and "kubectl label namespace ns" in note


def test_the_claim_of_a_pvc_source_has_to_be_there(objects: Objects) -> None:
    with pytest.raises(FluidModelError, match="pvc://claim/m does not exist"):
        preflight.require_source_claim(objects.client, make_options("pvc://claim/m"), "ns")
    objects.add(PVCS, {"metadata": {"name": "claim", "namespace": "ns"}})
    preflight.require_source_claim(objects.client, make_options("pvc://claim/m"), "ns")


OURS = {"metadata": {"name": "llama", "labels": names.managed_labels("llama")}}


def dataset(source: str, **labels: str) -> Object:
    return {
        "kind": "Dataset",
        "metadata": {
            "name": "llama",
            "labels": labels or names.managed_labels("llama"),
            "annotations": {names.SOURCE_ANNOTATION: source},
        },
    }


def check(client: Client, standing: ExistingObjects | None = None, **flags: Any) -> None:
    preflight.require_name_available(
        client, make_options("s3://models/llama", **flags), "ns", standing or ExistingObjects()
    )


def staging(repo: str, commit: str, *, leaving: bool = False, **more: Any) -> Object:
    metadata = {
        "name": f"llama-stage-{commit[:8]}",
        "namespace": "ns",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {**names.managed_labels("llama"), "fluidmodel.io/stage": "true"},
        "annotations": {
            names.SOURCE_ANNOTATION: f"{repo}@{commit}",
            names.COMMIT_ANNOTATION: commit,
        },
    }
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, **more}


class TestNameIsFree:
    def test_nothing_has_it(self, objects: Objects) -> None:
        check(objects.client)
        assert len(objects.asked) == 3

    def test_our_own_cache_of_the_same_source(self, objects: Objects) -> None:
        check(objects.client, ExistingObjects(dataset("s3://models/llama")))
        assert objects.asked == []

    @pytest.mark.parametrize(
        ("standing", "message"),
        [
            (ExistingObjects(dataset("s3://models/llama", app="x")), "was not made by this plugin"),
            (ExistingObjects(runtime={"kind": "AlluxioRuntime"}), "was not made by this plugin"),
            (ExistingObjects(load={"kind": "DataLoad"}), "was not made by this plugin"),
            (ExistingObjects(dataset("s3://models/other")), "it caches s3://models/other"),
            (ExistingObjects(dataset("s3://models/llama@v2")), "it caches s3://models/llama@v2"),
        ],
    )
    def test_something_has_it(
        self, objects: Objects, standing: ExistingObjects, message: str
    ) -> None:
        with pytest.raises(FluidModelError, match=message) as caught:
            check(objects.client, standing)
        assert "--name llama-2" in caught.value.hint

    def test_a_hand_made_cache_may_be_adopted_instead(self, objects: Objects) -> None:
        with pytest.raises(FluidModelError) as caught:
            check(objects.client, ExistingObjects(dataset("s3://models/llama", app="x")))
        assert caught.value.hint.startswith("kubectl fluidmodel cache llama --adopt -n ns, or")

    def test_another_dataset_of_the_source_is_noted_with_the_command_that_adopts_it(
        self, objects: Objects
    ) -> None:
        by_hand = dataset("", app="x")
        by_hand["metadata"].update(name="llama-model", annotations={})
        by_hand["spec"] = {"mounts": [{"mountPoint": "s3://models/llama/"}]}
        ours = {**by_hand, "metadata": OURS["metadata"]}
        elsewhere = {**by_hand, "spec": {"mounts": [{"mountPoint": "oss://models/llama"}]}}
        objects.lists[names.DATASETS.path("ns")] = [by_hand, ours, elsewhere]
        options = make_options("s3://models/llama")
        nothing = ExistingObjects()
        [note] = preflight.same_source_notes(objects.client, options, "ns", nothing)
        assert note.startswith("Dataset llama-model was made by hand and reads s3://models/llama")
        assert note.endswith("kubectl fluidmodel cache llama-model --adopt -n ns")
        other = make_options("s3://models/other")
        assert preflight.same_source_notes(objects.client, other, "ns", nothing) == []
        again = ExistingObjects(ours)
        assert preflight.same_source_notes(objects.client, options, "ns", again) == []

    def test_datasets_that_may_not_be_listed_are_no_error(self, objects: Objects) -> None:
        objects.forbidden.add(names.DATASETS.path("ns"))
        options = make_options("s3://models/llama")
        assert preflight.same_source_notes(objects.client, options, "ns", ExistingObjects()) == []

    def test_an_adopted_cache_is_not_rewritten(self, objects: Objects) -> None:
        labels = {**names.managed_labels("llama"), names.ADOPTED_LABEL: "true"}
        with pytest.raises(FluidModelError, match="made by hand and adopted") as caught:
            check(objects.client, ExistingObjects(dataset("s3://models/llama", **labels)))
        assert "kubectl fluidmodel cache llama --adopt -n ns to verify it" in caught.value.hint
        assert "kubectl fluidmodel uncache llama -n ns first" in caught.value.hint

    def test_another_model_of_the_name_is_being_staged(self, objects: Objects) -> None:
        """Two models whose last part is the same, before either has a Dataset."""
        objects.lists[JOBS.path("ns")] = [staging("hf://other/llama", "a" * 40)]
        ours = make_options("org/llama")
        with pytest.raises(FluidModelError, match="name llama is taken") as caught:
            preflight.check_staging_jobs(objects.client, ours, "ns")
        assert "hf://other/llama" in caught.value.reason
        assert "--name llama-2" in caught.value.hint
        with pytest.raises(FluidModelError, match="name llama is taken"):
            preflight.check_staging_jobs(objects.client, make_options("s3://models/llama"), "ns")

    @pytest.mark.parametrize(
        "more",
        [
            {"status": {"conditions": [{"type": "Complete", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Failed", "status": "True"}]}},
            {"leaving": True},
        ],
    )
    def test_a_finished_job_blocks_nothing(self, objects: Objects, more: dict[str, Any]) -> None:
        job = staging("hf://other/llama", "a" * 40, **more)
        objects.lists[JOBS.path("ns")] = [job]
        assert preflight.check_staging_jobs(objects.client, make_options("org/llama"), "ns") == []

    def test_a_job_at_another_commit_is_left_alone_and_named(self, objects: Objects) -> None:
        objects.lists[JOBS.path("ns")] = [staging("hf://org/llama", "a" * 40)]
        ours = replace(make_options("org/llama"), origin="hf://org/llama", commit="b" * 40)
        (note,) = preflight.check_staging_jobs(objects.client, ours, "ns")
        assert "aaaaaaaaaaaa" in note and "left running" in note
        same = replace(ours, commit="a" * 40)
        assert preflight.check_staging_jobs(objects.client, same, "ns") == []

    def test_who_may_not_see_jobs_makes_none(self, objects: Objects) -> None:
        objects.forbidden.add(JOBS.path("ns"))
        assert preflight.check_staging_jobs(objects.client, make_options(), "ns") == []

    def test_a_foreign_claim(self, objects: Objects) -> None:
        objects.add(PVCS, {"metadata": {"name": "llama", "namespace": "ns"}})
        with pytest.raises(FluidModelError, match="PersistentVolumeClaim llama exists"):
            check(objects.client)

    def test_fluids_own_claim_is_none(self, objects: Objects) -> None:
        metadata = {"name": "llama", "namespace": "ns", "annotations": {"CreatedBy": "fluid"}}
        objects.add(PVCS, {"metadata": metadata})
        check(objects.client)

    def test_a_foreign_secret(self, objects: Objects) -> None:
        objects.add(SECRETS, {"metadata": {"name": "llama-store", "namespace": "ns"}})
        with pytest.raises(FluidModelError, match="Secret llama-store was not made"):
            check(objects.client)
        check(objects.client, s3_secret="llama-store")

    def test_a_volume_of_another_namespace(self, objects: Objects) -> None:
        claim = {"namespace": "ns-llama", "name": "x"}
        objects.add(PVS, {"metadata": {"name": "ns-llama"}, "spec": {"claimRef": claim}})
        with pytest.raises(FluidModelError, match="it belongs to ns-llama/x"):
            check(objects.client)

    def test_our_own_volume(self, objects: Objects) -> None:
        claim = {"namespace": "ns", "name": "llama"}
        objects.add(PVS, {"metadata": {"name": "ns-llama"}, "spec": {"claimRef": claim}})
        check(objects.client)

    def test_volumes_that_cannot_be_seen(self, objects: Objects) -> None:
        objects.forbidden.add(PVS.path(None, "ns-llama"))
        check(objects.client)

    def test_the_fix_of_a_long_name_is_a_legal_name(self, objects: Objects) -> None:
        name = "a" * 45
        with pytest.raises(FluidModelError) as caught:
            check(objects.client, ExistingObjects(dataset("s3://models/other")), name=name)
        offered = caught.value.hint.split()[1].rstrip(",")
        assert names.validate_name(offered) != name
