"""4xx: pods that shall read a cache and wait, before any mount is tried or beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.checks.volume_mounts import SAYS
from kubectl_fluidmodel.doctor.graph_usage import uses
from kubectl_fluidmodel.dynamo import rollout
from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating

GATED = 60.0
"""Seconds that a gate, or a scheduler, may take: Grove lifts its gates when a gang is complete."""
_CLAIM = re.compile(r'persistentvolumeclaim "[^"]*" not found|PersistentVolumeClaims')
_FAILING = (
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
"""Reasons of a container that waits and will not start by itself (pkg/kubelet/kuberuntime and
pkg/kubelet/images of Kubernetes 1.36)."""
_REFUSED = (
    "FailedCreatePodSandBox",
    "FailedCreatePodContainer",
    "FailedPrepareDynamicResources",
    "NetworkNotReady",
    "FailedSync",
)
"""Events of a pod of which no container came to be."""


@check("FM444", "every pod that reads the cache has a node", needs=(kinds.PODS,))
def has_node(case: Case) -> Iterator[Finding]:
    """A pod that mounts the cache is Pending. A scheduling gate keeps the scheduler from looking at
    it, without any event, until what set it lifts it (Grove, when its gang is complete); or no
    scheduler looks at it at all; or the scheduler finds no node. Workers of a graph that the
    scheduler turned away are FM730's.
    """
    told = {name_of(pod) for use in uses(case) if use.reads for pod in use.pods}
    for pod in _pending(case):
        gates, words = rollout.gates_of(pod), observations.unscheduled(pod)
        young = case.age(pod) < GATED
        age = at(pod, "metadata", "creationTimestamp", default="")
        where = ["describe", "pod", name_of(pod)]
        if gates:
            yield Finding(
                reference(pod),
                f"it is SchedulingGated by {', '.join(gates)} since {age}",
                (observations.field(pod, "spec", "schedulingGates", text=", ".join(gates)),),
                _lift(pod, gates),
                Severity.WARNING if young else None,
            )
        elif words and name_of(pod) not in told and not _CLAIM.search(words):
            yield Finding(
                reference(pod),
                "the scheduler finds no node for it",
                (Evidence(reference(pod), "condition PodScheduled", words),),
                observations.look(pod, *where),
            )
        elif not words and not young:
            name = at(pod, "spec", "schedulerName", default="default-scheduler")
            yield Finding(
                reference(pod),
                f"no scheduler has looked at it since {age}: is {name} running?",
                (
                    observations.field(pod, "spec", "schedulerName"),
                    observations.field(pod, "status", "phase"),
                ),
                observations.look(pod, *where),
            )


def _pending(case: Case) -> Iterator[Object]:
    """Readers and pods of graphs with the cache that have no node, each once."""
    seen: set[str] = set()
    pods = [reader.pod for reader in case.own.readers]
    pods += [pod for use in uses(case) if use.mounted for pod in use.pods]
    for pod in pods:
        waits = not at(pod, "spec", "nodeName") and not observations.over(pod)
        if waits and not is_terminating(pod) and name_of(pod) not in seen:
            seen.add(name_of(pod))
            yield pod


def _lift(pod: Object, gates: list[str]) -> Fix:
    if any(gate.startswith("grove.io/") for gate in gates):
        return observations.look(pod, "get", "podgangs.scheduler.grove.io", "-o", "wide")
    return observations.look(pod, "describe", "pod", name_of(pod))


@check(
    "FM445",
    "the readers' containers start",
    severity=Severity.WARNING,
    needs=(kinds.PODS,),
    fallback=True,
)
def start(case: Case) -> Iterator[Finding]:
    """A pod that mounts the cache has a node, and a container of it does not start: its image
    cannot be pulled, its configuration names what is not there, or it ends at once. That is not
    the cache's fault, and nothing reads the model meanwhile.
    """
    known = "|".join(SAYS.values())
    for reader in case.own.readers:
        pod = reader.pod
        if (
            pod_problems.ready(pod)
            or not reader.node
            or is_terminating(pod)
            or observations.over(pod)
        ):
            continue
        stuck = [
            seen for _, seen in observations.waits(pod, _FAILING) if not re.search(known, seen.text)
        ]
        said = observations.told(case, pod, "", *_REFUSED)
        evidence = [*stuck, *observations.some(said)]
        if evidence:
            first = evidence[0].text
            yield Finding(
                reference(pod),
                f"it does not start on node {reader.node}: {first[:160]}",
                tuple(evidence),
                observations.look(pod, "describe", "pod", name_of(pod)),
            )
            continue
        lost = [
            each
            for each in dicts(pod, "status", "conditions")
            if each.get("type") == "DisruptionTarget" and each.get("status") == "True"
        ]
        for each in lost[:1]:
            words = f"{each.get('reason')}: {each.get('message')}"
            yield Finding(
                reference(pod),
                f"it is about to be taken from node {reader.node}",
                (Evidence(reference(pod), "condition DisruptionTarget", words),),
                observations.look(pod, "describe", "pod", name_of(pod)),
            )
