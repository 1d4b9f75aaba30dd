"""Pods of a cache (3xx) or of a graph (7xx) that the API server does not let be made."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, check, reference
from kubectl_fluidmodel.doctor.consequences import NO_FUSE, NO_MASTER
from kubectl_fluidmodel.doctor.graph_usage import readers
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, mapping, name_of, namespace_of, number

_QUOTA = re.compile(r"exceeded quota: (?P<name>[^,]+)")
_SECURITY = re.compile(r'violates PodSecurity "(?P<level>[a-z]+)')


@check(
    "FM307",
    "the API server lets the cache's pods be made",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM311", *NO_FUSE, *NO_MASTER),
)
def allowed(case: Case) -> Iterator[Finding]:
    """A StatefulSet or DaemonSet of the cache cannot make its pods: a ResourceQuota is used up, Pod
    Security forbids what they need (the node's network, directories of the node), or a webhook
    refuses them. There is no pod to look at then; the refusal is an event of what wanted to make
    it.
    """
    cache = case.own
    for part, workload in cache.sets.items():
        have = [pod for _, pod in observations.pods_of(cache, part)]
        wanted = number(workload, "spec", "replicas")
        if part == FUSE:
            wanted = number(workload, "status", "desiredNumberScheduled")
        said = observations.told(case, workload, "", "FailedCreate")
        if said is None or len(have) >= wanted:
            continue
        if part == MASTER and not (_QUOTA.search(said.text) or _SECURITY.search(said.text)):
            continue  # FM311 tells of a master without a pod
        cause, fix = _refused(workload, said.text)
        yield Finding(
            reference(workload),
            f"the {part} has {len(have)} of {wanted} pods: {cause}",
            (said,),
            fix,
        )


@check(
    "FM735",
    "the API server lets the graph's pods be made",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM733",),
)
def graph_allowed(case: Case) -> Iterator[Finding]:
    """What makes the pods of a worker that reads the cache is refused: a ResourceQuota is used up,
    Pod Security or a webhook says no. The worker has fewer pods than its replicas, and none of them
    says why. What Fluid's own webhook refuses is FM440's.
    """
    told: set[str] = set()
    for use in readers(case):
        short = len(use.pods) < use.component.replicas * use.component.nodes_per_replica
        for event in observations.refusals(case)[::-1] if short and use.about not in told else ():
            owner = {**mapping(event, "involvedObject")}
            about = {"kind": owner.get("kind"), "metadata": owner}
            message = str(event.get("message") or "")
            same = namespace_of(about) == use.graph.namespace
            if not same or not name_of(about).startswith(f"{use.graph.name}-"):
                continue
            if ".fluid.io" in message:
                continue
            told.add(use.about)
            cause, fix = _refused(about, " ".join(message.split()))
            yield Finding(
                use.about,
                f"component {use.component.name} has {len(use.pods)} of "
                f"{use.component.replicas * use.component.nodes_per_replica} pods: {cause}",
                observations.some(observations.newest([event], "")),
                fix,
            )
            break


def _refused(workload: Object, words: str) -> tuple[str, Fix]:
    quota, security = _QUOTA.search(words), _SECURITY.search(words)
    namespace = namespace_of(workload)
    if quota:
        name = quota["name"].strip()
        asked = words[quota.start() :]
        return (
            f"ResourceQuota {name} does not allow more: {asked}",
            observations.look(workload, "describe", "resourcequota", name),
        )
    if security:
        level = "pod-security.kubernetes.io/enforce"
        return (
            f"the namespace enforces Pod Security '{security['level']}'",
            Fix(f"kubectl label namespace {namespace} {level}=privileged --overwrite"),
        )
    return (
        f"the API server refuses them: {words[:200]}",
        observations.look(
            workload, "describe", str(workload.get("kind", "")).lower(), name_of(workload)
        ),
    )
