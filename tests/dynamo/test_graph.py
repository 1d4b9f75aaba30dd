"""Shapes, roles and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from kubectl_fluidmodel.dynamo.graph import NotPinnableError, open_graph, request_patch
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.pin.pinning import PinRequest, pin_graph
from tests.dynamo.conftest import FIXTURES

WISH = PinRequest("llama", "fluid.io/s-ns-llama")


def fixture(name):
    documents = yaml.safe_load_all((FIXTURES / f"{name}.yaml").read_text())
    return next(d for d in documents if d and str(d["kind"]).startswith("Dynamo"))


SHAPES = [
    ("beta-agg", "v1beta1", {"Frontend": "frontend", "Worker": "worker"}),
    ("beta-disagg", "v1beta1", {"front": "frontend", "first": "worker", "second": "worker"}),
    ("beta-planner", "v1beta1", {"Frontend": "frontend", "Planner": "other", "Engine": "worker"}),
    ("beta-epp-sidecar", "v1beta1", {"Picker": "other", "Decoder": "worker"}),
    ("beta-component", "v1beta1", {"lone": "worker"}),
    ("alpha-pvcs", "v1alpha1", {"Frontend": "frontend", "Worker": "worker"}),
    (
        "alpha-extrapodspec",
        "v1alpha1",
        {"Frontend": "frontend", "Prefill": "worker", "Untyped": "worker"},
    ),
    ("alpha-component", "v1alpha1", {"lone": "worker"}),
    ("legacy-pvc", "v1alpha1-pvc", {"Processor": "frontend", "VllmWorker": "worker"}),
    (
        "legacy-disagg",
        "v1alpha1-pvc",
        {"Frontend": "frontend", "Decode": "worker", "Prefill": "worker"},
    ),
]


@pytest.mark.parametrize(("name", "shape", "roles"), SHAPES)
def test_shape_and_roles(name, shape, roles):
    graph = open_graph(fixture(name))
    assert graph.shape == shape
    assert {item.name: item.role.value for item in graph.components} == roles


def spec_after(name, **wish):
    return pin_graph(fixture(name), PinRequest("llama", "fluid.io/s-ns-llama", **wish)).object[
        "spec"
    ]


def test_legacy_takes_the_services_one_place_or_leaves_it():
    spec = spec_after("legacy-disagg")["services"]
    assert spec["Prefill"]["pvc"] == {"name": "llama", "mountPoint": "/model"}
    assert spec["Frontend"]["pvc"] == {"name": "llama", "mountPoint": "/model"}
    assert spec["Decode"]["pvc"]["name"] == "scratch"
    [volume] = spec["Decode"]["extraPodSpec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "llama", "readOnly": True}
    assert "affinity" not in spec["Frontend"]["extraPodSpec"]
    assert "affinity" in spec["Prefill"]["extraPodSpec"]


def test_alpha_follows_what_a_service_uses_and_never_mixes():
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

    outcome = pin_graph(fixture("alpha-mixed-multinode"), WISH)
    decode = outcome.object["spec"]["services"]["decode"]
    assert [mount["name"] for mount in decode["volumeMounts"]] == ["hub-cache"]
    assert decode["extraPodSpec"]["mainContainer"]["volumeMounts"][-1]["name"] == "llama"
    assert any("operators 1.2 lose the former" in remark for remark in outcome.remarks())


def test_beta_mounts_in_main_the_engine_and_the_frontend_beside_it():
    engine = spec_after("beta-engine-beside")["components"][1]["podTemplate"]["spec"]
    assert [len(c.get("volumeMounts", [])) for c in engine["containers"]] == [1, 1]
    door = spec_after("beta-epp-sidecar")["components"][1]["podTemplate"]["spec"]
    assert [len(c.get("volumeMounts", [])) for c in door["containers"]] == [1, 1]
    picker = spec_after("beta-epp-sidecar")["components"][0]
    assert picker == fixture("beta-epp-sidecar")["spec"]["components"][0]


def test_naming_components():
    spec = spec_after("beta-planner", components=("Planner",))
    before = fixture("beta-planner")["spec"]["components"]
    assert spec["components"][0] == before[0]
    assert spec["components"][2] == before[2]
    assert "affinity" in spec["components"][1]["podTemplate"]["spec"]
    front = spec_after("beta-agg", components=("Frontend",))["components"][0]
    assert "affinity" not in front["podTemplate"]["spec"]
    with pytest.raises(UsageError, match="it has Frontend, Worker"):
        spec_after("beta-agg", components=("worker",))


def test_a_graph_without_workers_asks_for_a_name():
    graph = fixture("beta-agg")
    graph["spec"]["components"].pop()
    with pytest.raises(FluidModelError, match="no component that is known to be a worker"):
        pin_graph(graph, WISH)


def test_a_mount_path_in_use_is_refused():
    with pytest.raises(FluidModelError, match="container main has volume 'shared' there"):
        spec_after("beta-configmap-model", mount_path="/shared/")


def test_a_volume_of_the_claims_name_that_is_something_else():
    graph = fixture("beta-agg")
    pod = graph["spec"]["components"][1]["podTemplate"]["spec"]
    pod["volumes"] = [{"name": "llama", "emptyDir": {}}]
    pod = pin_graph(graph, WISH).object["spec"]["components"][1]["podTemplate"]["spec"]
    assert pod["volumes"][1]["name"] == "llama-cache"
    assert pod["containers"][0]["volumeMounts"][0]["name"] == "llama-cache"


def test_a_claim_that_is_mounted_already_is_left_where_it_is():
    graph = fixture("beta-configmap-model")
    wish = PinRequest(
        "shared-cache", "fluid.io/s-ns-x", mount_path="/model", components=("Decode",)
    )
    outcome = pin_graph(graph, wish)
    before = graph["spec"]["components"][1]["podTemplate"]["spec"]
    after = outcome.object["spec"]["components"][1]["podTemplate"]["spec"]
    assert after["volumes"] == before["volumes"]
    assert after["containers"] == before["containers"]
    assert "already mounts the claim at /shared; left so" in outcome.remarks()[0]
    unsaid = pin_graph(graph, replace(wish, mount_path=None))
    assert not [remark for remark in unsaid.remarks() if "left so" in remark]


REFUSED = [
    ({"kind": "DynamoGraphDeploymentRequest"}, "frozen once profiling starts"),
    ({"kind": "LPXGraphDeployment"}, "roles"),
    (
        {
            "kind": "DynamoComponentDeployment",
            "metadata": {
                "name": "x",
                "ownerReferences": [{"kind": "DynamoGraphDeployment", "name": "chat"}],
            },
        },
        "DynamoGraphDeployment chat owns it",
    ),
    (
        {
            "kind": "DynamoGraphDeployment",
            "spec": {"components": [{"name": "w", "roles": [{"podTemplate": {"spec": {}}}]}]},
        },
        "roles",
    ),
]


@pytest.mark.parametrize(("obj", "why"), REFUSED)
def test_objects_that_are_not_the_place_to_pin(obj, why):
    full = {"apiVersion": "nvidia.com/v1beta1", "metadata": {"name": "x"}, **obj}
    with pytest.raises(NotPinnableError, match=why):
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
