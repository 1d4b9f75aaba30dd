"""Patches that meet another version of a graph than the one that was read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.errors import InvalidError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin.cluster_reader import CountingClient
from kubectl_fluidmodel.pin.graph_patch import ATTEMPTS, GraphChange, apply_change
from kubectl_fluidmodel.pin.graph_reader import ServedGraph
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph
from tests.dynamo.patching import apply_patch

KIND = Kind("nvidia.com", "v1beta1", "DynamoGraphDeployment", "dynamographdeployments")


class FakeServer:
    """An API server with one graph; `meanwhile` happens as the first patches arrive."""

    def __init__(
        self, graph: Object, meanwhile: Callable[[FakeServer], None], times: int = 1
    ) -> None:
        self.graph, self.meanwhile, self.times = graph, meanwhile, times
        self.operations: list[Any] = []

    def get(self, *_: object) -> Object:
        return copy.deepcopy(self.graph)

    def patch(self, *where: Any, **_: object) -> Object:
        self.operations = where[3]
        self.times -= 1
        if self.times >= 0:
            self.meanwhile(self)
        try:
            self.store(apply_patch(self.graph, self.operations))
        except ValueError as err:
            raise InvalidError("cannot patch dgd/chat", str(err), status=422) from err
        return self.get()

    def store(self, graph: Object) -> None:
        version = str(int(self.graph["metadata"]["resourceVersion"]) + 1)
        self.graph = {**graph, "metadata": {**graph["metadata"], "resourceVersion": version}}


def graph() -> Object:
    main = {"name": "main", "image": "example.com/vllm:1", "command": ["python3"]}
    worker = {"name": "W", "type": "worker", "podTemplate": {"spec": {"containers": [main]}}}
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.name,
        "metadata": {"name": "chat", "namespace": "prod", "resourceVersion": "1"},
        "spec": {"components": [worker]},
    }


def apply_pin(server: FakeServer) -> Object:
    request = PinRequest("llama", "fluid.io/s-prod-llama")
    served = ServedGraph(KIND, server.get(), None)
    change = GraphChange.of(served, lambda obj, _: pin_graph(obj, request), "llama")
    return apply_change(cast(CountingClient, server), change)


def store_patch(server: FakeServer) -> None:
    """The patch itself: its response is lost, and it is sent again."""
    server.store(apply_patch(server.graph, server.operations))


def write_status(server: FakeServer) -> None:
    server.store({**server.graph, "status": {"state": "pending"}})


def rename_component(server: FakeServer) -> None:
    changed = copy.deepcopy(server.graph)
    changed["spec"]["components"][0]["name"] = "Other"
    server.store(changed)


@pytest.mark.parametrize("meanwhile", [store_patch, write_status])
def test_patch_is_stored_once(meanwhile: Callable[[FakeServer], None]) -> None:
    server = FakeServer(graph(), meanwhile)
    stored = apply_pin(server)
    (component,) = stored["spec"]["components"]
    assert "affinity" in component["podTemplate"]["spec"]
    assert len(component["podTemplate"]["spec"]["volumes"]) == 1
    assert stored == server.graph


def test_an_operator_that_writes_several_times_in_a_row_is_no_obstacle() -> None:
    server = FakeServer(graph(), write_status, times=ATTEMPTS - 1)
    assert apply_pin(server) == server.graph
    assert "affinity" in server.graph["spec"]["components"][0]["podTemplate"]["spec"]


def test_the_patch_gives_up_where_every_attempt_meets_a_write() -> None:
    server = FakeServer(graph(), write_status, times=100)
    with pytest.raises(FluidModelError, match="was changed while it was being patched"):
        apply_pin(server)
    assert server.times == 100 - ATTEMPTS


def test_patch_of_a_graph_that_somebody_else_changed_is_refused() -> None:
    server = FakeServer(graph(), rename_component)
    with pytest.raises(FluidModelError, match="was changed while it was being patched"):
        apply_pin(server)
    assert "affinity" not in server.graph["spec"]["components"][0]["podTemplate"]["spec"]
