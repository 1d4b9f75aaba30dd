"""3xx: cache pods that find no node, by the scheduler's reason.

The scheduler says of each node the first filter that it fails: taints, then affinity, ports,
resources, other pods. So the reason that comes last in this order is that of the node that fits
best, and it is the one to mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import commands, witness
from kubectl_fluidmodel.doctor.chain import NO_MASTER
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, check, reference
from kubectl_fluidmodel.fluid import alluxio, placement
from kubectl_fluidmodel.kube import kind as k
from kubectl_fluidmodel.kube import nodeselector, taints
from kubectl_fluidmodel.kube.kind import Object, at, labels_of, name_of, namespace_of
from kubectl_fluidmodel.kube.nodeselector import terms_of
from kubectl_fluidmodel.kube.requests import requested
from kubectl_fluidmodel.overview.cached import MASTER, WORKER, Cached
from kubectl_fluidmodel.ui.text import size

ROOM, OTHERS, AFFINITY, TAINT, PORTS, ELSE = "room", "others", "affinity", "taint", "ports", "else"
_REASONS: tuple[tuple[str, str], ...] = (
    (OTHERS, r"anti-affinity"),
    (ROOM, r"Insufficient \S+|Too many pods"),
    (PORTS, r"didn't have free ports"),
)
"""From the last filter to the first; affinity and taints are told apart by the nodes."""


def pending(case: Case, reason: str) -> Iterator[tuple[str, Object, str]]:
    """(part, pod, the scheduler's words) of pods that wait for a node for this reason."""
    for part, pod in witness.pods_of(case.own, MASTER, WORKER):
        words = witness.unscheduled(pod)
        if words and _reason(case, pod, words) == reason:
            yield part, pod, words


def _reason(case: Case, pod: Object, words: str) -> str:
    for reason, pattern in _REASONS:
        if re.search(pattern, words):
            return reason
    wanted = [node for node in case.snapshot.all(k.NODES) if selects(pod, node)]
    if not wanted and re.search(r"node affinity|node selector|affinity/selector", words):
        return AFFINITY
    if any(untolerated(pod, node) for node in wanted) or (
        not wanted and "untolerated taint" in words
    ):
        return TAINT
    return ELSE


def selects(pod: Object, node: Object) -> bool:
    """Whether a pod's node selector and required affinity let it run on a node."""
    return not nodeselector.mismatches(at(pod, "spec", default={}), node)


def untolerated(pod: Object, node: Object) -> list[str]:
    """Taints that somebody set and the pod does not tolerate; not those that come and go."""
    found = taints.untolerated(pod.get("spec") or {}, node)
    return [str(taint) for taint in found if not taint.leaving]


def _words(pod: Object, words: str) -> Evidence:
    return Evidence(reference(pod), "status.conditions PodScheduled", words)


@check("FM301", "a node has room for every cache pod", needs=(k.PODS,), explains=NO_MASTER)
def room(case: Case) -> Iterator[Finding]:
    """The scheduler finds no node with enough memory (or CPU, disk, pods) free.

    Fluid adds a memory tier's quota to the worker's memory request, so that a large model in
    memory needs a node with all of that unreserved. Cache on a disk, take a larger node, or
    make room on the one that is meant.
    """
    for part, pod, words in pending(case, ROOM):
        asked = requested(pod, "memory")
        short = re.findall(r"Insufficient (\S+?)[,.;]|(Too many pods)", f"{words},")
        what = ", ".join(dict.fromkeys(first or "pods" for first, _ in short))
        yield Finding(
            reference(pod),
            f"no node has enough free {what} for the {part}, "
            f"which requests {size(asked)} of memory",
            (_words(pod, words),),
            _more_room(case.own, part, asked),
        )


def _more_room(cache: Cached, part: str, asked: int) -> Fix:
    medium, _, _ = alluxio.tier(cache.runtime or {})
    if part == WORKER and medium == "MEM":
        return Fix(commands.remade(cache, "--medium", "SSD"))
    if part == WORKER and cache.dataset is not None:
        # Anew: a standing cache keeps to its node, and this one has none that fits.
        return Fix(commands.anew(cache))
    kind = commands.kind_of(cache.runtime or {}) or "alluxioruntime"
    where = f"{kind} {cache.namespace}/{cache.name} spec.{part}.resources.requests"
    return Fix(f"memory: less than {size(asked)}", "yaml", where)


@check(
    "FM302",
    "no other cache keeps the workers off their nodes",
    needs=(k.PODS,),
    explains=NO_MASTER,
)
def others(case: Case) -> Iterator[Finding]:
    """A Dataset with Fluid's default placement, Exclusive, wants its nodes for itself: its workers
    repel those of every other Dataset, and theirs repel its own. Two models on one node need
    `placement: Shared` on both. Fluid builds the workers' affinity once, when it first scales
    them up, so a Dataset that is changed has to be made anew.
    """
    cache = case.own
    for _, pod, words in pending(case, OTHERS):
        alone = [each for each in (cache, *_beside(case, pod)) if _exclusive(each)]
        culprits = ", ".join(f"{each.namespace}/{each.name}" for each in alone)
        first = next(iter(alone), cache)
        yield Finding(
            reference(pod),
            f"the placement of {culprits or 'another Dataset'} is Exclusive, so that it shares "
            "no node with other caches",
            (
                _words(pod, words),
                *(witness.field(each.dataset or {}, "spec", "placement") for each in alone),
            ),
            Fix(commands.anew(first)),
        )


def _exclusive(cache: Cached) -> bool:
    return cache.dataset is not None and at(cache.dataset, "spec", "placement") != "Shared"


def _beside(case: Case, pod: Object) -> list[Cached]:
    """Other caches with a worker on a node that this pod might run on."""
    wanted = {name_of(node) for node in case.snapshot.all(k.NODES) if selects(pod, node)}
    own = (case.own.namespace, case.own.name)
    return [
        each
        for each in case.caches
        if (each.namespace, each.name) != own and wanted & set(each.node_names)
    ]


@check(
    "FM303",
    "the Dataset's node affinity fits a node",
    needs=(k.PODS, k.NODES),
    explains=NO_MASTER,
)
def affinity(case: Case) -> Iterator[Finding]:
    """The workers go where the Dataset's `nodeAffinity` says, and no node fits it: the node that
    was named is gone or bears another name, or a label is spelt otherwise. Make the cache anew
    on a node that is there.
    """
    for part, pod, words in pending(case, AFFINITY):
        terms = terms_of(at(pod, "spec", "affinity")) or []
        hosts = placement.hosts_of(case.own.dataset or {})
        there = {labels_of(node).get(k.HOSTNAME_LABEL) for node in case.snapshot.all(k.NODES)}
        gone = [host for host in hosts if host not in there]
        selector = at(pod, "spec", "nodeSelector", default={})
        wants = nodeselector.describe(terms) if terms else f"nodeSelector {selector}"
        cause = (
            f"node {', '.join(gone)} that the Dataset names is not in the cluster"
            if gone
            else f"no node fits what the {part} asks for: {wants}"
        )
        evidence = [_words(pod, words)]
        if case.own.dataset is not None:
            evidence.append(witness.field(case.own.dataset, "spec", "nodeAffinity"))
        yield Finding(reference(pod), cause, tuple(evidence), Fix(commands.anew(case.own)))


@check(
    "FM304",
    "the cache pods tolerate their nodes' taints",
    needs=(k.PODS, k.NODES),
    explains=NO_MASTER,
)
def tolerates(case: Case) -> Iterator[Finding]:
    """Nodes with GPUs mostly bear a taint, and the workers tolerate only what the Dataset's
    `tolerations` list. They are copied to the pods when the runtime is set up: a Dataset that is
    changed has to be made anew.
    """
    for _, pod, words in pending(case, TAINT):
        found = {
            taint: name_of(node)
            for node in case.snapshot.all(k.NODES)
            if selects(pod, node)
            for taint in untolerated(pod, node)
        }
        text = ", ".join(f"{taint} of node {node}" for taint, node in sorted(found.items()))
        yield Finding(
            reference(pod),
            f"it does not tolerate the taint {text or 'of the nodes it may run on'}",
            (_words(pod, words),),
            Fix(commands.anew(case.own)),
        )


@check("FM305", "the cache's ports are free on its nodes", needs=(k.PODS,), explains=NO_MASTER)
def ports(case: Case) -> Iterator[Finding]:
    """Alluxio runs in the node's own network by default, with ports that Fluid draws from 20000 to
    26000. Where something else listens there, the pod finds no node. Let the parts run in a
    network of their own, or draw other ports by making the runtime anew.
    """
    for _, pod, words in pending(case, PORTS):
        wanted = sorted(
            {
                port["hostPort"]
                for container in at(pod, "spec", "containers", default=[])
                for port in container.get("ports") or []
                if port.get("hostPort")
            }
        )
        yield Finding(
            reference(pod),
            f"its ports {', '.join(map(str, wanted)) or ''} are taken on every node it may run on",
            (_words(pod, words),),
            Fix(commands.anew(case.own)),
        )


@check("FM306", "every cache pod has a node", needs=(k.PODS,), explains=NO_MASTER)
def nodeless(case: Case) -> Iterator[Finding]:
    """The scheduler finds no node for a reason of its own, given in its words: nodes that are
    cordoned or not ready, volumes that another zone holds, a scheduler that does not run.
    """
    for part, pod, words in pending(case, ELSE):
        command = ["kubectl", "describe", "pod", name_of(pod), "-n", namespace_of(pod)]
        cordoned = [
            name_of(node)
            for node in case.snapshot.all(k.NODES)
            if at(node, "spec", "unschedulable") and selects(pod, node)
        ]
        fix = f"kubectl uncordon {cordoned[0]}" if cordoned else " ".join(command)
        cause = (
            f"node {', '.join(cordoned)} is cordoned, and the {part} may run nowhere else"
            if cordoned
            else f"the scheduler has no node for the {part}"
        )
        yield Finding(reference(pod), cause, (_words(pod, words),), Fix(fix))
