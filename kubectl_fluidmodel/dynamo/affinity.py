"""Node affinity as algebra: AND a requirement into what is there, and take it out again.

The rules are the scheduler's (k8s.io/component-helpers/scheduling/corev1/nodeaffinity):
nodeSelectorTerms are ORed, the expressions of one term are ANDed, a term without expressions
matches no node, and a list without terms matches none. So a requirement goes into every term
that has expressions, and an empty term is left as it is.

Everything here is pure: values in, new values out, nothing shared with the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.dynamo.object_paths import copied
from kubectl_fluidmodel.objects.node_selector import Term, Terms, is_empty, terms_of

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
WEIGHT = 100
"""Weight of a preference for the cache nodes: the highest there is."""


@dataclass(frozen=True)
class Requirement:
    """A node label that must have one of some values; the cache label's value is `true`."""

    key: str
    values: tuple[str, ...] = ("true",)

    def expression(self) -> dict[str, Any]:
        return {"key": self.key, "operator": "In", "values": list(self.values)}

    def term(self) -> Term:
        return {"matchExpressions": [self.expression()]}

    def preference(self) -> dict[str, Any]:
        return {"weight": WEIGHT, "preference": self.term()}


def demands(term: Any, requirement: Requirement) -> bool:
    """Whether a term already has exactly this requirement among its expressions."""
    return _index(term, requirement) is not None


def require(terms: Terms | None, requirements: Iterable[Requirement]) -> Terms | None:
    """The terms with each requirement ANDed in; None stands for "no node is excluded".

    An empty list stays empty: it matches no node, and no fewer are left to match.
    """
    result = copied(terms)
    for requirement in requirements:
        if result is None:
            result = [requirement.term()]
            continue
        for term in result:
            if is_empty(term) or demands(term, requirement):
                continue
            term["matchExpressions"] = [
                *(term.get("matchExpressions") or []),
                requirement.expression(),
            ]
    return result


def replace_dead(
    terms: Terms | None, dead: Iterable[str], requirements: list[Requirement]
) -> Terms | None:
    """As `require`, with the expressions on dead keys, which no node has, taken out before.

    Without requirements there is nothing in their place, and the terms stay as they are.
    """
    gone = set(dead)
    result = copied(terms)
    if not requirements or result is None:
        return require(result, requirements)
    for term in result:
        listed = term.get("matchExpressions") or []
        kept = [each for each in listed if each.get("key") not in gone]
        if len(kept) != len(listed):
            term["matchExpressions"] = kept or [requirements[0].expression()]
    return require(result, requirements)


def required_key(pod_spec: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The one of these node labels (with the value `true`) that a pod requires already.

    By its node selector, or in every term of its affinity; empty where it requires none.
    """
    selector = pod_spec.get("nodeSelector")
    listed = list(keys)
    for key in listed:
        if isinstance(selector, Mapping) and selector.get(key) == "true":
            return key
    terms = [term for term in terms_of(pod_spec.get("affinity")) or [] if not is_empty(term)]
    found = [next((key for key in listed if _requires(term, key)), "") for term in terms]
    return found[0] if found and all(found) else ""


def named_keys(pod_spec: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Those of these node labels that a pod's required affinity mentions at all."""
    found = {
        expression.get("key")
        for term in terms_of(pod_spec.get("affinity")) or []
        for expression in term.get("matchExpressions") or []
        if isinstance(expression, Mapping)
    }
    return [key for key in keys if key in found]


def _requires(term: Any, key: str) -> bool:
    """Whether a term only matches nodes with the label; Fluid gives it no value but `true`."""
    return any(
        isinstance(expression, Mapping)
        and expression.get("key") == key
        and (
            expression.get("operator") == "Exists"
            or (expression.get("operator") == "In" and expression.get("values") == ["true"])
        )
        for expression in term.get("matchExpressions") or []
    )


def release(
    terms: Terms | None, requirement: Requirement, before: Terms | None = None
) -> Terms | None:
    """The terms without a requirement, for terms that somebody edited after it went in.

    A requirement that `before` (the terms from before any pin) shows to be the user's own
    stays. A term that held nothing else goes; None is returned where no term is left.
    """
    if terms is None:
        return None
    own = [_without(term, requirement) for term in before or [] if demands(term, requirement)]
    result: Terms = []
    for term in terms:
        rest = _without(term, requirement)
        if not demands(term, requirement) or rest in own:
            result.append(copied(term))
        elif not is_empty(rest):
            result.append(rest)
    return result or None


def _index(term: Any, requirement: Requirement) -> int | None:
    """Where the requirement stands among a term's expressions; the last place if several."""
    found = None
    if isinstance(term, Mapping):
        for index, expression in enumerate(term.get("matchExpressions") or []):
            if (
                isinstance(expression, Mapping)
                and expression.get("key") == requirement.key
                and expression.get("operator") == "In"
                and sorted(expression.get("values") or []) == sorted(requirement.values)
            ):
                found = index
    return found


def _without(term: Any, requirement: Requirement) -> Term:
    """A copy of a term without the requirement (its last occurrence)."""
    rest: Term = copied(term)
    index = _index(rest, requirement)
    if index is not None:
        del rest["matchExpressions"][index]
        if not rest["matchExpressions"]:
            del rest["matchExpressions"]
    return rest


def preferences_of(affinity: Any) -> list[dict[str, Any]]:
    """The node preferences of a pod's affinity."""
    node = affinity.get("nodeAffinity") if isinstance(affinity, Mapping) else None
    found = node.get(PREFERRED) if isinstance(node, Mapping) else None
    return found if isinstance(found, list) else []
