"""The pin of one component: adds, replaces, adopts and removes it. Pure.

Start at `pin_component`. `affinity.py` decides which nodes a component is bound to.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator
from dataclasses import field

from kubectl_fluidmodel.dynamo import model_path, operator_bugs
from kubectl_fluidmodel.dynamo.affinity import required_key
from kubectl_fluidmodel.dynamo.component import GPU_REASON, Component, Role
from kubectl_fluidmodel.dynamo.loader_plan import LoaderPlan, NodeReads, plan_loader, set_loader
from kubectl_fluidmodel.dynamo.object_paths import (
    EditLog,
    is_unchanged,
    prune_containers,
    undo_edits,
)
from kubectl_fluidmodel.dynamo.pin_annotation import (
    MODE_MOUNT,
    MODE_PREFERRED,
    ComponentPins,
    Pin,
    PinRecord,
    missing_parts,
)
from kubectl_fluidmodel.dynamo.probe_budget import (
    probe_shortfalls,
    set_startup_budget,
    sufficient_seconds,
)
from kubectl_fluidmodel.dynamo.resources import STRATEGY_ANNOTATION
from kubectl_fluidmodel.pin.adoption import adopt
from kubectl_fluidmodel.pin.affinity import add_affinity, pin_mode, remove_affinity
from kubectl_fluidmodel.pin.pin_request import DEFAULT_MOUNT_PATH, PinRequest
from kubectl_fluidmodel.records import dataclass


@dataclass
class ComponentChange:
    """What was done to one component."""

    component: str
    role: Role
    mode: str
    path: str
    changed: bool
    remarks: list[str] = field(default_factory=list)
    existing_label: str = ""
    """The label by which somebody else bound it to the cache's nodes."""
    before: Component | None = None
    """The component without a pin to this cache; None from `unpin_graph`."""
    note: str = ""
    """What the chosen loader takes, or why none was set."""
    problems: list[str] = field(default_factory=list)
    """Known problems with its operator or its engine, which a pin by hand has, too."""


def pin_component(
    component: Component,
    pins: ComponentPins,
    request: PinRequest,
    before: Component,
    existing_path: str,
    node: NodeReads,
) -> ComponentChange:
    """Pin a component, unless it is already pinned as requested.

    Args:
        component: the component to change.
        pins: the record of its pins, which is updated.
        request: what to pin, and how.
        before: the component without a pin to this cache.
        existing_path: where the graph's workers mount the claim already, or empty.
        node: how many reads at once suit a node of the cache.
    """
    earlier = request.earlier_pin(component.name, pins)
    plan = _plan_loader(before, earlier, request, node)
    requested = _requested_pin(before, earlier, request, existing_path, plan)
    recorded = pins.pins.get(request.cache)
    if recorded and _is_pinned_as(component, recorded, requested, request):
        change = ComponentChange(
            component.name, component.role, requested.mode, recorded.path, False
        )
    else:
        if recorded:
            remove_pin(component, pins, request.cache)
        change = _add_pin(component, pins, requested, request)
    change.remarks += [plan.remark] if plan.remark else []
    change.note = plan.note
    return change


def _plan_loader(
    before: Component, earlier: Pin | None, request: PinRequest, node: NodeReads
) -> LoaderPlan:
    """The loader that a request asks for, else that of the earlier pin."""
    if request.loader:
        return plan_loader(before, request.loader, node, request.model_bytes)
    return LoaderPlan(earlier.loader, earlier.loader_threads) if earlier else LoaderPlan()


def _requested_pin(
    before: Component,
    earlier: Pin | None,
    request: PinRequest,
    existing_path: str,
    plan: LoaderPlan,
) -> Pin:
    """Return the requested pin; options that are not set stay as in the earlier pin."""
    was = earlier or Pin()
    was_preferred = bool(request.replaces) and was.mode == MODE_PREFERRED
    mode = pin_mode(before, request.preferred or was_preferred)
    path = request.mount_path or existing_path
    if before.role is Role.FRONTEND:
        path = existing_path or path
    pin = Pin(mode=mode, path=path or was.path or DEFAULT_MOUNT_PATH)
    if mode != MODE_MOUNT:
        pin.key = was.key if was.key in request.equal_labels else request.label
        pin.model_path = request.use_model_path or was.model_path
        pin.recreate = request.recreate or was.recreate
        pin.loader, pin.loader_threads = plan.loader, plan.threads
        pin.startup_seconds = was.startup_seconds
        if request.probe_budget:
            shortfalls = probe_shortfalls(before, request.model_bytes)
            seconds = [sufficient_seconds(shortfall.load_seconds) for shortfall in shortfalls]
            pin.startup_seconds = max(seconds, default=0)
    return pin


def _is_pinned_as(component: Component, pin: Pin, requested: Pin, request: PinRequest) -> bool:
    """Return whether a component has the requested pin completely."""
    compared = operator.attrgetter(
        "path", "model_path", "recreate", "startup_seconds", "loader", "loader_threads"
    )
    is_same: bool = compared(pin) == compared(requested)
    if pin.adopted:
        is_same = is_same and not request.preferred
    else:
        is_same = is_same and (pin.key, pin.mode) == (requested.key, requested.mode)
    if not is_same or missing_parts(component, pin, request.cache):
        return False
    return all(is_unchanged(component.spec, edit) for edit in pin.edits)


def _add_pin(
    component: Component, pins: ComponentPins, pin: Pin, request: PinRequest
) -> ComponentChange:
    """Add the mount, the affinity and the options of a pin; what is there already stays."""
    log = EditLog(component.spec, pins.created)
    mode = pin.mode
    remarks = list(_role_remark(component))
    existing_label = ""
    if mode != MODE_MOUNT and not pins.requirements():
        labels = (request.label, *request.equal_labels)
        existing_label = required_key(component.pod_spec(), labels)
    existing_mount = component.find_claim_mount(request.cache, component.main_path)
    remarks += component.add_claim_mount(log, request.cache, pin.path)
    path = existing_mount.path if existing_mount else pin.path
    if path != pin.path:
        remarks.append(
            f"component {component.name} already mounts the claim at {path}; that mount is kept"
        )
    if existing_label:
        pin.mode, pin.key = MODE_MOUNT, ""
        remarks.append(
            f"component {component.name} already requires the cache's nodes by hand: "
            f"{existing_label}"
        )
    remarks += add_affinity(component, pins, log, pin, request.dead_labels)
    if pin.recreate:
        log.set_value((*component.annotations_path, STRATEGY_ANNOTATION), "Recreate")
    if pin.startup_seconds:
        set_startup_budget(component, log, pin.startup_seconds)
    if pin.model_path:
        target = f"{path.rstrip('/')}/{request.subpath.strip('/')}" if request.subpath else path
        remarks += model_path.set_model_path(component, log, target)
    if pin.loader:
        set_loader(component, log, pin.loader, pin.loader_threads)
    remarks += model_path.hf_home_warnings(component, path)
    pins.created = log.created
    pin.edits = log.edits
    # A mount or an affinity made by somebody else needs no record.
    changed = bool(log.edits) or not (existing_label or (mode == MODE_MOUNT and existing_mount))
    if changed:
        pins.pins[request.cache] = pin
    return ComponentChange(
        component.name,
        component.role,
        mode,
        path,
        changed,
        remarks,
        existing_label,
        problems=operator_bugs.known_problems(component, path),
    )


def _role_remark(component: Component) -> Iterator[str]:
    """Say how a component's role was determined, unless it declares the role or requests GPUs."""
    role, reason = component.role_and_reason()
    if reason not in ("", GPU_REASON):
        yield f"component {component.name} is treated as a {role.value}: {reason}"


def adopt_component(
    component: Component, pins: ComponentPins, request: PinRequest
) -> ComponentChange:
    """Record a component's pin made by hand; an earlier pin stays as it is."""
    earlier = pins.pins.get(request.cache)
    mode = pin_mode(component, request.preferred)
    if earlier:
        return ComponentChange(component.name, component.role, earlier.mode, earlier.path, False)
    pin = adopt(component, pins, request.cache, (request.label, *request.equal_labels))
    if pin is None:
        remark = f"component {component.name} is not pinned by hand"
        return ComponentChange(component.name, component.role, mode, "", False, [remark])
    pins.pins[request.cache] = pin
    return ComponentChange(component.name, component.role, pin.mode, pin.path, True)


def remove_pin(component: Component, pins: ComponentPins, cache: str) -> list[str]:
    """Remove one cache's pin.

    Returns:
        Paths that somebody has changed since, which stay.
    """
    changed_paths = undo_edits(component.spec, pins.pins[cache].edits)
    remove_affinity(component, pins, cache)
    del pins.pins[cache]
    if not pins.requirements():
        pins.original_terms, pins.removed_keys = None, []
    pins.created = prune_containers(component.spec, pins.created)
    return changed_paths


def without_pin(component: Component, record: PinRecord, cache: str) -> Component:
    """A copy of a component, without its pin to a cache."""
    unpinned = component.copy()
    pins = record.components.get(component.name)
    if pins is not None and cache in pins.pins:
        remove_pin(unpinned, copy.deepcopy(pins), cache)
    return unpinned
