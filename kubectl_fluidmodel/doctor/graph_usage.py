"""The components of graphs that use a cache, with their pods. Pure.

A graph uses a cache if its spec names the claim, or if `pin` recorded that it should.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import CheckContext, Evidence, Fix, object_reference
from kubectl_fluidmodel.dynamo import resources, rollout
from kubectl_fluidmodel.dynamo.affinity import LabelRequirement, node_preferences
from kubectl_fluidmodel.dynamo.component import ClaimMount, Component, Role
from kubectl_fluidmodel.dynamo.graph import Graph, NotPinnableError, open_graph
from kubectl_fluidmodel.dynamo.pin_annotation import Pin, PinRecord, read_pins
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, labels_of, name_of, namespace_of
from kubectl_fluidmodel.objects.node_selector import terms_of
from kubectl_fluidmodel.objects.pods import is_gone
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot import queries

START_TIMES = (
    "by the write-up's figures a start takes ~18 min from another node, ~10 min where the cache "
    "is spread over nodes, and ~80 s on the node that holds it whole"
)
CACHE_LABEL_PREFIX = "fluid.io/s-"


@dataclass
class ComponentUsage:
    """One component of a graph that uses, or should use, a cache."""

    cache: Cache
    graph: Graph
    component: Component
    pin_note: Pin | None
    """What `pin` recorded; None if it is not pinned."""
    pods: list[Object] = field(default_factory=list)
    """Its pods, without terminated and terminating ones."""

    @property
    def claim_mount(self) -> ClaimMount | None:
        """How its main container mounts the cache's claim."""
        return self.component.find_claim_mount(self.cache.name, self.component.main_path)

    @property
    def reads_cache(self) -> bool:
        """Whether it is a worker that mounts the cache."""
        return self.component.role is Role.WORKER and self.claim_mount is not None

    @property
    def about(self) -> str:
        """The graph, as findings refer to objects."""
        return object_reference(self.graph.object)

    @property
    def affinity(self) -> Any:
        return self.component.pod_spec().get("affinity")

    def field_evidence(self, location: str, text: str) -> Evidence:
        """A location in the component as evidence."""
        return Evidence(self.about, f"component {self.component.name}, {location}", text)

    def set_field_fix(self, part: Any, key: str, value: Any) -> Fix:
        """Set a key of a part of the component; advice if the graph does not contain the part."""
        patch = fix_commands.patch_nested(self.graph.object, part, key, value)
        if patch is not None:
            return Fix(patch)
        location = f"{self.about} component {self.component.name}"
        return Fix(f"set {key}: {json.dumps(value)}", "advice", location)

    def pin_fix(self, *flags: str) -> Fix:
        """The command that pins the graph (again)."""
        return Fix(cache_commands.pin_graphs(self.cache, self.graph.reference, flags=flags))


def component_usages(context: CheckContext) -> list[ComponentUsage]:
    """Each component of the graphs that use a cache, in the graphs' order."""
    key = f"uses {context.cache.namespace}/{context.cache.name}"
    return context.cached(key, lambda: list(_component_usages(context)))


def reading_workers(context: CheckContext) -> list[ComponentUsage]:
    """The workers that mount the cache."""
    return [use for use in component_usages(context) if use.reads_cache]


def _component_usages(context: CheckContext) -> Iterator[ComponentUsage]:
    cache = context.cache
    for obj in graphs_of_cache(context):
        opened = open_graph_once(context, obj)
        if opened is None:
            continue
        graph, record = opened
        pods = context.cached("pods of graphs", lambda: _pods_by_graph(context))
        graph_pods = pods.get((graph.namespace, graph.name), [])
        for component in graph.components:
            entry = record.components.get(component.name)
            usage = ComponentUsage(
                cache, graph, component, entry.pins.get(cache.name) if entry else None
            )
            for pod in graph_pods:
                owner = rollout.owning_component(graph, pod)
                if owner is not None and owner.name == component.name:
                    usage.pods.append(pod)
            yield usage


def graphs_of_cache(context: CheckContext) -> list[Object]:
    """The graphs that name the cache's claim, and those that are pinned to it."""
    cache = context.cache
    pinned = context.cached("pinned graphs", lambda: _graphs_by_pinned_cache(context)).get(
        (cache.namespace, cache.name), []
    )
    mounting = {id(graph) for graph in cache.graphs}
    return [*cache.graphs, *(graph for graph in pinned if id(graph) not in mounting)]


def all_graphs(context: CheckContext) -> list[Object]:
    return [
        *context.snapshot.of_kind(queries.GRAPHS),
        *context.snapshot.of_kind(queries.COMPONENTS),
    ]


def _graphs_by_pinned_cache(context: CheckContext) -> dict[tuple[str, str], list[Object]]:
    """Graphs by the caches that `pin` recorded in them."""
    graphs: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for obj in all_graphs(context):
        opened = open_graph_once(context, obj)
        for model in opened[1].caches() if opened else ():
            graphs[(namespace_of(obj), model)].append(obj)
    return graphs


def open_graph_once(context: CheckContext, obj: Object) -> tuple[Graph, PinRecord] | None:
    """A parsed graph with pin's record; None for a component whose graph creates its pods."""

    def build() -> tuple[Graph, PinRecord] | None:
        try:
            graph = open_graph(obj)
        except NotPinnableError:
            return None
        try:
            return graph, read_pins(obj)
        except FluidModelError:  # a record of a newer plugin: its content is unknown
            return graph, PinRecord()

    key = f"graph {obj.get('kind')} {namespace_of(obj)}/{name_of(obj)}"
    return context.cached(key, build)


def _pods_by_graph(context: CheckContext) -> dict[tuple[str, str], list[Object]]:
    """Pods by the graph (or standalone component) that their labels name."""
    pods: dict[tuple[str, str], list[Object]] = defaultdict(list)
    old: list[Object] = []
    for pod in context.snapshot.of_kind(kinds.PODS):
        if is_gone(pod):
            continue
        labels = labels_of(pod)
        name = labels.get(resources.GRAPH_LABEL)
        if name:
            pods[(namespace_of(pod), name)].append(pod)
        if resources.SELECTOR_LABEL in labels:
            pods[(namespace_of(pod), str(labels[resources.SELECTOR_LABEL]))].append(pod)
            if not name:
                old.append(pod)
    # Operators up to 0.5 only set `<graph>-<component>`.
    by_namespace: dict[str, list[str]] = defaultdict(list)
    for obj in context.snapshot.of_kind(queries.GRAPHS):
        by_namespace[namespace_of(obj)].append(name_of(obj))
    for pod in old:
        selector = str(labels_of(pod)[resources.SELECTOR_LABEL])
        for graph in by_namespace[namespace_of(pod)]:
            if selector.startswith(f"{graph}-"):
                pods[(namespace_of(pod), graph)].append(pod)
    return pods


def more_copies_fix(cache: Cache, nodes: int) -> Fix:
    """Give a running cache copies on that many nodes; 0 if more of its nodes would not help."""
    if not nodes or not names.has_own_spec(cache.dataset or {}):
        return Fix("create the cache on more or larger nodes", "advice")
    flags = ("--replicas", str(nodes))
    return Fix(cache_commands.cache_command(cache, flags=flags, in_place=True))


# -- where its pods may run ------------------------------------------------------------------

ALL_TERMS, SOME_TERMS, PREFERRED, NOT_BOUND = "all", "some", "preferred", "none"
"""How the node affinity of a pod spec selects the cache's nodes."""


def node_label_keys(cache: Cache) -> set[str]:
    """The label keys that select the cache's nodes; those of its source for a reference."""
    if cache.origin is not None:
        return node_label_keys(cache.origin)
    if cache.refers_to is not None:
        return {cache.node_label, *names.node_label_keys(*cache.refers_to)[0]} - {""}
    keys = {cache.node_label} - {""}
    kind = str(get_path(cache.runtime, "kind", default="")).removesuffix("Runtime").lower()
    if kind:
        # A runtime without a Dataset has no UID for a long key.
        with suppress(names.UidRequiredError):
            keys.add(names.runtime_label(cache.namespace, cache.name, kind, cache.uid))
    return keys


def requires_label(term: Mapping[str, Any], keys: set[str]) -> bool:
    """Whether a node selector term requires one of the labels."""
    for expression in term.get("matchExpressions") or []:
        is_required = expression.get("operator") == "Exists" or (
            expression.get("operator") == "In" and list(expression.get("values") or []) == ["true"]
        )
        if expression.get("key") in keys and is_required:
            return True
    return False


def node_binding(pod: Mapping[str, Any], keys: set[str]) -> str:
    """ALL_TERMS, SOME_TERMS, PREFERRED or NOT_BOUND, for a pod spec."""
    selector = pod.get("nodeSelector")
    if isinstance(selector, dict) and any(selector.get(key) == "true" for key in keys):
        return ALL_TERMS
    terms = [term for term in terms_of(pod.get("affinity")) or [] if isinstance(term, Mapping)]
    filled = [t for t in terms if t.get("matchExpressions") or t.get("matchFields")]
    asking = [term for term in filled if requires_label(term, keys)]
    if asking:
        return ALL_TERMS if len(asking) == len(filled) else SOME_TERMS
    expressions = [LabelRequirement(key).to_expression() for key in keys]
    for preference in node_preferences(pod.get("affinity")):
        if any(
            e in expressions
            for e in get_path(preference, "preference", "matchExpressions", default=[])
        ):
            return PREFERRED
    return NOT_BOUND


def required_cache_labels(pod: Mapping[str, Any]) -> list[str]:
    """The `fluid.io/s-…` keys that a pod spec requires of its node."""
    keys = dict.fromkeys(str(key) for key in pod.get("nodeSelector") or {})
    for term in terms_of(pod.get("affinity")) or []:
        keys |= dict.fromkeys(
            str(e.get("key")) for e in get_path(term, "matchExpressions", default=[])
        )
    return [key for key in keys if key.startswith(CACHE_LABEL_PREFIX)]
