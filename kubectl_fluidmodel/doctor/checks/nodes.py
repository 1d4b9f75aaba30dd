"""8xx: the nodes that a cache stands on."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.checks.capacity import in_memory
from kubectl_fluidmodel.doctor.consequences import NO_WORKER, NOT_WHOLE
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.objects.taints import taints_of
from kubectl_fluidmodel.output.shell import Operand

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
RECENT = 3600.0
"""Seconds for which an eviction is news."""


def nodes(case: Case) -> Iterator[Object]:
    """The nodes with a worker, as far as they are seen."""
    for name in case.own.node_names:
        node = case.snapshot.find(kinds.NODES, name)
        if node is not None:
            yield node


def _condition(node: Object, kind: str) -> Object:
    return next((c for c in dicts(node, "status", "conditions") if c.get("type") == kind), {})


def _seen(node: Object, condition: Object) -> Evidence:
    words = f"{condition.get('status')}: {condition.get('reason')}: {condition.get('message')}"
    return Evidence(reference(node), f"status.conditions {condition.get('type')}", words)


@check(
    "FM810",
    "the cache's nodes are ready",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM334", "FM331", "FM420", "FM421", "FM430", "FM811", *NO_WORKER, *NOT_WHOLE),
)
def ready(case: Case) -> Iterator[Finding]:
    """A node with a part of the cache is not ready: its kubelet does not answer, or says what is
    wrong. What it holds cannot be read meanwhile, and after five minutes its pods are taken away; a
    tier in memory is gone with a reboot.
    """
    for node in nodes(case):
        condition = _condition(node, "Ready")
        if not condition or condition.get("status") == "True":
            continue
        yield Finding(
            reference(node),
            "it holds the cache and is not ready",
            (_seen(node, condition),),
            observations.look(node, "describe", "node", Operand(name_of(node))),
        )


_ON_THE_NODE = ("FM331", "FM334", "FM420", "FM421", "FM430", *NO_WORKER, *NOT_WHOLE)


@check(
    "FM814",
    "the cache's nodes are in the cluster",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM303", "FM306", "FM311", "FM810", *_ON_THE_NODE),
)
def there(case: Case) -> Iterator[Finding]:
    """A node was removed with a part of the cache on it. Its pods stay in the list for a minute or
    so, and say Ready; what they held is gone. The cache is bound to its nodes, and has to be made
    anew on one that is there.
    """
    told: set[str] = set()
    for part in (WORKER, MASTER, FUSE):
        for pod in case.own.pods.get(part, []):
            name = str(at(pod, "spec", "nodeName", default=""))
            if (
                not name
                or name in told
                or observations.over(pod)
                or case.snapshot.find(kinds.NODES, name)
            ):
                continue
            told.add(name)
            yield Finding(
                f"node {name}",
                f"it held the cache's {part} and is no longer in the cluster",
                (observations.field(pod, "spec", "nodeName"),),
                Fix(fix_commands.anew(case.own)),
                Severity.WARNING if part == FUSE else None,
            )


@check(
    "FM815",
    "no node of the cache is being deleted",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM810", "FM811", *_ON_THE_NODE),
)
def stays(case: Case) -> Iterator[Finding]:
    """A node with a part of the cache was deleted and waits for its finalizers, as an autoscaler
    such as Karpenter does: it still says Ready, takes no more pods and goes with all that it holds.
    """
    for node in nodes(case):
        if is_terminating(node):
            yield Finding(
                reference(node),
                f"it holds the cache and is being deleted, {describe_deletion(node)}",
                (observations.field(node, "metadata", "deletionTimestamp"),),
                observations.look(node, "get", "node", Operand(name_of(node)), "-o", "yaml"),
            )


@check(
    "FM811",
    "the cache's nodes take pods",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM306",),
)
def open_(case: Case) -> Iterator[Finding]:
    """A node with the cache is cordoned, or about to be taken away: Karpenter, the cluster
    autoscaler, Cluster API and clouds say so by a taint. The worker goes on, and so do the pods
    that are there; but no new engine can start beside its model, a worker that ends does not
    come back, and with the node the cache goes. `cache` again puts it on a node that stays.
    """
    for node in nodes(case):
        if at(node, "spec", "unschedulable"):
            yield Finding(
                reference(node),
                "it holds the cache and is cordoned",
                (observations.field(node, "spec", "unschedulable"),),
                Fix(fix_commands.uncordon([name_of(node)])),
            )
            continue
        # Kubernetes' own taints come with conditions, which other checks are about.
        going = [
            taint
            for taint in taints_of(node)
            if taint.leaving and not taint.key.startswith("node.kubernetes.io/")
        ]
        if going:
            certain = [taint for taint in going if taint.hard]
            yield Finding(
                reference(node),
                f"it holds the cache, and {(certain or going)[0].leaving}",
                tuple(Evidence(reference(node), "spec.taints", str(taint)) for taint in going),
                Fix(fix_commands.remade(case.own))
                if certain
                else observations.look(node, "describe", "node", Operand(name_of(node))),
            )


@check(
    "FM812",
    "the cache's nodes have room to breathe",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM322", "FM813"),
)
def pressure(case: Case) -> Iterator[Finding]:
    """The kubelet of a node with the cache is short of memory, disk or process ids. It evicts pods
    then, those that use more than they requested first. A cache in memory, or on the system's
    disk, is often what fills it.
    """
    for node in nodes(case):
        for kind in _PRESSURES:
            condition = _condition(node, kind)
            if condition.get("status") != "True":
                continue
            mine = kind == "MemoryPressure" and in_memory(case.own)
            yield Finding(
                reference(node),
                f"it holds the cache and is under {kind}",
                (_seen(node, condition),),
                Fix(fix_commands.remade(case.own, "--medium", "SSD"))
                if mine
                else observations.look(node, "describe", "node", Operand(name_of(node))),
            )


@check(
    "FM813",
    "no pod of the cache was evicted",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM311", "FM331", "FM430", *NO_WORKER, *NOT_WHOLE),
)
def evicted(case: Case) -> Iterator[Finding]:
    """The kubelet took a pod of the cache away within the hour, because its node ran out of memory
    or disk. Another one is made, with an empty cache if it lay in the pod or in memory. Give the
    cache a place that does not fill the node, or requests that say what it uses.
    """
    for part, pod in observations.pods_of(case.own, MASTER, WORKER, FUSE):
        said = observations.told(case, pod, "", "Evicted")
        gone = at(pod, "status", "reason") == "Evicted"
        fresh = [
            event
            for event in case.snapshot.events_of("Pod", case.own.namespace, name_of(pod))
            if event.get("reason") == "Evicted"
            and (observations.since(case, event.get("lastTimestamp")) or 0.0) < RECENT
        ]
        if not gone and not fresh:
            continue
        said = said or observations.newest(fresh, "")
        moved = part == WORKER and in_memory(case.own)
        words = [*([observations.field(pod, "status", "message")] if gone else [])]
        yield Finding(
            reference(pod),
            f"the {part} was evicted from its node",
            (*words, *observations.some(said)),
            Fix(fix_commands.remade(case.own, "--medium", "SSD"))
            if moved
            else observations.look(pod, "describe", "pod", Operand(name_of(pod))),
        )
