"""The node affinity of a pin: which components get it, and how it is added and removed.

A requirement is ANDed into the existing terms, and the record keeps the terms from before the first
pin: if nobody else edited them, removing a pin restores exactly those.
"""

from __future__ import annotations

import functools

from kubectl_fluidmodel.dynamo.affinity import (
    PREFERRED,
    LabelRequirement,
    mentioned_keys,
    node_preferences,
    remove_requirement,
    replace_dead_keys,
)
from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.object_paths import EditLog, value_at
from kubectl_fluidmodel.dynamo.pin_annotation import (
    MODE_MOUNT,
    MODE_PREFERRED,
    MODE_REQUIRED,
    ComponentPins,
    Pin,
)
from kubectl_fluidmodel.objects.node_selector import REQUIRED, Terms, terms_of

_NODE_AFFINITY = ("affinity", "nodeAffinity")


def pin_mode(component: Component, preferred: bool) -> str:
    """Return what a component gets; a frontend never gets affinity, even if it is named."""
    if component.role is Role.FRONTEND:
        return MODE_MOUNT
    return MODE_PREFERRED if preferred else MODE_REQUIRED


def add_affinity(
    component: Component,
    pins: ComponentPins,
    log: EditLog,
    pin: Pin,
    dead_labels: tuple[str, ...],
) -> list[str]:
    """Bind a component to the nodes of the pin's label, as its mode requires.

    Returns:
        Remarks about replaced label keys that no node has.
    """
    if pin.mode == MODE_PREFERRED:
        preference = pin.requirement().to_preference()
        if preference not in node_preferences(component.pod_spec().get("affinity")):
            log.append((*component.pod_path, *_NODE_AFFINITY, PREFERRED), preference)
    if pin.mode != MODE_REQUIRED:
        return []
    dead = mentioned_keys(component.pod_spec(), dead_labels)
    now = terms_of(component.pod_spec().get("affinity"))
    recorded = pins.requirements()
    if not recorded:
        pins.original_terms = now
    elif replace_dead_keys(pins.original_terms, pins.removed_keys, recorded) != now:
        pins.original_terms = _remove_requirements(now, recorded, pins.original_terms)
    pins.removed_keys += dead
    after = replace_dead_keys(now, dead, [pin.requirement()])
    if after != now and after is not None:
        path = (*component.pod_path, *_NODE_AFFINITY, REQUIRED)
        log.ensure_container(path, dict)["nodeSelectorTerms"] = after
    return [
        f"component {component.name} required {key}, which no node has (it is too long, so Fluid "
        f"uses the UID); replaced by {pin.key}"
        for key in dead
    ]


def remove_affinity(component: Component, pins: ComponentPins, cache: str) -> None:
    """Remove the requirement of one cache's pin; preferences are in the pin's edits."""
    if pins.pins[cache].mode != MODE_REQUIRED:
        return
    now = terms_of(component.pod_spec().get("affinity"))
    other_requirements = pins.requirements(without=cache)
    if now == replace_dead_keys(pins.original_terms, pins.removed_keys, pins.requirements()):
        after = replace_dead_keys(pins.original_terms, pins.removed_keys, other_requirements)
    else:
        after = remove_requirement(now, pins.pins[cache].requirement(), pins.original_terms)
        pins.original_terms = _remove_requirements(after, other_requirements, pins.original_terms)
    if after == now:
        return
    node = value_at(component.spec, (*component.pod_path, *_NODE_AFFINITY))
    if after is not None:
        node[REQUIRED]["nodeSelectorTerms"] = after
        return
    del node[REQUIRED]["nodeSelectorTerms"]
    created = "/".join((*component.pod_path, *_NODE_AFFINITY, REQUIRED))
    if not node[REQUIRED] and not any(text.startswith(created) for text in pins.created):
        del node[REQUIRED]


def _remove_requirements(
    terms: Terms | None, requirements: list[LabelRequirement], before: Terms | None
) -> Terms | None:
    return functools.reduce(
        lambda now, requirement: remove_requirement(now, requirement, before), requirements, terms
    )
