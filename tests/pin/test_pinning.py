"""pin and unpin over generated graphs of every shape."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.json_patch import make_patch
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph, unpin_graph
from tests.dynamo import strategies as gen
from tests.dynamo.nodes import all_nodes, allowed
from tests.dynamo.patching import apply_patch

NODES = all_nodes()
SLOW = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
requests = st.builds(
    PinRequest,
    cache=st.just("llama"),
    label=st.just("fluid.io/s-ns-a"),
    preferred=st.booleans(),
    use_model_path=st.booleans(),
    recreate=st.booleans(),
    probe_budget=st.booleans(),
    model_bytes=st.sampled_from([0, 1 << 30, 4000 << 30]),
    mount_path=st.sampled_from([None, "/cache"]),
)
REQUIRED = PinRequest("llama", "fluid.io/s-ns-a")
OTHER = PinRequest("other", "fluid.io/s-ns-b", mount_path="/other")


def has_worker(graph):
    return any(component.role is Role.WORKER for component in open_graph(graph).components)


def pinned(graph, pin_request):
    try:
        return pin_graph(graph, pin_request).object
    except FluidModelError as err:
        assume("cannot mount" not in str(err) and "no component" not in str(err))
        raise


def pods(graph):
    return {item.name: item for item in open_graph(graph).components}


@given(gen.graphs, requests)
@SLOW
def test_unpin_gives_back_what_was_there(graph, pin_request):
    assume(has_worker(graph))
    before = copy.deepcopy(graph)
    after = pinned(graph, pin_request)
    assert graph == before
    assert unpin_graph(after, "llama").object == graph


@given(gen.graphs, requests)
@SLOW
def test_pinning_twice_is_pinning_once(graph, pin_request):
    assume(has_worker(graph))
    once = pinned(graph, pin_request)
    again = pin_graph(once, pin_request)
    assert again.object == once
    assert not again.changed


@given(gen.graphs)
@SLOW
def test_workers_may_run_on_cache_nodes_that_were_allowed_before(graph):
    assume(has_worker(graph))
    after = pods(pinned(graph, REQUIRED))
    for name, component in pods(graph).items():
        before = component.pod_spec().get("affinity")
        now = after[name].pod_spec().get("affinity")
        for node in NODES:
            expected = allowed(before, node)
            if component.role is Role.WORKER:
                expected = expected and node["labels"].get("fluid.io/s-ns-a") == "true"
            assert allowed(now, node) == expected


@given(gen.graphs)
@SLOW
def test_a_preference_excludes_no_node(graph):
    assume(has_worker(graph))
    after = pods(pinned(graph, PinRequest("llama", "fluid.io/s-ns-a", preferred=True)))
    for name, component in pods(graph).items():
        before = component.pod_spec().get("affinity")
        now = after[name].pod_spec().get("affinity")
        assert [allowed(now, node) for node in NODES] == [allowed(before, n) for n in NODES]


def names_a_model(graph):
    """Whether the user's own spec has a volume or claim of either model's name."""
    text = json.dumps(graph["spec"])
    return '"llama"' in text or '"other"' in text


@given(gen.graphs, st.booleans())
@SLOW
def test_two_models_come_and_go_in_any_order(graph, first):
    assume(has_worker(graph))
    one, two = pinned(graph, REQUIRED), pinned(graph, OTHER)
    both = pinned(one, OTHER)
    if first:
        assert unpin_graph(both, "other").object == one
    elif "dynamoGraph" not in graph["spec"] and not names_a_model(graph):
        # In the legacy shape the first model takes the one `pvc` place, and where a volume of the
        # user's bears a model's name, the style of the second mount follows what it finds.
        left = unpin_graph(both, "llama").object
        strip = {"metadata": None}
        assert {**left, **strip} == {**two, **strip}
    assert unpin_graph(unpin_graph(both, "llama").object, "other").object == graph
    assert unpin_graph(unpin_graph(both, "other").object, "llama").object == graph


@given(gen.graphs, requests)
@SLOW
def test_every_reader_has_the_claim_and_nothing_else_is_lost(graph, pin_request):
    assume(has_worker(graph))
    after = pinned(graph, pin_request)
    for component in open_graph(after).components:
        if component.role is not Role.OTHER:
            assert component.find_claim_mount("llama", component.main_path), component.name
            assert component.paths_without_mount("llama") == [], component.name
    for operation in make_patch(graph, after):
        if operation["op"] == "remove":
            raise AssertionError(operation)


@given(gen.graphs, requests)
@SLOW
def test_the_patch_is_the_change(graph, pin_request):
    assume(has_worker(graph))
    after = pinned(graph, pin_request)
    assert apply_patch(graph, make_patch(graph, after)) == after
    assert apply_patch(after, make_patch(after, graph)) == graph


@given(gen.beta_graph)
@SLOW
def test_edits_made_after_the_pin_survive_unpin(graph):
    assume(has_worker(graph))
    after = pinned(graph, REQUIRED)
    user = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["east"]}]}
    expected = copy.deepcopy(graph)
    for edited, plain in zip(
        after["spec"]["components"], expected["spec"]["components"], strict=True
    ):
        for component in (edited, plain):
            component["replicas"] = 7
            spec = component.setdefault("podTemplate", {}).setdefault("spec", {})
            spec["tolerations"] = [{"operator": "Exists"}]
        terms = _terms(edited)
        if edited["type"] in ("worker", "prefill", "decode") and terms is not None:
            terms.append(user)
    undone = unpin_graph(after, "llama").object
    for component in undone["spec"]["components"]:
        assert component["replicas"] == 7
        assert component["podTemplate"]["spec"]["tolerations"] == [{"operator": "Exists"}]
        if component["type"] in ("worker", "prefill", "decode"):
            assert user in (_terms(component) or [user])
            assert "fluidmodel" not in json.dumps(undone["metadata"])


def _terms(component):
    affinity = component.get("podTemplate", {}).get("spec", {}).get("affinity") or {}
    required = (affinity.get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return None if required is None else required["nodeSelectorTerms"]


def test_unpinning_what_is_not_pinned_changes_nothing():
    graph = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "x"},
        "spec": {"components": [{"name": "w", "type": "worker"}]},
    }
    assert not unpin_graph(graph, "llama").changed


def test_a_foreign_pin_record_is_refused():
    graph = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "x", "annotations": {"fluidmodel.io/pins": "{]"}},
        "spec": {"components": [{"name": "w", "type": "worker"}]},
    }
    with pytest.raises(FluidModelError, match="cannot read annotation"):
        pin_graph(graph, REQUIRED)
