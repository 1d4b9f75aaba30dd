"""7xx: whether the claims that graphs mount exist in the graphs' namespaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Scope,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.graph_usage import all_graphs, open_graph_once
from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.dynamo.json_patch import escape_key
from kubectl_fluidmodel.inventory.cache import claims_in
from kubectl_fluidmodel.model.similarity import most_similar
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)

_CLAIM_NOT_FOUND = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_CLAIM_NAME_PATH = re.compile(r"/(pvcs/\d+|pvc|services/[^/]+/volumeMounts/\d+)$")
"""Paths at which a field `name` is the name of a claim."""
_LISTED_CLAIM_NOT_FOUND = re.compile(r'PVC "([^"]+)" does not exist and create is not enabled')


@register_check("FM704", "the claims that graphs mount exist", scope=Scope.CLUSTER)
def graph_claims_exist(context: CheckContext) -> Iterator[Finding]:
    """A graph mounts a claim that does not exist, so its pods wait.

    A Dataset creates a claim with its own name, so this is a typo, or the cache was removed or
    never created. The check reads the graph and does not need a pod. The scheduler (or the
    operator, for a v1alpha1 graph that lists its `pvcs`) reports the same later.
    """
    caches: dict[str, list[str]] = {}
    for cache in context.caches:
        caches.setdefault(cache.namespace, []).append(cache.name)
    for graph, claim, warning in _missing_claims(context):
        namespace = namespace_of(graph)
        candidates = caches.get(namespace, [])
        if claim in candidates or _namespaces_with_cache(context, claim, namespace):
            continue
        similar = most_similar(claim, candidates, cutoff=0.6)
        hint = f"; there is a cache {similar}" if similar else ""
        fix = replace_claim_fix(graph, claim, similar) if similar else None
        create = cache_commands.plugin_command(graph, "cache", "SOURCE", "--name", claim)
        yield Finding(
            object_reference(graph),
            f"it mounts claim {claim}, which does not exist in namespace {namespace}{hint}",
            (warning,),
            fix or Fix(create, "advice"),
        )


@register_check("FM705", "graphs mount claims of their own namespace", scope=Scope.CLUSTER)
def graph_claims_are_in_its_namespace(context: CheckContext) -> Iterator[Finding]:
    """A graph mounts a cache of another namespace.

    A pod can only mount a claim of its own namespace. Create the cache there too (its data is read
    once more), or move the graph.
    """
    existing = {(cache.namespace, cache.name) for cache in context.caches}
    for graph in all_graphs(context):
        namespace = namespace_of(graph)
        for claim in sorted(claims_in(graph.get("spec"))):
            namespaces = _namespaces_with_cache(context, claim, namespace)
            claimed = context.snapshot.get(kinds.PVCS, claim, namespace)
            if not namespaces or (namespace, claim) in existing or claimed is not None:
                continue
            other_cache = next(
                e for e in context.caches if (e.namespace, e.name) == (namespaces[0], claim)
            )
            yield Finding(
                object_reference(graph),
                f"it mounts claim {claim}, and that cache is in namespace {', '.join(namespaces)}",
                (
                    Evidence(object_reference(graph), "spec", f"claim {claim}"),
                    Evidence(
                        f"dataset {namespaces[0]}/{claim}", "metadata.namespace", namespaces[0]
                    ),
                ),
                Fix(cache_commands.cache_command(other_cache, namespace=namespace)),
            )


def _namespaces_with_cache(context: CheckContext, claim: str, namespace: str) -> list[str]:
    def build() -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for cache in context.caches:
            by_name.setdefault(cache.name, []).append(cache.namespace)
        return by_name

    namespaces = context.cached("caches by name", build).get(claim, [])
    return [] if namespace in namespaces else namespaces


def _missing_claims(context: CheckContext) -> Iterator[tuple[Object, str, Evidence]]:
    """Graphs with missing claims: graph, claim, and the first evidence."""
    reported = set()
    for graph, claim, evidence in _all_missing_claims(context):
        if (id(graph), claim) not in reported:
            reported.add((id(graph), claim))
            yield graph, claim, evidence


def _all_missing_claims(context: CheckContext) -> Iterator[tuple[Object, str, Evidence]]:
    """As `_missing_claims`, with all evidence: the scheduler's, the operator's, the graph's own."""
    graphs = {(namespace_of(graph), name_of(graph)): graph for graph in all_graphs(context)}
    for pod in context.snapshot.of_kind(kinds.PODS):
        labels = labels_of(pod)
        name = labels.get(resources.GRAPH_LABEL) or labels.get(resources.SELECTOR_LABEL)
        owner = graphs.get((namespace_of(pod), str(name)))
        if owner is not None:
            for claim, evidence in _reported_claims(pod, _CLAIM_NOT_FOUND):
                yield owner, claim, evidence
    for graph in graphs.values():
        for claim, evidence in _reported_claims(graph, _LISTED_CLAIM_NOT_FOUND):
            yield graph, claim, evidence
    for graph in graphs.values():
        for claim, component in _absent_claims(context, graph):
            location = f"component {component}, volumes"
            yield graph, claim, Evidence(object_reference(graph), location, f"claim {claim}")


def _reported_claims(obj: Object, pattern: re.Pattern[str]) -> Iterator[tuple[str, Evidence]]:
    """The claims that an object's conditions name as missing."""
    for condition in get_list(obj, "status", "conditions"):
        message = " ".join(str(condition.get("message")).split())
        match = pattern.search(message)
        if match:
            location = f"condition {condition.get('type')}"
            yield match[1], Evidence(object_reference(obj), location, message)


def _absent_claims(context: CheckContext, graph: Object) -> Iterator[tuple[str, str]]:
    """Claims in a graph's spec that certainly do not exist, each with its component."""
    namespace = namespace_of(graph)
    opened = open_graph_once(context, graph)
    if opened is None:
        return
    pvcs = get_list(graph, "spec", "pvcs")
    created = {str(entry.get("name")) for entry in pvcs if entry.get("create") is True}
    for component in opened[0].components:
        pvc = get_path(component.spec, "pvc", default={})
        if pvc.get("create") is True:
            created.add(str(pvc.get("name")))
        claims = [*component.claims_by_volume().values()]
        claims.append(str(get_path(component.spec, "compilationCache", "pvcName", default="")))
        for claim in claims:
            if (
                claim
                and claim not in created
                and context.snapshot.is_absent(kinds.PVCS, claim, namespace)
            ):
                yield claim, component.name


def replace_claim_fix(graph: Object, old_claim: str, new_claim: str) -> Fix | None:
    """A patch that replaces a claim's name wherever a graph uses it."""
    paths = list(_claim_name_pointers(graph.get("spec"), old_claim, "/spec"))
    if not paths:
        return None
    patch = [{"op": "replace", "path": path, "value": new_claim} for path in paths]
    return Fix(fix_commands.patch_object(graph, patch, how="json"))


def _claim_name_pointers(value: Any, claim: str, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _claim_name_pointers(item, claim, f"{path}/{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            pointer = f"{path}/{escape_key(key)}"
            is_claim_name = key == "name" and _CLAIM_NAME_PATH.search(path)
            if item == claim and (key == "claimName" or is_claim_name):
                yield pointer
            else:
                yield from _claim_name_pointers(item, claim, pointer)
