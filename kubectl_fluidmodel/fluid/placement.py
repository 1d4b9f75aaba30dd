"""Which nodes should hold a cache: the ones where the model's workers can run.

Pure: nodes and pods come in as the API server gave them, a Choice goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.sizing import Room
from kubectl_fluidmodel.objects import gpus, quantity
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, at, labels_of, name_of
from kubectl_fluidmodel.objects.resource_requests import is_over, lack, requested
from kubectl_fluidmodel.objects.scheduler import by_reason
from kubectl_fluidmodel.objects.taints import (
    CONTROL_PLANE,
    Leaving,
    Taint,
    for_accelerator,
    leaving,
    taints_of,
    tolerated,
)

GPU_PRESENT = "nvidia.com/gpu.present"
SYSTEM_DISK = "/var/lib"
"""Kubelet keeps what it counts as ephemeral storage below, and so does our default path."""
PODS = 2
"""Pods of a cache on its node: a worker and a FUSE client."""


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
    leaving: Leaving | None = None
    """Why it is about to go or not there yet."""
    taints: tuple[Taint, ...] = ()
    """Those that keep pods away, of a node that stays."""
    unknown: tuple[Taint, ...] = ()
    """Of these, the ones that nothing says to tolerate."""
    hostname: str = ""
    pods_left: int | None = None
    """How many more pods it takes; None where that is not known."""
    disks: tuple[tuple[str, int], ...] = ()
    """(path, bytes) of the tiers of other caches on disks of its own."""

    def beside(self, path: str) -> int:
        """Bytes that other caches may take on the disk of a path: `/mnt/nvme` of `/mnt/nvme/x`."""
        return sum(size for other, size in self.disks if _disk_of(other) == _disk_of(path))

    @property
    def ready(self) -> bool:
        """Whether a cache may be put there at all."""
        return self.leaving is None and not self.unknown

    def against(self, need: Need, *, standing: bool = False) -> str:
        """Why a cache that takes `need` does not belong there; empty where it does.

        One that stands there already stays, unless the node is certain to go.
        """
        if self.leaving is not None and (self.leaving.certain or not standing):
            return self.leaving.why
        if standing:
            return ""
        if self.unknown:
            listed = ", ".join(str(taint) for taint in self.unknown)
            return f"untolerated taint {listed} (--node {self.name} tolerates it)"
        return self.short_of(need)

    def short_of(self, need: Need) -> str:
        """What is missing for `need`; empty where it fits or nothing is known."""
        found = []
        if self.room.memory is not None and self.room.memory < need.memory:
            found.append(_short("memory", self.room.memory, need.memory))
        if need.disk and self.room.disk is not None and self.room.disk < need.disk:
            found.append(_short("ephemeral-storage", self.room.disk, need.disk))
        if self.pods_left is not None and self.pods_left < PODS:
            found.append(f"{max(0, self.pods_left)} more pods allowed, {PODS} needed")
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


def candidate(
    node: Object,
    pods: Iterable[Object] | None = None,
    *,
    disks: Sequence[tuple[str, int]] = (),
    tolerations: Sequence[Mapping[str, Any]] = (),
) -> Candidate:
    """A node and the pods bound to it (None: not known) as placement sees them.

    `disks` are the paths and quotas of the caches that are there, which no pod requests: what
    lies below /var/lib, or in an emptyDir (an empty path), takes of the node's own disk.
    `tolerations` are those of the workers that will read the cache.
    """
    allocatable = at(node, "status", "allocatable", default={})
    memory = quantity.to_int(allocatable.get("memory"))
    disk = quantity.to_int(allocatable.get("ephemeral-storage"))
    slots = quantity.to_int(allocatable.get("pods"))
    running = [pod for pod in pods or () if not is_over(pod)]
    taken_memory = sum(requested(pod, "memory") for pod in running)
    taken_disk = sum(requested(pod, "ephemeral-storage") for pod in running)
    taken_disk += sum(size for path, size in disks if _disk_of(path) in ("", SYSTEM_DISK))
    labels = labels_of(node)
    count = labels.get(names.CACHES_LABEL, "0")
    hard = tuple(taint for taint in taints_of(node) if taint.hard and not taint.leaving)
    return Candidate(
        name=name_of(node),
        gpus=sum(gpus.allocatable(node).values()),
        caches=int(count) if count.isdigit() else 0,
        room=Room(
            None if memory is None else memory - taken_memory,
            None if disk is None else disk - taken_disk,
            memory,
        ),
        leaving=leaving(node),
        taints=hard,
        unknown=tuple(
            taint
            for taint in hard
            if not for_accelerator(taint, node) and not tolerated(tolerations, taint)
        ),
        hostname=labels.get(HOSTNAME_LABEL, name_of(node)),
        disks=tuple(disks),
        pods_left=None if slots is None or pods is None else slots - len(running),
    )


def _disk_of(path: str) -> str:
    """The directory that a disk of its own is mounted at, as far as a path tells."""
    return "/".join(path.split("/")[:3])


def eligible(
    nodes: Sequence[Candidate],
    objects: Sequence[Object],
    *,
    named: Sequence[str] = (),
    selector: Mapping[str, str] | None = None,
) -> tuple[list[Candidate], list[str]]:
    """The nodes that may hold the cache at all, and what to say about that.

    Named ones, else those with the labels, else those with GPUs, else every node that is no
    control plane. Who names a node wants its taints tolerated, and who selects a pool those
    that bear the pool's own key and value.

    Raises:
        UsageError: a named node does not exist, or no node has the labels.
    """
    by_name = {node.name: node for node in nodes}
    if named:
        unknown = [name for name in named if name not in by_name]
        if unknown:
            raise UsageError(f"node '{unknown[0]}' does not exist", "", "kubectl get nodes")
        return [replace(by_name[name], unknown=()) for name in named], [
            f"node {name}: its taint {', '.join(map(str, by_name[name].unknown))} is tolerated, "
            "because --node names it"
            for name in named
            if by_name[name].unknown
        ]
    if selector:
        labelled = [
            replace(
                by_name[name_of(obj)],
                unknown=tuple(
                    taint
                    for taint in by_name[name_of(obj)].unknown
                    if selector.get(taint.key) != taint.value
                ),
            )
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
    control = [node for node in nodes if any(t.key in CONTROL_PLANE for t in node.taints)]
    plain = [node for node in nodes if node not in control]
    # A cluster of one machine: its control plane is where everything runs.
    alone = [
        replace(node, unknown=tuple(t for t in node.unknown if t.key not in CONTROL_PLANE))
        for node in control
    ]
    return plain or alone, ["no node has GPUs, so any ready node may hold the cache"]


def choose(
    candidates: Sequence[Candidate], need: Need, replicas: int, *, keep: Sequence[str] = ()
) -> Choice:
    """The `replicas` nodes to hold a whole copy each.

    Nodes in `keep` (where the cache is today) come first; then those with the fewest other
    caches, the most free memory, the name.

    Raises:
        FluidModelError: too few fit; says why not of each node, and what would help.
    """
    against = {node.name: node.against(need, standing=node.name in keep) for node in candidates}
    rejected = [(name, why) for name, why in against.items() if why]
    fitting = [node for node in candidates if not against[node.name]]
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
    what = "no node fits the cache" if fitting == 0 else f"only {fitting} of {replicas} nodes fit"
    if total == 0:
        return FluidModelError(what, "the cluster has no nodes", "kubectl get nodes")
    why = by_reason(rejected) or f"there {'is' if total == 1 else 'are'} {total}"
    return FluidModelError(what, why, _way(rejected))


def _way(rejected: Sequence[tuple[str, str]]) -> str:
    """What helps most of the nodes that do not fit."""
    tainted = [name for name, why in rejected if "untolerated taint" in why]
    short = [name for name, why in rejected if "of memory needed" in why]
    cordoned = [name for name, why in rejected if why == "it is cordoned"]
    if len(tainted) > len(short):
        return f"--node {tainted[0]}"
    if short:
        return "--medium SSD --path DIR"
    if cordoned:
        return f"kubectl uncordon {cordoned[0]}"
    return "--node-selector for larger nodes" if rejected else "fewer --replicas"


def tolerations(nodes: Iterable[Candidate]) -> list[dict[str, str]]:
    """The tolerations that cache pods need on these nodes, one per distinct taint.

    Those of a node that is going or not there yet, and those that nothing says to tolerate, are
    left alone.
    """
    found = {
        taint: taint.toleration()
        for node in nodes
        for taint in node.taints
        if taint not in node.unknown
    }
    return [found[taint] for taint in sorted(found, key=lambda t: (t.key, t.value, t.effect))]


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


def _short(resource: str, have: int, need: int) -> str:
    by = (need - have) / (1 << 30)
    return f"{lack(resource, Decimal(need), Decimal(have))} ({by:.1f} GiB short)"
