"""Pin and unpin as pure functions: from a graph to the changed graph and its changes.

A component that is already pinned as requested stays as it is; one that is pinned differently is
unpinned first. Pinning twice is therefore the same as pinning once, and unpinning restores the
previous state, except for what somebody else changed in the meantime.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.dynamo import model_path, operator_bugs
from kubectl_fluidmodel.dynamo.affinity import (
    required_key,
)
from kubectl_fluidmodel.dynamo.component import GPU_REASON, Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph, open_graph
from kubectl_fluidmodel.dynamo.loader_plan import (
    LoaderPlan,
    NodeReads,
    node_reads,
    plan_loader,
    set_loader,
)
from kubectl_fluidmodel.dynamo.object_paths import (
    EditLog,
    is_unchanged,
    join_path,
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
    read_pins,
    write_pins,
)
from kubectl_fluidmodel.dynamo.probe_budget import (
    probe_shortfalls,
    set_startup_budget,
    sufficient_seconds,
)
from kubectl_fluidmodel.dynamo.resources import GRAPH, STRATEGY_ANNOTATION
from kubectl_fluidmodel.dynamo.shapes.v1alpha1 import top_level_claims
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.pin.adoption import adopt
from kubectl_fluidmodel.pin.affinity import add_affinity, pin_mode, remove_affinity
from kubectl_fluidmodel.records import dataclass

DEFAULT_MOUNT_PATH = "/model"


class NoWorkersError(FluidModelError):
    """A graph without a component that is known to be a worker."""


@dataclass(frozen=True)
class PinRequest:
    """What to pin, and how."""

    cache: str
    """Name of the Dataset, which is also its claim's."""
    label: str
    """Key of the label that cache nodes carry."""
    preferred: bool = False
    mount_path: str | None = None
    """None keeps the path of an earlier pin, else uses `DEFAULT_MOUNT_PATH`."""
    subpath: str = ""
    """Directory of the model in the claim."""
    use_model_path: bool = False
    recreate: bool = False
    probe_budget: bool = False
    """Whether to give workers enough startup time to load `model_bytes`."""
    adopt: bool = False
    """Whether to record a pin made by hand, and change nothing else."""
    components: tuple[str, ...] = ()
    equal_labels: tuple[str, ...] = ()
    """Other labels of the same nodes."""
    dead_labels: tuple[str, ...] = ()
    """Labels that look like the cache's but that no node has."""
    model_bytes: int = 0
    """Size of the model; 0 if unknown."""
    loader: str = ""
    """One of `loader_names.CHOICES`; empty keeps the loader of an earlier pin."""
    node_gpus: int = 0
    """GPUs of the cache's largest node; 0 if unknown."""
    limits_reads: bool = True
    """Whether 32 or more parallel reads may hang the cache's FUSE client."""
    has_page_cache: bool = True
    """Whether the kernel keeps what was read through that client."""
    best_reads: int = 0
    """Reads at once that `bench` measured to be the best on a node; see `NodeReads.best`."""
    replaces: str = ""
    """The cache whose pin is moved to this one; empty for a new pin (`pin/replacement.py`)."""
    replaced_pins: Mapping[str, Pin] = field(default_factory=dict)
    """The pins to that cache, by component."""

    def earlier_pin(self, component: str, pins: ComponentPins) -> Pin | None:
        """The pin whose options a component keeps: to this cache, else to the replaced one."""
        return pins.pins.get(self.cache) or self.replaced_pins.get(component)


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


@dataclass
class PinResult:
    """A graph after the change; `changes` has the components that are (or were) pinned."""

    graph: Graph
    changes: list[ComponentChange]
    changed: bool

    @property
    def object(self) -> Object:
        return self.graph.object

    def reason_unchanged(self) -> str:
        """The label by which another tool or user already pins it, if any."""
        labels = [change.existing_label for change in self.changes if change.existing_label]
        return f"pinned already, by hand: {labels[0]}" if labels else ""

    def remarks(self) -> list[str]:
        return [remark for change in self.changes for remark in (*change.remarks, *change.problems)]

    def problems(self) -> list[str]:
        return [problem for change in self.changes for problem in change.problems]

    def notes(self) -> list[str]:
        return [change.note for change in self.changes if change.note]


def pin_graph(obj: Object, request: PinRequest, schema: str | None = None) -> PinResult:
    """Return a pinned copy of a graph.

    Raises:
        FluidModelError: no component to pin, a path in use, or an object that cannot be pinned.
    """
    graph = open_graph(obj, schema)
    record = read_pins(graph.object)
    unpinned = {
        component.name: _without_pin(component, record, request.cache)
        for component in graph.components
    }
    existing_path = _existing_path(unpinned.values(), request.cache)
    selected = select_components(graph, request.components)
    node = _node_reads([unpinned[component.name] for component in selected], request)
    changes = []
    for component in selected:
        pins = record.components.setdefault(component.name, ComponentPins())
        if request.adopt:
            change = _adopt_component(component, pins, request)
        else:
            before = unpinned[component.name]
            earlier = request.earlier_pin(component.name, pins)
            plan = _plan_loader(before, earlier, request, node)
            requested = _wanted_pin(before, earlier, request, existing_path, plan)
            change = _pin_component(component, pins, request, requested)
            change.remarks += [plan.remark] if plan.remark else []
            change.note = plan.note
        change.before = unpinned[component.name]
        changes.append(change)
        if not pins.pins:
            del record.components[component.name]
    if request.adopt:
        _adopt_listed_claim(graph, record, request.cache)
    else:
        _list_claim(graph, record, request.cache)
    if any(change.changed for change in changes):
        write_pins(graph.object, record)
    return PinResult(graph, changes, graph.object != obj)


def unpin_graph(
    obj: Object, cache: str, names: tuple[str, ...] = (), schema: str | None = None
) -> PinResult:
    """Return a copy of a graph without what `pin` added for a cache.

    `names` are the components to unpin; empty for all that are pinned.
    """
    graph = open_graph(obj, schema)
    record = read_pins(graph.object)
    for name in names:
        if graph.component(name) is None:
            raise _unknown_component(graph, name)
    changes = []
    for name, pins in list(record.components.items()):
        if cache not in pins.pins or (names and name not in names):
            continue
        component = graph.component(name)
        if component is None:
            del record.components[name]
            continue
        pin = pins.pins[cache]
        kept = _remove_pin(component, pins, cache)
        remarks = [
            f"component {name}: {path} has changed since the pin, so it stays" for path in kept
        ]
        changes.append(ComponentChange(name, component.role, pin.mode, pin.path, True, remarks))
        if not pins.pins:
            del record.components[name]
    if cache not in record.caches() and cache in record.graph.pins:
        undo_edits(graph.object, record.graph.pins.pop(cache).edits)
        record.graph.created = prune_containers(graph.object, record.graph.created)
    if changes:
        write_pins(graph.object, record)
    return PinResult(graph, changes, graph.object != obj)


def select_components(graph: Graph, names: tuple[str, ...]) -> list[Component]:
    """Return the components to pin: the named ones, else the workers and frontends."""
    if names:
        found = []
        for name in names:
            component = graph.component(name)
            if component is None:
                raise _unknown_component(graph, name)
            found.append(component)
        return found
    picked = [item for item in graph.components if item.role is not Role.OTHER]
    if not any(item.role is Role.WORKER for item in picked):
        listed = ", ".join(item.name for item in graph.components) or "none"
        raise NoWorkersError(
            f"{graph.reference} has no component that is known to be a worker",
            f"none declares such a type or requests GPUs; it has {listed}",
            "--component NAME",
        )
    return picked


def _unknown_component(graph: Graph, name: str) -> UsageError:
    listed = ", ".join(item.name for item in graph.components)
    return UsageError(f"{graph.reference} has no component '{name}'", f"it has {listed}")


def _without_pin(component: Component, record: PinRecord, cache: str) -> Component:
    """A copy of a component, without its pin to a cache."""
    found = component.copy()
    pins = record.components.get(component.name)
    if pins is not None and cache in pins.pins:
        _remove_pin(found, copy.deepcopy(pins), cache)
    return found


def _existing_path(components: Iterable[Component], cache: str) -> str:
    """Return where workers mount the claim without a pin; empty if they do not, or differ.

    That mount stays, and the rest of the graph uses the same path: a frontend reads tokenizer and
    configuration from the path that the workers announce.
    """
    paths = {
        mount.path
        for component in components
        if component.role is Role.WORKER
        and (mount := component.find_claim_mount(cache, component.main_path))
    }
    return paths.pop() if len(paths) == 1 else ""


def _node_reads(components: list[Component], request: PinRequest) -> NodeReads:
    workers = [component for component in components if component.role is Role.WORKER]
    return node_reads(
        workers,
        request.node_gpus,
        is_limited=request.limits_reads,
        has_page_cache=request.has_page_cache,
        best=request.best_reads,
    )


def _plan_loader(
    before: Component, earlier: Pin | None, request: PinRequest, node: NodeReads
) -> LoaderPlan:
    """The loader that a request asks for, else that of the earlier pin."""
    if request.loader:
        return plan_loader(before, request.loader, node, request.model_bytes)
    return LoaderPlan(earlier.loader, earlier.loader_threads) if earlier else LoaderPlan()


def _pin_component(
    component: Component, pins: ComponentPins, request: PinRequest, requested: Pin
) -> ComponentChange:
    earlier = pins.pins.get(request.cache)
    if earlier and _is_pinned_as(component, earlier, requested, request):
        return ComponentChange(component.name, component.role, requested.mode, earlier.path, False)
    if earlier:
        _remove_pin(component, pins, request.cache)
    return _add_pin(component, pins, requested, request)


def _wanted_pin(
    before: Component,
    earlier: Pin | None,
    request: PinRequest,
    existing_path: str,
    plan: LoaderPlan,
) -> Pin:
    """Return the requested pin; options that are not set stay as in an earlier pin."""
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
            seconds = [sufficient_seconds(each.load_seconds) for each in shortfalls]
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


def _adopt_component(
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


def _role_remark(component: Component) -> Iterator[str]:
    role, reason = component.role_and_reason()
    if reason not in ("", GPU_REASON):
        yield f"component {component.name} is treated as a {role.value}: {reason}"


def _remove_pin(component: Component, pins: ComponentPins, cache: str) -> list[str]:
    """Remove one cache's pin.

    Returns:
        Paths that somebody has changed since, which stay.
    """
    kept = undo_edits(component.spec, pins.pins[cache].edits)
    remove_affinity(component, pins, cache)
    del pins.pins[cache]
    if not pins.requirements():
        pins.original_terms, pins.removed_keys = None, []
    pins.created = prune_containers(component.spec, pins.created)
    return kept


def _adopt_listed_claim(graph: Graph, record: PinRecord, claim: str) -> None:
    """Record a claim's entry in the graph's `pvcs`, unless somebody else's mount needs it.

    Left behind, it would stop the operator once the claim is gone.
    """
    adopted = {name for name, pins in record.components.items() if claim in pins.pins}
    other_claims = [
        component
        for component in graph.components
        if component.name not in adopted and claim in component.claims_by_volume().values()
    ]
    if not adopted or other_claims or claim in record.graph.pins:
        return
    for item in _top_level_claims(graph) or []:
        if item.get("name") == claim and not item.get("create"):
            edits = [{"add": join_path(("spec", "pvcs")), "item": item}]
            record.graph.pins[claim] = Pin(adopted=True, edits=edits)


def _top_level_claims(graph: Graph) -> list[Any] | None:
    if graph.kind != GRAPH or graph.shape != "v1alpha1":
        return None
    return top_level_claims(graph.object["spec"])


def _list_claim(graph: Graph, record: PinRecord, claim: str) -> None:
    """Complete a graph's top-level `pvcs` if its services mount from them.

    The operator needs no entry to mount a claim, and fails at an entry whose claim is missing, so a
    graph without a list gets none.
    """
    claims = _top_level_claims(graph)
    by_service = any(
        mount.get("name") == claim
        for component in graph.components
        for mount in component.spec.get("volumeMounts") or []
    )
    if not claims or not by_service or any(item.get("name") == claim for item in claims):
        return
    journal = EditLog(graph.object, record.graph.created)
    journal.append(("spec", "pvcs"), {"name": claim, "create": False})
    record.graph.created = journal.created
    record.graph.pins[claim] = Pin(edits=journal.edits)
