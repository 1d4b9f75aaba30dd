"""Pin and unpin as pure functions: from a graph to the changed graph and its changes.

`component_pin.py` changes each component. One that is already pinned as requested stays as it is;
one that is pinned differently is unpinned first. Pinning twice is therefore the same as pinning
once, and unpinning restores the previous state, except for what somebody else changed in the
meantime.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph, open_graph
from kubectl_fluidmodel.dynamo.loader_plan import NodeReads, node_reads
from kubectl_fluidmodel.dynamo.object_paths import (
    EditLog,
    join_path,
    prune_containers,
    undo_edits,
)
from kubectl_fluidmodel.dynamo.pin_annotation import (
    ComponentPins,
    Pin,
    PinRecord,
    read_pins,
    write_pins,
)
from kubectl_fluidmodel.dynamo.resources import GRAPH
from kubectl_fluidmodel.dynamo.shapes.v1alpha1 import top_level_claims
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.pin.component_pin import (
    ComponentChange,
    adopt_component,
    pin_component,
    remove_pin,
    without_pin,
)
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.records import dataclass


class NoWorkersError(FluidModelError):
    """A graph without a component that is known to be a worker."""


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
        component.name: without_pin(component, record, request.cache)
        for component in graph.components
    }
    existing_path = _existing_path(unpinned.values(), request.cache)
    selected = select_components(graph, request.components)
    node = _node_reads([unpinned[component.name] for component in selected], request)
    changes = []
    for component in selected:
        pins = record.components.setdefault(component.name, ComponentPins())
        before = unpinned[component.name]
        if request.adopt:
            change = adopt_component(component, pins, request)
        else:
            change = pin_component(component, pins, request, before, existing_path, node)
        change.before = before
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
    _named_components(graph, names)
    changes = []
    for name, pins in list(record.components.items()):
        if cache not in pins.pins or (names and name not in names):
            continue
        component = graph.component(name)
        if component is None:
            del record.components[name]
            continue
        pin = pins.pins[cache]
        remarks = [
            f"component {name}: {path} has changed since the pin, so it stays"
            for path in remove_pin(component, pins, cache)
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
        return _named_components(graph, names)
    readers = [component for component in graph.components if component.role is not Role.OTHER]
    if not any(component.role is Role.WORKER for component in readers):
        names_in_graph = _component_names(graph) or "none"
        raise NoWorkersError(
            f"{graph.reference} has no component that is known to be a worker",
            f"none declares such a type or requests GPUs; it has {names_in_graph}",
            "--component NAME",
        )
    return readers


def _named_components(graph: Graph, names: tuple[str, ...]) -> list[Component]:
    """Return the components with these names.

    Raises:
        UsageError: the graph lacks one of them.
    """
    components = []
    for name in names:
        component = graph.component(name)
        if component is None:
            raise UsageError(
                f"{graph.reference} has no component '{name}'", f"it has {_component_names(graph)}"
            )
        components.append(component)
    return components


def _component_names(graph: Graph) -> str:
    return ", ".join(component.name for component in graph.components)


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


def _adopt_listed_claim(graph: Graph, record: PinRecord, claim: str) -> None:
    """Record a claim's entry in the graph's `pvcs`, unless somebody else's mount needs it.

    Left behind, it would stop the operator once the claim is gone.
    """
    adopted = {name for name, pins in record.components.items() if claim in pins.pins}
    others_mount_it = any(
        component.name not in adopted and claim in component.claims_by_volume().values()
        for component in graph.components
    )
    if not adopted or others_mount_it or claim in record.graph.pins:
        return
    for entry in _top_level_claims(graph) or []:
        if entry.get("name") == claim and not entry.get("create"):
            edits = [{"add": join_path(("spec", "pvcs")), "item": entry}]
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
    if not claims or not by_service or any(entry.get("name") == claim for entry in claims):
        return
    log = EditLog(graph.object, record.graph.created)
    log.append(("spec", "pvcs"), {"name": claim, "create": False})
    record.graph.created = log.created
    record.graph.pins[claim] = Pin(edits=log.edits)
