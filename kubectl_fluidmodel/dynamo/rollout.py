"""The progress of a pinned graph's roll-out, from its pods. Pure.

All operators, backends and versions create pods, so pods decide: a pod has the new template if it
mounts the claim and, in mode `required`, requires the cache's label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import field

from kubectl_fluidmodel.dynamo.affinity import required_key
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.graph import Graph
from kubectl_fluidmodel.dynamo.pin_annotation import MODE_REQUIRED
from kubectl_fluidmodel.dynamo.resources import (
    COMPONENT,
    COMPONENT_LABEL,
    GRAPH_LABEL,
    SELECTOR_LABEL,
)
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    metadata_of,
    name_of,
)
from kubectl_fluidmodel.objects.pods import claim_names, has_ready_condition, is_gone
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class ExpectedPods:
    """A component whose roll-out is watched."""

    component: str
    pods: int
    mode: str


@dataclass(frozen=True)
class PodStatus:
    """One pod of the new template."""

    component: str
    name: str
    node: str
    ready: bool
    on_cache_node: bool | None
    """Whether its node holds the cache; None if the cache's nodes are not known."""
    problem: str
    """Message of the scheduler or the kubelet; empty without a problem."""
    unschedulable: bool
    gated: bool = False
    """Whether a scheduling gate keeps it from being scheduled."""

    @property
    def cannot_start(self) -> bool:
        """Whether a container cannot start without a change of image or configuration."""
        return self.problem.partition(":")[0] in _PERMANENT_REASONS


_PERMANENT_REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
)
"""The kubelet's reasons that persist until somebody changes the image or the configuration."""


@dataclass
class RolloutStatus:
    """The roll-out at one moment."""

    observed: bool
    """Whether the operator has observed the change."""
    expected: list[ExpectedPods]
    pods: list[PodStatus] = field(default_factory=list)
    old_pods: int = 0
    """Running pods of the old template."""

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.pods)

    @property
    def total(self) -> int:
        return sum(expected.pods for expected in self.expected)

    @property
    def done(self) -> bool:
        if not self.observed or self.old_pods:
            return False
        ready = Counter(pod.component for pod in self.pods if pod.ready)
        return all(ready[expected.component] >= expected.pods for expected in self.expected)

    @property
    def unschedulable(self) -> list[PodStatus]:
        """The pods for which the scheduler found no node."""
        return [pod for pod in self.pods if pod.unschedulable]

    @property
    def misplaced(self) -> list[PodStatus]:
        """Pods that must be on a cache node and run elsewhere."""
        bound = {expected.component for expected in self.expected if expected.mode == MODE_REQUIRED}
        return [
            pod
            for pod in self.pods
            if pod.node and pod.on_cache_node is False and pod.component in bound
        ]

    def summary(self) -> str:
        text = f"{self.ready} of {self.total} pods ready"
        if not self.observed:
            text += ", waiting for the operator"
        if self.old_pods:
            text += f", {self.old_pods} old ones left"
        if self.unschedulable:
            text += f", {len(self.unschedulable)} unschedulable"
        gated = [pod for pod in self.pods if pod.gated]
        if gated:
            text += f"; {gated[0].name} is {gated[0].problem}"
            text += f", and {len(gated) - 1} more" if len(gated) > 1 else ""
        return text


def pod_selector(graph: Graph, name: str) -> str:
    """The label selector of a graph's pods; operators up to 0.5 need the wider one."""
    if graph.kind == COMPONENT:
        return f"{SELECTOR_LABEL}={name}"
    return SELECTOR_LABEL if graph.shape == "v1alpha1-pvc" else f"{GRAPH_LABEL}={name}"


def rollout_status(
    graph: Graph,
    expected: list[ExpectedPods],
    pods: Iterable[Object],
    claim: str,
    labels: tuple[str, ...],
    cache_nodes: set[str] | None,
) -> RolloutStatus:
    """Compute how far the roll-out of the expected components is.

    Args:
        graph: its current state.
        expected: the components whose pods are watched.
        pods: all pods that `pod_selector` selects.
        claim: the claim that new pods mount.
        labels: keys of the labels of the cache's nodes; new pods require one of them.
        cache_nodes: names of the cache's nodes; None if they may not be read.
    """
    status = RolloutStatus(_is_observed(graph.object), expected)
    modes = {item.component: item.mode for item in expected}
    for pod in sorted(pods, key=name_of):
        component = owning_component(graph, pod)
        if component is None or component.name not in modes:
            continue
        if is_gone(pod):
            continue
        if has_new_template(pod, claim, labels, modes[component.name]):
            status.pods.append(_pod_status(component.name, pod, cache_nodes))
        else:
            status.old_pods += 1
    return status


def _is_observed(graph: Object) -> bool:
    """Return whether the operator has observed the newest version; old ones do not report it."""
    observed = get_path(graph, "status", "observedGeneration")
    generation = metadata_of(graph).get("generation")
    return observed is None or generation is None or int(observed) >= int(generation)


def _pod_status(component: str, pod: Object, cache_nodes: set[str] | None) -> PodStatus:
    node = str(get_path(pod, "spec", "nodeName", default=""))
    problem, unschedulable = startup_problem(pod)
    return PodStatus(
        component,
        name_of(pod),
        node,
        ready=has_ready_condition(pod),
        on_cache_node=None if cache_nodes is None else node in cache_nodes,
        problem=problem,
        unschedulable=unschedulable,
        gated=bool(scheduling_gates(pod)),
    )


def expected_pods(components: Iterable[tuple[Component, str]]) -> list[ExpectedPods]:
    """What to wait for: every pod of the given components."""
    return [
        ExpectedPods(component.name, component.replicas * component.nodes_per_replica, mode)
        for component, mode in components
    ]


def has_new_template(pod: Object, claim: str, labels: tuple[str, ...], mode: str) -> bool:
    """Return whether a pod was created from the pinned template.

    It mounts the claim and, in mode `required`, requires one of the labels.
    """
    if claim not in claim_names(pod):
        return False
    return mode != MODE_REQUIRED or bool(required_key(pod.get("spec") or {}, labels))


def owning_component(graph: Graph, pod: Object) -> Component | None:
    """The component that a pod belongs to, by its labels."""
    labels = labels_of(pod)
    if graph.kind == COMPONENT:
        is_own = labels.get(SELECTOR_LABEL) == graph.name
        return graph.components[0] if is_own else None
    if labels.get(GRAPH_LABEL, graph.name) != graph.name:
        return None
    for component in graph.components:
        named = labels.get(COMPONENT_LABEL, "").lower() == component.name.lower()
        selected = labels.get(SELECTOR_LABEL) == f"{graph.name}-{component.name.lower()}"
        if (named and GRAPH_LABEL in labels) or selected:
            return component
    return None


def scheduling_gates(pod: Object) -> list[str]:
    """Return the scheduling gates of a pod.

    With a gate, no scheduler handles the pod, and there is no event about it.
    """
    return [str(gate.get("name", "")) for gate in get_list(pod, "spec", "schedulingGates")]


def startup_problem(pod: Object) -> tuple[str, bool]:
    """Return why a pod is not running, and whether the scheduler found no node for it.

    Returns:
        Message of the scheduler or the kubelet, empty without a problem; unschedulable.
    """
    gates = scheduling_gates(pod)
    if gates:
        return f"SchedulingGated by {', '.join(gates)}", False
    for condition in get_path(pod, "status", "conditions", default=[]):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = str(condition.get("reason") or "")
            message = str(condition.get("message") or reason)
            return message, reason == "Unschedulable"
    for container in get_path(pod, "status", "containerStatuses", default=[]):
        waiting = get_path(container, "state", "waiting")
        if waiting and waiting.get("reason") not in ("ContainerCreating", "PodInitializing"):
            parts = [str(waiting.get(key)) for key in ("reason", "message") if waiting.get(key)]
            return ": ".join(parts), False
    return "", False
