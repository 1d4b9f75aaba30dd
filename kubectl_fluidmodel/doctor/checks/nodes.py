"""8xx: the nodes of a cache."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_WORKER, NOT_COMPLETE
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER
from kubectl_fluidmodel.inventory.runtimes import memory_tier_bytes
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.objects.taints import taints_of
from kubectl_fluidmodel.output.shell import Operand

_PRESSURE_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure")
RECENT_EVICTION = 3600.0
"""Seconds for which an eviction counts as recent."""


def _medium_fix(context: CheckContext, obj: Object, *, is_cause: bool) -> Fix:
    """Move the cache out of memory, if that is the cause; else show more of an object."""
    if is_cause and memory_tier_bytes(context.cache.runtime):
        return Fix(cache_commands.rebuild_cache(context.cache, "--medium", "SSD"))
    return observations.describe(obj)


def _condition_evidence(node: Object, condition: Object) -> Evidence:
    message = f"{condition.get('status')}: {condition.get('reason')}: {condition.get('message')}"
    return Evidence(object_reference(node), f"status.conditions {condition.get('type')}", message)


@register_check(
    "FM810",
    "the cache's nodes are ready",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM334", "FM331", "FM420", "FM421", "FM430", "FM811", *NO_WORKER, *NOT_COMPLETE),
)
def cache_nodes_are_ready(context: CheckContext) -> Iterator[Finding]:
    """A node with a component of the cache is not ready.

    Its kubelet does not respond, or reports a problem. Its part of the cache cannot be read, and
    after five minutes its pods are evicted. A memory tier is lost when the node reboots.
    """
    for node in observations.visible_cache_nodes(context):
        condition = observations.condition_of(node, "Ready")
        if not condition or condition.get("status") == "True":
            continue
        yield Finding(
            object_reference(node),
            "it holds the cache and is not ready",
            (_condition_evidence(node, condition),),
            observations.describe(node),
        )


_LOST_WITH_NODE = ("FM331", "FM334", "FM420", "FM421", "FM430", *NO_WORKER, *NOT_COMPLETE)


@register_check(
    "FM814",
    "the cache's nodes are in the cluster",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM303", "FM306", "FM311", "FM810", *_LOST_WITH_NODE),
)
def cache_nodes_exist(context: CheckContext) -> Iterator[Finding]:
    """A node with a component of the cache was removed from the cluster.

    Its pods stay in the list, as Ready, for about a minute; the data they held is gone. The cache
    is bound to its nodes and has to be recreated on an existing one.
    """
    reported: set[str] = set()
    for part in (WORKER, MASTER, FUSE):
        for pod in context.cache.pods.get(part, []):
            name = str(get_path(pod, "spec", "nodeName", default=""))
            if (
                not name
                or name in reported
                or is_terminated(pod)
                or context.snapshot.get(kinds.NODES, name)
            ):
                continue
            reported.add(name)
            yield Finding(
                f"node {name}",
                f"it held the cache's {part} and is no longer in the cluster",
                (observations.field_evidence(pod, "spec", "nodeName"),),
                Fix(cache_commands.recreate_cache(context.cache)),
                Severity.WARNING if part == FUSE else None,
            )


@register_check(
    "FM815",
    "no node of the cache is being deleted",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM810", "FM811", *_LOST_WITH_NODE),
)
def cache_nodes_are_not_terminating(context: CheckContext) -> Iterator[Finding]:
    """A node with a component of the cache is being deleted.

    It waits for its finalizers, as nodes of autoscalers such as Karpenter do. It still reports
    Ready, but takes no more pods and goes with all its data.
    """
    for node in observations.visible_cache_nodes(context):
        if is_terminating(node):
            yield Finding(
                object_reference(node),
                f"it holds the cache and is being deleted, {describe_deletion(node)}",
                (observations.field_evidence(node, "metadata", "deletionTimestamp"),),
                observations.advice(node, "get", "node", Operand(name_of(node)), "-o", "yaml"),
            )


@register_check(
    "FM811",
    "the cache's nodes accept pods",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM306",),
)
def cache_nodes_accept_pods(context: CheckContext) -> Iterator[Finding]:
    """A node with the cache is cordoned or about to be removed.

    Karpenter, the cluster autoscaler, Cluster API and cloud providers announce removal with a
    taint. The worker and the existing pods keep running. But no new engine can start next to its
    model, a worker that exits does not come back, and the cache goes with the node. Running `cache`
    again moves it to a node that stays.
    """
    for node in observations.visible_cache_nodes(context):
        if get_path(node, "spec", "unschedulable"):
            yield Finding(
                object_reference(node),
                "it holds the cache and is cordoned",
                (observations.field_evidence(node, "spec", "unschedulable"),),
                Fix(fix_commands.uncordon_nodes([name_of(node)])),
            )
            continue
        # Other checks report the conditions that come with Kubernetes' own taints.
        leaving = [
            taint
            for taint in taints_of(node)
            if taint.departure_reason and not taint.key.startswith("node.kubernetes.io/")
        ]
        if leaving:
            blocking = [taint for taint in leaving if taint.blocks_pods]
            yield Finding(
                object_reference(node),
                f"it holds the cache, and {(blocking or leaving)[0].departure_reason}",
                tuple(
                    Evidence(object_reference(node), "spec.taints", str(taint)) for taint in leaving
                ),
                Fix(cache_commands.rebuild_cache(context.cache))
                if blocking
                else observations.describe(node),
            )


@register_check(
    "FM812",
    "the cache's nodes are not under pressure",
    severity=Severity.WARNING,
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM321", "FM322", "FM813", "FM827"),
)
def cache_nodes_are_not_under_pressure(context: CheckContext) -> Iterator[Finding]:
    """A node with the cache is short of memory, disk or process ids.

    The kubelet then evicts pods, first those that exceed their requests. A cache in memory, or on
    the system disk, is often what fills the node.
    """
    for node in observations.visible_cache_nodes(context):
        for kind in _PRESSURE_CONDITIONS:
            condition = observations.condition_of(node, kind)
            if condition.get("status") != "True":
                continue
            yield Finding(
                object_reference(node),
                f"it holds the cache and is under {kind}",
                (_condition_evidence(node, condition),),
                _medium_fix(context, node, is_cause=kind == "MemoryPressure"),
            )


@register_check(
    "FM813",
    "no pod of the cache was evicted",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    explains=("FM311", "FM331", "FM430", *NO_WORKER, *NOT_COMPLETE),
)
def no_cache_pod_was_evicted(context: CheckContext) -> Iterator[Finding]:
    """A pod of the cache was evicted within the last hour.

    The node ran out of memory or disk. A new pod starts, with an empty cache if the data was in the
    pod or in memory. Put the cache where it does not fill the node, or set requests that match its
    usage.
    """
    for part, pod in observations.cache_pods(context.cache, MASTER, WORKER, FUSE):
        warning = observations.warning_event(context, pod, "", "Evicted")
        is_evicted = get_path(pod, "status", "reason") == "Evicted"
        recent = [
            event
            for event in context.snapshot.events_by_name(
                "Pod", context.cache.namespace, name_of(pod)
            )
            if event.get("reason") == "Evicted"
            and (observations.seconds_since(context, event.get("lastTimestamp")) or 0.0)
            < RECENT_EVICTION
        ]
        if not is_evicted and not recent:
            continue
        warning = warning or observations.latest_event(recent, "")
        message = [observations.field_evidence(pod, "status", "message")] if is_evicted else []
        yield Finding(
            object_reference(pod),
            f"the {part} was evicted from its node",
            (*message, *observations.as_tuple(warning)),
            _medium_fix(context, pod, is_cause=part == WORKER),
        )
