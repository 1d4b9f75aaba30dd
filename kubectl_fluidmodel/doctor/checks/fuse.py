"""4xx: the FUSE clients, one for each node with readers.

Fluid calls them always ready (pkg/ctrl/fuse.go), so the runtime's status says nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.consequences import NO_FUSE
from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.inventory.cache import FUSE, Cached
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, labels_of, name_of
from kubectl_fluidmodel.output.shell import Operand

STARTING = 120.0
"""Seconds that a FUSE client may take from its pod's creation to ready."""


@check(
    "FM430",
    "a FUSE client runs wherever the cache is read",
    needs=(kinds.PODS, kinds.NODES),
    explains=("FM323", *NO_FUSE),
)
def runs(case: Case) -> Iterator[Finding]:
    """The node has the FUSE label and no client that works: its pod finds no room, is killed, or
    crashes. Unless the runtime says otherwise, Fluid starts it with a heap of 16 GiB that is taken
    at once (-Xms16G), which is what does not fit on most nodes that are already in use.
    """
    cache = case.own
    daemons = cache.sets.get(FUSE)
    if daemons is None:
        return
    reading = {reader.node for reader in cache.readers}
    there: set[str] = set()
    for _, pod in observations.pods_of(cache, FUSE):
        node = _node_of(pod)
        there.add(node)
        if pod_problems.ready(pod):
            continue
        young = case.age(pod) < STARTING and not _why(case, pod)[0]
        cause, seen = _why(case, pod)
        yield Finding(
            reference(pod),
            f"the FUSE client on node {node} {cause or 'is not ready'}",
            seen or (observations.field(pod, "status", "phase"),),
            _fix(cache, pod, cause),
            Severity.WARNING if young or node not in reading else None,
        )
    selector = at(daemons, "spec", "template", "spec", "nodeSelector", default={})
    key = next((key for key in selector if key.startswith("fluid.io/f-")), "")
    for node in sorted(reading - there - {""}):
        found = case.snapshot.find(kinds.NODES, node)
        if not key or found is None or labels_of(found).get(key) != "true":
            continue
        unmet = [f"{a}={b}" for a, b in selector.items() if labels_of(found).get(a) != b]
        yield Finding(
            f"node {node}",
            "no FUSE pod comes to the node"
            + (f", which lacks {unmet[0]} of the runtime's fuse.nodeSelector" if unmet else ""),
            (
                observations.label(found, key),
                observations.field(daemons, "status", "desiredNumberScheduled"),
            ),
            Fix(fix_commands.label_nodes([node], unmet[:1]))
            if unmet
            else observations.look(daemons, "describe", "daemonset", Operand(name_of(daemons))),
        )


def _why(case: Case, pod: Object) -> tuple[str, tuple[Evidence, ...]]:
    """What keeps a client from being ready, if anything says; with the evidence."""
    words = observations.unscheduled(pod)
    if words:
        short = "has no room: Insufficient memory" if "Insufficient memory" in words else ""
        place = Evidence(reference(pod), "status.conditions PodScheduled", words)
        return short or "is not scheduled", (place,)
    cause, line = observations.log_cause(case, pod)
    stuck = next(iter(observations.waits(pod, {"CrashLoopBackOff", "CreateContainerError"})), None)
    seen = (*observations.some(line), *((stuck[1],) if stuck else ()))
    if cause:
        return f"is not ready: {cause}", seen
    return ("crashes" if stuck else ""), seen


def _fix(cache: Cached, pod: Object, cause: str) -> Fix:
    if "memory" in cause:
        return Fix(fix_commands.anew(cache))
    return observations.look(pod, "logs", Operand(name_of(pod)), "--tail=50")


def _node_of(pod: Object) -> str:
    """Its node, or the one that the DaemonSet means it for."""
    terms = at(
        pod, "spec", "affinity", "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms", default=[],
    )  # fmt: skip
    meant = at(terms, 0, "matchFields", 0, "values", 0, default="")
    return str(at(pod, "spec", "nodeName") or meant)
