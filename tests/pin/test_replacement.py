"""A graph's pin moves to another cache as if the graph had been pinned to that one."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.pin_annotation import read_pins
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph, unpin_graph
from kubectl_fluidmodel.pin.replacement import NotPinnedError, replace_pin
from tests.cache.adoption.samples import load_fixture
from tests.cluster.pinning import component, graph
from tests.dynamo import strategies as gen
from tests.pin.test_pinning import OTHER, has_worker, pinned, requests

OLD = PinRequest("llama", "fluid.io/s-ns-a")
NEW = PinRequest("llama-1a2b3c4", "fluid.io/s-ns-b", replaces="llama")
"""What `pin llama-1a2b3c4 GRAPH --replace llama` asks for."""

FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def chat(*more: dict) -> dict:
    return graph("ns", "chat", component("Front", "frontend", gpus=0), component("Work"), *more)


@given(gen.graphs, requests)
@FEW
def test_the_result_is_that_of_pinning_to_the_new_cache(graph, pin_request):
    assume(has_worker(graph) and "llama" not in repr(graph))  # not mounted by hand
    before = copy.deepcopy(graph)
    old = pinned(graph, pin_request)
    moved = replace_pin(old, replace(NEW, model_bytes=pin_request.model_bytes))
    assert moved.changed
    direct = pin_graph(graph, replace(pin_request, cache=NEW.cache, label=NEW.label)).object
    assert moved.object == direct
    assert unpin_graph(moved.object, NEW.cache).object == before


@given(gen.graphs, requests)
@FEW
def test_a_second_time_changes_nothing_and_the_way_back_is_the_same(graph, pin_request):
    assume(has_worker(graph) and "llama" not in repr(graph))  # not mounted by hand
    old = pinned(graph, pin_request)
    moved = replace_pin(old, NEW)
    assert not replace_pin(moved.object, NEW).changed
    back = replace_pin(moved.object, replace(OLD, replaces=NEW.cache))
    assert back.object == old


def test_other_pins_and_later_edits_stay():
    old = pin_graph(pin_graph(chat(), OTHER).object, OLD).object
    old["spec"]["components"][1]["replicas"] = 7
    moved = replace_pin(old, NEW).object
    assert read_pins(moved).caches() == ["other", "llama-1a2b3c4"]
    assert moved["spec"]["components"][1]["replicas"] == 7
    affinity = open_graph(moved).components[1].pod_spec()["affinity"]
    assert "fluid.io/s-ns-b" in str(affinity) and "fluid.io/s-ns-a" not in str(affinity)


@pytest.mark.parametrize("preferred", [True, False])
def test_each_component_keeps_its_own_options(preferred: bool):
    made = chat(component("Prefill"), component("Untouched"))
    made = pin_graph(made, replace(OLD, components=("Work",), preferred=preferred)).object
    made = pin_graph(made, replace(OLD, components=("Prefill",), mount_path="/p")).object
    moved = read_pins(replace_pin(made, NEW).object).components
    assert set(moved) == {"Work", "Prefill"}
    assert moved["Work"].pins[NEW.cache].mode == ("preferred" if preferred else "required")
    assert moved["Work"].pins[NEW.cache].path == "/model"
    assert moved["Prefill"].pins[NEW.cache].mode == "required"
    assert moved["Prefill"].pins[NEW.cache].path == "/p"


def test_one_component_may_be_moved_alone():
    made = pin_graph(chat(component("Prefill")), OLD).object
    moved = replace_pin(made, replace(NEW, components=("Work",)))
    record = read_pins(moved.object).components
    assert list(record["Work"].pins) == ["llama-1a2b3c4"]
    assert list(record["Prefill"].pins) == list(record["Front"].pins) == ["llama"]
    rest = replace_pin(moved.object, NEW)
    assert read_pins(rest.object).caches() == ["llama-1a2b3c4"]
    with pytest.raises(UsageError, match="component 'Nope' of dgd/chat is not pinned to llama"):
        replace_pin(made, replace(NEW, components=("Nope",)))


@pytest.mark.parametrize("fixture", ["graph", "graph-2025"])
def test_an_adopted_pin_is_moved_in_the_shape_of_its_graph(fixture: str):
    """Up to 0.5, services mount by `pvc`, and operators of that age know nothing else."""
    (made,) = load_fixture(fixture)
    own = PinRequest(
        "llama-by-hand",
        "fluid.io/s-ns-llama-by-hand",
        equal_labels=("fluid.io/s-alluxio-ns-llama-by-hand",),
        adopt=True,
    )
    adopted = pin_graph(made, own).object
    moved = replace_pin(adopted, replace(NEW, replaces=own.cache))
    assert moved.graph.shape == open_graph(made).shape
    assert "llama-by-hand" not in repr(moved.object)
    new = {"mountPoint": "/model", "name": NEW.cache}
    for service in moved.object["spec"].get("services", {}).values():
        assert service["pvc"] == new and "mainContainer" not in repr(service)
    assert not replace_pin(moved.object, NEW).changed


def by_hand(mount: bool) -> dict:
    made = pin_graph(chat(), OLD).object
    pod = made["spec"]["components"][1]["podTemplate"]["spec"]
    if mount:
        pod["volumes"].append({"name": "own", "persistentVolumeClaim": {"claimName": "llama"}})
    else:
        (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        own = {"key": "fluid.io/s-alluxio-ns-llama", "operator": "In", "values": ["true"]}
        term["matchExpressions"].append(own)
    return made


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (chat(), "it is not pinned to llama"),
        (by_hand(mount=True), "component Work mounts llama by hand"),
        (by_hand(mount=False), "component Work requires the nodes of llama by hand"),
    ],
    ids=["not pinned", "mount", "affinity"],
)
def test_what_others_wrote_is_not_moved(made: dict, reason: str):
    with pytest.raises(NotPinnedError) as caught:
        replace_pin(made, NEW)
    assert caught.value.reason == reason
    assert "kubectl fluidmodel pin llama dgd/chat --adopt -n ns" in caught.value.hint


def test_an_adopted_pin_moves_too():
    hand_made = pin_graph(chat(), OLD).object
    del hand_made["metadata"]["annotations"]
    adopted = pin_graph(hand_made, replace(OLD, adopt=True)).object
    moved = replace_pin(adopted, NEW).object
    assert read_pins(moved).caches() == ["llama-1a2b3c4"]
    assert '"llama"' not in str(moved["spec"]).replace("'", '"')
