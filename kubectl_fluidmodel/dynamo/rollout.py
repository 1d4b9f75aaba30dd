"""Where the roll-out of a pinned graph stands, judged from its pods. Pure.

Pods are what all operators, backends and versions have in common, so they decide: a pod is of
the new template when it has the claim and, where it must, the cache's label in its affinity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kubectl_fluidmodel.dynamo.affinity import Requirement, demands
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.graph import Graph
from kubectl_fluidmodel.dynamo.pin_annotation import REQUIRE
from kubectl_fluidmodel.dynamo.resources import (
    COMPONENT,
    COMPONENT_LABEL,
    GRAPH_LABEL,
    SELECTOR_LABEL,
)
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, meta, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.node_selector import is_empty, terms_of


@dataclass(frozen=True)
class Expected:
    """A component that is being followed: what its pods must have."""

    component: str
    pods: int
    mode: str


@dataclass(frozen=True)
class Row:
    """One pod of the new template."""

    component: str
    pod: str
    node: str
    ready: bool
    local: bool
    trouble: str
    """The scheduler's or the kubelet's own words, empty where there is no trouble."""
    unschedulable: bool
    gated: bool = False
    """Whether a scheduling gate keeps it from being scheduled."""

    @property
    def broken(self) -> bool:
        """Whether a container of it waits for what does not come by itself."""
        return self.trouble.partition(":")[0] in _BROKEN


_BROKEN = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
)
"""Reasons of the kubelet that stay until somebody mends the image or the configuration."""


@dataclass
class Progress:
    """The roll-out at one moment."""

    observed: bool
    """The operator has seen the change."""
    expected: list[Expected]
    rows: list[Row] = field(default_factory=list)
    old: int = 0
    """Pods of the old template that are still there and not going."""

    @property
    def ready(self) -> int:
        return sum(row.ready for row in self.rows)

    @property
    def total(self) -> int:
        return sum(item.pods for item in self.expected)

    @property
    def done(self) -> bool:
        if not self.observed or self.old:
            return False
        for item in self.expected:
            ready = [row for row in self.rows if row.component == item.component and row.ready]
            if len(ready) < item.pods:
                return False
        return True

    @property
    def stuck(self) -> list[Row]:
        """The pods that the scheduler has turned away."""
        return [row for row in self.rows if row.unschedulable]

    @property
    def astray(self) -> list[Row]:
        """Pods that must be on a cache node and run elsewhere."""
        must = {item.component for item in self.expected if item.mode == REQUIRE}
        return [row for row in self.rows if row.node and not row.local and row.component in must]

    def summary(self) -> str:
        text = f"{self.ready} of {self.total} pods ready"
        if not self.observed:
            text += ", waiting for the operator"
        if self.old:
            text += f", {self.old} of the old ones left"
        if self.stuck:
            text += f", {len(self.stuck)} without a place"
        gated = [row for row in self.rows if row.gated]
        if gated:
            text += f"; {gated[0].pod} is {gated[0].trouble}"
            text += f", and {len(gated) - 1} more" if len(gated) > 1 else ""
        return text


def selector(graph: Graph, name: str) -> str:
    """The label selector of a graph's pods; operators up to 0.5 need the wider one."""
    if graph.kind == COMPONENT:
        return f"{SELECTOR_LABEL}={name}"
    return SELECTOR_LABEL if graph.shape == "v1alpha1-pvc" else f"{GRAPH_LABEL}={name}"


def judge(
    graph: Graph,
    expected: list[Expected],
    pods: Iterable[Object],
    claim: str,
    key: str,
    cache_nodes: set[str],
) -> Progress:
    """The roll-out of the expected components, from the graph as it is now and its pods."""
    seen = at(graph.object, "status", "observedGeneration")
    generation = meta(graph.object).get("generation")
    observed = seen is None or generation is None or int(seen) >= int(generation)
    progress = Progress(observed, expected)
    modes = {item.component: item.mode for item in expected}
    for pod in sorted(pods, key=name_of):
        component = component_of(graph, pod)
        if component is None or component.name not in modes:
            continue
        going = is_terminating(pod) or at(pod, "status", "phase") in (
            "Succeeded",
            "Failed",
        )
        if going:
            continue
        if not is_new(pod, claim, key, modes[component.name]):
            progress.old += 1
            continue
        node = str(at(pod, "spec", "nodeName", default=""))
        trouble, unschedulable = trouble_of(pod)
        ready = any(
            c.get("type") == "Ready" and c.get("status") == "True"
            for c in at(pod, "status", "conditions", default=[])
        )
        progress.rows.append(
            Row(
                component.name,
                name_of(pod),
                node,
                ready,
                node in cache_nodes,
                trouble,
                unschedulable,
                bool(gates_of(pod)),
            )
        )
    return progress


def expected_of(components: Iterable[tuple[Component, str]]) -> list[Expected]:
    """What to wait for: every pod of the given components."""
    return [
        Expected(component.name, component.replicas * component.nodes_per_replica, mode)
        for component, mode in components
    ]


def is_new(pod: Object, claim: str, key: str, mode: str) -> bool:
    """Whether a pod was made from the pinned template."""
    mounts = any(
        at(volume, "persistentVolumeClaim", "claimName") == claim
        for volume in at(pod, "spec", "volumes", default=[])
    )
    if not mounts or mode != REQUIRE:
        return mounts
    terms = terms_of(at(pod, "spec", "affinity"))
    return terms is not None and all(
        is_empty(term) or demands(term, Requirement(key)) for term in terms
    )


def component_of(graph: Graph, pod: Object) -> Component | None:
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


def gates_of(pod: Object) -> list[str]:
    """The scheduling gates of a pod: while it has one, no scheduler looks at it, and no event is
    made of that.
    """
    return [str(gate.get("name", "")) for gate in dicts(pod, "spec", "schedulingGates")]


def trouble_of(pod: Object) -> tuple[str, bool]:
    """Why a pod does not run, in the scheduler's or kubelet's words; whether it has no place."""
    gates = gates_of(pod)
    if gates:
        return f"SchedulingGated by {', '.join(gates)}", False
    for condition in at(pod, "status", "conditions", default=[]):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = str(condition.get("reason") or "")
            message = str(condition.get("message") or reason)
            return message, reason == "Unschedulable"
    for container in at(pod, "status", "containerStatuses", default=[]):
        waiting = at(container, "state", "waiting")
        if waiting and waiting.get("reason") not in ("ContainerCreating", "PodInitializing"):
            words = [str(waiting.get(key)) for key in ("reason", "message") if waiting.get(key)]
            return ": ".join(words), False
    return "", False
