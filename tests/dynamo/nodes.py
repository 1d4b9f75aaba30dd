"""An evaluator of node selectors by the scheduler's rules, written apart from the package."""

from __future__ import annotations

import itertools
from typing import Any

KEYS = ("zone", "gpu", "fluid.io/s-ns-a", "fluid.io/s-ns-b")
VALUES = {
    "zone": (None, "east", "west"),
    "gpu": (None, "4", "8"),
    "fluid.io/s-ns-a": (None, "true"),
    "fluid.io/s-ns-b": (None, "true"),
}


def all_nodes() -> list[dict[str, Any]]:
    """Every node that the label values above can make, each in two names."""
    nodes = []
    for values in itertools.product(*(VALUES[key] for key in KEYS)):
        labels = {k: v for k, v in zip(KEYS, values, strict=True) if v is not None}
        for name in ("n0", "n1"):
            nodes.append({"name": name, "labels": labels})
    return nodes


def matches_expression(labels: dict[str, str], expression: dict[str, Any]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and int(value) > int(values[0])
        case "Lt":
            return value is not None and int(value) < int(values[0])
    raise AssertionError(expression)


def matches_term(node: dict[str, Any], term: dict[str, Any]) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(matches_expression(node["labels"], e) for e in expressions) and all(
        matches_expression({"metadata.name": node["name"]}, f) for f in fields
    )


def allowed(affinity: dict[str, Any] | None, node: dict[str, Any]) -> bool:
    """Whether the required node affinity of a pod lets it run on a node."""
    required = ((affinity or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if required is None:
        return True
    return any(matches_term(node, term) for term in required.get("nodeSelectorTerms") or [])
