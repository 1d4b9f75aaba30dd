"""Required affinity and anti-affinity between pods, as the scheduler evaluates them. Pure.

Rules: plugin InterPodAffinity (kube-scheduler v1.36, plugins/interpodaffinity/filtering.go).
Namespace labels are not read, so a term that selects namespaces by label is ignored unless it
selects all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

from kubectl_fluidmodel.objects.access import (
    Object,
    full_name,
    get_list,
    get_path,
    labels_of,
    namespace_of,
    summarize_names,
)
from kubectl_fluidmodel.objects.node_selector import REQUIRED, expression_matches
from kubectl_fluidmodel.records import dataclass

AFFINITY, ANTI = "podAffinity", "podAntiAffinity"


Domain = tuple[str, str]
"""A topology: the key of a node label and its value."""


@dataclass
class PlacedPods:
    """Pods with their nodes."""

    placed: Sequence[tuple[Object, Object]]
    """(node, pod) of each."""
    _last: tuple[Object, _AffinityDomains] | None = None
    """The pod that was evaluated last: its terms are the same on every node."""

    @cached_property
    def _repelling(self) -> list[tuple[Object, Object]]:
        return [pair for pair in self.placed if _terms(pair[1], ANTI)]

    def conflicts(self, pod: Object, node: Object) -> tuple[list[Object], str]:
        """Return the pods that keep a pod off a node, and the reason; both empty if none do."""
        if self._last is None or self._last[0] is not pod:
            self._last = (pod, self._terms_for(pod))
        domains = self._last[1]
        labels = labels_of(node)
        if not domains.satisfies_affinity(labels):
            return [], "required pod affinity: no matching pod is there"
        for pods_by_domain, reason in (
            (domains.repelled, "anti-affinity of the pod to"),
            (domains.repelling, "anti-affinity of"),
        ):
            pods_by_name = {
                full_name(other): other
                for domain in labels.items()
                for other in pods_by_domain.get(domain, ())
            }
            if pods_by_name:
                others = list(pods_by_name.values())
                return others, f"{reason} {summarize_names(others)}"
        return [], ""

    def _terms_for(self, pod: Object) -> _AffinityDomains:
        """The result of a pod's terms and those of other pods, computed once for all nodes."""
        affinity = _terms(pod, AFFINITY)
        domains = _AffinityDomains([str(term.get("topologyKey", "")) for term in affinity])
        if affinity:
            domains.first = all(_selects(term, pod, pod) for term in affinity)
            for placed_node, placed_pod in self.placed:
                if placed_pod is not pod and all(
                    _selects(term, pod, placed_pod) for term in affinity
                ):
                    domains.required |= {
                        (key, value)
                        for key, value in labels_of(placed_node).items()
                        if key in domains.keys
                    }
        for term in _terms(pod, ANTI):
            for placed_node, placed_pod in self.placed:
                if placed_pod is not pod and _selects(term, pod, placed_pod):
                    _add_domain(domains.repelled, term, placed_node, placed_pod)
        for placed_node, placed_pod in self._repelling:
            for term in _terms(placed_pod, ANTI) if placed_pod is not pod else ():
                if _selects(term, placed_pod, pod):
                    _add_domain(domains.repelling, term, placed_node, placed_pod)
        return domains


@dataclass
class _AffinityDomains:
    """Where a pod has to run and where it cannot run."""

    keys: list[str]
    """Topology keys of its affinity; empty without affinity."""
    first: bool = False
    """Whether the pod matches its own affinity: the first pod of its kind may run anywhere."""
    required: set[Domain] = field(default_factory=set)
    """Domains of pods that match all terms of its affinity."""
    repelled: dict[Domain, list[Object]] = field(default_factory=dict)
    """Domains of pods that match its anti-affinity."""
    repelling: dict[Domain, list[Object]] = field(default_factory=dict)
    """Domains of pods whose anti-affinity matches it."""

    def satisfies_affinity(self, labels: Mapping[str, str]) -> bool:
        if any(key not in labels for key in self.keys):
            return False
        if all((key, labels[key]) in self.required for key in self.keys):
            return True
        return not self.required and self.first


def _add_domain(
    domains: dict[Domain, list[Object]], term: Mapping[str, Any], node: Object, pod: Object
) -> None:
    key = str(term.get("topologyKey", ""))
    value = labels_of(node).get(key)
    if value is not None:
        domains.setdefault((key, value), []).append(pod)


def _terms(pod: Mapping[str, Any], kind: str) -> list[Object]:
    terms = get_list(pod, "spec", "affinity", kind, REQUIRED)
    return [term for term in terms if not get_path(term, "namespaceSelector")]


def _selects(term: Mapping[str, Any], owner: Object, other: Object) -> bool:
    """Return whether a term of one pod matches another pod."""
    spaces = term.get("namespaces") or []
    everywhere = isinstance(term.get("namespaceSelector"), Mapping)  # empty terms: see _terms
    if not everywhere and namespace_of(other) not in (spaces or [namespace_of(owner)]):
        return False
    selector = term.get("labelSelector")
    return isinstance(selector, Mapping) and _matches(selector, labels_of(other))


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    match_labels = get_path(selector, "matchLabels", default={})
    return all(labels.get(key) == value for key, value in match_labels.items()) and all(
        expression_matches(expression, labels)
        for expression in get_list(selector, "matchExpressions")
    )
