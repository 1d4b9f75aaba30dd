"""How many replicas a component may get: by its graph, an autoscaler or Dynamo's planner. Pure.

Sources: Dynamo 1.6, deploy/operator (a component with a `scalingAdapter` has a
DynamoGraphDeploymentScalingAdapter, which is what a HorizontalPodAutoscaler scales), and
components/src/dynamo/planner (`max_gpu_budget`, 8 by default, bounds the GPUs of all its workers).
KEDA scales through a HorizontalPodAutoscaler of its own, so it needs no rule here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kubectl_fluidmodel.dynamo.component import Component, command_words
from kubectl_fluidmodel.dynamo.graph import Graph
from kubectl_fluidmodel.dynamo.scheduling import pack_pods
from kubectl_fluidmodel.objects.access import Object, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.gpus import Gpus, has_enough
from kubectl_fluidmodel.records import dataclass

ADAPTER = "DynamoGraphDeploymentScalingAdapter"
DEFAULT_GPU_BUDGET = 8
_BUDGET_FLAG = re.compile(r"--max-gpu-budget[= ]+['\"]?(-?\d+)")
_CONFIG_FLAG = re.compile(r"--config[= ]+['\"]?(?=\{)")


@dataclass(frozen=True)
class ReplicaLimit:
    """The most replicas that a component may get."""

    replicas: int
    source: str
    """What sets them: the autoscaler, the planner, or `the graph`."""


@dataclass(frozen=True)
class Shortfall:
    """Replicas that would have no node of the cache."""

    limit: ReplicaLimit
    fitting: int
    """How many of the replicas the cache's nodes hold."""
    nodes_needed: int
    """Nodes like the cache's for all of them; 0 if a replica fits on none."""

    def __str__(self) -> str:
        return (
            f"may get {self.limit.replicas} replicas ({self.limit.source}), and the cache's nodes "
            f"hold {self.fitting}: the others would stay Pending"
        )


def is_autoscaled(component: Component) -> bool:
    """Whether the component has a scaling adapter, so that an autoscaler may scale it."""
    adapter = component.spec.get("scalingAdapter")
    return isinstance(adapter, dict) and adapter.get("enabled", True) is not False


def replica_limit(
    graph: Graph, component: Component, autoscalers: Iterable[Object]
) -> ReplicaLimit:
    """The most replicas that a component may get.

    Args:
        graph: the component's graph.
        component: one of its workers.
        autoscalers: the HorizontalPodAutoscalers of the cluster or the namespace.
    """
    limits = [ReplicaLimit(component.replicas, "the graph")]
    if is_autoscaled(component):
        limits += _autoscaler_limits(graph, component, autoscalers)
    gpus = sum(component.gpus().values()) * component.nodes_per_replica
    budget = _gpu_budget(graph)
    if gpus and budget is not None:
        limits.append(ReplicaLimit(budget // gpus, f"the planner's max_gpu_budget of {budget}"))
    return max(limits, key=lambda limit: limit.replicas)


def shortfall(
    component: Component, limit: ReplicaLimit, nodes: Mapping[str, Gpus]
) -> Shortfall | None:
    """What the cache's nodes lack for the replicas that a component may get; None if nothing.

    Args:
        component: a worker that is bound to the cache's nodes.
        limit: its replicas.
        nodes: the allocatable GPUs of the cache's nodes by name.
    """
    needs, spread = component.gpus(), component.nodes_per_replica
    pods = [(component.name, needs, tuple(nodes))] * (limit.replicas * spread)
    unplaced = len(pack_pods(pods, nodes)) if needs else 0
    if not unplaced:
        return None
    per_node = max((_pods_on(needs, gpus) for gpus in nodes.values()), default=0)
    return Shortfall(
        limit,
        (len(pods) - unplaced) // spread,
        -(-len(pods) // per_node) if per_node else 0,
    )


def _pods_on(needs: Gpus, gpus: Gpus) -> int:
    """How many pods one empty node holds."""
    if not has_enough(needs, gpus):
        return 0
    return min(gpus[name] // count for name, count in needs.items() if count)


def _autoscaler_limits(
    graph: Graph, component: Component, autoscalers: Iterable[Object]
) -> Iterator[ReplicaLimit]:
    adapter = f"{graph.name}-{component.name.lower()}"
    for autoscaler in autoscalers:
        target = get_path(autoscaler, "spec", "scaleTargetRef", default={})
        maximum = get_path(autoscaler, "spec", "maxReplicas")
        if (
            namespace_of(autoscaler) == graph.namespace
            and (target.get("kind"), target.get("name")) == (ADAPTER, adapter)
            and isinstance(maximum, int)
        ):
            yield ReplicaLimit(maximum, f"HorizontalPodAutoscaler {name_of(autoscaler)}")


def _gpu_budget(graph: Graph) -> int | None:
    """The planner's limit on GPUs; None without a planner, a limit, or one that can be read.

    It is in a flag, or in the JSON of `--config`. A file's content is not in the graph.
    """
    for component in graph.components:
        if component.declared_type != "planner":
            continue
        command = " ".join(command_words(component.main_container()))
        flag = _BUDGET_FLAG.search(command)
        if flag:
            return _budget(int(flag[1]))
        config = _CONFIG_FLAG.search(command)
        if config:
            return _budget_of_config(command[config.end() :])
    return None


def _budget_of_config(text: str) -> int | None:
    try:
        config: Any = json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return None
    budget = config.get("max_gpu_budget", DEFAULT_GPU_BUDGET)
    return _budget(budget) if isinstance(budget, int) else None


def _budget(value: int) -> int | None:
    """A budget below 0 is none."""
    return value if value >= 0 else None
