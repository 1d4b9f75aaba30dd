"""Selects the nodes that should hold a cache: nodes on which the model's workers can run.

Pure: takes nodes and pods as the API server returns them, and returns a Placement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.sizing import NodeCapacity
from kubectl_fluidmodel.objects import gpus, quantity
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, get_path, labels_of, name_of
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.objects.resource_requests import describe_shortage, requested_amount
from kubectl_fluidmodel.objects.scheduler import group_by_reason
from kubectl_fluidmodel.objects.taints import (
    CONTROL_PLANE,
    Departure,
    Taint,
    departure_of,
    is_tolerated,
    marks_accelerator,
    taints_of,
)
from kubectl_fluidmodel.output.shell import Operand, command, kubectl
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.records import dataclass

GPU_PRESENT = "nvidia.com/gpu.present"
SYSTEM_DISK = "/var/lib"
"""The kubelet's directory for ephemeral storage, and our default path, are below this."""
PODS_PER_NODE = 2
"""Pods of a cache on its node: a worker and a FUSE client."""


@dataclass(frozen=True)
class NodeRequirement:
    """What a cache needs on one node, in bytes."""

    memory: int
    disk: int


@dataclass(frozen=True)
class Candidate:
    """A node, with what placement needs to know."""

    name: str
    gpus: int
    caches: int
    capacity: NodeCapacity
    leaving: Departure | None = None
    """Why it is being removed or not ready."""
    taints: tuple[Taint, ...] = ()
    """Taints that keep pods away, unless the node is being removed."""
    untolerated: tuple[Taint, ...] = ()
    """Those of the taints that the cache does not tolerate."""
    hostname: str = ""
    pods_left: int | None = None
    """How many more pods it accepts; None if unknown."""
    disks: tuple[tuple[str, int], ...] = ()
    """(path, bytes) of other caches' tiers on separate disks."""

    def disk_used_by_caches(self, path: str) -> int:
        """Return the bytes that other caches may use on a path's disk.

        The disk of `/mnt/nvme/x` is `/mnt/nvme`.
        """
        return sum(size for disk, size in self.disks if _disk_root(disk) == _disk_root(path))

    @property
    def is_eligible(self) -> bool:
        """Whether a new cache may be placed on the node."""
        return self.leaving is None and not self.untolerated

    def rejection_reason(self, requirement: NodeRequirement, *, existing: bool = False) -> str:
        """Return why a cache with this `requirement` cannot use the node; empty if it can.

        An existing cache stays, unless the node is certain to be removed.
        """
        if self.leaving is not None and (self.leaving.certain or not existing):
            return self.leaving.reason
        if existing:
            return ""
        if self.untolerated:
            taints = ", ".join(str(taint) for taint in self.untolerated)
            return f"untolerated taint {taints} (--node {self.name} tolerates it)"
        return self.shortage(requirement)

    def shortage(self, requirement: NodeRequirement) -> str:
        """Return the shortage for `requirement`; empty if it fits or the capacity is unknown."""
        shortages = []
        if self.capacity.memory is not None and self.capacity.memory < requirement.memory:
            shortages.append(_format_shortage("memory", self.capacity.memory, requirement.memory))
        if (
            requirement.disk
            and self.capacity.disk is not None
            and self.capacity.disk < requirement.disk
        ):
            shortages.append(
                _format_shortage("ephemeral-storage", self.capacity.disk, requirement.disk)
            )
        if self.pods_left is not None and self.pods_left < PODS_PER_NODE:
            shortages.append(f"{max(0, self.pods_left)} more pods allowed, {PODS_PER_NODE} needed")
        return " and ".join(shortages)


@dataclass(frozen=True)
class Placement:
    """The selected nodes, and the reasons against the others."""

    nodes: tuple[Candidate, ...]
    runners_up: tuple[Candidate, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)


def build_candidate(
    node: Object,
    pods: Iterable[Object] | None = None,
    *,
    disks: Sequence[tuple[str, int]] = (),
    tolerations: Sequence[Mapping[str, Any]] = (),
) -> Candidate:
    """Evaluate a node and its pods (None: unknown) for placement.

    `disks` are the paths and quotas of the caches on the node, which no pod requests: paths below
    /var/lib, or an emptyDir (an empty path), use the node's own disk. `tolerations` are those of
    the workers that will read the cache.
    """
    allocatable = get_path(node, "status", "allocatable", default={})
    memory = quantity.quantity_to_int(allocatable.get("memory"))
    disk = quantity.quantity_to_int(allocatable.get("ephemeral-storage"))
    pod_limit = quantity.quantity_to_int(allocatable.get("pods"))
    running = [pod for pod in pods or () if not is_terminated(pod)]
    taken_memory = sum(requested_amount(pod, "memory") for pod in running)
    taken_disk = sum(requested_amount(pod, "ephemeral-storage") for pod in running)
    taken_disk += sum(size for path, size in disks if _disk_root(path) in ("", SYSTEM_DISK))
    labels = labels_of(node)
    count = labels.get(names.CACHE_COUNT_LABEL, "0")
    blocking_taints = tuple(
        taint for taint in taints_of(node) if taint.blocks_pods and not taint.departure_reason
    )
    return Candidate(
        name=name_of(node),
        gpus=sum(gpus.allocatable_gpus(node).values()),
        caches=int(count) if count.isdigit() else 0,
        capacity=NodeCapacity(
            None if memory is None else memory - taken_memory,
            None if disk is None else disk - taken_disk,
            memory,
        ),
        leaving=departure_of(node),
        taints=blocking_taints,
        untolerated=tuple(
            taint
            for taint in blocking_taints
            if not marks_accelerator(taint, node) and not is_tolerated(tolerations, taint)
        ),
        hostname=labels.get(HOSTNAME_LABEL, name_of(node)),
        disks=tuple(disks),
        pods_left=None if pod_limit is None or pods is None else pod_limit - len(running),
    )


def _disk_root(path: str) -> str:
    """Return the directory at which a separate disk is mounted, guessed from a path."""
    return "/".join(path.split("/")[:3])


def eligible_nodes(
    nodes: Sequence[Candidate],
    objects: Sequence[Object],
    *,
    node_names: Sequence[str] = (),
    selector: Mapping[str, str] | None = None,
    current: Collection[str] = (),
) -> tuple[list[Candidate], list[str]]:
    """Return the nodes that may hold the cache, and notes about them.

    These are the named nodes, else those with the labels, else those with GPUs, else all nodes
    outside the control plane. With the latter two, nodes that have the cache now are included.
    Naming a node tolerates its taints, and selecting a pool by label tolerates taints with the same
    key and value.

    Args:
        nodes: All nodes.
        objects: The same, as objects.
        node_names: Names of nodes that were asked for.
        selector: Labels that were asked for.
        current: Host names of the nodes that have the cache now.

    Raises:
        UsageError: a named node does not exist, or no node has the labels.
    """
    by_name = {node.name: node for node in nodes}
    if node_names:
        unknown = [name for name in node_names if name not in by_name]
        if unknown:
            raise UsageError(f"node '{unknown[0]}' does not exist", "", "kubectl get nodes")
        return [replace(by_name[name], untolerated=()) for name in node_names], [
            f"node {name}: its taint {', '.join(map(str, by_name[name].untolerated))} is "
            "tolerated, "
            "because --node names it"
            for name in node_names
            if by_name[name].untolerated
        ]
    if selector:
        labelled = [
            replace(
                by_name[name_of(obj)],
                untolerated=tuple(
                    taint
                    for taint in by_name[name_of(obj)].untolerated
                    if selector.get(taint.key) != taint.value
                ),
            )
            for obj in objects
            if name_of(obj) in by_name
            and all(labels_of(obj).get(key) == value for key, value in selector.items())
        ]
        if not labelled:
            text = ",".join(f"{key}={value}" for key, value in selector.items())
            raise UsageError(f"no node has {text}", "", kubectl("get", "nodes", "-l", text))
        return labelled, []
    if any(node.gpus for node in nodes):
        return [node for node in nodes if node.gpus or node.hostname in current], []
    control = [node for node in nodes if any(t.key in CONTROL_PLANE for t in node.taints)]
    plain = [node for node in nodes if node not in control or node.hostname in current]
    # On a single-node cluster, everything runs on the control plane.
    alone = [
        replace(node, untolerated=tuple(t for t in node.untolerated if t.key not in CONTROL_PLANE))
        for node in control
    ]
    return plain or alone, ["no node has GPUs, so any ready node may hold the cache"]


class NoFittingNodeError(FluidModelError):
    """No node, or too few nodes, have the room for a cache."""


def select_nodes(
    candidates: Sequence[Candidate],
    requirement: NodeRequirement,
    replicas: int,
    *,
    current: Sequence[str] = (),
) -> Placement:
    """Select `replicas` nodes that each hold a complete copy.

    Nodes in `current`, which have the cache now, come first. Others are ordered by fewest other
    caches, most free memory, and name.

    Raises:
        NoFittingNodeError: too few nodes fit; it has the reason for each node, and what would help.
    """
    reasons = {
        node.name: node.rejection_reason(requirement, existing=node.name in current)
        for node in candidates
    }
    rejected = [(name, reason) for name, reason in reasons.items() if reason]
    eligible = [node for node in candidates if not reasons[node.name]]
    ranked = sorted(
        eligible,
        key=lambda node: (
            node.name not in current,
            node.caches,
            -(node.capacity.memory or 0),
            node.name,
        ),
    )
    if len(ranked) < replicas:
        raise _no_fit_error(len(candidates), len(ranked), replicas, rejected)
    selected = tuple(ranked[:replicas])
    return Placement(
        nodes=selected,
        runners_up=tuple(ranked[replicas : replicas + 3]),
        rejected=tuple(rejected),
        reason=_placement_reason(selected, current),
    )


def _placement_reason(chosen: Sequence[Candidate], current: Sequence[str]) -> str:
    first = next((node for node in chosen if node.name not in current), None)
    if first is None:
        return "the cache is already there"
    gpus = f"{pluralize(first.gpus, 'GPU')}, " if first.gpus else ""
    others = pluralize(first.caches, "other cache") if first.caches else "no other cache"
    return f"{gpus}{others}, the most free memory"


def _no_fit_error(
    total: int, fitting: int, replicas: int, rejected: Sequence[tuple[str, str]]
) -> NoFittingNodeError:
    message = (
        "no node fits the cache" if fitting == 0 else f"only {fitting} of {replicas} nodes fit"
    )
    if total == 0:
        return NoFittingNodeError(message, "the cluster has no nodes", "kubectl get nodes")
    reason = group_by_reason(rejected) or f"there {'is' if total == 1 else 'are'} {total}"
    return NoFittingNodeError(message, reason, _placement_hint(rejected))


def _placement_hint(rejected: Sequence[tuple[str, str]]) -> str:
    """Suggest the change that helps most of the nodes that do not fit."""
    tainted = [name for name, reason in rejected if "untolerated taint" in reason]
    short = [name for name, reason in rejected if "of memory needed" in reason]
    cordoned = [name for name, reason in rejected if reason == "it is cordoned"]
    if len(tainted) > len(short):
        return command("--node", tainted[0])
    if short:
        return "--medium SSD --path DIR"
    if cordoned:
        return kubectl("uncordon", Operand(cordoned[0]))
    return "--node-selector for larger nodes" if rejected else "fewer --replicas"


def required_tolerations(nodes: Iterable[Candidate]) -> list[dict[str, str]]:
    """Return the tolerations that cache pods need on these nodes, one per distinct taint.

    Taints of nodes that are being removed or not ready, and taints that the cache does not
    tolerate, are excluded.
    """
    tolerations = {
        taint: taint.toleration()
        for node in nodes
        for taint in node.taints
        if taint not in node.untolerated
    }
    return [
        tolerations[taint]
        for taint in sorted(tolerations, key=lambda t: (t.key, t.value, t.effect))
    ]


def node_affinity(nodes: Sequence[Candidate]) -> dict[str, Any]:
    """Build Dataset.spec.nodeAffinity for exactly these nodes, by host name."""
    hosts = sorted(node.hostname for node in nodes)
    return required_affinity([{"key": HOSTNAME_LABEL, "operator": "In", "values": hosts}])


def required_affinity(expressions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}


def bound_hostnames(dataset: Mapping[str, Any]) -> list[str]:
    """Return the host names of our Dataset's affinity; empty if the affinity has another form."""
    terms = get_path(dataset, "spec", "nodeAffinity", "required", "nodeSelectorTerms", default=[])
    if len(terms) != 1:
        return []
    for expression in terms[0].get("matchExpressions") or []:
        if expression.get("key") == HOSTNAME_LABEL and expression.get("operator") == "In":
            return [str(value) for value in expression.get("values") or []]
    return []


def _format_shortage(resource: str, have: int, required: int) -> str:
    by = (required - have) / (1 << 30)
    return f"{describe_shortage(resource, Decimal(required), Decimal(have))} ({by:.1f} GiB short)"
