"""Node selectors as the scheduler reads them: which nodes a pod may run on by their labels. Pure.

Rules: k8s.io/component-helpers/scheduling/corev1/nodeaffinity v0.36: nodeSelectorTerms are ORed,
the expressions and fields of one term are ANDed, and a term without any matches no node.
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
    """Whether a term has no expressions at all, and so matches no node."""
    return not isinstance(term, Mapping) or not (
        term.get("matchExpressions") or term.get("matchFields")
    )


def terms_of(affinity: Any) -> Terms | None:
    """The required node selector terms of a pod's affinity; None where nothing is required."""
    node = affinity.get("nodeAffinity") if isinstance(affinity, Mapping) else None
    required = node.get(REQUIRED) if isinstance(node, Mapping) else None
    if not isinstance(required, Mapping):
        return None
    terms = required.get("nodeSelectorTerms")
    return terms if isinstance(terms, list) else []


def mismatches(spec: Mapping[str, Any], node: Object) -> list[str]:
    """What a pod's spec asks of a node's labels and name and this node lacks, in words."""
    found = []
    for key, value in (get_path(spec, "nodeSelector") or {}).items():
        if labels_of(node).get(key) != value:
            found.append(f"nodeSelector {key}={value}")
    terms = terms_of(spec.get("affinity"))
    if terms is not None and not any(matches(term, node) for term in terms):
        found.append(f"required node affinity {describe(terms)}")
    return found


def matches(term: Any, node: Object) -> bool:
    """Whether a node fits one nodeSelectorTerm."""
    if is_empty(term):
        return False
    labels = labels_of(node)
    fields = {"metadata.name": name_of(node)}
    return all(expression_matches(e, labels) for e in term.get("matchExpressions") or []) and all(
        expression_matches(e, fields) for e in term.get("matchFields") or []
    )


def expression_matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil one expression of a selector, of nodes or of pods."""
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
    wanted = str(values[0]) if values else ""
    if value is None or not _INTEGER.fullmatch(value) or not _INTEGER.fullmatch(wanted):
        return False
    return int(value) > int(wanted) if operator == "Gt" else int(value) < int(wanted)


def describe(terms: Iterable[Any]) -> str:
    """Node selector terms on one line."""
    alternatives = []
    for term in terms:
        parts = []
        for expression in [*(term.get("matchExpressions") or []), *(term.get("matchFields") or [])]:
            values = ",".join(str(value) for value in expression.get("values") or [])
            text = f"{expression.get('key')} {expression.get('operator')}"
            parts.append(f"{text} ({values})" if values else text)
        alternatives.append(" and ".join(parts) or "an empty term, which fits no node")
    return " or ".join(alternatives) or "without terms, which fits no node"
