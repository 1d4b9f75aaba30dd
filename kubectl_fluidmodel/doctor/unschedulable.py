"""Why pods of a cache find no node: node by node, and which reason is the one to mend. Pure.

The scheduler's own message counts for each node only the first filter that it fails, so its words
alone do not say what would help. `kube.scheduler` says all of it; where that sees no obstacle (what
is in the way is not read, or gone by now), the scheduler's words decide.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import Case, Evidence, reference
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER
from kubectl_fluidmodel.objects import kinds as k
from kubectl_fluidmodel.objects import node_selector, taints
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, name_of, namespace_of
from kubectl_fluidmodel.objects.scheduler import Filter, Obstacle, SchedulerView, by_reason
from kubectl_fluidmodel.objects.taints import for_accelerator, leaving, taints_of

ROOM, OTHERS, AFFINITY, TAINT, PORTS, ELSE = "room", "others", "affinity", "taint", "ports", "else"
_REASON_OF = {
    Filter.ROOM: ROOM,
    Filter.PODS: ROOM,
    Filter.OTHERS: OTHERS,
    Filter.AFFINITY: AFFINITY,
    Filter.NAME: AFFINITY,
    Filter.TAINT: TAINT,
    Filter.PORTS: PORTS,
    Filter.CORDON: ELSE,
    Filter.VOLUME: ELSE,
}
_ELSEWHERE = (Filter.AFFINITY, Filter.NAME)
"""A node that fails these is not one that anybody meant."""
_WORDS: tuple[tuple[str, str], ...] = (
    (OTHERS, r"anti-affinity"),
    (ROOM, r"Insufficient \S+|Too many pods"),
    (PORTS, r"didn't have free ports"),
)
"""The scheduler's words, from its last filter to the first."""


@dataclass(frozen=True)
class Nodeless:
    """A pod that the scheduler finds no node for."""

    part: str
    pod: Object
    words: str
    """The scheduler's own."""
    against: Mapping[str, list[Obstacle]]
    """What is against it on each node that anybody meant."""
    nodes: Mapping[str, Object]
    reason: str
    siblings: frozenset[str]
    """Nodes that would do, were another pod of the same part not there already."""
    unread: bool
    """Whether pods of other namespaces could not be read, so that more may be in the way."""

    @property
    def judged(self) -> bool:
        """Whether it is known of each node what is against the pod there."""
        return bool(self.against) and all(self.against.values())

    def only(self, *filters: Filter) -> list[str]:
        """The nodes on which nothing but these is against the pod, and that stay."""
        return [
            name
            for name, found in self.against.items()
            if found
            and all(each.filter in filters for each in found)
            and not leaving(self.nodes[name])
        ]

    def tolerable(self) -> list[str]:
        """The nodes that would do, were their taints tolerated, which only keep GPUs free."""
        return [
            name
            for name in self.only(Filter.TAINT)
            if all(
                for_accelerator(taint, self.nodes[name])
                for taint in taints_of(self.nodes[name])
                if taint.hard
            )
        ]

    def tolerations(self) -> list[dict[str, str]]:
        """What the pod would have to tolerate on the nodes that keep it off by a taint alone.

        Of those that only keep GPUs free, where there are any; never what says that a node goes.
        """
        nodes = [self.nodes[name] for name in self.tolerable() or self.only(Filter.TAINT)]
        own = dicts(self.pod, "spec", "tolerations")
        wanted = [
            taint
            for node in nodes
            for taint in taints_of(node)
            if taint.hard and not taint.leaving and not taints.tolerated(own, taint)
        ]
        return [taint.toleration() for taint in dict.fromkeys(wanted)]

    def why_not(self, *, but: frozenset[str] | set[str] = frozenset()) -> str:
        """Node by node why not, those with the same against them together; `but` some nodes."""
        found = [
            (name, "; ".join(each.text for each in obstacles))
            for name, obstacles in self.against.items()
            if obstacles and name not in but
        ]
        return by_reason(found)

    def evidence(self) -> tuple[Evidence, ...]:
        """The scheduler's words, and the fields of nodes and pods that its filters went by."""
        found = [Evidence(reference(self.pod), "status.conditions PodScheduled", self.words)]
        for name, obstacles in self.against.items():
            for each in obstacles:
                found += _fields(self.nodes[name], each)
        return tuple(dict.fromkeys(found))[:_SHOWN]


_SHOWN = 9
"""Lines of evidence; the rest of the nodes is in the cause."""


def _fields(node: Object, obstacle: Obstacle) -> Iterator[Evidence]:
    if obstacle.filter is Filter.TAINT:
        yield Evidence(reference(node), "spec.taints", obstacle.subject)
    elif obstacle.filter is Filter.CORDON:
        yield observations.field(node, "spec", "unschedulable")
    elif obstacle.filter in (Filter.ROOM, Filter.PODS):
        yield observations.field(node, "status", "allocatable", obstacle.subject)
    elif obstacle.filter is Filter.PORTS:
        for pod in obstacle.holders[:1]:
            yield Evidence(reference(pod), "spec.nodeName", name_of(node))


def nodeless(case: Case, reason: str) -> list[Nodeless]:
    """The cache's masters and workers that wait for a node, for one reason."""

    def every() -> list[Nodeless]:
        return [
            judge(case, part, pod, words)
            for part, pod in observations.pods_of(case.own, MASTER, WORKER)
            if (words := observations.unscheduled(pod))
        ]

    key = f"nodeless: {case.own.namespace}/{case.own.name}"
    return [each for each in case.once(key, every) if each.reason == reason]


def _view(case: Case) -> SchedulerView:
    snapshot = case.snapshot
    placed = snapshot.placed if snapshot.placed is not None else snapshot.all(k.PODS)
    return SchedulerView(snapshot.all(k.NODES), placed, snapshot.all(k.PVCS), snapshot.all(k.PVS))


def judge(case: Case, part: str, pod: Object, words: str) -> Nodeless:
    """Why a pod finds no node, of which the scheduler said so in its words."""
    view = case.once("nodeless: view", lambda: _view(case))
    verdicts = view.verdicts(pod)
    meant = {
        name: found
        for name, found in verdicts.items()
        if not any(each.filter in _ELSEWHERE for each in found)
    }
    nodes = {name_of(node): node for node in view.nodes}
    siblings = frozenset(
        name
        for name, found in meant.items()
        if found
        and all(each.filter in (Filter.PORTS, Filter.OTHERS) for each in found)
        and all(_sibling(pod, holder) for each in found for holder in each.holders)
    )
    found = Nodeless(
        part,
        pod,
        words,
        meant or verdicts,
        nodes,
        "",
        siblings,
        case.snapshot.placed is None,
    )
    reason = _most(found) if found.judged else ""
    return replace(found, reason=reason or _by_words(case, pod, words))


def _sibling(pod: Object, other: Object) -> bool:
    """Whether two pods are of the same part of the same cache."""
    keys = ("release", "role")
    mine, theirs = labels_of(pod), labels_of(other)
    same = all(mine.get(key) and mine.get(key) == theirs.get(key) for key in keys)
    return same and namespace_of(pod) == namespace_of(other)


def _most(found: Nodeless) -> str:
    """The reason that most nodes share which lack least, of those that stay."""
    if found.siblings:
        return PORTS
    lacks = {name: {each.filter for each in against} for name, against in found.against.items()}
    stay = {name: kinds for name, kinds in lacks.items() if not leaving(found.nodes[name])} or lacks
    strange = set(found.only(Filter.TAINT)) - set(found.tolerable())
    stay = {name: kinds for name, kinds in stay.items() if name not in strange} or stay
    fewest = min(len(kinds) for kinds in stay.values())
    votes = Counter(
        _REASON_OF[max(kinds, key=list(Filter).index)]
        for kinds in stay.values()
        if len(kinds) == fewest
    )
    return votes.most_common(1)[0][0]


def _by_words(case: Case, pod: Object, words: str) -> str:
    for reason, pattern in _WORDS:
        if re.search(pattern, words):
            return reason
    meant = [node for node in case.snapshot.all(k.NODES) if selects(pod, node)]
    if not meant and re.search(r"node affinity|node selector|affinity/selector", words):
        return AFFINITY
    if any(untolerated(pod, node) for node in meant) or (
        not meant and "untolerated taint" in words
    ):
        return TAINT
    return ELSE


def selects(pod: Object, node: Object) -> bool:
    """Whether a pod's node selector and required affinity let it run on a node."""
    return not node_selector.mismatches(at(pod, "spec", default={}), node)


def untolerated(pod: Object, node: Object) -> list[str]:
    """Taints that somebody set and the pod does not tolerate; not those that come and go."""
    found = taints.untolerated(pod.get("spec") or {}, node)
    return [str(taint) for taint in found if not taint.leaving]
