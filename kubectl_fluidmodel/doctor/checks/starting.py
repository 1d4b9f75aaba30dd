"""4xx: pods that read a cache and wait for something other than a mount."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.checks.volume_mounts import MOUNT_FAILURES
from kubectl_fluidmodel.doctor.graph_usage import component_usages
from kubectl_fluidmodel.dynamo import rollout
from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.output.shell import Operand

GATE_TIMEOUT = 60.0
"""Seconds that a scheduling gate or a scheduler may take; Grove removes gates per gang."""
_CLAIM_PROBLEM = re.compile(r'persistentvolumeclaim "[^"]*" not found|PersistentVolumeClaims')
_START_ERRORS = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
)
"""Reasons of waiting containers that will not start by themselves (pkg/kubelet/kuberuntime and
pkg/kubelet/images of Kubernetes 1.36)."""
_SANDBOX_EVENTS = (
    "FailedCreatePodSandBox",
    "FailedCreatePodContainer",
    "FailedPrepareDynamicResources",
    "NetworkNotReady",
    "FailedSync",
)
"""Reasons of events about pods whose containers were never created."""


@register_check("FM441", "the readers find their claim", needs=(kinds.PODS,))
def reader_claim_exists(context: CheckContext) -> Iterator[Finding]:
    """A pod waits for a claim that does not exist yet.

    Fluid creates it when the Dataset is Bound; the pod then continues without help.
    """
    cache = context.cache
    for reader in cache.readers:
        message = observations.scheduling_failure(reader.pod)
        if f'persistentvolumeclaim "{cache.name}" not found' in message:
            yield Finding(
                object_reference(reader.pod),
                f"it waits for the claim {cache.name}, which does not exist",
                (
                    Evidence(
                        object_reference(reader.pod), "status.conditions PodScheduled", message
                    ),
                ),
                observations.advice(cache, "get", "dataset", Operand(cache.name)),
            )


@register_check("FM444", "every pod that reads the cache is scheduled", needs=(kinds.PODS,))
def reader_pods_are_scheduled(context: CheckContext) -> Iterator[Finding]:
    """A pod that mounts the cache is Pending.

    There are three possible reasons. A scheduling gate keeps the scheduler from looking at it,
    without any event, until its owner removes the gate (Grove does so when the gang is complete).
    Or no scheduler handles the pod. Or the scheduler finds no node. FM730 reports workers of graphs
    that the scheduler could not place.
    """
    reported = {
        name_of(pod) for use in component_usages(context) if use.reads_cache for pod in use.pods
    }
    for pod in _unscheduled_pods(context):
        gates, message = rollout.scheduling_gates(pod), observations.scheduling_failure(pod)
        is_recent = context.age(pod) < GATE_TIMEOUT
        age = get_path(pod, "metadata", "creationTimestamp", default="")
        describe = ["describe", "pod", name_of(pod)]
        if gates:
            yield Finding(
                object_reference(pod),
                f"it has been SchedulingGated by {', '.join(gates)} since {age}",
                (
                    observations.field_evidence(
                        pod, "spec", "schedulingGates", text=", ".join(gates)
                    ),
                ),
                _gate_fix(pod, gates),
                Severity.WARNING if is_recent else None,
            )
        elif message and name_of(pod) not in reported and not _CLAIM_PROBLEM.search(message):
            yield Finding(
                object_reference(pod),
                "the scheduler finds no node for it",
                (Evidence(object_reference(pod), "condition PodScheduled", message),),
                observations.advice(pod, *describe),
            )
        elif not message and not is_recent:
            name = get_path(pod, "spec", "schedulerName", default="default-scheduler")
            yield Finding(
                object_reference(pod),
                f"no scheduler has handled it since {age}: is {name} running?",
                (
                    observations.field_evidence(pod, "spec", "schedulerName"),
                    observations.field_evidence(pod, "status", "phase"),
                ),
                observations.advice(pod, *describe),
            )


def _unscheduled_pods(context: CheckContext) -> Iterator[Object]:
    """Readers, and pods of graphs with the cache, that have no node, each once."""
    names: set[str] = set()
    pods = [reader.pod for reader in context.cache.readers]
    pods += [pod for use in component_usages(context) if use.claim_mount for pod in use.pods]
    for pod in pods:
        waits = not get_path(pod, "spec", "nodeName") and not is_terminated(pod)
        if waits and not is_terminating(pod) and name_of(pod) not in names:
            names.add(name_of(pod))
            yield pod


def _gate_fix(pod: Object, gates: list[str]) -> Fix:
    if any(gate.startswith("grove.io/") for gate in gates):
        return observations.advice(pod, "get", "podgangs.scheduler.grove.io", "-o", "wide")
    return observations.describe(pod)


@register_check(
    "FM445",
    "the readers' containers start",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    fallback=True,
)
def reader_containers_start(context: CheckContext) -> Iterator[Finding]:
    """A container of a pod that mounts the cache does not start.

    The pod has a node, but an image cannot be pulled, the configuration refers to something that
    does not exist, or the container exits at once. The cache is not the reason, but nothing reads
    the model.
    """
    mount_failures = "|".join(MOUNT_FAILURES.values())
    for reader in context.cache.readers:
        pod = reader.pod
        if (
            pod_problems.is_ready(pod)
            or not reader.node
            or is_terminating(pod)
            or is_terminated(pod)
        ):
            continue
        stuck = [
            waiting
            for _, waiting in observations.waiting_containers(pod, _START_ERRORS)
            if not re.search(mount_failures, waiting.text)
        ]
        warning = observations.warning_event(context, pod, "", *_SANDBOX_EVENTS)
        evidence = [*stuck, *observations.as_tuple(warning)]
        if evidence:
            first = evidence[0].text
            yield Finding(
                object_reference(pod),
                f"it does not start on node {reader.node}: {first[:160]}",
                tuple(evidence),
                observations.describe(pod),
            )
            continue
        condition = observations.condition_of(pod, "DisruptionTarget")
        if condition.get("status") == "True":
            message = f"{condition.get('reason')}: {condition.get('message')}"
            yield Finding(
                object_reference(pod),
                f"it is about to be evicted from node {reader.node}",
                (Evidence(object_reference(pod), "condition DisruptionTarget", message),),
                observations.describe(pod),
            )
