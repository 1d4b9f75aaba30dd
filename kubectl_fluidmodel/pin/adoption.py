"""Adopts a pin made by hand: records it, so that `unpin` can remove it. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.dynamo.affinity import (
    LabelRequirement,
    has_requirement,
    remove_requirement,
    required_key,
    without_keys,
)
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.object_paths import (
    Path,
    join_path,
    prune_containers,
    undo_edits,
    value_at,
    value_digest,
)
from kubectl_fluidmodel.dynamo.pin_annotation import MODE_REQUIRED, ComponentPins, Pin
from kubectl_fluidmodel.objects.node_selector import REQUIRED, is_empty, terms_of


def adopt(
    component: Component, pins: ComponentPins, cache: str, labels: tuple[str, ...]
) -> Pin | None:
    """Return a pin that records a component's mounts of a cache and its binding to the nodes.

    The component stays as it is; containers that removal would leave empty are added to
    `pins.created`. `labels` are the keys of the labels of the cache's nodes.

    Returns:
        None if it has neither.
    """
    pin = Pin(adopted=True, edits=component.claim_edits(cache))
    mount = component.find_claim_mount(cache, component.main_path)
    pin.path = mount.path if mount else ""
    label = "" if pins.requirements() else required_key(component.pod_spec(), labels)
    if label:
        _adopt_label(component, pins, pin, labels, label)
    elif not mount:
        return None
    pins.created += _emptied_containers(component, pin, pins)
    return pin


def _adopt_label(
    component: Component, pins: ComponentPins, pin: Pin, labels: tuple[str, ...], label: str
) -> None:
    spec = component.pod_spec()
    if (spec.get("nodeSelector") or {}).get(label) == "true":
        path = (*component.pod_path, "nodeSelector", label)
        pin.edits.append({"set": join_path(path), "is": "true"})
        return
    terms = terms_of(spec.get("affinity")) or []
    requirement = LabelRequirement(label)
    other_terms = remove_requirement(terms, requirement)
    if all(is_empty(term) or has_requirement(term, requirement) for term in terms) and (
        other_terms is None or len(other_terms) == len(terms)
    ):
        pin.mode, pin.key = MODE_REQUIRED, label
        pins.original_terms = other_terms
        return
    # Another spelling (`Exists`, another label in another term) is restored as it was.
    path = (*component.pod_path, "affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms")
    edit: dict[str, Any] = {"set": join_path(path), "is": value_digest(terms)}
    remaining = without_keys(terms, labels)
    if remaining is not None:
        edit["was"] = remaining
    pin.edits.append(edit)


def _emptied_containers(component: Component, pin: Pin, pins: ComponentPins) -> list[str]:
    """Return the containers that removing the adopted pin leaves empty, which are then removed."""
    pod_path = component.pod_path
    affinity = (*pod_path, "affinity")
    required = (*affinity, "nodeAffinity", REQUIRED)
    candidates: list[Path] = [required, required[:-1], affinity, (*pod_path, "nodeSelector")]
    candidates += [(*pod_path, "volumes"), ("volumeMounts",)]
    candidates += [(*path, "volumeMounts") for path in component.container_paths()]
    after = component.copy()
    undo_edits(after.spec, pin.edits)
    if pin.mode == MODE_REQUIRED and pins.original_terms is None:
        del value_at(after.spec, required)["nodeSelectorTerms"]
    emptied = []
    for path in candidates:
        if value_at(after.spec, path) in ({}, []) and value_at(component.spec, path):
            emptied.append(join_path(path))
            prune_containers(after.spec, emptied)
    return emptied
