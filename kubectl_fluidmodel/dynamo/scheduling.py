"""What the scheduler's filters would say of a pod and a node: labels, taints, GPUs. Pure.

Rules: k8s.io/component-helpers/scheduling/corev1 (node affinity, taints) and the NodeResourcesFit
plugin, for GPUs only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.dynamo.affinity import is_empty, terms_of
from kubectl_fluidmodel.kube.gpus import Gpus, fits
from kubectl_fluidmodel.kube.kind import Object, at, dicts, labels_of, name_of


def obstacles(pod: Mapping[str, Any], node: Object, needs: Gpus) -> list[str]:
    """Why a pod spec can never run on a node as the node is now, in words; empty if it can."""
    found = []
    if at(node, "spec", "unschedulable"):
        found.append("the node is cordoned")
    wanted = pod.get("nodeName")
    if wanted and wanted != name_of(node):
        found.append(f"nodeName {wanted}")
    for key, value in (pod.get("nodeSelector") or {}).items():
        if labels_of(node).get(key) != value:
            found.append(f"nodeSelector {key}={value}")
    terms = terms_of(pod.get("affinity"))
    if terms is not None and not any(matches(term, node) for term in terms):
        found.append(f"required node affinity {describe(terms)}")
    found += [f"untolerated taint {text}" for text in untolerated(pod, node, needs)]
    return found


def matches(term: Any, node: Object) -> bool:
    """Whether a node fits one nodeSelectorTerm."""
    if is_empty(term):
        return False
    labels = labels_of(node)
    fields = {"metadata.name": name_of(node)}
    return all(_holds(e, labels) for e in term.get("matchExpressions") or []) and all(
        _holds(e, fields) for e in term.get("matchFields") or []
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
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
    try:
        have, want = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return have > want if operator == "Gt" else have < want


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


def untolerated(
    pod: Mapping[str, Any], node: Object, needs: Gpus, *, strict: bool = False
) -> list[str]:
    """The node's NoSchedule and NoExecute taints that a pod does not tolerate.

    A taint named like a GPU that the pod asks for counts only if `strict`: many clusters
    tolerate it for such pods (admission plugin ExtendedResourceToleration).
    """
    found = []
    for taint in dicts(node, "spec", "taints"):
        if taint.get("effect") not in ["NoSchedule", "NoExecute"]:
            continue
        if str(taint.get("key")) in needs and not strict:
            continue
        if not any(_tolerates(one, taint) for one in pod.get("tolerations") or []):
            value = f"={taint['value']}" if taint.get("value") else ""
            found.append(f"{taint.get('key')}{value}:{taint['effect']}")
    return found


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    same = str(toleration.get("value") or "") == str(taint.get("value") or "")
    return bool(toleration.get("key")) and same


Want = tuple[str, Gpus, tuple[str, ...]]
"""A pod to place: its label, its GPUs and the nodes it may run on."""


def place(pods: Iterable[Want], room: Mapping[str, Gpus]) -> list[str]:
    """The labels of the pods that cannot be placed together with the others; empty if all can.

    Biggest first onto the fullest node nearly always does it. Where it does not, a search tries
    the other ways, and where that takes too long, the pods count as placed: a refusal has to be
    certain.
    """
    listed = sorted(pods, key=lambda pod: (-sum(pod[1].values()), len(pod[2]), pod[0]))
    left = {name: dict(gpus) for name, gpus in room.items()}
    unplaced = []
    for label, needs, nodes in listed:
        open_ = [name for name in nodes if fits(needs, left.get(name, {}))]
        if not open_:
            unplaced.append(label)
            continue
        best = min(open_, key=lambda name: (sum(left[name].get(g, 0) for g in needs), name))
        _take(left[best], needs, 1)
    return unplaced if unplaced and not _search(listed, room) else []


def _take(room: Gpus, needs: Gpus, sign: int) -> None:
    for gpu, count in needs.items():
        room[gpu] -= sign * count


def _search(pods: list[Want], room: Mapping[str, Gpus], limit: int = 20_000) -> bool:
    """Whether all pods can be placed, or `limit` attempts were not enough to tell."""
    left = {name: dict(gpus) for name, gpus in room.items()}
    attempts = 0

    def from_(index: int, first: int) -> bool:
        nonlocal attempts
        if index == len(pods):
            return True
        _, needs, nodes = pods[index]
        alike = index + 1 < len(pods) and pods[index + 1] == pods[index]
        for at_, name in enumerate(nodes[first:], first):
            attempts += 1
            if attempts > limit:
                return True
            if fits(needs, left.get(name, {})):
                _take(left[name], needs, 1)
                # Pods that are alike go onto nodes in order: any other order is the same.
                if from_(index + 1, at_ if alike else 0):
                    return True
                _take(left[name], needs, -1)
        return False

    return from_(0, 0)
