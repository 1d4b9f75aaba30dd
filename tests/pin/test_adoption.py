"""`pin --adopt`: what was pinned by hand is recorded, stays as it is, and can be taken back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.pin_annotation import read_pins
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.node_selector import terms_of
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph, unpin_graph
from tests.dynamo import strategies as gen
from tests.pin.test_by_hand import BY_HAND, KEY, NOT_BY_HAND, graph, request, required, term


def adopted(obj: dict[str, Any]) -> dict[str, Any]:
    result = pin_graph(obj, request(adopt=True))
    assert result.changed
    assert result.object["spec"] == obj["spec"]
    return result.object


@pytest.mark.parametrize("name", BY_HAND)
def test_an_adopted_pin_is_removed_completely(name: str) -> None:
    before = graph(**copy.deepcopy(BY_HAND[name]))
    after = unpin_graph(adopted(before), "llama").object
    assert after == graph(mounted=False)


@pytest.mark.parametrize("name", BY_HAND)
def test_pinning_what_was_adopted_changes_nothing(name: str) -> None:
    taken = adopted(graph(**copy.deepcopy(BY_HAND[name])))
    again = pin_graph(taken, request())
    assert not again.changed
    assert again.object == taken
    assert not pin_graph(taken, request(adopt=True)).changed


def test_other_constraints_and_volumes_stay() -> None:
    rack = {"key": "rack", "operator": "Exists"}
    both = {"matchExpressions": [*term(KEY)["matchExpressions"], rack]}
    before = graph(affinity=required(both), nodeSelector={"disk": "nvme"})
    spec = before["spec"]["components"][0]["podTemplate"]["spec"]
    spec["volumes"].append({"name": "scratch", "emptyDir": {}})
    spec["containers"][0]["volumeMounts"].append({"name": "scratch", "mountPath": "/tmp"})
    after = unpin_graph(adopted(before), "llama").object
    left = after["spec"]["components"][0]["podTemplate"]["spec"]
    assert left["affinity"] == required({"matchExpressions": [rack]})
    assert left["nodeSelector"] == {"disk": "nvme"}
    assert left["volumes"] == [{"name": "scratch", "emptyDir": {}}]
    assert left["containers"][0]["volumeMounts"] == [{"name": "scratch", "mountPath": "/tmp"}]


def test_a_volume_that_an_init_container_mounts_stays() -> None:
    before = graph(affinity=required(term(KEY)))
    spec = before["spec"]["components"][0]["podTemplate"]["spec"]
    spec["initContainers"] = [{"name": "i", "volumeMounts": [{"name": "m", "mountPath": "/x"}]}]
    after = unpin_graph(adopted(before), "llama").object
    left = after["spec"]["components"][0]["podTemplate"]["spec"]
    assert left["volumes"] == spec["volumes"]
    assert "volumeMounts" not in left["containers"][0]


def test_what_was_edited_after_the_adoption_stays() -> None:
    taken = adopted(graph(affinity=required(term(KEY))))
    spec = taken["spec"]["components"][0]["podTemplate"]["spec"]
    spec["containers"][0]["volumeMounts"][0]["mountPath"] = "/elsewhere"
    after = unpin_graph(taken, "llama").object
    left = after["spec"]["components"][0]["podTemplate"]["spec"]
    assert left["containers"][0]["volumeMounts"][0]["mountPath"] == "/elsewhere"
    assert "affinity" not in left


def alpha_graph(**more: Any) -> dict[str, Any]:
    """A hand-made v1alpha1 graph whose services mount from its list of claims."""
    mount = {"name": "llama", "mountPoint": "/model"}
    affinity = {"extraPodSpec": {"affinity": required(term(KEY))}}
    services = {
        "Frontend": {"componentType": "frontend", "volumeMounts": [mount]},
        "Worker": {"componentType": "worker", "volumeMounts": [mount], **affinity},
    }
    return {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "old", "namespace": "prod"},
        "spec": {
            "pvcs": [{"name": "hub"}, {"name": "llama", "create": False}],
            "services": {**services, **more},
        },
    }


def test_the_entry_in_the_list_of_claims_is_removed_with_an_adopted_pin() -> None:
    """The operator stops at an entry whose claim is gone."""
    after = unpin_graph(adopted(alpha_graph()), "llama").object
    assert after["spec"]["pvcs"] == [{"name": "hub"}]
    assert "llama" not in str(after["spec"])


def test_the_entry_is_kept_while_another_component_mounts_the_claim() -> None:
    tool = {"componentType": "planner", "volumeMounts": [{"name": "llama", "mountPoint": "/m"}]}
    after = unpin_graph(adopted(alpha_graph(Tool=tool)), "llama").object
    assert {"name": "llama", "create": False} in after["spec"]["pvcs"]


@pytest.mark.parametrize("name", NOT_BY_HAND)
def test_what_is_not_pinned_by_hand_is_not_adopted(name: str) -> None:
    before = graph(mounted=False, **copy.deepcopy(NOT_BY_HAND[name]))
    result = pin_graph(before, request(adopt=True))
    assert not result.changed
    assert result.remarks() == ["component W is not pinned by hand"]


@given(gen.graphs)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_a_pin_whose_record_was_lost_can_be_adopted_and_taken_back(obj: dict[str, Any]) -> None:
    pin_request = PinRequest("llama", "fluid.io/s-ns-a")
    names_it = '"llama"' in str(obj).replace("'", '"')
    assume(not names_it)
    assume(any(c.role is Role.WORKER for c in open_graph(obj).components))
    try:
        pinned = pin_graph(obj, pin_request).object
    except FluidModelError:
        assume(False)
        raise
    pinned["metadata"]["annotations"] = None
    result = pin_graph(pinned, PinRequest("llama", "fluid.io/s-ns-a", adopt=True))
    assert result.object["spec"] == pinned["spec"]
    after = open_graph(unpin_graph(result.object, "llama").object)
    assert not read_pins(after.object).components
    for before, left in zip(open_graph(obj).components, after.components, strict=True):
        assert left.find_claim_mount("llama", left.main_path) is None
        assert "llama" not in left.claims_by_volume().values()
        if "fluid.io/s-ns-a" not in str(before.spec):
            assert "fluid.io/s-ns-a" not in str(terms_of(left.pod_spec().get("affinity")))
