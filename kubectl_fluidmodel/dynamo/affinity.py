"""Node affinity: ANDs a requirement into existing terms, and removes it again. Pure.

The rules are the scheduler's (k8s.io/component-helpers/scheduling/corev1/nodeaffinity):
nodeSelectorTerms are ORed, the expressions of one term are ANDed, a term without expressions
matches no node, and a list without terms matches none. A requirement is therefore added to every
term that has expressions, and an empty term stays as it is. Results share nothing with the input.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.dynamo.object_paths import deep_copy
from kubectl_fluidmodel.objects.node_selector import Term, Terms, is_empty, terms_of
from kubectl_fluidmodel.records import dataclass

PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
MAX_WEIGHT = 100
"""Weight of a preference for the cache nodes: the maximum that the API allows."""


@dataclass(frozen=True)
class LabelRequirement:
    """A node label that must have one of these values; Fluid's labels have the value `true`."""

    key: str
    values: tuple[str, ...] = ("true",)

    def to_expression(self) -> dict[str, Any]:
        return {"key": self.key, "operator": "In", "values": list(self.values)}

    def to_term(self) -> Term:
        return {"matchExpressions": [self.to_expression()]}

    def to_preference(self) -> dict[str, Any]:
        return {"weight": MAX_WEIGHT, "preference": self.to_term()}


def has_requirement(term: Any, requirement: LabelRequirement) -> bool:
    """Return whether a term already has exactly this requirement among its expressions."""
    return _expression_index(term, requirement) is not None


def add_requirements(terms: Terms | None, requirements: Iterable[LabelRequirement]) -> Terms | None:
    """Return the terms with each requirement ANDed in; None excludes no node.

    An empty list stays empty: it matches no node.
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
    """Like `add_requirements`, and remove expressions on dead keys, which no node has.

    Without requirements, nothing would replace them, so the terms stay as they are.
    """
    removed_keys = set(dead_keys)
    result = deep_copy(terms)
    if not requirements or result is None:
        return add_requirements(result, requirements)
    for term in result:
        remaining = _expressions_without(term, removed_keys)
        if len(remaining) != len(term.get("matchExpressions") or []):
            term["matchExpressions"] = remaining or [requirements[0].to_expression()]
    return add_requirements(result, requirements)


def required_key(pod_spec: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Return the first of these node labels (with the value `true`) that a pod requires.

    Its node selector has it, or every term of its affinity has one of them.

    Returns:
        Empty if it requires none.
    """
    selector = pod_spec.get("nodeSelector")
    candidates = list(keys)
    for key in candidates:
        if isinstance(selector, Mapping) and selector.get(key) == "true":
            return key
    terms = [term for term in terms_of(pod_spec.get("affinity")) or [] if not is_empty(term)]
    required = [
        next((key for key in candidates if _term_requires_key(term, key)), "") for term in terms
    ]
    return required[0] if required and all(required) else ""


def mentioned_keys(pod_spec: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Return those of these node labels that a pod's required affinity mentions."""
    mentioned = {
        expression.get("key")
        for term in terms_of(pod_spec.get("affinity")) or []
        for expression in term.get("matchExpressions") or []
        if isinstance(expression, Mapping)
    }
    return [key for key in keys if key in mentioned]


def _term_requires_key(term: Any, key: str) -> bool:
    """Return whether a term matches only nodes with the label; Fluid's only value is `true`."""
    return any(
        isinstance(expression, Mapping)
        and expression.get("key") == key
        and (
            expression.get("operator") == "Exists"
            or (expression.get("operator") == "In" and expression.get("values") == ["true"])
        )
        for expression in term.get("matchExpressions") or []
    )


def without_keys(terms: Terms, keys: Iterable[str]) -> Terms | None:
    """Remove expressions on these keys from the terms; None if the rest excludes no node."""
    removed = set(keys)
    result: Terms = []
    for term in terms:
        expressions = _expressions_without(term, removed)
        remaining = {**term, "matchExpressions": expressions}
        if not expressions:
            del remaining["matchExpressions"]
        if is_empty(remaining) and not is_empty(term):
            return None
        result.append(deep_copy(remaining))
    return result


def _expressions_without(term: Term, keys: Container[str]) -> list[dict[str, Any]]:
    return [item for item in term.get("matchExpressions") or [] if item.get("key") not in keys]


def remove_requirement(
    terms: Terms | None, requirement: LabelRequirement, before: Terms | None = None
) -> Terms | None:
    """Remove a requirement from terms that somebody has edited since it was added.

    A requirement that is in `before`, the terms from before any pin, belongs to the user and stays.
    A term that held nothing else is dropped.

    Returns:
        None if no term is left.
    """
    if terms is None:
        return None
    own_terms = [
        _without_requirement(term, requirement)
        for term in before or []
        if has_requirement(term, requirement)
    ]
    result: Terms = []
    for term in terms:
        remaining = _without_requirement(term, requirement)
        if not has_requirement(term, requirement) or remaining in own_terms:
            result.append(deep_copy(term))
        elif not is_empty(remaining):
            result.append(remaining)
    return result or None


def _expression_index(term: Any, requirement: LabelRequirement) -> int | None:
    """Index of the requirement among a term's expressions; the last one if there are several."""
    last_index = None
    if isinstance(term, Mapping):
        for index, expression in enumerate(term.get("matchExpressions") or []):
            if (
                isinstance(expression, Mapping)
                and expression.get("key") == requirement.key
                and expression.get("operator") == "In"
                and sorted(expression.get("values") or []) == sorted(requirement.values)
            ):
                last_index = index
    return last_index


def _without_requirement(term: Any, requirement: LabelRequirement) -> Term:
    """Return a copy of a term without the requirement (its last occurrence)."""
    remaining: Term = deep_copy(term)
    index = _expression_index(remaining, requirement)
    if index is not None:
        del remaining["matchExpressions"][index]
        if not remaining["matchExpressions"]:
            del remaining["matchExpressions"]
    return remaining


def node_preferences(affinity: Any) -> list[dict[str, Any]]:
    """The node preferences of a pod's affinity."""
    node = affinity.get("nodeAffinity") if isinstance(affinity, Mapping) else None
    preferences = node.get(PREFERRED) if isinstance(node, Mapping) else None
    return preferences if isinstance(preferences, list) else []
