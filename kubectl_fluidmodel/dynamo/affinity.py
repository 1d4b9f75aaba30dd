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

from kubectl_fluidmodel.dynamo.object_paths import deep_copy
from kubectl_fluidmodel.objects.node_selector import Term, Terms, is_empty, terms_of

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
MAX_WEIGHT = 100
"""Weight of a preference for the cache nodes: the highest there is."""


@dataclass(frozen=True)
class LabelRequirement:
    """A node label that must have one of some values; the cache label's value is `true`."""

    key: str
    values: tuple[str, ...] = ("true",)

    def to_expression(self) -> dict[str, Any]:
        return {"key": self.key, "operator": "In", "values": list(self.values)}

    def to_term(self) -> Term:
        return {"matchExpressions": [self.to_expression()]}

    def to_preference(self) -> dict[str, Any]:
        return {"weight": MAX_WEIGHT, "preference": self.to_term()}


def has_requirement(term: Any, requirement: LabelRequirement) -> bool:
    """Whether a term already has exactly this requirement among its expressions."""
    return _expression_index(term, requirement) is not None


def add_requirements(terms: Terms | None, requirements: Iterable[LabelRequirement]) -> Terms | None:
    """The terms with each requirement ANDed in; None stands for "no node is excluded".

    An empty list stays empty: it matches no node, and no fewer are left to match.
    """
    result = deep_copy(terms)
    for requirement in requirements:
        if result is None:
            result = [requirement.to_term()]
            continue
        for term in result:
            if is_empty(term) or has_requirement(term, requirement):
                continue
            term["matchExpressions"] = [
                *(term.get("matchExpressions") or []),
                requirement.to_expression(),
            ]
    return result


def replace_dead_keys(
    terms: Terms | None, dead_keys: Iterable[str], requirements: list[LabelRequirement]
) -> Terms | None:
    """As `require`, with the expressions on dead keys, which no node has, taken out before.

    Without requirements there is nothing in their place, and the terms stay as they are.
    """
    removed_keys = set(dead_keys)
    result = deep_copy(terms)
    if not requirements or result is None:
        return add_requirements(result, requirements)
    for term in result:
        listed = term.get("matchExpressions") or []
        kept = [each for each in listed if each.get("key") not in removed_keys]
        if len(kept) != len(listed):
            term["matchExpressions"] = kept or [requirements[0].to_expression()]
    return add_requirements(result, requirements)


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
    found = [next((key for key in listed if _term_requires_key(term, key)), "") for term in terms]
    return found[0] if found and all(found) else ""


def mentioned_keys(pod_spec: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Those of these node labels that a pod's required affinity mentions at all."""
    found = {
        expression.get("key")
        for term in terms_of(pod_spec.get("affinity")) or []
        for expression in term.get("matchExpressions") or []
        if isinstance(expression, Mapping)
    }
    return [key for key in keys if key in found]


def _term_requires_key(term: Any, key: str) -> bool:
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


def remove_requirement(
    terms: Terms | None, requirement: LabelRequirement, before: Terms | None = None
) -> Terms | None:
    """The terms without a requirement, for terms that somebody edited after it went in.

    A requirement that `before` (the terms from before any pin) shows to be the user's own
    stays. A term that held nothing else goes; None is returned where no term is left.
    """
    if terms is None:
        return None
    own = [
        _without_requirement(term, requirement)
        for term in before or []
        if has_requirement(term, requirement)
    ]
    result: Terms = []
    for term in terms:
        rest = _without_requirement(term, requirement)
        if not has_requirement(term, requirement) or rest in own:
            result.append(deep_copy(term))
        elif not is_empty(rest):
            result.append(rest)
    return result or None


def _expression_index(term: Any, requirement: LabelRequirement) -> int | None:
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


def _without_requirement(term: Any, requirement: LabelRequirement) -> Term:
    """A copy of a term without the requirement (its last occurrence)."""
    rest: Term = deep_copy(term)
    index = _expression_index(rest, requirement)
    if index is not None:
        del rest["matchExpressions"][index]
        if not rest["matchExpressions"]:
            del rest["matchExpressions"]
    return rest


def node_preferences(affinity: Any) -> list[dict[str, Any]]:
    """The node preferences of a pod's affinity."""
    node = affinity.get("nodeAffinity") if isinstance(affinity, Mapping) else None
    found = node.get(PREFERRED) if isinstance(node, Mapping) else None
    return found if isinstance(found, list) else []
