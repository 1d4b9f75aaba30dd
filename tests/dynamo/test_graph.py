"""Shapes, roles and refusals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from kubectl_fluidmodel.dynamo.deployment_request import request_patch
from kubectl_fluidmodel.dynamo.graph import NotPinnableError, open_graph
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph, unpin_graph
from tests.dynamo.conftest import FIXTURES

REQUEST = PinRequest("llama", "fluid.io/s-ns-llama")


def fixture(name):
    documents = yaml.safe_load_all((FIXTURES / f"{name}.yaml").read_text())
    return next(d for d in documents if d and str(d["kind"]).startswith("Dynamo"))


@dataclass(frozen=True)
class ShapeRow:
    """A fixture, and the shape and the roles that are detected."""

    name: str
    fixture: str
    shape: str
    roles: dict[str, str]


SHAPES = (
    ShapeRow(
        "v1beta1 aggregated",
        "beta-agg",
        "v1beta1",
        {"Frontend": "frontend", "Worker": "worker"},
    ),
    ShapeRow(
        "v1beta1 disaggregated",
        "beta-disagg",
        "v1beta1",
        {"front": "frontend", "first": "worker", "second": "worker"},
    ),
    ShapeRow(
        "v1beta1 with planner",
        "beta-planner",
        "v1beta1",
        {"Frontend": "frontend", "Planner": "other", "Engine": "worker"},
    ),
    ShapeRow(
        "v1beta1 with EPP sidecar",
        "beta-epp-sidecar",
        "v1beta1",
        {"Picker": "other", "Decoder": "worker"},
    ),
    ShapeRow(
        "v1beta1 component",
        "beta-component",
        "v1beta1",
        {"lone": "worker"},
    ),
    ShapeRow(
        "v1alpha1 with pvcs",
        "alpha-pvcs",
        "v1alpha1",
        {"Frontend": "frontend", "Worker": "worker"},
    ),
    ShapeRow(
        "v1alpha1 with extraPodSpec",
        "alpha-extrapodspec",
        "v1alpha1",
        {"Frontend": "frontend", "Prefill": "worker", "Untyped": "worker"},
    ),
    ShapeRow(
        "v1alpha1 component",
        "alpha-component",
        "v1alpha1",
        {"lone": "worker"},
    ),
    ShapeRow(
        "v1alpha1 with a pvc",
        "legacy-pvc",
        "v1alpha1-pvc",
        {"Processor": "frontend", "VllmWorker": "worker"},
    ),
    ShapeRow(
        "v1alpha1 with a pvc, disaggregated",
        "legacy-disagg",
        "v1alpha1-pvc",
        {"Frontend": "frontend", "Decode": "worker", "Prefill": "worker"},
    ),
)


@pytest.mark.parametrize("row", SHAPES, ids=lambda row: row.name)
def test_shape_and_roles(row):
    graph = open_graph(fixture(row.fixture))
    assert graph.shape == row.shape
    assert {item.name: item.role.value for item in graph.components} == row.roles


def spec_after(name, **options):
    return pin_graph(fixture(name), PinRequest("llama", "fluid.io/s-ns-llama", **options)).object[
        "spec"
    ]


def test_v1alpha1_pvc_uses_the_services_pvc_if_it_is_free():
    spec = spec_after("legacy-disagg")["services"]
    assert spec["Prefill"]["pvc"] == {"name": "llama", "mountPoint": "/model"}
    assert spec["Frontend"]["pvc"] == {"name": "llama", "mountPoint": "/model"}
    assert spec["Decode"]["pvc"]["name"] == "scratch"
    [volume] = spec["Decode"]["extraPodSpec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "llama", "readOnly": True}
    assert "affinity" not in spec["Frontend"]["extraPodSpec"]
    assert "affinity" in spec["Prefill"]["extraPodSpec"]


def test_v1alpha1_never_mixes_two_kinds_of_mounts():
    listed = spec_after("alpha-pvcs")
    assert listed["pvcs"][-1] == {"name": "llama", "create": False}
    worker = listed["services"]["Worker"]
    assert worker["volumeMounts"][-1] == {"name": "llama", "mountPoint": "/model"}
    assert "volumeMounts" not in worker["extraPodSpec"]["mainContainer"]

    plain = spec_after("alpha-extrapodspec")
    assert "pvcs" not in plain
    prefill = plain["services"]["Prefill"]
    assert "volumeMounts" not in prefill
    assert prefill["extraPodSpec"]["mainContainer"]["volumeMounts"][-1]["readOnly"] is True

    result = pin_graph(fixture("alpha-mixed-multinode"), REQUEST)
    decode = result.object["spec"]["services"]["decode"]
    assert [mount["name"] for mount in decode["volumeMounts"]] == ["hub-cache"]
    assert decode["extraPodSpec"]["mainContainer"]["volumeMounts"][-1]["name"] == "llama"
    assert any("operators 1.2 lose the former" in remark for remark in result.remarks())


def test_v1beta1_mounts_in_main_the_engine_and_the_frontend_sidecar():
    engine = spec_after("beta-engine-beside")["components"][1]["podTemplate"]["spec"]
    assert [len(c.get("volumeMounts", [])) for c in engine["containers"]] == [1, 1]
    sidecar = spec_after("beta-epp-sidecar")["components"][1]["podTemplate"]["spec"]
    assert [len(c.get("volumeMounts", [])) for c in sidecar["containers"]] == [1, 1]
    picker = spec_after("beta-epp-sidecar")["components"][0]
    assert picker == fixture("beta-epp-sidecar")["spec"]["components"][0]


def test_v1beta1_mounts_in_the_init_container_of_the_engine():
    graph = fixture("beta-agg")
    worker = graph["spec"]["components"][1]
    worker["dynamoSidecar"] = "runtime"
    worker["podTemplate"]["spec"]["initContainers"] = [{"name": "prepare"}, {"name": "runtime"}]
    result = pin_graph(graph, REQUEST).object
    pod = result["spec"]["components"][1]["podTemplate"]["spec"]
    prepare, runtime = pod["initContainers"]
    assert "volumeMounts" not in prepare
    assert [mount["name"] for mount in runtime["volumeMounts"]] == ["llama"]
    assert unpin_graph(result, "llama").object == graph


def test_component_names_replace_the_selection_by_role():
    spec = spec_after("beta-planner", components=("Planner",))
    before = fixture("beta-planner")["spec"]["components"]
    assert spec["components"][0] == before[0]
    assert spec["components"][2] == before[2]
    assert "affinity" in spec["components"][1]["podTemplate"]["spec"]
    front = spec_after("beta-agg", components=("Frontend",))["components"][0]
    assert "affinity" not in front["podTemplate"]["spec"]
    with pytest.raises(UsageError, match="it has Frontend, Worker"):
        spec_after("beta-agg", components=("worker",))


def test_a_graph_without_workers_is_refused():
    graph = fixture("beta-agg")
    graph["spec"]["components"].pop()
    with pytest.raises(FluidModelError, match="no component that is known to be a worker"):
        pin_graph(graph, REQUEST)


def test_a_mount_path_in_use_is_refused():
    with pytest.raises(FluidModelError, match="container main has volume 'shared' there"):
        spec_after("beta-configmap-model", mount_path="/shared/")


def test_a_volume_name_in_use_gets_a_suffix():
    graph = fixture("beta-agg")
    pod = graph["spec"]["components"][1]["podTemplate"]["spec"]
    pod["volumes"] = [{"name": "llama", "emptyDir": {}}]
    pod = pin_graph(graph, REQUEST).object["spec"]["components"][1]["podTemplate"]["spec"]
    assert pod["volumes"][1]["name"] == "llama-cache"
    assert pod["containers"][0]["volumeMounts"][0]["name"] == "llama-cache"


def test_an_existing_mount_of_the_claim_is_kept():
    graph = fixture("beta-configmap-model")
    request = PinRequest(
        "shared-cache", "fluid.io/s-ns-x", mount_path="/model", components=("Decode",)
    )
    result = pin_graph(graph, request)
    before = graph["spec"]["components"][1]["podTemplate"]["spec"]
    after = result.object["spec"]["components"][1]["podTemplate"]["spec"]
    assert after["volumes"] == before["volumes"]
    assert after["containers"] == before["containers"]
    assert "already mounts the claim at /shared; that mount is kept" in result.remarks()[0]
    unsaid = pin_graph(graph, replace(request, mount_path=None))
    assert not [remark for remark in unsaid.remarks() if "is kept" in remark]


@dataclass(frozen=True)
class Refused:
    """An object that is not the place to pin its pods, and the reason."""

    name: str
    object: dict[str, Any]
    reason: str


REFUSED = (
    Refused(
        "request",
        {"kind": "DynamoGraphDeploymentRequest"},
        "immutable once profiling starts",
    ),
    Refused(
        "LPX graph",
        {"kind": "LPXGraphDeployment"},
        "roles",
    ),
    Refused(
        "component of a graph",
        {
            "kind": "DynamoComponentDeployment",
            "metadata": {
                "name": "x",
                "ownerReferences": [{"kind": "DynamoGraphDeployment", "name": "chat"}],
            },
        },
        "DynamoGraphDeployment chat owns it",
    ),
    Refused(
        "roles",
        {
            "kind": "DynamoGraphDeployment",
            "spec": {"components": [{"name": "w", "roles": [{"podTemplate": {"spec": {}}}]}]},
        },
        "roles",
    ),
)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_objects_whose_pods_are_made_from_another_object_are_refused(row):
    full = {"apiVersion": "nvidia.com/v1beta1", "metadata": {"name": "x"}, **row.object}
    with pytest.raises(NotPinnableError, match=row.reason):
        open_graph(full)


def test_the_patch_for_a_request():
    request = {"apiVersion": "nvidia.com/v1beta1"}
    assert request_patch(request, "llama", "/model") == {
        "spec": {"modelCache": {"pvcName": "llama", "pvcMountPath": "/model", "pvcModelPath": "."}}
    }
    newer = {"apiVersion": "nvidia.com/v1beta2"}
    assert request_patch(newer, "llama", "/m", "sub")["spec"]["modelRef"]["cache"]["pvc"] == {
        "name": "llama",
        "mountPath": "/m",
        "modelPath": "sub",
    }
