"""The input of the preflight checks, and their findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph
from kubectl_fluidmodel.dynamo.pin_annotation import MODE_MOUNT
from kubectl_fluidmodel.dynamo.resources import COMPONENT, GRAPH_LABEL, SELECTOR_LABEL
from kubectl_fluidmodel.fluid import status
from kubectl_fluidmodel.fluid.mount import claim_directory
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.gpus import allocatable_gpus
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import PinResult
from kubectl_fluidmodel.records import dataclass

REFUSE, WARN, NOTE = "refuse", "warning", "note"


@dataclass(frozen=True)
class PreflightFinding:
    """A problem that prevents a pin, or that the user should know."""

    level: str
    """`REFUSE`, `WARN` or `NOTE`."""
    message: str
    reason: str = ""
    hint: str = ""
    even_if_pinned: bool = False
    """Whether it also holds for a graph that is already pinned."""

    def __str__(self) -> str:
        text = f"{self.message}: {self.reason}" if self.reason else self.message
        return f"{text}; try: {self.hint}" if self.hint else text


@dataclass(frozen=True)
class CacheInfo:
    """A cache as it is in the cluster."""

    name: str
    namespace: str
    dataset: Object | None = None
    other_namespaces: tuple[str, ...] = ()
    """Namespaces with a Dataset of that name, if this one has none."""
    claim: Object | None = None
    runtime: Object | None = None
    """The AlluxioRuntime; None if there is none, or it was not asked for."""
    label: str = ""
    """Label key of the nodes that hold it; empty if unknown."""
    equal_labels: tuple[str, ...] = ()
    """Other label keys of the same nodes."""
    dead_labels: tuple[str, ...] = ()
    """Label keys that follow from the names but are too long, so no node has them."""
    nodes: list[Object] | None = None
    """The nodes with the label; None if they could not be read."""
    pods: dict[str, list[Object]] = field(default_factory=dict)
    """Pods by cache node, for nodes whose pods were read."""
    unread: tuple[str, ...] = ()
    """What could not be read, and why."""

    @property
    def subpath(self) -> str:
        """Directory of the model in the claim; empty for its root."""
        mounts = get_path(self.dataset, "spec", "mounts", default=[])
        return claim_directory(mounts[0]) if len(mounts) == 1 else ""

    @property
    def model_bytes(self) -> int:
        """Size of the model in bytes; 0 while Fluid does not know it."""
        return status.parse_dataset(self.dataset).total or 0 if self.dataset else 0

    @property
    def node_gpus(self) -> int:
        """GPUs of its node with the most, 0 where nodes could not be read."""
        return max((sum(allocatable_gpus(node).values()) for node in self.nodes or []), default=0)

    def reader_pods(self) -> list[str]:
        """Names of the pods that mount the claim, on nodes whose pods were read."""
        return sorted(
            name_of(pod)
            for pods in self.pods.values()
            for pod in pods
            if namespace_of(pod) == self.namespace
            and any(
                get_path(volume, "persistentVolumeClaim", "claimName") == self.name
                for volume in get_list(pod, "spec", "volumes")
            )
        )


@dataclass(frozen=True)
class PreflightContext:
    """A pin about to be made."""

    cache: CacheInfo
    before: Object
    result: PinResult
    request: PinRequest
    autoscalers: tuple[Object, ...] = ()
    """The HorizontalPodAutoscalers of the namespace, if a component is scaled by one."""

    @property
    def graph(self) -> Graph:
        return self.result.graph

    @property
    def changed_names(self) -> set[str]:
        """The components that the pin changes."""
        return {change.component for change in self.result.changes if change.changed}

    def pinned_workers(self) -> Iterator[tuple[Component, Component]]:
        """The components that must run on cache nodes, before and after the change.

        Before means without a pin to this cache: an earlier pin may require a label that the cache
        no longer has, and this pin replaces it.
        """
        for change in self.result.changes:
            after = self.graph.component(change.component)
            if change.mode != MODE_MOUNT and change.before is not None and after is not None:
                yield change.before, after

    def rolling_components(self) -> list[Component]:
        """The components whose pods are replaced.

        These are all workers if one changes, else the changed components.
        """
        changed = self.changed_names
        worker_changes = any(
            component.role is Role.WORKER and component.name in changed
            for component in self.graph.components
        )
        return [
            component
            for component in self.graph.components
            if component.name in changed or (worker_changes and component.role is Role.WORKER)
        ]

    def owns_pod(self, pod: Object) -> bool:
        """Whether a pod is one of the graph's."""
        labels = labels_of(pod)
        name = name_of(self.before)
        selector = labels.get(SELECTOR_LABEL, "")
        if namespace_of(pod) != self.cache.namespace:
            return False
        if self.graph.kind == COMPONENT:
            return selector == name
        return labels.get(GRAPH_LABEL) == name or (
            GRAPH_LABEL not in labels and selector.startswith(f"{name}-")
        )
