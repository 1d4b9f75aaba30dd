"""Pin and unpin as pure functions: a graph in, a changed graph and what was done to it out.

A component that is pinned as asked is left alone; one that is pinned otherwise is unpinned
first. So pinning twice is pinning once, and unpinning gives back what was there before, while
what somebody else changed meanwhile stays as it is.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from kubectl_fluidmodel.dynamo import model_path as dynamo_model_path
from kubectl_fluidmodel.dynamo import operator_bugs
from kubectl_fluidmodel.dynamo.affinity import (
    PREFERRED,
    LabelRequirement,
    has_requirement,
    mentioned_keys,
    node_preferences,
    remove_requirement,
    replace_dead_keys,
    required_key,
)
from kubectl_fluidmodel.dynamo.component import GPU_REASON, Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph, open_graph
from kubectl_fluidmodel.dynamo.object_paths import (
    EditLog,
    is_unchanged,
    prune_containers,
    undo_edits,
    value_at,
)
from kubectl_fluidmodel.dynamo.pin_annotation import (
    MODE_MOUNT,
    MODE_PREFERRED,
    MODE_REQUIRED,
    ComponentPins,
    Pin,
    PinRecord,
    read_pins,
    write_pins,
)
from kubectl_fluidmodel.dynamo.resources import GRAPH, STRATEGY_ANNOTATION
from kubectl_fluidmodel.dynamo.shapes.v1alpha1 import top_level_claims
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.node_selector import REQUIRED, Terms, is_empty, terms_of

DEFAULT_MOUNT_PATH = "/model"
_NODE_AFFINITY = ("affinity", "nodeAffinity")


class NoWorkersError(FluidModelError):
    """A graph without a component that is known to be a worker."""


@dataclass(frozen=True)
class PinRequest:
    """What the command line asks for."""

    model: str
    """Name of the Dataset, which is also its claim's."""
    key: str
    """The node label that cache nodes carry."""
    preferred: bool = False
    mount_path: str | None = None
    """None keeps the path of an earlier pin, else `MOUNT_PATH`."""
    subpath: str = ""
    """Directory of the model inside the claim."""
    use_model_path: bool = False
    recreate: bool = False
    components: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()
    """Other labels that the same nodes carry."""
    dead: tuple[str, ...] = ()
    """Labels that look like the cache's and that no node carries."""


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
    """The label by which somebody else sent it to the cache's nodes already."""


@dataclass
class PinResult:
    """A graph after the change; `parts` has the components that are (or were) pinned."""

    graph: Graph
    changes: list[ComponentChange]
    changed: bool

    @property
    def object(self) -> Object:
        return self.graph.object

    def why_unchanged(self) -> str:
        """What is there already, where it is not this plugin's; empty where it is."""
        hands = [part.existing_label for part in self.changes if part.existing_label]
        return f"pinned already, by hand: {hands[0]}" if hands else ""

    def remarks(self) -> list[str]:
        return [remark for part in self.changes for remark in part.remarks]


def pin_graph(obj: Object, request: PinRequest, schema: str | None = None) -> PinResult:
    """The object with the wish carried out; the object itself is not touched.

    Raises:
        FluidModelError: no component to pin, a path in use, or an object that is not for us.
    """
    graph = open_graph(obj, schema)
    record = read_pins(graph.object)
    existing_path = _existing_path(obj, request, schema)
    parts = []
    for component in select_components(graph, request.components):
        entry = record.components.setdefault(component.name, ComponentPins())
        parts.append(_pin_component(component, entry, request, existing_path))
        if not entry.pins:
            del record.components[component.name]
    _list_claim(graph, record, request.model)
    changed = any(part.changed for part in parts)
    if changed:
        write_pins(graph.object, record)
    return PinResult(graph, parts, graph.object != obj)


def unpin_graph(
    obj: Object, model: str, names: tuple[str, ...] = (), schema: str | None = None
) -> PinResult:
    """The object without what `pin` added for a model; the object itself is not touched."""
    graph = open_graph(obj, schema)
    record = read_pins(graph.object)
    for name in names:
        if graph.component(name) is None:
            raise _unknown_component(graph, name)
    parts = []
    for name, entry in list(record.components.items()):
        if model not in entry.pins or (names and name not in names):
            continue
        component = graph.component(name)
        if component is None:
            del record.components[name]
            continue
        pinned = entry.pins[model]
        kept = _remove_pin(component, entry, model)
        remarks = [f"component {name}: {path} was changed since and stays" for path in kept]
        parts.append(ComponentChange(name, component.role, pinned.mode, pinned.path, True, remarks))
        if not entry.pins:
            del record.components[name]
    if model not in record.models() and model in record.graph.pins:
        undo_edits(graph.object, record.graph.pins.pop(model).edits)
        record.graph.created = prune_containers(graph.object, record.graph.created)
    if parts:
        write_pins(graph.object, record)
    return PinResult(graph, parts, graph.object != obj)


def select_components(graph: Graph, names: tuple[str, ...]) -> list[Component]:
    """The components to pin: those named, else the workers and the frontends."""
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
            f"none declares such a type or asks for GPUs; it has {listed}",
            "--component NAME",
        )
    return picked


def pin_mode(component: Component, request: PinRequest) -> str:
    """What a component gets; a frontend never gets affinity, even when it is named."""
    if component.role is Role.FRONTEND:
        return MODE_MOUNT
    return MODE_PREFERRED if request.preferred else MODE_REQUIRED


def missing_parts(component: Component, pinned: Pin, model: str) -> list[str]:
    """What a component lacks of a pin: the mount, the node affinity."""
    lost = []
    if not all(component.find_claim_mount(model, path) for path in component.reader_paths()):
        lost.append("mount")
    affinity = component.pod_spec().get("affinity")
    terms = terms_of(affinity)
    required = terms is not None and all(
        is_empty(term) or has_requirement(term, pinned.requirement()) for term in terms
    )
    preferred = pinned.requirement().to_preference() in node_preferences(affinity)
    if (pinned.mode == MODE_REQUIRED and not required) or (
        pinned.mode == MODE_PREFERRED and not preferred
    ):
        lost.append("node affinity")
    return lost


def _unknown_component(graph: Graph, name: str) -> UsageError:
    listed = ", ".join(item.name for item in graph.components)
    return UsageError(f"{graph.reference} has no component '{name}'", f"it has {listed}")


def _existing_path(obj: Object, request: PinRequest, schema: str | None) -> str:
    """Where workers mount the claim that somebody else put there; empty where they differ.

    It is left so, and the rest of the graph goes by it: a frontend reads tokenizer and
    configuration by the path that the workers give it.
    """
    found = set()
    for component in unpin_graph(obj, request.model, schema=schema).graph.components:
        there = component.find_claim_mount(request.model, component.main_path)
        if component.role is Role.WORKER and there:
            found.add(there.path)
    return found.pop() if len(found) == 1 else ""


def _pin_component(
    component: Component, entry: ComponentPins, request: PinRequest, existing_path: str
) -> ComponentChange:
    earlier = entry.pins.get(request.model)
    mode = pin_mode(component, request)
    wanted = request.mount_path or existing_path
    if component.role is Role.FRONTEND:
        wanted = existing_path or wanted
    want = Pin(
        key=request.key if mode != MODE_MOUNT else "",
        mode=mode,
        path=wanted or (earlier.path if earlier else "") or DEFAULT_MOUNT_PATH,
        model_path=(request.use_model_path or bool(earlier and earlier.model_path))
        and mode != MODE_MOUNT,
        recreate=(request.recreate or bool(earlier and earlier.recreate)) and mode != MODE_MOUNT,
    )
    if earlier and _is_pinned_as(component, earlier, want, request.model):
        return ComponentChange(component.name, component.role, mode, earlier.path, False)
    if earlier:
        _remove_pin(component, entry, request.model)
    return _add_pin(component, entry, want, request)


def _is_pinned_as(component: Component, current: Pin, wanted: Pin, claim: str) -> bool:
    """Whether a component is already pinned as the wish says, and nobody took part of it away."""
    same = (current.key, current.mode, current.path, current.model_path, current.recreate) == (
        wanted.key,
        wanted.mode,
        wanted.path,
        wanted.model_path,
        wanted.recreate,
    )
    if not same or missing_parts(component, current, claim):
        return False
    return all(is_unchanged(component.spec, edit) for edit in current.edits)


def _add_pin(
    component: Component, entry: ComponentPins, want: Pin, request: PinRequest
) -> ComponentChange:
    log = EditLog(component.spec, entry.created)
    remarks = []
    role, reason = component.role_and_reason()
    if reason not in ("", GPU_REASON):
        remarks.append(f"component {component.name} is taken for a {role.value}: {reason}")
    existing_label = ""
    if want.mode != MODE_MOUNT and not entry.requirements():
        existing_label = required_key(component.pod_spec(), (request.key, *request.equal))
    there = component.find_claim_mount(request.model, component.main_path)
    remarks += component.add_claim_mount(log, request.model, want.path)
    where = there.path if there else want.path
    if there and there.path != want.path:
        remarks.append(
            f"component {component.name} already mounts the claim at {there.path}; left so"
        )
    mode = want.mode
    if existing_label:
        want.mode, want.key = MODE_MOUNT, ""
        remarks.append(
            f"component {component.name} requires the cache's nodes by hand: {existing_label}"
        )
    elif want.mode == MODE_REQUIRED:
        dead = mentioned_keys(component.pod_spec(), request.dead)
        _add_required_affinity(component, entry, log, want.requirement(), dead)
        remarks += [
            f"component {component.name} required {key}, which is on no node (too long for a label,"
            f" Fluid has the UID in it): {request.key} takes its place"
            for key in dead
        ]
    elif want.mode == MODE_PREFERRED:
        preference = want.requirement().to_preference()
        if preference not in node_preferences(component.pod_spec().get("affinity")):
            log.append((*component.pod_path, *_NODE_AFFINITY, PREFERRED), preference)
    if want.recreate:
        log.set_value((*component.annotations_path, STRATEGY_ANNOTATION), "Recreate")
    if want.model_path:
        target = (
            where if not request.subpath else f"{where.rstrip('/')}/{request.subpath.strip('/')}"
        )
        remarks += dynamo_model_path.set_model_path(component, log, target)
    remarks += dynamo_model_path.hf_home_warnings(component, where)
    remarks += operator_bugs.known_problems(component, where)
    entry.created = log.created
    want.edits = log.edits
    changed = bool(log.edits) or not (existing_label or (mode == MODE_MOUNT and there))
    if changed:
        entry.pins[request.model] = want
    return ComponentChange(
        component.name, component.role, mode, where, changed, remarks, existing_label
    )


def _add_required_affinity(
    component: Component,
    entry: ComponentPins,
    log: EditLog,
    requirement: LabelRequirement,
    dead: list[str],
) -> None:
    now = terms_of(component.pod_spec().get("affinity"))
    recorded = entry.requirements()
    if not recorded:
        entry.original_terms = now
    elif replace_dead_keys(entry.original_terms, entry.removed_keys, recorded) != now:
        entry.original_terms = _remove_requirements(now, recorded, entry.original_terms)
    entry.removed_keys += dead
    after = replace_dead_keys(now, dead, [requirement])
    if after != now and after is not None:
        path = (*component.pod_path, *_NODE_AFFINITY, REQUIRED)
        log.ensure_container(path, dict)["nodeSelectorTerms"] = after


def _remove_pin(component: Component, entry: ComponentPins, model: str) -> list[str]:
    """Take one model's pin back; returns what somebody changed since and that stays."""
    pinned = entry.pins[model]
    kept = undo_edits(component.spec, pinned.edits)
    if pinned.mode == MODE_REQUIRED:
        _remove_required_affinity(component, entry, model)
    del entry.pins[model]
    if not entry.requirements():
        entry.original_terms, entry.removed_keys = None, []
    entry.created = prune_containers(component.spec, entry.created)
    return kept


def _remove_required_affinity(component: Component, entry: ComponentPins, model: str) -> None:
    now = terms_of(component.pod_spec().get("affinity"))
    others = entry.requirements(without=model)
    if now == replace_dead_keys(entry.original_terms, entry.removed_keys, entry.requirements()):
        after = replace_dead_keys(entry.original_terms, entry.removed_keys, others)
    else:
        after = remove_requirement(now, entry.pins[model].requirement(), entry.original_terms)
        entry.original_terms = _remove_requirements(after, others, entry.original_terms)
    if after == now:
        return
    node = value_at(component.spec, (*component.pod_path, *_NODE_AFFINITY))
    if after is not None:
        node[REQUIRED]["nodeSelectorTerms"] = after
        return
    del node[REQUIRED]["nodeSelectorTerms"]
    made = "/".join((*component.pod_path, *_NODE_AFFINITY, REQUIRED))
    if not node[REQUIRED] and not any(text.startswith(made) for text in entry.created):
        del node[REQUIRED]


def _remove_requirements(
    terms: Terms | None, requirements: list[LabelRequirement], before: Terms | None
) -> Terms | None:
    return functools.reduce(
        lambda now, one: remove_requirement(now, one, before), requirements, terms
    )


def _list_claim(graph: Graph, record: PinRecord, claim: str) -> None:
    """Keep a graph's top-level `pvcs` complete where its services mount from them.

    The operator needs no entry to mount a claim, and an entry whose claim is missing stops it,
    so a graph that lists no claims gets no list.
    """
    spec = graph.object["spec"]
    claims = top_level_claims(spec) if graph.kind == GRAPH and graph.shape == "v1alpha1" else None
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
