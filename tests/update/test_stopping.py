"""`--in-place` needs the readers to end: the commands that stop graphs, and start them again."""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any

import pytest

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.output.shell import Command
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import pin_graph
from kubectl_fluidmodel.update.stopping import GraphStop, graph_stops, stop_texts
from tests.update.samples import OLD, cache, chat

ALPHA = {
    "apiVersion": "nvidia.com/v1alpha1",
    "kind": "DynamoGraphDeployment",
    "metadata": {"name": "chat", "namespace": "ns"},
    "spec": {
        "services": {
            "Frontend": {"componentType": "frontend", "replicas": 1},
            "Worker": {"componentType": "worker", "resources": {"limits": {"gpu": "1"}}},
        }
    },
}


def applied(obj: dict[str, Any], command: Command) -> dict[str, Any]:
    """The object as `kubectl patch --type json` leaves it, for `add` of members."""
    arguments = shlex.split(str(command))
    changed = copy.deepcopy(obj)
    for operation in json.loads(arguments[arguments.index("-p") + 1]):
        assert operation["op"] == "add"
        *path, last = operation["path"].split("/")[1:]
        place: Any = changed
        for step in path:
            place = place[int(step)] if isinstance(place, list) else place[step]
        place[last] = operation["value"]
    return changed


def replicas(obj: dict[str, Any]) -> dict[str, int]:
    return {component.name: component.replicas for component in open_graph(obj).components}


def stop_of(obj: dict[str, Any]) -> GraphStop:
    (stop,) = graph_stops(cache("llama", OLD, graphs=(obj,)))
    return stop


@pytest.mark.parametrize("before", [chat(), pin_graph(ALPHA, PinRequest("llama", "x")).object])
def test_components_with_the_claim_are_stopped_and_started_as_before(before) -> None:
    stop = stop_of(before)
    stopped = applied(before, stop.stop)
    assert set(replicas(stopped).values()) == {0}
    assert replicas(applied(stopped, stop.start)) == replicas(before)
    version = before["apiVersion"].rpartition("/")[2]
    assert str(stop.stop).startswith(
        f"kubectl patch dynamographdeployments.{version}.nvidia.com chat --type json -p "
    )
    assert str(stop.stop).endswith(" -n ns")


def test_components_without_the_claim_go_on() -> None:
    before = chat()
    front = open_graph(before).components[0]
    pinned = pin_graph(ALPHA, PinRequest("llama", "x", components=("Worker",))).object
    assert front.name == "Front"
    assert replicas(applied(pinned, stop_of(pinned).stop)) == {"Frontend": 1, "Worker": 0}


def test_what_is_stopped_already_has_no_command() -> None:
    before = chat()
    before["spec"]["components"] = [
        {**component, "replicas": 0} for component in before["spec"]["components"]
    ]
    assert graph_stops(cache("llama", OLD, graphs=(before,))) == []


def test_a_graph_in_git_is_stopped_there() -> None:
    managed = chat(labels={"argocd.argoproj.io/tracking-id": "x"})
    assert stop_texts([stop_of(managed)]) == [
        ("Argo CD manages chat: set its replicas in git", None)
    ]
    stop = stop_of(chat())
    assert stop_texts([stop]) == [
        ("to stop chat:", stop.stop),
        ("to start it again afterwards:", stop.start),
    ]
