"""How many replicas a component may get, and how many of them the cache's nodes hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_fluidmodel.dynamo.autoscaling import ReplicaLimit, replica_limit, shortfall
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.graph import Graph, open_graph
from tests.dynamo.test_weight_loader import graph, worker

ADAPTER = "DynamoGraphDeploymentScalingAdapter"


def autoscaler(
    maximum: Any, target: str = "chat-w", kind: str = ADAPTER, namespace: str = "ns"
) -> dict[str, Any]:
    reference = {"kind": kind, "name": target}
    return {
        "metadata": {"name": "by-load", "namespace": namespace},
        "spec": {"scaleTargetRef": reference, "maxReplicas": maximum},
    }


def planner(*arguments: str) -> dict[str, Any]:
    container = {"name": "main", "command": ["python3", "-m", "dynamo.planner"]}
    spec = {"containers": [{**container, "args": list(arguments)}]}
    return {"name": "Planner", "type": "planner", "podTemplate": {"spec": spec}}


@dataclass(frozen=True)
class Row:
    """A worker with its graph, and the most replicas that it may get."""

    name: str
    replicas: int
    source: str
    gpus: int = 1
    worker: dict[str, Any] = field(default_factory=dict)
    autoscalers: tuple[dict[str, Any], ...] = ()
    others: tuple[dict[str, Any], ...] = ()


SCALED = {"scalingAdapter": {}}
ROWS = (
    Row("its own number", 1, "the graph"),
    Row("an autoscaler", 5, "by-load", worker=SCALED, autoscalers=(autoscaler(5),)),
    Row("the larger of two", 7, "by-load", 1, SCALED, (autoscaler(5), autoscaler(7))),
    Row("one that scales less", 3, "the graph", 1, {**SCALED, "replicas": 3}, (autoscaler(2),)),
    Row("no adapter", 1, "the graph", autoscalers=(autoscaler(5),)),
    Row("an adapter that is off", 1, "the graph", 1, {"scalingAdapter": {"enabled": False}},
        (autoscaler(5),)),
    Row("another component's", 1, "the graph", 1, SCALED, (autoscaler(5, "chat-other"),)),
    Row("another kind", 1, "the graph", 1, SCALED, (autoscaler(5, kind="Deployment"),)),
    Row("another namespace", 1, "the graph", 1, SCALED, (autoscaler(5, namespace="x"),)),
    Row("no number", 1, "the graph", 1, SCALED, (autoscaler("5"),)),
    Row("a planner's flag", 4, "max_gpu_budget of 16", 4,
        others=(planner("--max-gpu-budget=16"),)),
    Row("a planner's flag of two words", 4, "of 16", 4,
        others=(planner("--max-gpu-budget", "16"),)),
    Row("a planner's configuration", 3, "of 24", 8,
        others=(planner("--config", '{"mode": "agg", "max_gpu_budget": 24}'),)),
    Row("a planner's default", 8, "of 8", others=(planner("--config", '{"mode": "agg"}'),)),
    Row("no limit", 1, "the graph", others=(planner("--max-gpu-budget", "-1"),)),
    Row("a file", 1, "the graph", others=(planner("--config", "/etc/planner.yaml"),)),
    Row("damaged JSON", 1, "the graph", others=(planner("--config", "{'a'"),)),
    Row("a budget that is no number", 1, "the graph",
        others=(planner("--config", '{"max_gpu_budget": "all"}'),)),
    Row("a planner of a model on two nodes", 2, "of 32", 8,
        {"multinode": {"nodeCount": 2}}, others=(planner("--max-gpu-budget=32"),)),
)  # fmt: skip


def opened(made: dict[str, Any], *others: dict[str, Any]) -> tuple[Graph, Component]:
    obj = graph(made, *others)
    obj["metadata"] = {"name": "chat", "namespace": "ns"}
    opened_graph = open_graph(obj)
    component = opened_graph.component("W")
    assert component is not None
    return opened_graph, component


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_most_replicas_of_a_component(row: Row) -> None:
    made = {**worker("vllm", gpus=row.gpus), "name": "W", **row.worker}
    limit = replica_limit(*opened(made, *row.others), row.autoscalers)
    assert limit.replicas == row.replicas
    assert row.source in limit.source


def test_the_first_api_knows_the_same() -> None:
    obj = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "chat", "namespace": "ns"},
        "spec": {
            "services": {"W": {"componentType": "worker", "scalingAdapter": {"enabled": True}}}
        },
    }
    opened_graph = open_graph(obj)
    assert replica_limit(opened_graph, opened_graph.components[0], [autoscaler(6)]).replicas == 6


GPUS = {"nvidia.com/gpu": 8}


@pytest.mark.parametrize(
    ("gpus", "spread", "replicas", "fitting", "nodes"),
    [
        (4, 1, 2, None, 0),
        (4, 1, 5, 2, 3),
        (8, 1, 2, 1, 2),
        (8, 2, 1, 0, 2),
        (16, 1, 1, 0, 0),
    ],
)
def test_what_the_nodes_lack(
    gpus: int, spread: int, replicas: int, fitting: int | None, nodes: int
) -> None:
    made = {**worker("vllm", gpus=gpus), "name": "W", "multinode": {"nodeCount": spread}}
    _, component = opened(made)
    lack = shortfall(component, ReplicaLimit(replicas, "x"), {"gpu-0": GPUS})
    assert (lack and lack.fitting, lack.nodes_needed if lack else 0) == (fitting, nodes)
