"""Graphs whose authors did themselves what `pin` does: recognised, and left as they are."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest

from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.fluid.names import cache_label, node_label_keys
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin.graph_patch import GraphChange, dropped_fields
from kubectl_fluidmodel.pin.graph_reader import ServedGraph
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph, unpin_graph
from kubectl_fluidmodel.pin.request_advice import request_advice
from tests.cache.adoption.samples import load_fixture

KEY = "fluid.io/s-prod-llama"
RUNTIME_KEY = "fluid.io/s-alluxio-prod-llama"
LONG = "a-namespace-of-a-team/a-model-with-a-long-name"
"""Its common label fits; the one with the runtime in it does not."""


def request(namespace: str = "prod", name: str = "llama", **more: Any) -> PinRequest:
    live, dead = node_label_keys(namespace, name)
    return PinRequest(
        name,
        cache_label(namespace, name),
        equal_labels=tuple(live),
        dead_labels=tuple(dead),
        **more,
    )


def term(key: str, operator: str = "In", *values: str) -> dict[str, Any]:
    expression: dict[str, Any] = {"key": key, "operator": operator}
    if operator in ("In", "NotIn"):
        expression["values"] = list(values or ("true",))
    return {"matchExpressions": [expression]}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    inner = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": inner}}


def graph(claim: str = "llama", mounted: bool = True, **spec: Any) -> dict[str, Any]:
    main: dict[str, Any] = {
        "name": "main",
        "image": "example.com/vllm:1",
        "command": ["python3", "-m", "dynamo.vllm"],
        "args": ["--model", "/model"],
    }
    if mounted:
        main["volumeMounts"] = [{"name": "m", "mountPath": "/model"}]
        spec["volumes"] = [{"name": "m", "persistentVolumeClaim": {"claimName": claim}}]
    template = {"spec": {"containers": [main], **spec}}
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "chat", "namespace": "prod"},
        "spec": {"components": [{"name": "W", "type": "worker", "podTemplate": template}]},
    }


BY_HAND = {
    "the common label": {"affinity": required(term(KEY))},
    "the runtime's label": {"affinity": required(term(RUNTIME_KEY))},
    "in every term": {"affinity": required(term(KEY), term(RUNTIME_KEY, "Exists"))},
    "Exists": {"affinity": required(term(KEY, "Exists"))},
    "a node selector": {"nodeSelector": {RUNTIME_KEY: "true"}},
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_graph_pinned_by_hand_is_unchanged(name: str) -> None:
    before = graph(**copy.deepcopy(BY_HAND[name]))
    result = pin_graph(before, request())
    assert result.object == before
    assert not result.changed
    assert result.reason_unchanged().startswith("pinned already, by hand: fluid.io/s-")
    assert result.changes[0].mode == "required"


@pytest.mark.parametrize("fixture", ["graph", "graph-2025"])
def test_the_write_ups_graph_is_unchanged_and_adopting_it_changes_no_pod(fixture: str) -> None:
    (before,) = load_fixture(fixture)
    result = pin_graph(before, request("ns", "llama-by-hand"))
    assert result.object == before
    assert result.reason_unchanged().startswith("pinned already, by hand: fluid.io/s-alluxio-ns-")
    adopted = pin_graph(before, request("ns", "llama-by-hand", adopt=True))
    assert adopted.changed and adopted.object["spec"] == before["spec"]
    again = pin_graph(adopted.object, request("ns", "llama-by-hand"))
    assert not again.changed
    freed = unpin_graph(adopted.object, "llama-by-hand").object
    assert "llama-by-hand" not in str(freed["spec"])


def test_a_frontend_sidecar_needs_no_mount_where_main_has_one() -> None:
    """The operator gives it main's: a mount of its own would only restart the workers."""
    before = graph(affinity=required(term(KEY)))
    worker = before["spec"]["components"][0]
    worker["frontendSidecar"] = "front"
    worker["podTemplate"]["spec"]["containers"].append({"name": "front", "image": "f"})
    assert pin_graph(before, request()).object == before
    adopted = pin_graph(before, request(adopt=True)).object
    assert adopted["spec"] == before["spec"]


NOT_BY_HAND = {
    "nothing": {},
    "another cache's label": {"affinity": required(term("fluid.io/s-prod-other"))},
    "in one of two terms": {"affinity": required(term(KEY), term("rack", "Exists"))},
    "another value": {"affinity": required(term(KEY, "In", "false"))},
    "one of two values": {"affinity": required(term(KEY, "In", "true", "false"))},
    "its contrary": {"affinity": required(term(KEY, "DoesNotExist"))},
    "another selector": {"nodeSelector": {KEY: "false"}},
}


@pytest.mark.parametrize("name", NOT_BY_HAND)
def test_other_constraints_do_not_count_as_pinned_by_hand(name: str) -> None:
    before = graph(**copy.deepcopy(NOT_BY_HAND[name]))
    result = pin_graph(before, request())
    assert result.changed
    assert not result.reason_unchanged()
    assert unpin_graph(result.object, "llama").object == before


def test_a_missing_mount_is_added_without_a_second_label() -> None:
    before = graph(mounted=False, affinity=required(term(RUNTIME_KEY)))
    result = pin_graph(before, request())
    spec = result.object["spec"]["components"][0]["podTemplate"]["spec"]
    assert spec["affinity"] == required(term(RUNTIME_KEY))
    assert spec["containers"][0]["volumeMounts"]
    assert pin_graph(result.object, request()).object == result.object
    assert unpin_graph(result.object, "llama").object == before


def test_a_dead_label_is_replaced_and_restored_by_unpin() -> None:
    namespace, name = LONG.split("/")
    dead = f"fluid.io/s-alluxio-{namespace}-{name}"
    before = graph(
        name,
        affinity=required(
            {**term(dead)},
            {
                "matchExpressions": [
                    {"key": "rack", "operator": "Exists"},
                    {"key": dead, "operator": "Exists"},
                ]
            },
        ),
    )
    result = pin_graph(before, request(namespace, name))
    live = cache_label(namespace, name)
    spec = result.object["spec"]["components"][0]["podTemplate"]["spec"]
    assert spec["affinity"] == required(
        term(live),
        {
            "matchExpressions": [
                {"key": "rack", "operator": "Exists"},
                term(live)["matchExpressions"][0],
            ]
        },
    )
    assert any(dead in remark and "which no node has" in remark for remark in result.remarks())
    assert pin_graph(result.object, request(namespace, name)).object == result.object
    assert unpin_graph(result.object, name).object == before


def test_labels_of_a_long_name_contain_the_uid() -> None:
    namespace, name = LONG.split("/")
    live, dead = node_label_keys(namespace, name, uid="u-1")
    assert live == [f"fluid.io/s-{namespace}-{name}", "fluid.io/s-alluxio-u-1"]
    assert dead == [f"fluid.io/s-alluxio-{namespace}-{name}"]
    assert node_label_keys("prod", "llama") == ([KEY, RUNTIME_KEY], [])


@dataclass(frozen=True)
class Guess:
    """A service without a type, as graphs up to 0.5 are, and what it is taken for."""

    name: str
    service: dict[str, Any]
    role: Role
    words: str
    config: str = ""


GUESSES = (
    Guess("Any", {"resources": {"limits": {"gpu": "1"}}}, Role.WORKER, "GPUs"),
    Guess(
        "Any", {"extraPodSpec": {"affinity": required(term(KEY))}}, Role.WORKER, "nodes of a cache"
    ),
    Guess(
        "Any", {"extraPodSpec": {"nodeSelector": {KEY: "true"}}}, Role.WORKER, "nodes of a cache"
    ),
    Guess(
        "Any",
        {"extraPodSpec": {"mainContainer": {"args": ["python3 -m dynamo.sglang --tp 2"]}}},
        Role.WORKER,
        "dynamo.sglang",
    ),
    Guess(
        "Any",
        {"extraPodSpec": {"mainContainer": {"command": ["python3", "-m", "dynamo.frontend"]}}},
        Role.FRONTEND,
        "dynamo.frontend",
    ),
    Guess("VllmWorker", {}, Role.WORKER, "name"),
    Guess("Frontend", {}, Role.FRONTEND, "name"),
    Guess("Processor", {}, Role.FRONTEND, "name"),
    Guess("Planner", {}, Role.OTHER, ""),
    Guess("WorkerPlanner", {}, Role.OTHER, ""),
    Guess("Any", {}, Role.WORKER, "GPUs", '{"Any": {"ServiceArgs": {"resources": {"gpu": "4"}}}}'),
    Guess("Any", {}, Role.OTHER, "", '{"Any": {"ServiceArgs": {"resources": "no map"}}}'),
    Guess("Any", {}, Role.OTHER, "", "no JSON"),
    Guess("MyWorker", {"componentType": "planner"}, Role.OTHER, ""),
)


@pytest.mark.parametrize("guess", GUESSES, ids=lambda guess: f"{guess.name} {guess.words}")
def test_the_role_of_a_service_without_a_type(guess: Guess) -> None:
    spec: dict[str, Any] = {"services": {guess.name: guess.service}}
    if guess.config:
        spec["envs"] = [{"name": "DYN_DEPLOYMENT_CONFIG", "value": guess.config}]
    obj = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "old"},
        "spec": spec,
    }
    role, reason = open_graph(obj).components[0].role_and_reason()
    assert role is guess.role
    assert guess.words in reason


def test_mounts_propagate_what_fluid_mounts_again() -> None:
    spec = pin_graph(graph(mounted=False), request()).object["spec"]["components"][0][
        "podTemplate"
    ]["spec"]
    assert spec["containers"][0]["volumeMounts"][0]["mountPropagation"] == "HostToContainer"


def remarks_of(change: dict[str, Any], **component: Any) -> str:
    made = graph(mounted=False)
    worker = made["spec"]["components"][0]
    worker.update(component)
    worker["podTemplate"]["spec"]["containers"][0].update(change)
    return "\n".join(pin_graph(made, request()).remarks())


def test_known_problems_of_operators_are_reported() -> None:
    parts = [
        {"name": "s", "mountPath": "/a", "subPath": "a"},
        {"name": "s", "mountPath": "/b", "subPath": "b"},
    ]
    twice = remarks_of({"volumeMounts": parts}, multinode={"nodeCount": 2})
    assert "mounts parts of volume s 2 times: on Grove, operators before dynamo#10823" in twice
    assert "10823" not in remarks_of({"volumeMounts": parts})
    elsewhere = remarks_of({"args": ["--model", "/model-store"]})
    assert "its engine reads /model-store, not /model; --use-model-path" in elsewhere
    hub = remarks_of({"args": ["--model", "org/model"]})
    assert "its engine reads org/model from the Hub, not /model; --use-model-path" in hub
    for inside in ("/model", "/model/", "/model/sub"):
        assert "its engine reads" not in remarks_of({"args": ["--model", inside]})


def test_a_missing_image_and_a_sidecar_without_mounts_are_reported() -> None:
    worker = {"componentType": "worker", "frontendSidecar": {"image": "f"}}
    obj = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "old"},
        "spec": {"services": {"W": worker}},
    }
    remarks = "\n".join(pin_graph(obj, request()).remarks())
    assert "component W names no image, without which operators from 1.5 refuse it" in remarks
    assert "operators before 1.2 give the frontend sidecar no mounts" in remarks


def deployment_request(model_cache: dict[str, Any], service: dict[str, Any]) -> dict[str, Any]:
    overrides = {"dgd": {"spec": {"services": {"F": service}}}}
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeploymentRequest",
        "metadata": {"name": "ask", "namespace": "prod"},
        "spec": {"modelCache": model_cache, "overrides": overrides},
    }


def test_other_claims_in_a_request_are_reported() -> None:
    volume = {"name": "m", "persistentVolumeClaim": {"claimName": "mine"}}
    asked = deployment_request({"pvcName": "other"}, {"extraPodSpec": {"volumes": [volume]}})
    assert request_advice(asked, request())[1] == [
        "it names claim other in spec.modelCache.pvcName: the patch replaces that",
        "spec.overrides.dgd mounts claim mine: remove it there, or the graph mounts it, too",
    ]
    assert request_advice(deployment_request({"pvcName": "llama"}, {}), request())[1] == []


def test_paths_in_a_request_that_the_patch_makes_void_are_reported() -> None:
    main = {"args": ["-m", "dynamo.frontend", "--model-path=/models/org/llama"]}
    cache = {"pvcName": "llama", "pvcMountPath": "/models", "pvcModelPath": "org/llama"}
    asked = deployment_request(cache, {"extraPodSpec": {"mainContainer": main}})
    patch, conflicts = request_advice(asked, request())
    assert patch["spec"]["modelCache"] == {**cache, "pvcModelPath": "."}
    assert conflicts == ["spec.overrides.dgd names /models/org/llama: the model will be at /models"]
    assert request_advice(asked, request(subpath="org/llama"))[1] == []
    moved = request_advice(asked, request(mount_path="/m"))
    assert moved[0]["spec"]["modelCache"]["pvcMountPath"] == "/m"
    assert "the model will be at /m" in moved[1][0]


def test_a_component_pinned_by_hand_has_nothing_to_lose() -> None:
    """One worker of two is pinned by hand: only the other's pin can get lost on the way."""
    before = graph(affinity=required(term(KEY)))
    other = copy.deepcopy(graph(mounted=False)["spec"]["components"][0])
    before["spec"]["components"].append({**other, "name": "V"})
    served = ServedGraph(Kind("nvidia.com", "v1beta1", "D", "ds"), before, None)
    change = GraphChange.of(served, lambda obj, _: pin_graph(obj, request()), "llama")
    assert dropped_fields(change, change.result.object) == []
    dropped = copy.deepcopy(change.result.object)
    del dropped["spec"]["components"][1]["podTemplate"]["spec"]["affinity"]
    assert dropped_fields(change, dropped) == ["the node affinity of component V"]
