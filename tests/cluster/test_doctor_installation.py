"""Area 1xx of doctor: Fluid's installation taken apart, told, and mended as told.

On a cluster of its own, in one order: the last tests take Fluid away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.fluid import installation
from tests.cluster import objects
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.doctor_fixture import Doctor, Report, checked
from tests.cluster.fixtures import Cli

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

SYSTEM = "fluid-system"
APPS = ("apps/v1", "Deployment")


@pytest.fixture
def doctor(fragile: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Doctor]:
    yield from checked(Doctor(fragile, Cli(fragile, tmp_path), "default"), request)


@pytest.fixture(scope="module", autouse=True)
def cache(fragile: Cluster) -> str:
    """A healthy cache, so that there is something to lose."""
    bucket = Bucket(fragile.s3, "models")
    bucket.put_model("demo")
    objects.s3_model(fragile, "default", "demo", bucket, "demo")
    objects.bound(fragile, "default", "demo")
    return "demo"


def only(doctor: Doctor, area: str = "1xx") -> Report:
    return doctor("--only", area)


def image(cluster: Cluster, name: str, tag: str) -> str:
    """Give a Deployment's pods an image of another version; returns the one before."""
    found = cluster.api.get(*APPS, name, SYSTEM)
    containers = found["spec"]["template"]["spec"]["containers"]
    before = str(containers[0]["image"])
    containers[0]["image"] = f"{before.rpartition(':')[0]}:{tag}"
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    cluster.api.patch(*APPS, name, patch, SYSTEM)
    return before.rpartition(":")[2]


def test_installation_is_healthy_before_the_faults(doctor: Doctor) -> None:
    assert only(doctor).document["problems"] == []


@pytest.mark.breaks("FM105", "FM203")
def test_dataset_controller_scaled_to_zero_is_reported(fragile: Cluster, doctor: Doctor) -> None:
    fragile.scale("dataset-controller", 0)
    fragile.api.apply(objects.dataset("default", "new", "s3://models/demo/"))
    report = doctor.until("FM203")
    found = report.problem("FM105", f"deployment {SYSTEM}/dataset-controller")
    waiting = report.problem("FM203", "dataset default/new")
    assert waiting["causedBy"] == found["id"]
    assert found["fix"]["text"] == installation.scale_up_command("dataset-controller")
    fragile.api.delete(objects.FLUID, "Dataset", "new", "default")
    doctor.heal(found)
    fragile.scale("dataset-controller", 1)  # the process follows its Deployment
    doctor.until_gone("FM105")


@pytest.mark.breaks("FM106")
def test_runtime_controller_scaled_to_zero_is_reported(fragile: Cluster, doctor: Doctor) -> None:
    """As `helm upgrade` does it: what stands goes on, and nothing looks after it."""

    def away() -> Report | None:
        """Fluid brings it back where a Dataset changes at that moment."""
        fragile.scale("alluxioruntime-controller", 0)
        report = doctor()
        return report if "FM106" in report.codes else None

    report = objects.until("it to stay away", away)
    assert report is not None
    found = report.problem("FM106", f"deployment {SYSTEM}/alluxioruntime-controller")
    assert found["severity"] == "warning"
    doctor.heal(found)
    fragile.scale("alluxioruntime-controller", 1)
    doctor.until_gone("FM106")


@pytest.mark.breaks("FM106")
def test_runtime_without_an_installed_controller_is_reported(
    fragile: Cluster, doctor: Doctor
) -> None:
    name = "juicefsruntime-controller"
    kept = fragile.api.get(*APPS, name, SYSTEM)
    fragile.api.delete(*APPS, name, SYSTEM)
    runtime = {
        "apiVersion": objects.FLUID,
        "kind": "JuiceFSRuntime",
        "metadata": {"name": "other", "namespace": "default"},
        "spec": {"replicas": 1},
    }
    fragile.api.apply(runtime)
    found = doctor.until("FM106").problem("FM106", f"deployment {SYSTEM}/{name}")
    assert found["severity"] == "error"
    assert "--set runtime.juicefs.enabled=true" in found["fix"]["text"]
    fragile.api.delete(objects.FLUID, "JuiceFSRuntime", "other", "default")
    doctor.until_gone("FM106")
    fragile.api.create(objects.afresh(kept))


@pytest.mark.breaks("FM107", "FM105")
def test_unschedulable_controller_is_reported(fragile: Cluster, doctor: Doctor) -> None:
    name = "dataset-controller"
    spec: dict[str, Any] = {
        "strategy": {"rollingUpdate": None, "type": "Recreate"},
        "template": {"spec": {"nodeSelector": {"no": "such"}}},
    }
    fragile.api.patch(*APPS, name, {"spec": spec}, SYSTEM)
    report = doctor.until("FM107", seconds=60)
    [pod] = fragile.api.list("v1", "Pod", SYSTEM, labelSelector=f"control-plane={name}")
    found = report.problem("FM107", f"pod {SYSTEM}/{pod['metadata']['name']}")
    assert "fits on no node" in found["cause"]
    assert report.problem("FM105")["causedBy"] == found["id"]
    spec["template"]["spec"]["nodeSelector"] = None
    fragile.api.patch(*APPS, name, {"spec": spec}, SYSTEM)
    doctor.until_gone("FM107")
    doctor.until_gone("FM105")


@pytest.mark.breaks("FM103")
def test_unsupported_fluid_version_is_reported(fragile: Cluster, doctor: Doctor) -> None:
    before = image(fragile, "dataset-controller", "v0.9.3-abc")
    found = only(doctor).problem("FM103", f"deployment {SYSTEM}/dataset-controller")
    assert "Fluid 0.9.3 is older than 1.0.0" in found["cause"]
    image(fragile, "dataset-controller", before)
    doctor.until_gone("FM103", "--only", "FM103")


@pytest.mark.breaks("FM104")
def test_mixed_fluid_versions_are_reported(fragile: Cluster, doctor: Doctor) -> None:
    before = image(fragile, "alluxioruntime-controller", "v1.0.5-abc")
    found = only(doctor).problem("FM104", f"deployment {SYSTEM}/alluxioruntime-controller")
    assert "alluxioruntime-controller is 1.0.5" in found["cause"]
    assert found["severity"] == "warning" and "--version 1.0.8" in found["fix"]["text"]
    image(fragile, "alluxioruntime-controller", before)
    doctor.until_gone("FM104", "--only", "FM104")


@pytest.mark.breaks("FM108")
def test_missing_csi_driver_object_is_reported(fragile: Cluster, doctor: Doctor) -> None:
    fragile.api.delete("storage.k8s.io/v1", "CSIDriver", "fuse.csi.fluid.io")
    found = only(doctor).problem("FM108", "csidriver fuse.csi.fluid.io")
    doctor.heal(found)
    assert "FM108" not in only(doctor).codes
    made = fragile.api.get("storage.k8s.io/v1", "CSIDriver", "fuse.csi.fluid.io")
    assert made["spec"]["attachRequired"] is False


@pytest.mark.breaks("FM109")
def test_unready_csi_plugin_is_reported(fragile: Cluster, doctor: Doctor) -> None:
    """First on one node, where nobody reads; then nowhere to be found."""
    place = ("apps/v1", "DaemonSet", "csi-nodeplugin-fluid")
    kept = fragile.api.get(*place, SYSTEM)
    containers = json.loads(json.dumps(kept["spec"]["template"]["spec"]["containers"]))
    containers[-1]["resources"] = {"requests": {"memory": "900Ti"}}
    heavy = {"spec": {"template": {"spec": {"containers": containers}}}}
    fragile.api.patch(*place, heavy, SYSTEM)
    report = doctor.until("FM109", "--only", "1xx", seconds=60)
    found = report.problem("FM109", f"daemonset {SYSTEM}/csi-nodeplugin-fluid")
    assert found["severity"] == "warning" and " of 5 nodes" in found["cause"]
    assert found["causedBy"] == report.problem("FM107")["id"]
    fragile.api.delete(*place, SYSTEM)
    gone = only(doctor).problem("FM109", f"daemonset {SYSTEM}/csi-nodeplugin-fluid")
    assert gone["severity"] == "error" and "--set csi.enabled=true" in gone["fix"]["text"]
    fragile.api.create(objects.afresh(kept))
    doctor.until_gone("FM109", "--only", "FM109")


@pytest.mark.breaks("FM110", "FM111")
def test_webhook_without_a_server_is_reported(fragile: Cluster, doctor: Doctor) -> None:
    fragile.api.apply(objects.webhook())
    report = only(doctor)
    found = report.problem("FM110", "mutatingwebhookconfiguration fluid-pod-admission-webhook")
    blind = report.problem("FM111", "mutatingwebhookconfiguration fluid-pod-admission-webhook")
    assert "no CA" in blind["cause"]
    doctor.heal(found)
    assert not {"FM110", "FM111"} & only(doctor).codes


@pytest.mark.breaks("FM102", "FM101")
def test_missing_crds_are_reported(fragile: Cluster, doctor: Doctor) -> None:
    """The last test of this file: first one kind goes, then all."""
    crds = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    fragile.api.delete(*crds, "dataloads.data.fluid.io")
    found = doctor.until("FM102", "--only", "1xx", seconds=60)
    assert "no DataLoad" in found.problem("FM102", "crd dataloads.data.fluid.io")["cause"]
    for crd in fragile.api.list(*crds):
        if crd["spec"]["group"] == "data.fluid.io":
            fragile.api.delete(*crds, crd["metadata"]["name"])
    report = doctor.until("FM101", "--only", "1xx", seconds=60)
    problem = report.problem("FM101", "cluster")
    assert problem["fix"]["text"] == installation.INSTALL_COMMAND
    whole = doctor()
    assert whole.roots == {"FM101"}, whole.document["problems"]
