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
    Requirement,
    demands,
    named_keys,
    preferences_of,
    release,
    replace_dead,
    required_key,
)
from kubectl_fluidmodel.dynamo.component import BY_GPUS, Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph, open_graph
from kubectl_fluidmodel.dynamo.object_paths import Journal, find, in_place, prune, undo
from kubectl_fluidmodel.dynamo.pin_annotation import (
    MOUNT,
    PREFER,
    REQUIRE,
    Entry,
    Pinned,
    Record,
    read,
    write,
)
from kubectl_fluidmodel.dynamo.resources import GRAPH, STRATEGY
from kubectl_fluidmodel.dynamo.shapes.v1alpha1 import listed_claims
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.node_selector import REQUIRED, Terms, is_empty, terms_of

MOUNT_PATH = "/model"
_NODE_AFFINITY = ("affinity", "nodeAffinity")


class NoWorkersError(FluidModelError):
    """A graph without a component that is known to be a worker."""


@dataclass(frozen=True)
class Wish:
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
class Part:
    """What was done to one component."""

    component: str
    role: Role
    mode: str
    path: str
    changed: bool
    remarks: list[str] = field(default_factory=list)
    by_hand: str = ""
    """The label by which somebody else sent it to the cache's nodes already."""


@dataclass
class Outcome:
    """A graph after the change; `parts` has the components that are (or were) pinned."""

    graph: Graph
    parts: list[Part]
    changed: bool

    @property
    def object(self) -> Object:
        return self.graph.object

    def why_unchanged(self) -> str:
        """What is there already, where it is not this plugin's; empty where it is."""
        hands = [part.by_hand for part in self.parts if part.by_hand]
        return f"pinned already, by hand: {hands[0]}" if hands else ""

    def remarks(self) -> list[str]:
        return [remark for part in self.parts for remark in part.remarks]


def pin(obj: Object, wish: Wish, schema: str | None = None) -> Outcome:
    """The object with the wish carried out; the object itself is not touched.

    Raises:
        FluidModelError: no component to pin, a path in use, or an object that is not for us.
    """
    graph = open_graph(obj, schema)
    record = read(graph.object)
    standing = _standing_path(obj, wish, schema)
    parts = []
    for component in chosen(graph, wish.components):
        entry = record.components.setdefault(component.name, Entry())
        parts.append(_pin_component(component, entry, wish, standing))
        if not entry.pins:
            del record.components[component.name]
    _list_claim(graph, record, wish.model)
    changed = any(part.changed for part in parts)
    if changed:
        write(graph.object, record)
    return Outcome(graph, parts, graph.object != obj)


def unpin(
    obj: Object, model: str, names: tuple[str, ...] = (), schema: str | None = None
) -> Outcome:
    """The object without what `pin` added for a model; the object itself is not touched."""
    graph = open_graph(obj, schema)
    record = read(graph.object)
    for name in names:
        if graph.component(name) is None:
            raise _unknown(graph, name)
    parts = []
    for name, entry in list(record.components.items()):
        if model not in entry.pins or (names and name not in names):
            continue
        component = graph.component(name)
        if component is None:
            del record.components[name]
            continue
        pinned = entry.pins[model]
        kept = _unpin_component(component, entry, model)
        remarks = [f"component {name}: {path} was changed since and stays" for path in kept]
        parts.append(Part(name, component.role, pinned.mode, pinned.path, True, remarks))
        if not entry.pins:
            del record.components[name]
    if model not in record.models() and model in record.graph.pins:
        undo(graph.object, record.graph.pins.pop(model).edits)
        record.graph.made = prune(graph.object, record.graph.made)
    if parts:
        write(graph.object, record)
    return Outcome(graph, parts, graph.object != obj)


def chosen(graph: Graph, names: tuple[str, ...]) -> list[Component]:
    """The components to pin: those named, else the workers and the frontends."""
    if names:
        found = []
        for name in names:
            component = graph.component(name)
            if component is None:
                raise _unknown(graph, name)
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


def mode_of(component: Component, wish: Wish) -> str:
    """What a component gets; a frontend never gets affinity, even when it is named."""
    if component.role is Role.FRONTEND:
        return MOUNT
    return PREFER if wish.preferred else REQUIRE


def missing(component: Component, pinned: Pinned, model: str) -> list[str]:
    """What a component lacks of a pin: the mount, the node affinity."""
    lost = []
    if not all(component.mounted(model, path) for path in component.readers()):
        lost.append("mount")
    affinity = component.pod_spec().get("affinity")
    terms = terms_of(affinity)
    required = terms is not None and all(
        is_empty(term) or demands(term, pinned.requirement()) for term in terms
    )
    preferred = pinned.requirement().preference() in preferences_of(affinity)
    if (pinned.mode == REQUIRE and not required) or (pinned.mode == PREFER and not preferred):
        lost.append("node affinity")
    return lost


def _unknown(graph: Graph, name: str) -> UsageError:
    listed = ", ".join(item.name for item in graph.components)
    return UsageError(f"{graph.reference} has no component '{name}'", f"it has {listed}")


def _standing_path(obj: Object, wish: Wish, schema: str | None) -> str:
    """Where workers mount the claim that somebody else put there; empty where they differ.

    It is left so, and the rest of the graph goes by it: a frontend reads tokenizer and
    configuration by the path that the workers give it.
    """
    found = set()
    for component in unpin(obj, wish.model, schema=schema).graph.components:
        there = component.mounted(wish.model, component.main)
        if component.role is Role.WORKER and there:
            found.add(there.path)
    return found.pop() if len(found) == 1 else ""


def _pin_component(component: Component, entry: Entry, wish: Wish, standing: str) -> Part:
    earlier = entry.pins.get(wish.model)
    mode = mode_of(component, wish)
    wanted = wish.mount_path or standing
    if component.role is Role.FRONTEND:
        wanted = standing or wanted
    want = Pinned(
        key=wish.key if mode != MOUNT else "",
        mode=mode,
        path=wanted or (earlier.path if earlier else "") or MOUNT_PATH,
        model_path=(wish.use_model_path or bool(earlier and earlier.model_path)) and mode != MOUNT,
        recreate=(wish.recreate or bool(earlier and earlier.recreate)) and mode != MOUNT,
    )
    if earlier and _is_as_wanted(component, earlier, want, wish.model):
        return Part(component.name, component.role, mode, earlier.path, False)
    if earlier:
        _unpin_component(component, entry, wish.model)
    return _pin_fresh(component, entry, want, wish)


def _is_as_wanted(component: Component, is_: Pinned, want: Pinned, claim: str) -> bool:
    """Whether a component is already pinned as the wish says, and nobody took part of it away."""
    same = (is_.key, is_.mode, is_.path, is_.model_path, is_.recreate) == (
        want.key,
        want.mode,
        want.path,
        want.model_path,
        want.recreate,
    )
    if not same or missing(component, is_, claim):
        return False
    return all(in_place(component.spec, edit) for edit in is_.edits)


def _pin_fresh(component: Component, entry: Entry, want: Pinned, wish: Wish) -> Part:
    journal = Journal(component.spec, entry.made)
    remarks = []
    role, reason = component.role_and_reason()
    if reason not in ("", BY_GPUS):
        remarks.append(f"component {component.name} is taken for a {role.value}: {reason}")
    by_hand = ""
    if want.mode != MOUNT and not entry.requirements():
        by_hand = required_key(component.pod_spec(), (wish.key, *wish.equal))
    there = component.mounted(wish.model, component.main)
    remarks += component.mount(journal, wish.model, want.path)
    where = there.path if there else want.path
    if there and there.path != want.path:
        remarks.append(
            f"component {component.name} already mounts the claim at {there.path}; left so"
        )
    mode = want.mode
    if by_hand:
        want.mode, want.key = MOUNT, ""
        remarks.append(f"component {component.name} requires the cache's nodes by hand: {by_hand}")
    elif want.mode == REQUIRE:
        dead = named_keys(component.pod_spec(), wish.dead)
        _require(component, entry, journal, want.requirement(), dead)
        remarks += [
            f"component {component.name} required {key}, which is on no node (too long for a label,"
            f" Fluid has the UID in it): {wish.key} takes its place"
            for key in dead
        ]
    elif want.mode == PREFER:
        preference = want.requirement().preference()
        if preference not in preferences_of(component.pod_spec().get("affinity")):
            journal.append((*component.pod, *_NODE_AFFINITY, PREFERRED), preference)
    if want.recreate:
        journal.put((*component.annotations, STRATEGY), "Recreate")
    if want.model_path:
        target = where if not wish.subpath else f"{where.rstrip('/')}/{wish.subpath.strip('/')}"
        remarks += dynamo_model_path.rewrite(component, journal, target)
    remarks += dynamo_model_path.warnings(component, where)
    remarks += operator_bugs.remarks(component, where)
    entry.made = journal.made
    want.edits = journal.entries
    changed = bool(journal.entries) or not (by_hand or (mode == MOUNT and there))
    if changed:
        entry.pins[wish.model] = want
    return Part(component.name, component.role, mode, where, changed, remarks, by_hand)


def _require(
    component: Component,
    entry: Entry,
    journal: Journal,
    requirement: Requirement,
    dead: list[str],
) -> None:
    now = terms_of(component.pod_spec().get("affinity"))
    recorded = entry.requirements()
    if not recorded:
        entry.terms = now
    elif replace_dead(entry.terms, entry.dead, recorded) != now:
        entry.terms = _release_all(now, recorded, entry.terms)
    entry.dead += dead
    after = replace_dead(now, dead, [requirement])
    if after != now and after is not None:
        path = (*component.pod, *_NODE_AFFINITY, REQUIRED)
        journal.container(path, dict)["nodeSelectorTerms"] = after


def _unpin_component(component: Component, entry: Entry, model: str) -> list[str]:
    """Take one model's pin back; returns what somebody changed since and that stays."""
    pinned = entry.pins[model]
    kept = undo(component.spec, pinned.edits)
    if pinned.mode == REQUIRE:
        _unrequire(component, entry, model)
    del entry.pins[model]
    if not entry.requirements():
        entry.terms, entry.dead = None, []
    entry.made = prune(component.spec, entry.made)
    return kept


def _unrequire(component: Component, entry: Entry, model: str) -> None:
    now = terms_of(component.pod_spec().get("affinity"))
    others = entry.requirements(without=model)
    if now == replace_dead(entry.terms, entry.dead, entry.requirements()):
        after = replace_dead(entry.terms, entry.dead, others)
    else:
        after = release(now, entry.pins[model].requirement(), entry.terms)
        entry.terms = _release_all(after, others, entry.terms)
    if after == now:
        return
    node = find(component.spec, (*component.pod, *_NODE_AFFINITY))
    if after is not None:
        node[REQUIRED]["nodeSelectorTerms"] = after
        return
    del node[REQUIRED]["nodeSelectorTerms"]
    made = "/".join((*component.pod, *_NODE_AFFINITY, REQUIRED))
    if not node[REQUIRED] and not any(text.startswith(made) for text in entry.made):
        del node[REQUIRED]


def _release_all(
    terms: Terms | None, requirements: list[Requirement], before: Terms | None
) -> Terms | None:
    return functools.reduce(lambda now, one: release(now, one, before), requirements, terms)


def _list_claim(graph: Graph, record: Record, claim: str) -> None:
    """Keep a graph's top-level `pvcs` complete where its services mount from them.

    The operator needs no entry to mount a claim, and an entry whose claim is missing stops it,
    so a graph that lists no claims gets no list.
    """
    spec = graph.object["spec"]
    claims = listed_claims(spec) if graph.kind == GRAPH and graph.shape == "v1alpha1" else None
    by_service = any(
        mount.get("name") == claim
        for component in graph.components
        for mount in component.spec.get("volumeMounts") or []
    )
    if not claims or not by_service or any(item.get("name") == claim for item in claims):
        return
    journal = Journal(graph.object, record.graph.made)
    journal.append(("spec", "pvcs"), {"name": claim, "create": False})
    record.graph.made = journal.made
    record.graph.pins[claim] = Pinned(edits=journal.entries)
