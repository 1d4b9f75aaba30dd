"""3xx and 7xx: pods of a cache or of a graph that the API server rejects."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Finding,
    Fix,
    event_evidence,
    involved_object,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_FUSE, NO_MASTER
from kubectl_fluidmodel.doctor.graph_usage import reading_workers
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_int, name_of, namespace_of
from kubectl_fluidmodel.output.shell import Operand, kubectl

_EXCEEDED_QUOTA = re.compile(r"exceeded quota: (?P<name>[^,]+)")
_POD_SECURITY = re.compile(r'violates PodSecurity "(?P<level>[a-z]+)')


@register_check(
    "FM307",
    "the API server admits the cache's pods",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM311", *NO_FUSE, *NO_MASTER),
)
def cache_pods_are_admitted(context: CheckContext) -> Iterator[Finding]:
    """The API server rejects pods of the cache.

    A StatefulSet or DaemonSet of the cache cannot create its pods: a ResourceQuota is exhausted,
    Pod Security forbids what they need (the host network, directories of the node), or a webhook
    rejects them. No pod exists in that case; the rejection is an event of the workload.
    """
    cache = context.cache
    for part, workload in cache.workloads.items():
        have = [pod for _, pod in observations.cache_pods(cache, part)]
        replicas = get_int(workload, "spec", "replicas")
        if part == FUSE:
            replicas = get_int(workload, "status", "desiredNumberScheduled")
        warning = observations.warning_event(context, workload, "", "FailedCreate")
        if warning is None or len(have) >= replicas:
            continue
        if part == MASTER and not (
            _EXCEEDED_QUOTA.search(warning.text) or _POD_SECURITY.search(warning.text)
        ):
            continue  # FM311 reports a master without a pod
        cause, fix = _explain_refusal(workload, warning.text)
        yield Finding(
            object_reference(workload),
            f"the {part} has {len(have)} of {replicas} pods: {cause}",
            (warning,),
            fix,
        )


@register_check(
    "FM735",
    "the API server admits the graph's pods",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM733",),
)
def graph_pods_are_admitted(context: CheckContext) -> Iterator[Finding]:
    """The API server rejects pods of a worker that reads the cache.

    A ResourceQuota is exhausted, or Pod Security or a webhook rejects them. The worker has fewer
    pods than replicas, and the existing pods do not show the reason. Rejections by Fluid's own
    webhook are reported by FM440.
    """
    reported: set[str] = set()
    for use in reading_workers(context):
        replicas = use.component.replicas * use.component.nodes_per_replica
        if len(use.pods) >= replicas or use.about in reported:
            continue
        for event in observations.creation_failures(context)[::-1]:
            owner = involved_object(event)
            message = str(event.get("message") or "")
            if (
                namespace_of(owner) != use.graph.namespace
                or not name_of(owner).startswith(f"{use.graph.name}-")
                or ".fluid.io" in message
            ):
                continue
            reported.add(use.about)
            cause, fix = _explain_refusal(owner, " ".join(message.split()))
            yield Finding(
                use.about,
                f"component {use.component.name} has {len(use.pods)} of {replicas} pods: {cause}",
                (event_evidence(event),),
                fix,
            )
            break


def _explain_refusal(workload: Object, message: str) -> tuple[str, Fix]:
    quota, security = _EXCEEDED_QUOTA.search(message), _POD_SECURITY.search(message)
    namespace = namespace_of(workload)
    if quota:
        name = quota["name"].strip()
        requested = message[quota.start() :]
        return (
            f"ResourceQuota {name} does not allow more: {requested}",
            observations.advice(workload, "describe", "resourcequota", name),
        )
    if security:
        level = "pod-security.kubernetes.io/enforce"
        return (
            f"the namespace enforces Pod Security '{security['level']}'",
            Fix(
                kubectl(
                    "label", "namespace", Operand(namespace), f"{level}=privileged", "--overwrite"
                )
            ),
        )
    return (
        f"the API server rejects them: {message[:200]}",
        observations.describe(workload),
    )
