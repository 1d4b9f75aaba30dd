"""Follow the roll-out of a pinned graph to its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from kubectl_fluidmodel.dynamo import rollout
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.rollout import ExpectedPods, RolloutStatus
from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.units import format_duration

PATIENCE = 20.0
"""Seconds that a roll-out with a pod without a place may stand still before it has failed: the
label of the cache is on nodes that exist, so no new node will help; only old pods that go will."""
_LOG_INTERVAL = 5.0


class RolloutFailedError(FluidModelError):
    """Pods that do not fit, or that run where the cache is not."""


def wait_for_rollout(
    client: Client,
    kind: Kind,
    obj: Object,
    expected: list[ExpectedPods],
    *,
    schema: str | None,
    claim: str,
    key: str,
    cache_nodes: set[str],
    timeout: float,
    log: Callable[[str], None],
    raise_if_hopeless: Callable[[], None] = lambda: None,
) -> RolloutStatus:
    """Wait until every expected pod of the new template is Ready; the last state seen.

    `check_hope` is called now and then while pods are not ready, and raises where waiting is in
    vain. A pod behind a scheduling gate is told at once.

    Raises:
        WaitTimeoutError: it took longer than `timeout` seconds, and the scheduler turned no
            pod away.
        RolloutFailedError: the graph is being deleted.
    """
    graph = open_graph(obj, schema)
    namespace, name = graph.namespace, name_of(obj)
    feed = Informer(client)
    feed.start(kinds.PODS, namespace, labels=rollout.pod_selector(graph, name))
    feed.start(kind, namespace, fields=f"metadata.name={name}")
    start = still_since = said = time.monotonic()
    last: tuple[object, ...] = ()
    synced: set[Kind] = set()
    told: frozenset[str] = frozenset()
    broken: dict[str, float] = {}
    status = RolloutStatus(False, expected)
    try:
        while True:
            change = feed.next_event(0.25)
            if change is not None and change.type in ("SYNCED", "ERROR"):
                synced.add(change.kind)
            if kinds.PODS in feed.denied:
                raise FluidModelError("cannot follow the roll-out", feed.denied[kinds.PODS])
            now = time.monotonic()
            if kinds.PODS in synced and (kind in synced):
                current = feed.get(kind, name)
                if current is None and feed.is_watching(kind):
                    raise RolloutFailedError(f"{graph.reference} was deleted while waiting for it")
                current = current or obj
                if is_terminating(current):
                    raise RolloutFailedError(
                        f"{graph.reference} is being deleted", describe_deletion(current)
                    )
                graph = open_graph(current, schema)
                status = rollout.rollout_status(
                    graph, expected, feed.list_objects(kinds.PODS), claim, key, cache_nodes
                )
                if status.done:
                    return status
                state = (status.observed, status.old_pods, *status.pods)
                if state != last:
                    last, still_since = state, now
                if status.unschedulable and now - still_since >= PATIENCE:
                    return status
                gated = frozenset(row.name for row in status.pods if row.gated)
                if gated - told:
                    said = now
                    log(f"{status.summary()} after {format_duration(now - start)}")
                told |= gated
                broken = {
                    row.name: broken.get(row.name, now) for row in status.pods if row.cannot_start
                }
                if any(now - since >= PATIENCE for since in broken.values()):
                    return status
                if not status.unschedulable:
                    raise_if_hopeless()
            if now - said >= _LOG_INTERVAL:
                said = now
                log(
                    f"{status.summary()} after {format_duration(now - start)}{_watch_problem(feed)}"
                )
            if now - start >= timeout:
                if status.unschedulable:
                    return status
                raise WaitTimeoutError(
                    f"{graph.reference} did not finish its roll-out in {format_duration(timeout)}",
                    _pod_problems(status) or status.summary(),
                    f"kubectl get pods -n {namespace} -l {rollout.pod_selector(graph, name)}",
                )
    finally:
        feed.close()


def raise_if_failed(status: RolloutStatus, reference: str, namespace: str) -> None:
    """Raise what is wrong with a roll-out that has come to rest."""
    if status.unschedulable:
        row = status.unschedulable[0]
        raise RolloutFailedError(
            f"pod {row.name} of {reference} fits on no node",
            row.problem,
            f"kubectl describe pod {row.name} -n {namespace}",
        )
    broken = [row for row in status.pods if row.cannot_start]
    if broken:
        raise RolloutFailedError(
            f"pod {broken[0].name} of {reference} does not start",
            broken[0].problem,
            f"kubectl describe pod {broken[0].name} -n {namespace}",
        )
    if status.misplaced:
        row = status.misplaced[0]
        raise RolloutFailedError(
            f"pod {row.name} of {reference} runs on {row.node}, which does not hold the cache",
            "the cache moved, or the label went while the pod started",
            "the same command again",
        )


def _pod_problems(progress: RolloutStatus) -> str:
    return "; ".join(f"{row.name}: {row.problem}" for row in progress.pods if row.problem)[:500]


def _watch_problem(feed: Informer) -> str:
    return f" (the cluster does not answer: {feed.last_error})" if feed.last_error else ""
