"""What a judge looks at, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph, open_graph
from kubectl_fluidmodel.dynamo.resources import COMPONENT, GRAPH_LABEL, SELECTOR_LABEL
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.pin.pinning import PinRequest, PinResult, unpin_graph

REFUSE, WARN, NOTE = "refuse", "warning", "note"


@dataclass(frozen=True)
class PreflightFinding:
    """One finding: what, why and what to do about it."""

    level: str
    message: str
    reason: str = ""
    hint: str = ""
    even_if_pinned: bool = False
    """Whether it refuses a graph that is pinned already, too."""

    def __str__(self) -> str:
        text = f"{self.message}: {self.reason}" if self.reason else self.message
        return f"{text}; try: {self.hint}" if self.hint else text


@dataclass
class CacheInfo:
    """A cache as the cluster shows it."""

    model: str
    namespace: str
    dataset: Object | None = None
    elsewhere: list[str] = field(default_factory=list)
    """Namespaces with a Dataset of that name, where this one has none."""
    claim: Object | None = None
    key: str = ""
    """The label key of its nodes, empty where it is not known."""
    equal: tuple[str, ...] = ()
    """Other label keys that the same nodes carry."""
    dead: tuple[str, ...] = ()
    """Label keys that follow from the names and that no node carries, for they are too long."""
    nodes: list[Object] | None = None
    """The nodes that carry the label; None where they could not be read."""
    pods: dict[str, list[Object]] = field(default_factory=dict)
    """Pods by cache node, for the nodes that were looked at."""
    unread: list[str] = field(default_factory=list)
    """What could not be read, and why."""

    def reader_pods(self) -> list[str]:
        """The pods on the nodes that were looked at that mount the claim."""
        return sorted(
            name_of(pod)
            for pods in self.pods.values()
            for pod in pods
            if namespace_of(pod) == self.namespace
            and any(
                get_path(volume, "persistentVolumeClaim", "claimName") == self.model
                for volume in get_list(pod, "spec", "volumes")
            )
        )


@dataclass
class PreflightContext:
    """A pin about to be made."""

    cache: CacheInfo
    before: Object
    result: PinResult
    request: PinRequest
    schema: str | None = None

    @property
    def graph(self) -> Graph:
        return self.result.graph

    def pinned_workers(self) -> Iterator[tuple[Component, Component]]:
        """The components that are to run on cache nodes, as they were and as they will be.

        As they were without a pin to this cache: an earlier one may ask for a label that the
        cache no longer has, and is about to go.
        """
        free = unpin_graph(self.before, self.cache.model, schema=self.schema).object
        old = open_graph(free, self.schema)
        pinned = {part.component for part in self.result.changes if part.mode != "mount"}
        for component in self.graph.components:
            was = old.component(component.name)
            if component.name in pinned and was is not None:
                yield was, component

    def rolling_components(self) -> list[Component]:
        """The components whose pods are replaced: all workers when one changes, else those."""
        changed = {part.component for part in self.result.changes if part.changed}
        worker = any(
            component.role is Role.WORKER and component.name in changed
            for component in self.graph.components
        )
        return [
            component
            for component in self.graph.components
            if component.name in changed or (worker and component.role is Role.WORKER)
        ]

    def owns_pod(self, pod: Object) -> bool:
        """Whether a pod is one of the graph's."""
        labels = labels_of(pod)
        name = name_of(self.before)
        same = pod.get("metadata", {}).get("namespace", "") == self.cache.namespace
        selector = labels.get(SELECTOR_LABEL, "")
        if self.graph.kind == COMPONENT:
            return same and selector == name
        return same and (
            labels.get(GRAPH_LABEL) == name
            or (GRAPH_LABEL not in labels and selector.startswith(f"{name}-"))
        )
