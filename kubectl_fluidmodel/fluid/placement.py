"""Which nodes should hold a cache: the ones where the model's workers can run.

Pure: nodes and pods come in as the API server gave them, a Choice goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube import quantity
from kubectl_fluidmodel.kube.kind import HOSTNAME_LABEL, Object, at, labels_of, name_of
from kubectl_fluidmodel.kube.requests import is_over, requested
from kubectl_fluidmodel.model.sizing import Room

GPU_PRESENT = "nvidia.com/gpu.present"
_TRANSIENT = "node.kubernetes.io/"
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True)
class Need:
    """What a cache takes of one node, in bytes."""

    memory: int
    disk: int


@dataclass(frozen=True)
class Candidate:
    """A node as placement sees it."""

    name: str
    gpus: int
    caches: int
    room: Room
    ready: bool
    taints: tuple[Mapping[str, Any], ...] = ()
    hostname: str = ""

    def short_of(self, need: Need) -> str:
        """What is missing for `need`; empty where it fits or nothing is known."""
        found = []
        if self.room.memory is not None and self.room.memory < need.memory:
            found.append(_short("memory", self.room.memory, need.memory))
        if need.disk and self.room.disk is not None and self.room.disk < need.disk:
            found.append(_short("ephemeral storage", self.room.disk, need.disk))
        return " and ".join(found)


@dataclass(frozen=True)
class Choice:
    """The nodes that were chosen, and what came of the others."""

    nodes: tuple[Candidate, ...]
    runners_up: tuple[Candidate, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    why: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)


def candidate(node: Object, pods: Iterable[Object] | None = None) -> Candidate:
    """A node and the pods bound to it (None: not known) as placement sees them."""
    allocatable = at(node, "status", "allocatable", default={})
    memory = quantity.to_int(allocatable.get("memory"))
    disk = quantity.to_int(allocatable.get("ephemeral-storage"))
    gpus = sum(
        quantity.to_int(value) or 0 for key, value in allocatable.items() if key.endswith("/gpu")
    )
    free_memory, free_disk = memory, disk
    for pod in pods or ():
        if is_over(pod):
            continue
        if free_memory is not None:
            free_memory -= requested(pod, "memory")
        if free_disk is not None:
            free_disk -= requested(pod, "ephemeral-storage")
    conditions = at(node, "status", "conditions", default=[])
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    labels = labels_of(node)
    count = labels.get(names.CACHES_LABEL, "0")
    return Candidate(
        name=name_of(node),
        gpus=gpus,
        caches=int(count) if count.isdigit() else 0,
        room=Room(free_memory, free_disk, memory),
        ready=ready and not at(node, "spec", "unschedulable", default=False),
        taints=tuple(at(node, "spec", "taints", default=[])),
        hostname=labels.get(HOSTNAME_LABEL, name_of(node)),
    )


def eligible(
    nodes: Sequence[Candidate],
    objects: Sequence[Object],
    *,
    named: Sequence[str] = (),
    selector: Mapping[str, str] | None = None,
) -> tuple[list[Candidate], list[str]]:
    """The nodes that may hold the cache at all, and what to say about that.

    Named ones, else those with the labels, else those with GPUs, else every ready node that is
    no control plane.

    Raises:
        UsageError: a named node does not exist, or no node has the labels.
    """
    by_name = {node.name: node for node in nodes}
    if named:
        unknown = [name for name in named if name not in by_name]
        if unknown:
            raise UsageError(f"node '{unknown[0]}' does not exist", "", "kubectl get nodes")
        return [by_name[name] for name in named], []
    if selector:
        labelled = [
            by_name[name_of(obj)]
            for obj in objects
            if name_of(obj) in by_name
            and all(labels_of(obj).get(key) == value for key, value in selector.items())
        ]
        if not labelled:
            text = ",".join(f"{key}={value}" for key, value in selector.items())
            raise UsageError(f"no node has {text}", "", f"kubectl get nodes -l {text}")
        return labelled, []
    gpu = [node for node in nodes if node.gpus]
    if gpu:
        return gpu, []
    plain = [
        node
        for node in nodes
        if not any(taint.get("key") in _CONTROL_PLANE for taint in node.taints)
    ]
    return plain or list(nodes), ["no node has GPUs, so any ready node may hold the cache"]


def choose(
    candidates: Sequence[Candidate], need: Need, replicas: int, *, keep: Sequence[str] = ()
) -> Choice:
    """The `replicas` nodes to hold a whole copy each.

    Nodes in `keep` (where the cache is today) come first; then those with the fewest other
    caches, the most free memory, the name.

    Raises:
        FluidModelError: too few fit; says by how much, and what would.
    """
    rejected = [(node.name, "not ready or cordoned") for node in candidates if not node.ready]
    ready = [node for node in candidates if node.ready]
    fitting = []
    for node in ready:
        short = "" if node.name in keep else node.short_of(need)
        if short:
            rejected.append((node.name, short))
        else:
            fitting.append(node)
    order = sorted(
        fitting,
        key=lambda node: (node.name not in keep, node.caches, -(node.room.memory or 0), node.name),
    )
    if len(order) < replicas:
        raise _none_fits(len(candidates), len(order), replicas, rejected)
    chosen = tuple(order[:replicas])
    return Choice(
        nodes=chosen,
        runners_up=tuple(order[replicas : replicas + 3]),
        rejected=tuple(rejected),
        why=_why(chosen, keep),
    )


def _why(chosen: Sequence[Candidate], keep: Sequence[str]) -> str:
    if all(node.name in keep for node in chosen):
        return "the cache is there already"
    first = chosen[0]
    gpus = f"{first.gpus} GPUs, " if first.gpus else ""
    others = "no other cache" if first.caches == 0 else f"{first.caches} other caches"
    return f"{gpus}{others}, the most room"


def _none_fits(
    total: int, fitting: int, replicas: int, rejected: Sequence[tuple[str, str]]
) -> FluidModelError:
    shown = "; ".join(f"{name}: {why}" for name, why in rejected[:5])
    more = f"; and {len(rejected) - 5} more" if len(rejected) > 5 else ""
    what = "no node fits the cache" if fitting == 0 else f"only {fitting} of {replicas} nodes fit"
    if total == 0:
        return FluidModelError(what, "the cluster has no nodes", "kubectl get nodes")
    short = any("memory" in why for _, why in rejected)
    way = "--medium SSD --path DIR" if short else "--node-selector for larger nodes"
    return FluidModelError(what, (shown + more) or f"there are {total}", way)


def tolerations(nodes: Iterable[Candidate]) -> list[dict[str, Any]]:
    """The tolerations that cache pods need on these nodes, one per distinct taint.

    Taints that come and go by themselves (`node.kubernetes.io/…`) are left alone.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for node in nodes:
        for taint in node.taints:
            key, value = str(taint.get("key", "")), str(taint.get("value") or "")
            effect = str(taint.get("effect", ""))
            if effect == "PreferNoSchedule" or key.startswith(_TRANSIENT):
                continue
            entry: dict[str, Any] = {"key": key, "operator": "Equal" if value else "Exists"}
            if value:
                entry["value"] = value
            found[(key, value, effect)] = {**entry, "effect": effect}
    return [found[key] for key in sorted(found)]


def node_affinity(nodes: Sequence[Candidate]) -> dict[str, Any]:
    """Dataset.spec.nodeAffinity for exactly these nodes, by host name."""
    hosts = sorted(node.hostname for node in nodes)
    return required([{"key": HOSTNAME_LABEL, "operator": "In", "values": hosts}])


def required(expressions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}


def hosts_of(dataset: Mapping[str, Any]) -> list[str]:
    """The host names that a Dataset of ours is bound to; empty where it is bound otherwise."""
    terms = at(dataset, "spec", "nodeAffinity", "required", "nodeSelectorTerms", default=[])
    if len(terms) != 1:
        return []
    for expression in terms[0].get("matchExpressions") or []:
        if expression.get("key") == HOSTNAME_LABEL and expression.get("operator") == "In":
            return [str(value) for value in expression.get("values") or []]
    return []


def _short(what: str, have: int, need: int) -> str:
    gib = 1 << 30
    return (
        f"{need / gib:.1f} GiB of {what} needed, {max(0, have) / gib:.1f} GiB free "
        f"({(need - have) / gib:.1f} GiB short)"
    )
