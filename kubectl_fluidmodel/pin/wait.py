"""Follow the roll-out of a pinned graph to its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from kubectl_fluidmodel.dynamo import rollout
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.rollout import Expected, Progress
from kubectl_fluidmodel.errors import FluidModelError, TimedOut
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.watch import Feed
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.text import duration

PATIENCE = 20.0
"""Seconds that a roll-out with a pod without a place may stand still before it has failed: the
label of the cache is on nodes that exist, so no new node will help; only old pods that go will."""
_EVERY = 5.0


class RolloutFailed(FluidModelError):
    """Pods that do not fit, or that run where the cache is not."""


def follow(
    client: Client,
    kind: Kind,
    obj: Object,
    expected: list[Expected],
    *,
    schema: str | None,
    claim: str,
    key: str,
    cache_nodes: set[str],
    timeout: float,
    say: Callable[[str], None],
    check_hope: Callable[[], None] = lambda: None,
) -> Progress:
    """Wait until every expected pod of the new template is Ready; the last state seen.

    `check_hope` is called now and then while pods are not ready, and raises where waiting is in
    vain. A pod behind a scheduling gate is told at once.

    Raises:
        TimedOut: it took longer than `timeout` seconds, and the scheduler turned no pod away.
        RolloutFailed: the graph is being deleted.
    """
    graph = open_graph(obj, schema)
    namespace, name = graph.namespace, name_of(obj)
    feed = Feed(client)
    feed.follow(kinds.PODS, namespace, labels=rollout.selector(graph, name))
    feed.follow(kind, namespace, fields=f"metadata.name={name}")
    start = still_since = said = time.monotonic()
    last: tuple[object, ...] = ()
    synced: set[Kind] = set()
    told: frozenset[str] = frozenset()
    broken: dict[str, float] = {}
    progress = Progress(False, expected)
    try:
        while True:
            change = feed.next(0.25)
            if change is not None and change.type in ("SYNCED", "ERROR"):
                synced.add(change.kind)
            if kinds.PODS in feed.denied:
                raise FluidModelError("cannot follow the roll-out", feed.denied[kinds.PODS])
            now = time.monotonic()
            if kinds.PODS in synced and (kind in synced):
                current = feed.one(kind, name)
                if current is None and feed.knows(kind):
                    raise RolloutFailed(f"{graph.reference} was deleted while waiting for it")
                current = current or obj
                if is_terminating(current):
                    raise RolloutFailed(
                        f"{graph.reference} is being deleted", describe_deletion(current)
                    )
                graph = open_graph(current, schema)
                progress = rollout.judge(
                    graph, expected, feed.all(kinds.PODS), claim, key, cache_nodes
                )
                if progress.done:
                    return progress
                state = (progress.observed, progress.old, *progress.rows)
                if state != last:
                    last, still_since = state, now
                if progress.stuck and now - still_since >= PATIENCE:
                    return progress
                gated = frozenset(row.pod for row in progress.rows if row.gated)
                if gated - told:
                    said = now
                    say(f"{progress.summary()} after {duration(now - start)}")
                told |= gated
                broken = {row.pod: broken.get(row.pod, now) for row in progress.rows if row.broken}
                if any(now - since >= PATIENCE for since in broken.values()):
                    return progress
                if not progress.stuck:
                    check_hope()
            if now - said >= _EVERY:
                said = now
                say(f"{progress.summary()} after {duration(now - start)}{_trouble(feed)}")
            if now - start >= timeout:
                if progress.stuck:
                    return progress
                raise TimedOut(
                    f"{graph.reference} did not finish its roll-out in {duration(timeout)}",
                    _words(progress) or progress.summary(),
                    f"kubectl get pods -n {namespace} -l {rollout.selector(graph, name)}",
                )
    finally:
        feed.close()


def check(progress: Progress, reference: str, namespace: str) -> None:
    """Raise what is wrong with a roll-out that has come to rest."""
    if progress.stuck:
        row = progress.stuck[0]
        raise RolloutFailed(
            f"pod {row.pod} of {reference} fits on no node",
            row.trouble,
            f"kubectl describe pod {row.pod} -n {namespace}",
        )
    broken = [row for row in progress.rows if row.broken]
    if broken:
        raise RolloutFailed(
            f"pod {broken[0].pod} of {reference} does not start",
            broken[0].trouble,
            f"kubectl describe pod {broken[0].pod} -n {namespace}",
        )
    if progress.astray:
        row = progress.astray[0]
        raise RolloutFailed(
            f"pod {row.pod} of {reference} runs on {row.node}, which does not hold the cache",
            "the cache moved, or the label went while the pod started",
            "the same command again",
        )


def _words(progress: Progress) -> str:
    return "; ".join(f"{row.pod}: {row.trouble}" for row in progress.rows if row.trouble)[:500]


def _trouble(feed: Feed) -> str:
    return f" (the cluster does not answer: {feed.trouble})" if feed.trouble else ""
