"""Waits for the roll-out of a pinned graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.rollout import (
    ExpectedPods,
    RolloutStatus,
    expected_pods,
    pod_selector,
    rollout_status,
)
from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.wait import wait_until
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.objects.kinds import PODS
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.output.units import format_duration
from kubectl_fluidmodel.pin.graph_patch import GraphChange
from kubectl_fluidmodel.pin.preflight.context import CacheInfo
from kubectl_fluidmodel.records import dataclass

STALL_TIMEOUT = 20.0
"""Seconds without a change after which an unschedulable pod fails the roll-out. The cache's label
is on existing nodes, so no new node helps; only old pods that end do."""
_LOG_INTERVAL = 5.0
"""Seconds between two lines of progress."""
_POLL = 0.5


class RolloutFailedError(FluidModelError):
    """Pods that do not fit, do not start, or run on a node without the cache."""


@dataclass(frozen=True, kw_only=True)
class RolloutTarget:
    """The graph to wait for, and the requirements on its pods."""

    change: GraphChange
    stored: Object
    """The graph after the patch."""
    expected: list[ExpectedPods]
    claim: str
    labels: tuple[str, ...]
    """Keys of the labels of the cache's nodes."""
    cache_nodes: set[str] | None
    """None if the nodes may not be read: then only the scheduler knows where pods may run."""

    @staticmethod
    def of(change: GraphChange, stored: Object, cache: CacheInfo) -> RolloutTarget:
        """All pods of the components that are pinned."""
        modes = {
            component_change.component: component_change.mode
            for component_change in change.result.changes
        }
        components = change.result.graph.components
        return RolloutTarget(
            change=change,
            stored=stored,
            expected=expected_pods(
                (component, modes[component.name])
                for component in components
                if component.name in modes
            ),
            claim=cache.name,
            labels=(cache.label, *cache.equal_labels),
            cache_nodes=None if cache.nodes is None else set(map(name_of, cache.nodes)),
        )

    @property
    def selector(self) -> str:
        return pod_selector(self.change.result.graph, name_of(self.stored))

    def status(self, graph: Object, pods: Iterable[Object]) -> RolloutStatus:
        """Compute the roll-out's progress from the current graph and its pods."""
        opened = open_graph(graph, self.change.graph.schema)
        return rollout_status(
            opened, self.expected, pods, self.claim, self.labels, self.cache_nodes
        )


class _Observer:
    """State that is kept between two checks of a roll-out."""

    def __init__(self, expected: list[ExpectedPods], log: Callable[[str], None]) -> None:
        self.status = RolloutStatus(False, expected)
        self._log = log
        self._started = self._changed = self._logged = time.monotonic()
        self._state: tuple[object, ...] = ()
        self._gated: set[str] = set()
        self._broken_since: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def update(self, status: RolloutStatus) -> None:
        now = time.monotonic()
        self.status = status
        state = (status.observed, status.old_pods, *status.pods)
        if state != self._state:
            self._state, self._changed = state, now
        self._broken_since = {
            pod.name: self._broken_since.get(pod.name, now)
            for pod in status.pods
            if pod.cannot_start
        }
        gated = {pod.name for pod in status.pods if pod.gated}
        if gated - self._gated:  # a gate causes no event, so report it immediately
            self.log_progress()
        self._gated |= gated

    def has_ended(self) -> bool:
        """Return whether the roll-out is complete, or no change is to be expected."""
        now = time.monotonic()
        stalled = now - self._changed >= STALL_TIMEOUT
        broken = any(now - since >= STALL_TIMEOUT for since in self._broken_since.values())
        return self.status.done or broken or (bool(self.status.unschedulable) and stalled)

    def log_progress(self, interval: float = 0.0, problem: str = "") -> None:
        """Report the progress, if the last report is at least `interval` seconds ago."""
        now = time.monotonic()
        if now - self._logged >= interval:
            self._logged = now
            self._log(f"{self.status.summary()} after {format_duration(self.elapsed)}{problem}")


def wait_for_rollout(
    client: Client,
    target: RolloutTarget,
    *,
    timeout: float,
    log: Callable[[str], None],
    raise_if_hopeless: Callable[[], None] = lambda: None,
) -> RolloutStatus:
    """Wait until every expected pod of the new template is Ready.

    Args:
        client: the client for two watches.
        target: what to wait for.
        timeout: seconds.
        log: receives a line of progress every 5 seconds, and one immediately for a scheduling gate.
        raise_if_hopeless: called periodically while pods are not ready; raises an error if waiting
            cannot help.

    Returns:
        The last state: all pods ready, or pods that cannot be scheduled or started.

    Raises:
        WaitTimeoutError: it took longer than `timeout`, without unschedulable pods.
        RolloutFailedError: the graph was deleted.
    """
    namespace, name = target.change.namespace, name_of(target.stored)
    observer = _Observer(target.expected, log)
    informer = Informer(client)

    def has_ended() -> bool:
        if not informer.has_synced():
            return False
        graph = _current_graph(informer, target)
        observer.update(target.status(graph, informer.list_objects(PODS)))
        if observer.has_ended():
            return True
        if not observer.status.unschedulable:
            raise_if_hopeless()
        return False

    def log_progress() -> None:
        error = informer.last_error
        observer.log_progress(
            _LOG_INTERVAL, f" (the cluster does not respond: {error})" if error else ""
        )

    informer.start(PODS, namespace, labels=target.selector)
    informer.start(target.change.graph.kind, namespace, fields=f"metadata.name={name}")
    try:
        deadline = time.monotonic() + timeout
        ended = wait_until(
            informer, has_ended, deadline, log_progress, interval=_POLL, required=(PODS,)
        )
    finally:
        informer.close()
    if not ended and not observer.status.unschedulable:
        raise WaitTimeoutError(
            f"{target.change.reference} did not finish its roll-out in {format_duration(timeout)}",
            _pod_problems(observer.status) or observer.status.summary(),
            kubectl("get", "pods", "-l", target.selector, namespace=namespace),
        )
    return observer.status


def _current_graph(informer: Informer, target: RolloutTarget) -> Object:
    """Return the latest graph; the stored one, if it may not be watched."""
    kind = target.change.graph.kind
    graph = informer.get(kind, name_of(target.stored))
    if graph is None and informer.is_watching(kind):
        raise RolloutFailedError(f"{target.change.reference} was deleted during its roll-out")
    if graph is not None and is_terminating(graph):
        raise RolloutFailedError(
            f"{target.change.reference} is being deleted", describe_deletion(graph)
        )
    return graph or target.stored


def raise_if_failed(status: RolloutStatus, reference: str, namespace: str) -> None:
    """Raise an error for the problems of a roll-out that has ended."""
    broken = [pod for pod in status.pods if pod.cannot_start]
    for pods, problem in (
        (status.unschedulable, "does not fit on any node"),
        (broken, "does not start"),
    ):
        if pods:
            raise RolloutFailedError(
                f"pod {pods[0].name} of {reference} {problem}",
                pods[0].problem,
                kubectl("describe", "pod", Operand(pods[0].name), namespace=namespace),
            )
    if status.misplaced:
        pod = status.misplaced[0]
        raise RolloutFailedError(
            f"pod {pod.name} of {reference} runs on {pod.node}, which does not hold the cache",
            "the cache moved, or its node lost the label while the pod started",
            "the same command again",
        )


def _pod_problems(status: RolloutStatus) -> str:
    return "; ".join(f"{pod.name}: {pod.problem}" for pod in status.pods if pod.problem)[:500]
