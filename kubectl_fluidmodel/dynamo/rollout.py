"""Where the roll-out of a pinned graph stands, judged from its pods. Pure.

Pods are what all operators, backends and versions have in common, so they decide: a pod is of
the new template when it has the claim and, where it must, the cache's label in its affinity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kubectl_fluidmodel.dynamo.affinity import LabelRequirement, has_requirement
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
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.node_selector import is_empty, terms_of


@dataclass(frozen=True)
class ExpectedPods:
    """A component that is being followed: what its pods must have."""

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
    on_cache_node: bool
    problem: str
    """The scheduler's or the kubelet's own words, empty where there is no trouble."""
    unschedulable: bool
    gated: bool = False
    """Whether a scheduling gate keeps it from being scheduled."""

    @property
    def cannot_start(self) -> bool:
        """Whether a container of it waits for what does not come by itself."""
        return self.problem.partition(":")[0] in _PERMANENT_REASONS


_PERMANENT_REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
)
"""Reasons of the kubelet that stay until somebody mends the image or the configuration."""


@dataclass
class RolloutStatus:
    """The roll-out at one moment."""

    observed: bool
    """The operator has seen the change."""
    expected: list[ExpectedPods]
    pods: list[PodStatus] = field(default_factory=list)
    old_pods: int = 0
    """Pods of the old template that are still there and not going."""

    @property
    def ready(self) -> int:
        return sum(row.ready for row in self.pods)

    @property
    def total(self) -> int:
        return sum(item.pods for item in self.expected)

    @property
    def done(self) -> bool:
        if not self.observed or self.old_pods:
            return False
        for item in self.expected:
            ready = [row for row in self.pods if row.component == item.component and row.ready]
            if len(ready) < item.pods:
                return False
        return True

    @property
    def unschedulable(self) -> list[PodStatus]:
        """The pods that the scheduler has turned away."""
        return [row for row in self.pods if row.unschedulable]

    @property
    def misplaced(self) -> list[PodStatus]:
        """Pods that must be on a cache node and run elsewhere."""
        must = {item.component for item in self.expected if item.mode == MODE_REQUIRED}
        return [
            row for row in self.pods if row.node and not row.on_cache_node and row.component in must
        ]

    def summary(self) -> str:
        text = f"{self.ready} of {self.total} pods ready"
        if not self.observed:
            text += ", waiting for the operator"
        if self.old_pods:
            text += f", {self.old_pods} of the old ones left"
        if self.unschedulable:
            text += f", {len(self.unschedulable)} without a place"
        gated = [row for row in self.pods if row.gated]
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
    key: str,
    cache_nodes: set[str],
) -> RolloutStatus:
    """The roll-out of the expected components, from the graph as it is now and its pods."""
    seen = get_path(graph.object, "status", "observedGeneration")
    generation = metadata_of(graph.object).get("generation")
    observed = seen is None or generation is None or int(seen) >= int(generation)
    status = RolloutStatus(observed, expected)
    modes = {item.component: item.mode for item in expected}
    for pod in sorted(pods, key=name_of):
        component = owning_component(graph, pod)
        if component is None or component.name not in modes:
            continue
        going = is_terminating(pod) or get_path(pod, "status", "phase") in (
            "Succeeded",
            "Failed",
        )
        if going:
            continue
        if not has_new_template(pod, claim, key, modes[component.name]):
            status.old_pods += 1
            continue
        node = str(get_path(pod, "spec", "nodeName", default=""))
        trouble, unschedulable = startup_problem(pod)
        ready = any(
            c.get("type") == "Ready" and c.get("status") == "True"
            for c in get_path(pod, "status", "conditions", default=[])
        )
        status.pods.append(
            PodStatus(
                component.name,
                name_of(pod),
                node,
                ready,
                node in cache_nodes,
                trouble,
                unschedulable,
                bool(scheduling_gates(pod)),
            )
        )
    return status


def expected_pods(components: Iterable[tuple[Component, str]]) -> list[ExpectedPods]:
    """What to wait for: every pod of the given components."""
    return [
        ExpectedPods(component.name, component.replicas * component.nodes_per_replica, mode)
        for component, mode in components
    ]


def has_new_template(pod: Object, claim: str, key: str, mode: str) -> bool:
    """Whether a pod was made from the pinned template."""
    mounts = any(
        get_path(volume, "persistentVolumeClaim", "claimName") == claim
        for volume in get_path(pod, "spec", "volumes", default=[])
    )
    if not mounts or mode != MODE_REQUIRED:
        return mounts
    terms = terms_of(get_path(pod, "spec", "affinity"))
    return terms is not None and all(
        is_empty(term) or has_requirement(term, LabelRequirement(key)) for term in terms
    )


def owning_component(graph: Graph, pod: Object) -> Component | None:
    """The component that a pod belongs to, by its labels."""
    labels = labels_of(pod)
    if graph.kind == COMPONENT:
        same = labels.get(SELECTOR_LABEL) == graph.name
        return graph.components[0] if same else None
    if labels.get(GRAPH_LABEL, graph.name) != graph.name:
        return None
    for component in graph.components:
        named = labels.get(COMPONENT_LABEL, "").lower() == component.name.lower()
        selected = labels.get(SELECTOR_LABEL) == f"{graph.name}-{component.name.lower()}"
        if (named and GRAPH_LABEL in labels) or selected:
            return component
    return None


def scheduling_gates(pod: Object) -> list[str]:
    """The scheduling gates of a pod: while it has one, no scheduler looks at it, and no event is
    made of that.
    """
    return [str(gate.get("name", "")) for gate in get_list(pod, "spec", "schedulingGates")]


def startup_problem(pod: Object) -> tuple[str, bool]:
    """Why a pod does not run, in the scheduler's or kubelet's words; whether it has no place."""
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
            words = [str(waiting.get(key)) for key in ("reason", "message") if waiting.get(key)]
            return ": ".join(words), False
    return "", False
