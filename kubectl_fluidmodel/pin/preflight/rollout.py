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
    ENABLE_GROVE,
    GROVE_STRATEGY,
    MAX_UNAVAILABLE,
    STRATEGY,
)
from kubectl_fluidmodel.objects import gpus
from kubectl_fluidmodel.objects.access import at, name_of
from kubectl_fluidmodel.pin.preflight.context import NOTE, REFUSE, WARN, Case, Verdict


def judge_rollout(case: Case) -> Iterator[Verdict]:
    """Which pods roll, and what stands in their way."""
    if not case.outcome.changed:
        return
    rolling = case.rolling()
    changed = {part.component for part in case.outcome.parts if part.changed}
    beside = [item.name for item in rolling if item.name not in changed]
    workers = [item.name for item in rolling if item.role is Role.WORKER]
    if beside and case.graph.kind != COMPONENT:
        yield Verdict(
            WARN,
            f"all workers of {case.graph.reference} roll",
            f"the operator replaces {', '.join(beside)} too when one worker changes",
        )
    elif len(workers) > 1:
        yield Verdict(NOTE, f"all workers of {case.graph.reference} roll: {', '.join(workers)}")
    for component in case.graph.components:
        if component.own_pod_template and component.name in changed:
            yield Verdict(
                WARN,
                f"component {component.name} has a pod template of its own in "
                f"{component.own_pod_template}",
                "pods made from it are not pinned",
            )
    if case.graph.annotations.get(GROVE_STRATEGY) == "OnDelete":
        name = name_of(case.before)
        yield Verdict(
            WARN,
            f"Grove does not replace the pods of {name}",
            f"{GROVE_STRATEGY} is OnDelete",
            f"kubectl delete pod -n {case.cache.namespace} "
            f"-l nvidia.com/dynamo-graph-deployment-name={name}",
        )
    yield from _deadlock(case)


def backing(graph: Graph, component: Component) -> str:
    """Kind of object behind a component: Deployment, PodClique …; empty where nothing tells."""
    status = graph.object.get("status") or {}
    for place in ("components", "services"):
        kind = at(status, place, component.name, "componentKind", default="")
        if kind:
            return str(kind)
    if component.nodes_per_replica > 1:
        return "LeaderWorkerSet"
    if graph.kind == COMPONENT or graph.annotations.get(ENABLE_GROVE) == "false":
        return "Deployment"
    return ""


def surges(component: Component, graph_annotations: dict[str, str]) -> bool:
    """Whether a new pod has to be Ready before any old one goes."""
    annotations = {**graph_annotations, **component.pod_annotations()}
    if annotations.get(STRATEGY) == "Recreate":
        return False
    # Where surge and unavailable are both zero, the operator surges by one.
    return _unavailable(annotations.get(MAX_UNAVAILABLE, "25%"), component.replicas) == 0


def _unavailable(text: str, replicas: int) -> int:
    try:
        return int(text[:-1]) * replicas // 100 if text.endswith("%") else int(text)
    except ValueError:
        return 0


def _deadlock(case: Case) -> Iterator[Verdict]:
    """A surge that waits for GPUs which the pods to be replaced hold themselves."""
    if case.wish.preferred or not case.cache.nodes:
        return
    spec = case.before.get("spec") or {}
    everywhere = spec.get("annotations") or {}
    changed = {part.component for part in case.outcome.parts if part.changed}
    pods: list[scheduling.Want] = []
    certain = True
    looked = [node for node in case.cache.nodes if name_of(node) in case.cache.pods]
    if len(looked) < len(case.cache.nodes):
        return
    on = {name_of(node): case.cache.pods[name_of(node)] for node in looked}
    room = {name_of(node): gpus.free(node, on[name_of(node)]) for node in looked}
    afterwards = {
        name_of(node): gpus.free(node, [p for p in on[name_of(node)] if not case.owns(p)])
        for node in looked
    }
    for before, after in case.workers():
        kind = backing(case.graph, after)
        if before.name not in changed or not after.gpus() or kind not in ("", "Deployment"):
            continue
        if after.replicas and surges(after, everywhere):
            certain = certain and kind == "Deployment"
            nodes = tuple(
                name_of(node)
                for node in case.cache.nodes
                if not scheduling.obstacles(before.pod_spec(), node, before.gpus())
            )
            pods.append((after.name, after.gpus(), nodes))
    stuck = scheduling.place(pods, room)
    if stuck and not scheduling.place(pods, afterwards):
        what = f"the roll-out of {', '.join(stuck)} would wait for ever"
        why = (
            "a new pod has to be Ready before an old one goes, and the graph's own pods hold "
            "the GPUs of the cache nodes"
        )
        if not certain:
            why += " (unless Grove runs the graph: it does not surge)"
        # Where another component's new pod fits, its old one may make room.
        hopeless = certain and len(stuck) == len(pods)
        yield Verdict(
            REFUSE if hopeless else WARN,
            what if len(stuck) == len(pods) else what.replace("would", "may"),
            why,
            f"--recreate, which sets {STRATEGY}: Recreate on the workers",
        )
