"""Why pods of a cache are unschedulable: node by node, and which reason to fix. Pure.

The scheduler's message counts for each node only the first filter that it fails, so the message
alone does not say what would help. `objects.scheduler` evaluates all filters. If it finds no
obstacle (it was not read, or is gone by now), the scheduler's message decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import CheckContext, Evidence, object_reference
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects import node_selector, taints
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.scheduler import Filter, Obstacle, SchedulerView, group_by_reason
from kubectl_fluidmodel.objects.taints import departure_of, marks_accelerator, taints_of
from kubectl_fluidmodel.records import dataclass

RESOURCES, ANTI_AFFINITY, AFFINITY, TAINT, PORTS, OTHER = (
    "room",
    "others",
    "affinity",
    "taint",
    "ports",
    "else",
)
_REASON_OF = {
    Filter.ROOM: RESOURCES,
    Filter.PODS: RESOURCES,
    Filter.OTHERS: ANTI_AFFINITY,
    Filter.AFFINITY: AFFINITY,
    Filter.NAME: AFFINITY,
    Filter.TAINT: TAINT,
    Filter.PORTS: PORTS,
    Filter.CORDON: OTHER,
    Filter.VOLUME: OTHER,
}
_EXCLUDING_FILTERS = (Filter.AFFINITY, Filter.NAME)
"""A node that fails these is not eligible: nobody meant the pod to run there."""
_MESSAGE_PATTERNS: tuple[tuple[str, str], ...] = (
    (ANTI_AFFINITY, r"anti-affinity"),
    (RESOURCES, r"Insufficient \S+|Too many pods"),
    (PORTS, r"didn't have free ports"),
)
"""The scheduler's messages, from its last filter to the first."""


@dataclass(frozen=True)
class UnschedulablePod:
    """A pod that the scheduler finds no node for."""

    component: str
    pod: Object
    message: str
    """The scheduler's own."""
    obstacles: Mapping[str, list[Obstacle]]
    """Eligible node to the obstacles there; all nodes if none is eligible."""
    nodes: Mapping[str, Object]
    reason: str
    sibling_nodes: frozenset[str]
    """Nodes that only another pod of the same component keeps it from."""
    pods_unread: bool
    """Whether pods of other namespaces could not be read; they may be further obstacles."""

    @property
    def is_explained(self) -> bool:
        """Whether the obstacles on every eligible node are known."""
        return bool(self.obstacles) and all(self.obstacles.values())

    def lacking_resources(self) -> list[str]:
        """The missing resources, by node obstacles if known, else by the scheduler's message."""
        if self.is_explained:
            obstacles = [obstacle for against in self.obstacles.values() for obstacle in against]
            short = [o.subject for o in obstacles if o.filter in (Filter.ROOM, Filter.PODS)]
            return list(dict.fromkeys(short))
        message = re.findall(r"Insufficient (\S+?)[,.;]|(Too many pods)", f"{self.message},")
        return list(dict.fromkeys(first or "pods" for first, _ in message))

    def nodes_failing_only(self, *filters: Filter) -> list[str]:
        """Nodes that fail no other filters and are not about to be removed."""
        return [
            name
            for name, obstacles in self.obstacles.items()
            if obstacles
            and all(obstacle.filter in filters for obstacle in obstacles)
            and not departure_of(self.nodes[name])
        ]

    def gpu_tainted_nodes(self) -> list[str]:
        """Nodes that only taints for GPU nodes keep the pod from."""
        return [
            name
            for name in self.nodes_failing_only(Filter.TAINT)
            if all(
                marks_accelerator(taint, self.nodes[name])
                for taint in taints_of(self.nodes[name])
                if taint.blocks_pods
            )
        ]

    def tolerations(self) -> list[dict[str, str]]:
        """The tolerations that would let the pod run on nodes that only taints keep it from.

        GPU nodes only, if there are any; never for taints of nodes that are about to be removed.
        """
        nodes = [
            self.nodes[name]
            for name in self.gpu_tainted_nodes() or self.nodes_failing_only(Filter.TAINT)
        ]
        existing = get_list(self.pod, "spec", "tolerations")
        missing = [
            taint
            for node in nodes
            for taint in taints_of(node)
            if taint.blocks_pods
            and not taint.departure_reason
            and not taints.is_tolerated(existing, taint)
        ]
        return [taint.toleration() for taint in dict.fromkeys(missing)]

    def describe_nodes(self, *, exclude: frozenset[str] | set[str] = frozenset()) -> str:
        """The obstacles by node, nodes with the same obstacles together; some can be excluded."""
        reasons = [
            (name, "; ".join(obstacle.text for obstacle in obstacles))
            for name, obstacles in self.obstacles.items()
            if obstacles and name not in exclude
        ]
        return group_by_reason(reasons)

    def evidence(self) -> tuple[Evidence, ...]:
        """The scheduler's message, and the fields of nodes and pods that its filters used."""
        evidence = [
            Evidence(object_reference(self.pod), "status.conditions PodScheduled", self.message)
        ]
        for name, obstacles in self.obstacles.items():
            for obstacle in obstacles:
                evidence += _obstacle_evidence(self.nodes[name], obstacle)
        return tuple(dict.fromkeys(evidence))[:_MAX_EVIDENCE]


_MAX_EVIDENCE = 9
"""Lines of evidence, at most; the cause names the other nodes."""


def _obstacle_evidence(node: Object, obstacle: Obstacle) -> Iterator[Evidence]:
    if obstacle.filter is Filter.TAINT:
        yield Evidence(object_reference(node), "spec.taints", obstacle.subject)
    elif obstacle.filter is Filter.CORDON:
        yield observations.field_evidence(node, "spec", "unschedulable")
    elif obstacle.filter in (Filter.ROOM, Filter.PODS):
        yield observations.field_evidence(node, "status", "allocatable", obstacle.subject)
    elif obstacle.filter is Filter.PORTS:
        for pod in obstacle.holders[:1]:
            yield Evidence(object_reference(pod), "spec.nodeName", name_of(node))


def unschedulable_pods(context: CheckContext, reason: str) -> list[UnschedulablePod]:
    """The cache's masters and workers that are unschedulable for one reason."""

    def explain_all() -> list[UnschedulablePod]:
        return [
            explain_pod(context, part, pod, failure)
            for part, pod in observations.cache_pods(context.cache, MASTER, WORKER)
            if (failure := observations.scheduling_failure(pod))
        ]

    key = f"nodeless: {context.cache.namespace}/{context.cache.name}"
    return [
        unscheduled
        for unscheduled in context.cached(key, explain_all)
        if unscheduled.reason == reason
    ]


def _scheduler_view(context: CheckContext) -> SchedulerView:
    snapshot = context.snapshot
    placed = (
        snapshot.pods_on_nodes if snapshot.pods_on_nodes is not None else snapshot.of_kind(k.PODS)
    )
    return SchedulerView(
        snapshot.of_kind(k.NODES), placed, snapshot.of_kind(k.PVCS), snapshot.of_kind(k.PVS)
    )


def explain_pod(
    context: CheckContext, component: str, pod: Object, message: str
) -> UnschedulablePod:
    """Explain why a pod is unschedulable; `message` is the scheduler's."""
    view = context.cached("nodeless: view", lambda: _scheduler_view(context))
    all_obstacles = view.obstacles_by_node(pod)
    eligible = {
        name: obstacles
        for name, obstacles in all_obstacles.items()
        if not any(obstacle.filter in _EXCLUDING_FILTERS for obstacle in obstacles)
    }
    nodes = {name_of(node): node for node in view.nodes}
    sibling_nodes = frozenset(
        name
        for name, obstacles in eligible.items()
        if obstacles
        and all(obstacle.filter in (Filter.PORTS, Filter.OTHERS) for obstacle in obstacles)
        and all(_is_sibling(pod, holder) for obstacle in obstacles for holder in obstacle.holders)
    )
    unscheduled = UnschedulablePod(
        component,
        pod,
        message,
        eligible or all_obstacles,
        nodes,
        "",
        sibling_nodes,
        context.snapshot.pods_on_nodes is None,
    )
    reason = _dominant_reason(unscheduled) if unscheduled.is_explained else ""
    return replace(unscheduled, reason=reason or _reason_from_message(context, pod, message))


def fits_with_labels(
    context: CheckContext, pod: Object, node: Object, labels: Mapping[str, str]
) -> bool:
    """Whether a pod is known to fit a node if that had these labels, too."""
    if context.snapshot.pods_on_nodes is None:
        return False
    view = context.cached("nodeless: view", lambda: _scheduler_view(context))
    metadata = {**metadata_of(node), "labels": {**labels_of(node), **labels}}
    return not view.obstacles(pod, {**node, "metadata": metadata})


def _is_sibling(pod: Object, other: Object) -> bool:
    """Whether two pods belong to the same component of the same cache."""
    keys = ("release", "role")
    labels, other_labels = labels_of(pod), labels_of(other)
    is_same = all(labels.get(key) and labels.get(key) == other_labels.get(key) for key in keys)
    return is_same and namespace_of(pod) == namespace_of(other)


def _dominant_reason(unscheduled: UnschedulablePod) -> str:
    """The reason that most of the nodes with the fewest obstacles share."""
    if unscheduled.sibling_nodes:
        return PORTS
    lacks = {
        name: {obstacle.filter for obstacle in against}
        for name, against in unscheduled.obstacles.items()
    }
    stay = {
        name: kinds for name, kinds in lacks.items() if not departure_of(unscheduled.nodes[name])
    } or lacks
    strange = set(unscheduled.nodes_failing_only(Filter.TAINT)) - set(
        unscheduled.gpu_tainted_nodes()
    )
    stay = {name: kinds for name, kinds in stay.items() if name not in strange} or stay
    fewest = min(len(kinds) for kinds in stay.values())
    votes = Counter(
        _REASON_OF[max(kinds, key=list(Filter).index)]
        for kinds in stay.values()
        if len(kinds) == fewest
    )
    return votes.most_common(1)[0][0]


def _reason_from_message(context: CheckContext, pod: Object, message: str) -> str:
    for reason, pattern in _MESSAGE_PATTERNS:
        if re.search(pattern, message):
            return reason
    eligible = [node for node in context.snapshot.of_kind(k.NODES) if selects_node(pod, node)]
    if not eligible and re.search(r"node affinity|node selector|affinity/selector", message):
        return AFFINITY
    if any(untolerated_taints(pod, node) for node in eligible) or (
        not eligible and "untolerated taint" in message
    ):
        return TAINT
    return OTHER


def selects_node(pod: Object, node: Object) -> bool:
    """Whether a pod's node selector and required affinity let it run on a node."""
    return not node_selector.mismatches(get_path(pod, "spec", default={}), node)


def untolerated_taints(pod: Object, node: Object) -> list[str]:
    """Taints that the pod does not tolerate, without those of nodes about to be removed."""
    untolerated = taints.untolerated(pod.get("spec") or {}, node)
    return [str(taint) for taint in untolerated if not taint.departure_reason]
