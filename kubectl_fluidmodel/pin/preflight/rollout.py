"""How the pods will be replaced, and whether that can come to an end.

Rules: the operator's rolling update of Deployments (surge and unavailable 25% by default,
rounded up and down; both zero means surge 1), Grove and LeaderWorkerSet (no surge).
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph
from kubectl_fluidmodel.dynamo.resources import (
    COMPONENT,
    ENABLE_GROVE_ANNOTATION,
    GROVE_STRATEGY_ANNOTATION,
    MAX_UNAVAILABLE_ANNOTATION,
    STRATEGY_ANNOTATION,
)
from kubectl_fluidmodel.objects import gpus
from kubectl_fluidmodel.objects.access import get_path, name_of
from kubectl_fluidmodel.pin.preflight.context import (
    NOTE,
    REFUSE,
    WARN,
    PreflightContext,
    PreflightFinding,
)


def check_rollout(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Which pods roll, and what stands in their way."""
    if not context.result.changed:
        return
    rolling = context.rolling_components()
    changed = {part.component for part in context.result.changes if part.changed}
    beside = [item.name for item in rolling if item.name not in changed]
    workers = [item.name for item in rolling if item.role is Role.WORKER]
    if beside and context.graph.kind != COMPONENT:
        yield PreflightFinding(
            WARN,
            f"all workers of {context.graph.reference} roll",
            f"the operator replaces {', '.join(beside)} too when one worker changes",
        )
    elif len(workers) > 1:
        yield PreflightFinding(
            NOTE, f"all workers of {context.graph.reference} roll: {', '.join(workers)}"
        )
    for component in context.graph.components:
        if component.second_pod_template and component.name in changed:
            yield PreflightFinding(
                WARN,
                f"component {component.name} has a pod template of its own in "
                f"{component.second_pod_template}",
                "pods made from it are not pinned",
            )
    if context.graph.annotations.get(GROVE_STRATEGY_ANNOTATION) == "OnDelete":
        name = name_of(context.before)
        yield PreflightFinding(
            WARN,
            f"Grove does not replace the pods of {name}",
            f"{GROVE_STRATEGY_ANNOTATION} is OnDelete",
            f"kubectl delete pod -n {context.cache.namespace} "
            f"-l nvidia.com/dynamo-graph-deployment-name={name}",
        )
    yield from _check_deadlock(context)


def workload_kind(graph: Graph, component: Component) -> str:
    """Kind of object behind a component: Deployment, PodClique …; empty where nothing tells."""
    status = graph.object.get("status") or {}
    for place in ("components", "services"):
        kind = get_path(status, place, component.name, "componentKind", default="")
        if kind:
            return str(kind)
    if component.nodes_per_replica > 1:
        return "LeaderWorkerSet"
    if graph.kind == COMPONENT or graph.annotations.get(ENABLE_GROVE_ANNOTATION) == "false":
        return "Deployment"
    return ""


def surges_first(component: Component, graph_annotations: dict[str, str]) -> bool:
    """Whether a new pod has to be Ready before any old one goes."""
    annotations = {**graph_annotations, **component.pod_annotations()}
    if annotations.get(STRATEGY_ANNOTATION) == "Recreate":
        return False
    # Where surge and unavailable are both zero, the operator surges by one.
    return (
        _max_unavailable(annotations.get(MAX_UNAVAILABLE_ANNOTATION, "25%"), component.replicas)
        == 0
    )


def _max_unavailable(text: str, replicas: int) -> int:
    try:
        return int(text[:-1]) * replicas // 100 if text.endswith("%") else int(text)
    except ValueError:
        return 0


def _check_deadlock(context: PreflightContext) -> Iterator[PreflightFinding]:
    """A surge that waits for GPUs which the pods to be replaced hold themselves."""
    if context.request.preferred or not context.cache.nodes:
        return
    spec = context.before.get("spec") or {}
    everywhere = spec.get("annotations") or {}
    changed = {part.component for part in context.result.changes if part.changed}
    pods: list[scheduling.GpuRequest] = []
    certain = True
    looked = [node for node in context.cache.nodes if name_of(node) in context.cache.pods]
    if len(looked) < len(context.cache.nodes):
        return
    on = {name_of(node): context.cache.pods[name_of(node)] for node in looked}
    room = {name_of(node): gpus.free_gpus(node, on[name_of(node)]) for node in looked}
    afterwards = {
        name_of(node): gpus.free_gpus(
            node, [p for p in on[name_of(node)] if not context.owns_pod(p)]
        )
        for node in looked
    }
    for before, after in context.pinned_workers():
        kind = workload_kind(context.graph, after)
        if before.name not in changed or not after.gpus() or kind not in ("", "Deployment"):
            continue
        if after.replicas and surges_first(after, everywhere):
            certain = certain and kind == "Deployment"
            nodes = tuple(
                name_of(node)
                for node in context.cache.nodes
                if not scheduling.unschedulable_reasons(before.pod_spec(), node, before.gpus())
            )
            pods.append((after.name, after.gpus(), nodes))
    stuck = scheduling.pack_pods(pods, room)
    if stuck and not scheduling.pack_pods(pods, afterwards):
        what = f"the roll-out of {', '.join(stuck)} would wait for ever"
        why = (
            "a new pod has to be Ready before an old one goes, and the graph's own pods hold "
            "the GPUs of the cache nodes"
        )
        if not certain:
            why += " (unless Grove runs the graph: it does not surge)"
        # Where another component's new pod fits, its old one may make room.
        hopeless = certain and len(stuck) == len(pods)
        yield PreflightFinding(
            REFUSE if hopeless else WARN,
            what if len(stuck) == len(pods) else what.replace("would", "may"),
            why,
            f"--recreate, which sets {STRATEGY_ANNOTATION}: Recreate on the workers",
        )
