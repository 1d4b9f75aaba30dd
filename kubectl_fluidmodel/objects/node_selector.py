"""Node selectors as the scheduler evaluates them: on which nodes a pod may run. Pure.

Rules: k8s.io/component-helpers/scheduling/corev1/nodeaffinity v0.36: nodeSelectorTerms are ORed,
the expressions and fields of one term are ANDed, and an empty term matches no node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import Object, get_path, labels_of, name_of

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
Term = dict[str, Any]
Terms = list[Term]
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)


def is_empty(term: Any) -> bool:
    """Return whether a term has no expressions and therefore matches no node."""
    return not isinstance(term, Mapping) or not (
        term.get("matchExpressions") or term.get("matchFields")
    )


def terms_of(affinity: Any) -> Terms | None:
    """Return the required node selector terms of a pod's affinity; None if nothing is required."""
    node = affinity.get("nodeAffinity") if isinstance(affinity, Mapping) else None
    required = node.get(REQUIRED) if isinstance(node, Mapping) else None
    if not isinstance(required, Mapping):
        return None
    terms = required.get("nodeSelectorTerms")
    return terms if isinstance(terms, list) else []


def mismatches(spec: Mapping[str, Any], node: Object) -> list[str]:
    """Describe what a pod's spec requires of a node's labels and name that this node lacks."""
    reasons = []
    for key, value in (get_path(spec, "nodeSelector") or {}).items():
        if labels_of(node).get(key) != value:
            reasons.append(f"nodeSelector {key}={value}")
    terms = terms_of(spec.get("affinity"))
    if terms is not None and not any(matches(term, node) for term in terms):
        reasons.append(f"required node affinity {describe(terms)}")
    return reasons


def matches(term: Any, node: Object) -> bool:
    """Return whether a node matches a nodeSelectorTerm."""
    if is_empty(term):
        return False
    labels = labels_of(node)
    fields = {"metadata.name": name_of(node)}
    return all(
        expression_matches(expression, values)
        for part, values in (("matchExpressions", labels), ("matchFields", fields))
        for expression in term.get(part) or []
    )


def expression_matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether labels match one expression of a selector, for nodes or pods."""
    key, values = str(expression.get("key")), list(expression.get("values") or [])
    value, operator = labels.get(key), expression.get("operator")
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    operand = str(values[0]) if values else ""
    if value is None or not _INTEGER.fullmatch(value) or not _INTEGER.fullmatch(operand):
        return False
    return int(value) > int(operand) if operator == "Gt" else int(value) < int(operand)


def describe(terms: Iterable[Any]) -> str:
    """Format node selector terms on one line."""
    alternatives = []
    for term in terms:
        parts = []
        for expression in [*(term.get("matchExpressions") or []), *(term.get("matchFields") or [])]:
            values = ",".join(str(value) for value in expression.get("values") or [])
            text = f"{expression.get('key')} {expression.get('operator')}"
            parts.append(f"{text} ({values})" if values else text)
        alternatives.append(" and ".join(parts) or "an empty term, which matches no node")
    return " or ".join(alternatives) or "without terms, which matches no node"
