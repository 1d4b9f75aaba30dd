"""Checks how the pods will be replaced, and whether that can finish.

Rules: the operator's rolling update of Deployments (surge and unavailable 25% by default, rounded
up and down; both zero means surge 1), Grove and LeaderWorkerSet (no surge).
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.resources import (
    COMPONENT,
    GROVE_STRATEGY_ANNOTATION,
    STRATEGY_ANNOTATION,
)
from kubectl_fluidmodel.dynamo.scheduling import GpuRequest, pack_pods, unschedulable_reasons
from kubectl_fluidmodel.dynamo.workload import surges_first, workload_kind
from kubectl_fluidmodel.objects import gpus
from kubectl_fluidmodel.objects.access import get_path, name_of
from kubectl_fluidmodel.objects.gpus import Gpus
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.pin.preflight.context import (
    NOTE,
    REFUSE,
    WARN,
    PreflightContext,
    PreflightFinding,
)


def check_rollout(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Report which pods are replaced, and obstacles."""
    if not context.result.changed or context.request.adopt:
        return
    yield from _replaced_workers(context)
    for component in context.graph.components:
        if component.second_pod_template and component.name in context.changed_names:
            yield PreflightFinding(
                WARN,
                f"component {component.name} has a separate pod template in "
                f"{component.second_pod_template}",
                "pods created from it are not pinned",
            )
    if context.graph.annotations.get(GROVE_STRATEGY_ANNOTATION) == "OnDelete":
        name = name_of(context.before)
        label = f"nvidia.com/dynamo-graph-deployment-name={name}"
        yield PreflightFinding(
            WARN,
            f"Grove does not replace the pods of {name}",
            f"{GROVE_STRATEGY_ANNOTATION} is OnDelete",
            shell.command("kubectl", "delete", "pod", "-n", context.cache.namespace, "-l", label),
        )
    yield from _deadlock(context)


def _replaced_workers(context: PreflightContext) -> Iterator[PreflightFinding]:
    rolling = context.rolling_components()
    names = [component.name for component in rolling]
    unpinned = [name for name in names if name not in context.changed_names]
    workers = [component.name for component in rolling if component.role is Role.WORKER]
    message = f"all workers of {context.graph.reference} restart"
    if unpinned and context.graph.kind != COMPONENT:
        yield PreflightFinding(
            WARN,
            message,
            f"the operator also replaces {', '.join(unpinned)} when one worker changes",
        )
    elif len(workers) > 1:
        yield PreflightFinding(NOTE, f"{message}: {', '.join(workers)}")


def _deadlock(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Find a surge that waits for GPUs that the pods to be replaced hold.

    Requires the pods of all cache nodes: nodes that were not read may have free GPUs.
    """
    nodes = context.cache.nodes or []
    if context.request.preferred or not nodes or len(context.cache.pods) < len(nodes):
        return
    workers = list(_surging_workers(context))
    pods = [_gpu_request(context, before, after) for before, after in workers]
    stuck = pack_pods(pods, _free_gpus(context))
    if not stuck or pack_pods(pods, _free_gpus(context, without_own_pods=True)):
        return
    is_certain = all(workload_kind(context.graph, after) for _, after in workers)
    # If another component's new pod fits, its old one may free GPUs.
    all_stuck = len(stuck) == len(pods)
    reason = (
        "a new pod has to be Ready before an old one is deleted, and the graph's own pods hold the "
        "GPUs of the cache nodes"
    )
    yield PreflightFinding(
        REFUSE if is_certain and all_stuck else WARN,
        f"the roll-out of {', '.join(stuck)} {'would' if all_stuck else 'may'} wait forever",
        reason if is_certain else f"{reason} (unless Grove runs the graph: it does not surge)",
        f"--recreate, which sets {STRATEGY_ANNOTATION}: Recreate on the workers",
    )


def _surging_workers(context: PreflightContext) -> Iterator[tuple[Component, Component]]:
    """Return workers, before and after, that may start a new pod before an old one ends."""
    for before, after in context.pinned_workers():
        if (
            after.name in context.changed_names
            and after.gpus()
            and after.replicas
            and workload_kind(context.graph, after) in ("", "Deployment")
            and surges_first(
                after, get_path(context.before, "spec", "annotations", default={}) or {}
            )
        ):
            yield before, after


def _gpu_request(context: PreflightContext, before: Component, after: Component) -> GpuRequest:
    """Return one new pod, with the cache nodes that it may run on."""
    nodes = [
        name_of(node)
        for node in context.cache.nodes or []
        if not unschedulable_reasons(before.pod_spec(), node, before.gpus())
    ]
    return (after.name, after.gpus(), tuple(nodes))


def _free_gpus(context: PreflightContext, *, without_own_pods: bool = False) -> dict[str, Gpus]:
    """Return free GPUs by cache node; `without_own_pods` as if the graph's own pods had ended."""
    return {
        name_of(node): gpus.free_gpus(
            node,
            [
                pod
                for pod in context.cache.pods[name_of(node)]
                if not (without_own_pods and context.owns_pod(pod))
            ],
        )
        for node in context.cache.nodes or []
    }
