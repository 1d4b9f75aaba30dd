"""The objects that the operator makes of a component, and how they replace their pods. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.graph import Graph
from kubectl_fluidmodel.dynamo.resources import (
    COMPONENT,
    ENABLE_GROVE_ANNOTATION,
    MAX_UNAVAILABLE_ANNOTATION,
    STRATEGY_ANNOTATION,
)
from kubectl_fluidmodel.objects.access import get_path


def workload_kind(graph: Graph, component: Component) -> str:
    """Return the kind of object behind a component: Deployment, PodClique …; empty if unknown."""
    status = graph.object.get("status") or {}
    for field in ("components", "services"):
        kind = get_path(status, field, component.name, "componentKind", default="")
        if kind:
            return str(kind)
    if component.nodes_per_replica > 1:
        return "LeaderWorkerSet"
    if graph.kind == COMPONENT or graph.annotations.get(ENABLE_GROVE_ANNOTATION) == "false":
        return "Deployment"
    return ""


def surges_first(component: Component, graph_annotations: dict[str, str]) -> bool:
    """Return whether a new pod has to be Ready before any old one is deleted."""
    annotations = {**graph_annotations, **component.pod_annotations()}
    if annotations.get(STRATEGY_ANNOTATION) == "Recreate":
        return False
    # If surge and unavailable are both zero, the operator uses a surge of one.
    allowed = annotations.get(MAX_UNAVAILABLE_ANNOTATION, "25%")
    return _max_unavailable(allowed, component.replicas) == 0


def _max_unavailable(text: str, replicas: int) -> int:
    try:
        return int(text[:-1]) * replicas // 100 if text.endswith("%") else int(text)
    except ValueError:
        return 0
