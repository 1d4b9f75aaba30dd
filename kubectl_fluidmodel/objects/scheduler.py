"""Why a pod does not fit on a node: the scheduler's filters, and the pods that are in the way.

Pure, and the only implementation: `cache`, `pin`, `doctor` and all waits use it. Modeled on the
plugins of kube-scheduler v1.36 (pkg/scheduler/framework/plugins): NodeUnschedulable, NodeName,
TaintToleration, NodeAffinity, NodePorts, NodeResourcesFit, VolumeBinding for bound claims, and
InterPodAffinity. Spread constraints, volume limits and dynamic resources are not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any

from kubectl_fluidmodel.objects import node_selector, pod_affinity, resource_requests, taints
from kubectl_fluidmodel.objects.access import (
    Object,
    full_name,
    get_list,
    get_path,
    name_of,
    namespace_of,
    summarize_names,
)
from kubectl_fluidmodel.objects.pods import claim_names, is_terminated
from kubectl_fluidmodel.objects.resource_requests import ResourceList, requests_of
from kubectl_fluidmodel.output.units import summarize
from kubectl_fluidmodel.records import dataclass


class Filter(Enum):
    """The filter that rejects a pod, in the order of the scheduler."""

    CORDON = "cordon"
    NAME = "node name"
    TAINT = "taint"
    AFFINITY = "node affinity"
    PORTS = "ports"
    ROOM = "room"
    PODS = "pods"
    VOLUME = "volume"
    OTHERS = "other pods"


@dataclass(frozen=True)
class Obstacle:
    """One reason why a pod does not fit on a node."""

    filter: Filter
    text: str
    """A description: `untolerated taint nvidia.com/gpu=present:NoSchedule`."""
    subject: str = ""
    """The taint, the resource, the ports or the volume, as in the object."""
    free: Decimal = Decimal(0)
    """For ROOM: what other pods leave free of the resource."""
    holders: tuple[Object, ...] = ()
    """The pods that hold the port or most of the resource, or whose anti-affinity matches."""


@dataclass(frozen=True)
class SchedulerView:
    """Nodes and their pods at one point in time.

    `pods` are the pods of all namespaces, or None if they could not be read: nodes then count as
    empty, so a pod that seems to fit may not fit. They may include ended pods and the evaluated
    pod.
    """

    nodes: Sequence[Object]
    pods: Sequence[Object] | None = None
    claims: Sequence[Object] = ()
    volumes: Sequence[Object] = ()

    @cached_property
    def _pods_by_node(self) -> dict[str, list[tuple[Object, ResourceList]]]:
        """Nodes to their pods, with the requests of each pod."""
        pods_by_node: dict[str, list[tuple[Object, ResourceList]]] = {}
        for pod in self.pods or ():
            node = get_path(pod, "spec", "nodeName")
            if node and not is_terminated(pod):
                pods_by_node.setdefault(str(node), []).append((pod, requests_of(pod)))
        return pods_by_node

    @cached_property
    def _placed_pods(self) -> pod_affinity.PlacedPods:
        nodes = {name_of(node): node for node in self.nodes}
        return pod_affinity.PlacedPods(
            [
                (nodes[name], pod)
                for name, pods in self._pods_by_node.items()
                if name in nodes
                for pod, _ in pods
            ]
        )

    @cached_property
    def _volumes(self) -> dict[tuple[str, str], Object]:
        """(namespace, claim) to the volume that the claim is bound to."""
        by_name = {name_of(volume): volume for volume in self.volumes}
        bound = {
            (namespace_of(claim), name_of(claim)): str(
                get_path(claim, "spec", "volumeName", default="")
            )
            for claim in self.claims
        }
        return {key: by_name[name] for key, name in bound.items() if name in by_name}

    def _other_pods(self, pod: Object, node: Object) -> list[tuple[Object, ResourceList]]:
        """Return the pods that hold resources of a node, without the evaluated pod."""
        own_name = full_name(pod)
        return [
            (other, requests)
            for other, requests in self._pods_by_node.get(name_of(node), ())
            if full_name(other) != own_name
        ]

    def obstacles_by_node(self, pod: Object) -> dict[str, list[Obstacle]]:
        """Return each node's name with the obstacles there; empty if the pod fits."""
        return {name_of(node): self.obstacles(pod, node) for node in self.nodes}

    def obstacles(self, pod: Object, node: Object) -> list[Obstacle]:
        """Return everything that keeps a pod off a node, in filter order; empty if it fits."""
        other_pods = self._other_pods(pod, node)
        obstacles = list(node_obstacles(get_path(pod, "spec", default={}), node))
        obstacles += _port_obstacles(pod, [other for other, _ in other_pods])
        obstacles += _resource_obstacles(pod, node, other_pods)
        obstacles += self._volume_obstacles(pod, node)
        if self.pods is not None:
            repelling, text = self._placed_pods.conflicts(pod, node)
            if text:
                obstacles.append(Obstacle(Filter.OTHERS, text, holders=tuple(repelling)))
        return obstacles

    def _volume_obstacles(self, pod: Object, node: Object) -> Iterator[Obstacle]:
        for claim in claim_names(pod):
            volume = self._volumes.get((namespace_of(pod), claim))
            terms = get_path(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
            if volume is None or not isinstance(terms, list):
                continue
            if not any(node_selector.matches(term, node) for term in terms):
                selector = node_selector.describe(terms)
                yield Obstacle(
                    Filter.VOLUME,
                    f"volume {name_of(volume)} is available only on nodes with {selector}",
                    name_of(volume),
                )


def node_obstacles(spec: Mapping[str, Any], node: Object) -> Iterator[Obstacle]:
    """Return the obstacles that do not depend on other pods: cordon, taints, labels."""
    cordon = taints.Taint(taints.UNSCHEDULABLE, "", taints.NO_SCHEDULE)
    cordoned = bool(get_path(node, "spec", "unschedulable"))
    if cordoned and not taints.is_tolerated(get_list(spec, "tolerations"), cordon):
        yield Obstacle(Filter.CORDON, "the node is cordoned", "spec.unschedulable")
    node_name = spec.get("nodeName")
    if node_name and node_name != name_of(node):
        yield Obstacle(Filter.NAME, f"nodeName {node_name}", str(node_name))
    for taint in taints.untolerated(spec, node):
        if cordoned and taint.key == taints.UNSCHEDULABLE:
            continue  # the same fact: the node controller adds the taint for a cordon
        yield Obstacle(Filter.TAINT, f"untolerated taint {taint}", str(taint))
    for text in node_selector.mismatches(spec, node):
        yield Obstacle(Filter.AFFINITY, text, text)


def host_ports(pod: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """Return (port, protocol, address) of each host port that a pod uses throughout its life."""
    sidecars = [
        container
        for container in get_list(pod, "spec", "initContainers")
        if container.get("restartPolicy") == "Always"
    ]
    return [
        (
            port["hostPort"],
            str(port.get("protocol") or "TCP"),
            str(port.get("hostIP") or "0.0.0.0"),  # noqa: S104 - the scheduler's own word for all
        )
        for container in [*sidecars, *get_list(pod, "spec", "containers")]
        for port in get_list(container, "ports")
        if isinstance(port.get("hostPort"), int) and port["hostPort"] > 0
    ]


def _port_obstacles(pod: Object, other_pods: Iterable[Object]) -> Iterator[Obstacle]:
    own_ports = host_ports(pod)
    if not own_ports:
        return
    holders: list[Object] = []
    ports_in_use: set[int] = set()
    for other_pod in other_pods:
        other_ports = host_ports(other_pod)
        clash = {
            own_port[0]
            for own_port in own_ports
            for other_port in other_ports
            if _same_port(own_port, other_port)
        }
        if clash:
            ports_in_use |= clash
            holders.append(other_pod)
    if ports_in_use:
        ports = summarize([str(port) for port in sorted(ports_in_use)])
        state = "is in use" if len(ports_in_use) == 1 else "are in use"
        noun = "port" if len(ports_in_use) == 1 else "ports"
        yield Obstacle(
            Filter.PORTS,
            f"{noun} {ports} {state} by {summarize_names(holders)}",
            ports,
            holders=tuple(holders),
        )


def _same_port(own_port: tuple[int, str, str], other_port: tuple[int, str, str]) -> bool:
    everywhere = "0.0.0.0"  # noqa: S104 - an address to compare with
    return own_port[:2] == other_port[:2] and (
        own_port[2] == other_port[2] or everywhere in (own_port[2], other_port[2])
    )


def _resource_obstacles(
    pod: Object, node: Object, other_pods: Sequence[tuple[Object, ResourceList]]
) -> Iterator[Obstacle]:
    allocatable = resource_requests.allocatable(node)
    max_pods = allocatable.get("pods")
    if max_pods is not None and len(other_pods) + 1 > max_pods:
        yield Obstacle(Filter.PODS, f"it runs {len(other_pods)} pods, its maximum", "pods")
    if not allocatable:
        return  # a new node that has not reported its capacity yet
    for resource, required in requests_of(pod).items():
        if required <= 0:
            continue
        free = allocatable.get(resource, Decimal(0)) - sum(
            (requests.get(resource, Decimal(0)) for _, requests in other_pods), Decimal(0)
        )
        if required > free:
            holders = _largest(resource, other_pods)
            text = resource_requests.describe_shortage(resource, required, free)
            if holders and required <= allocatable.get(resource, Decimal(0)):
                text += (
                    f" ({summarize_names(holders)} {'hold' if len(holders) > 1 else 'holds'} the "
                    "rest)"
                )
            yield Obstacle(Filter.ROOM, text, resource, max(Decimal(0), free), tuple(holders))


def _largest(resource: str, used: Iterable[tuple[Object, ResourceList]]) -> list[Object]:
    """Return the pods that request a resource, largest request first."""
    requesting = [
        (pod, requests[resource])
        for pod, requests in used
        if requests.get(resource, Decimal(0)) > 0
    ]
    return [pod for pod, _ in sorted(requesting, key=lambda pair: (-pair[1], full_name(pair[0])))]


def group_by_reason(reasons: Iterable[tuple[str, str]], limit: int = 5) -> str:
    """Format nodes with reasons, grouped by reason: `a, b: it is cordoned; c: …`."""
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons:
        grouped.setdefault(reason, []).append(name)
    largest = sorted(grouped.items(), key=lambda item: -len(item[1]))
    shown = [f"{summarize(names)}: {reason}" for reason, names in largest[:limit]]
    hidden = sum(len(names) for _, names in largest[limit:])
    return "; ".join([*shown, *([f"and {hidden} more"] if hidden else [])])
