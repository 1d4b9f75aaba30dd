"""Required affinity and anti-affinity between pods, as the scheduler reads them. Pure.

Rules: plugin InterPodAffinity (kube-scheduler v1.36, plugins/interpodaffinity/filtering.go). A
term that selects namespaces by label is left out unless it selects all of them: labels of
namespaces are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kubectl_fluidmodel.kube.kind import (
    Object,
    at,
    dicts,
    labels_of,
    name_of,
    names_of,
    namespace_of,
)
from kubectl_fluidmodel.kube.nodeselector import REQUIRED, holds

AFFINITY, ANTI = "podAffinity", "podAntiAffinity"


@dataclass(frozen=True)
class Neighbours:
    """Pods with the nodes that they are on."""

    placed: Sequence[tuple[Object, Object]]
    """(node, pod) of each."""

    @cached_property
    def _repelling(self) -> list[tuple[Object, Object]]:
        return [pair for pair in self.placed if _terms(pair[1], ANTI)]

    def against(self, pod: Object, node: Object) -> tuple[list[Object], str]:
        """The pods that keep one off a node, and why; no text where none does."""
        near = _terms(pod, AFFINITY)
        if near and not self._near(pod, node, near):
            return [], "required pod affinity: what it wants to be near is not there"
        mine = [
            other
            for term in _terms(pod, ANTI)
            for there, other in self.placed
            if other is not pod and _same(term, node, there) and _selects(term, pod, other)
        ]
        if mine:
            mine = _once(mine)
            return mine, f"anti-affinity of the pod to {names_of(mine)}"
        theirs = [
            other
            for there, other in self._repelling
            for term in _terms(other, ANTI)
            if other is not pod and _same(term, node, there) and _selects(term, other, pod)
        ]
        if theirs:
            theirs = _once(theirs)
            return theirs, f"anti-affinity of {names_of(theirs)}"
        return [], ""

    def _near(self, pod: Object, node: Object, terms: Sequence[Mapping[str, Any]]) -> bool:
        """Whether every term finds a pod that fits all of them in the node's domain."""
        fitting = [
            (there, other)
            for there, other in self.placed
            if all(_selects(term, pod, other) for term in terms)
        ]
        keys = [str(term.get("topologyKey", "")) for term in terms]
        if any(key not in labels_of(node) for key in keys):
            return False
        if all(any(_same(term, node, there) for there, _ in fitting) for term in terms):
            return True
        known = any(key in labels_of(there) for there, _ in fitting for key in keys)
        # The first of pods that want to be near each other may go anywhere.
        return not known and all(_selects(term, pod, pod) for term in terms)


def _terms(pod: Mapping[str, Any], kind: str) -> list[Object]:
    found = dicts(pod, "spec", "affinity", kind, REQUIRED)
    return [term for term in found if not at(term, "namespaceSelector")]


def _same(term: Mapping[str, Any], node: Object, there: Object) -> bool:
    """Whether two nodes are in one domain of a term."""
    key = str(term.get("topologyKey", ""))
    value = labels_of(node).get(key)
    return value is not None and labels_of(there).get(key) == value


def _selects(term: Mapping[str, Any], owner: Object, other: Object) -> bool:
    """Whether a term of one pod is about another."""
    spaces = term.get("namespaces") or []
    everywhere = isinstance(term.get("namespaceSelector"), Mapping)  # an empty one: see _terms
    if not everywhere and namespace_of(other) not in (spaces or [namespace_of(owner)]):
        return False
    selector = term.get("labelSelector")
    return isinstance(selector, Mapping) and _matches(selector, labels_of(other))


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = at(selector, "matchLabels", default={})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        holds(expression, labels) for expression in dicts(selector, "matchExpressions")
    )


def _once(pods: Sequence[Object]) -> list[Object]:
    """The pods, each once."""
    return list({(namespace_of(each), name_of(each)): each for each in reversed(pods)}.values())[
        ::-1
    ]
