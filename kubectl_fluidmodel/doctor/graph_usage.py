"""Who uses a cache: each component of each graph, opened once, with its pods. Pure.

A graph uses a cache when its spec names the claim, or when `pin` noted that it should.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import Case, Evidence, Fix, reference
from kubectl_fluidmodel.dynamo import resources, rollout
from kubectl_fluidmodel.dynamo.affinity import Requirement, preferences_of
from kubectl_fluidmodel.dynamo.component import Component, Mounted, Role
from kubectl_fluidmodel.dynamo.graph import Graph, Unpinnable, open_graph
from kubectl_fluidmodel.dynamo.pin_annotation import Pinned, Record, read
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, labels_of, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.node_selector import terms_of
from kubectl_fluidmodel.snapshot import queries

COSTS = (
    "by the write-up's figures a start takes ~18 min from another node, ~10 min where the cache "
    "is spread over nodes, and ~80 s on the node that holds it whole"
)
SHARED = "fluid.io/s-"


@dataclass
class Use:
    """One component of a graph that uses, or should use, a cache."""

    cache: Cached
    graph: Graph
    component: Component
    pinned: Pinned | None
    """What `pin` noted of it, None where it was not pinned."""
    pods: list[Object] = field(default_factory=list)
    """Those that are neither over nor going."""

    @property
    def mounted(self) -> Mounted | None:
        """How its main container mounts the cache's claim."""
        return self.component.mounted(self.cache.name, self.component.main)

    @property
    def reads(self) -> bool:
        """Whether it is a worker that mounts the cache."""
        return self.component.role is Role.WORKER and self.mounted is not None

    @property
    def about(self) -> str:
        """The graph, as findings name objects."""
        return reference(self.graph.object)

    @property
    def affinity(self) -> Any:
        return self.component.pod_spec().get("affinity")

    def field(self, place: str, text: str) -> Evidence:
        """A place in the component as evidence."""
        return Evidence(self.about, f"component {self.component.name}, {place}", text)

    def change(self, part: Any, key: str, value: Any) -> Fix:
        """Set a key of a part of the component, where that is in the graph as it was read."""
        made = fix_commands.patch_part(self.graph.object, part, key, value)
        if made is not None:
            return Fix(made)
        where = f"{self.about} component {self.component.name}"
        return Fix(f"set {key}: {json.dumps(value)}", "advice", where)

    def pin(self, *flags: str) -> Fix:
        """The command that pins the graph (again)."""
        return Fix(fix_commands.pin(self.cache, self.graph.reference, flags=flags))


def uses(case: Case) -> list[Use]:
    """Each component of the graphs that use a cache, in the graphs' order."""
    key = f"uses {case.own.namespace}/{case.own.name}"
    return case.once(key, lambda: list(_uses(case)))


def readers(case: Case) -> list[Use]:
    """The workers that mount the cache."""
    return [use for use in uses(case) if use.reads]


def _uses(case: Case) -> Iterator[Use]:
    cache = case.own
    for obj in graphs_of(case):
        opened = opened_of(case, obj)
        if opened is None:
            continue
        graph, record = opened
        pods = case.once("pods of graphs", lambda: _pods(case))
        mine = pods.get((graph.namespace, graph.name), [])
        for component in graph.components:
            entry = record.components.get(component.name)
            found = Use(cache, graph, component, entry.pins.get(cache.name) if entry else None)
            for pod in mine:
                owner = rollout.component_of(graph, pod)
                if owner is not None and owner.name == component.name:
                    found.pods.append(pod)
            yield found


def graphs_of(case: Case) -> list[Object]:
    """The graphs that name the cache's claim, and those that were pinned to it."""
    cache = case.own
    noted = case.once("pinned graphs", lambda: _noted(case)).get((cache.namespace, cache.name), [])
    seen = {id(each) for each in cache.graphs}
    return [*cache.graphs, *(each for each in noted if id(each) not in seen)]


def all_graphs(case: Case) -> list[Object]:
    return [*case.snapshot.all(queries.GRAPHS), *case.snapshot.all(queries.COMPONENTS)]


def _noted(case: Case) -> dict[tuple[str, str], list[Object]]:
    """Graphs by the caches that `pin` noted in them."""
    found: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for obj in all_graphs(case):
        opened = opened_of(case, obj)
        for model in opened[1].models() if opened else ():
            found[(namespace_of(obj), model)].append(obj)
    return found


def opened_of(case: Case, obj: Object) -> tuple[Graph, Record] | None:
    """A graph opened, with pin's record; None for one whose pods are made from elsewhere."""

    def build() -> tuple[Graph, Record] | None:
        try:
            graph = open_graph(obj)
        except Unpinnable:
            return None
        try:
            return graph, read(obj)
        except FluidModelError:  # a newer plugin's note: what it says is not known
            return graph, Record()

    key = f"graph {obj.get('kind')} {namespace_of(obj)}/{name_of(obj)}"
    return case.once(key, build)


def _pods(case: Case) -> dict[tuple[str, str], list[Object]]:
    """Pods by the graph (or lone component) that their labels name."""
    found: dict[tuple[str, str], list[Object]] = defaultdict(list)
    old: list[Object] = []
    for pod in case.snapshot.all(kinds.PODS):
        over = at(pod, "status", "phase") in ("Succeeded", "Failed")
        if over or is_terminating(pod):
            continue
        labels = labels_of(pod)
        name = labels.get(resources.GRAPH_LABEL)
        if name:
            found[(namespace_of(pod), name)].append(pod)
        if resources.SELECTOR_LABEL in labels:
            found[(namespace_of(pod), str(labels[resources.SELECTOR_LABEL]))].append(pod)
            if not name:
                old.append(pod)
    # Operators up to 0.5 only set `<graph>-<component>`.
    by_namespace: dict[str, list[str]] = defaultdict(list)
    for obj in case.snapshot.all(queries.GRAPHS):
        by_namespace[namespace_of(obj)].append(name_of(obj))
    for pod in old:
        selector = str(labels_of(pod)[resources.SELECTOR_LABEL])
        for graph in by_namespace[namespace_of(pod)]:
            if selector.startswith(f"{graph}-"):
                found[(namespace_of(pod), graph)].append(pod)
    return found


# -- where its pods may run ------------------------------------------------------------------

ALL, SOME, PREFERRED, NONE = "all", "some", "preferred", "none"
"""How a pod spec is bound to the cache's nodes."""


def keys_of(cache: Cached) -> set[str]:
    """The label keys by which pods may rightly ask for the cache's nodes."""
    found = {cache.label} - {""}
    kind = str(at(cache.runtime, "kind", default="")).removesuffix("Runtime").lower()
    if kind:
        with suppress(names.UidNeeded):  # a runtime without a Dataset has no UID for a long key
            found.add(names.runtime_label(cache.namespace, cache.name, kind, cache.uid))
    return found


def demanded(term: Mapping[str, Any], keys: set[str]) -> bool:
    """Whether a term asks for one of the labels."""
    for each in term.get("matchExpressions") or []:
        wants = each.get("operator") == "Exists" or (
            each.get("operator") == "In" and list(each.get("values") or []) == ["true"]
        )
        if each.get("key") in keys and wants:
            return True
    return False


def binding(pod: Mapping[str, Any], keys: set[str]) -> str:
    """ALL, SOME, PREFERRED or NONE, for a pod spec."""
    selector = pod.get("nodeSelector")
    if isinstance(selector, dict) and any(selector.get(key) == "true" for key in keys):
        return ALL
    terms = [term for term in terms_of(pod.get("affinity")) or [] if isinstance(term, Mapping)]
    filled = [t for t in terms if t.get("matchExpressions") or t.get("matchFields")]
    asking = [term for term in filled if demanded(term, keys)]
    if asking:
        return ALL if len(asking) == len(filled) else SOME
    wanted = [Requirement(key).expression() for key in keys]
    for each in preferences_of(pod.get("affinity")):
        if any(e in wanted for e in at(each, "preference", "matchExpressions", default=[])):
            return PREFERRED
    return NONE


def cache_labels_in(pod: Mapping[str, Any]) -> list[str]:
    """The `fluid.io/s-…` keys that a pod spec requires of its node."""
    found = dict.fromkeys(str(key) for key in pod.get("nodeSelector") or {})
    for term in terms_of(pod.get("affinity")) or []:
        found |= dict.fromkeys(str(e.get("key")) for e in at(term, "matchExpressions", default=[]))
    return [key for key in found if key.startswith(SHARED)]
