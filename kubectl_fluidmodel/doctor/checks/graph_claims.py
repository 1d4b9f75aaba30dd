"""7xx: the claims that graphs name: are there such, and in the graph's own namespace?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Scope,
    check,
    reference,
)
from kubectl_fluidmodel.doctor.graph_usage import all_graphs, opened_of
from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.inventory.cache import claims_in
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, labels_of, name_of, namespace_of

_NO_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_NAMES_CLAIM = re.compile(r"/(pvcs/\d+|pvc|services/[^/]+/volumeMounts/\d+)$")
"""Where a field `name` is a claim's."""
_NO_LISTED = re.compile(r'PVC "([^"]+)" does not exist and create is not enabled')


@check("FM704", "the claims that graphs mount exist", scope=Scope.CLUSTER)
def claims_exist(case: Case) -> Iterator[Finding]:
    """A graph mounts a claim that is not there, so its pods wait, or will. A Dataset makes the
    claim of its own name, so this is a typing error, or a cache that was removed or never made. It
    is seen in the graph before there is a pod; the scheduler (or the operator, for a v1alpha1 graph
    that lists its `pvcs`) says it later.
    """
    caches: dict[str, list[str]] = {}
    for cache in case.caches:
        caches.setdefault(cache.namespace, []).append(cache.name)
    for graph, claim, said in _waited_for(case):
        namespace = namespace_of(graph)
        near = caches.get(namespace, [])
        if claim in near or _elsewhere(case, claim, namespace):
            continue
        alike = difflib.get_close_matches(claim, near, 1, 0.6)
        hint = f"; there is a cache {alike[0]}" if alike else ""
        fix = rename(graph, claim, alike[0]) if alike else None
        make = fix_commands.fluidmodel(graph, "cache", "SOURCE", "--name", claim)
        yield Finding(
            reference(graph),
            f"it mounts claim {claim}, which does not exist in namespace {namespace}{hint}",
            (said,),
            fix or Fix(make, "advice"),
        )


@check("FM705", "graphs mount claims of their own namespace", scope=Scope.CLUSTER)
def own_namespace(case: Case) -> Iterator[Finding]:
    """A pod can only mount a claim of its own namespace. The graph names a cache that is in another
    one: make the cache there too (its data are read once more), or run the graph beside it.
    """
    here = {(cache.namespace, cache.name) for cache in case.caches}
    for graph in all_graphs(case):
        namespace = namespace_of(graph)
        for claim in sorted(claims_in(graph.get("spec"))):
            others = _elsewhere(case, claim, namespace)
            claimed = case.snapshot.find(kinds.PVCS, claim, namespace)
            if not others or (namespace, claim) in here or claimed is not None:
                continue
            there = next(e for e in case.caches if (e.namespace, e.name) == (others[0], claim))
            yield Finding(
                reference(graph),
                f"it mounts claim {claim}, and that cache is in namespace {', '.join(others)}",
                (
                    Evidence(reference(graph), "spec", f"claim {claim}"),
                    Evidence(f"dataset {others[0]}/{claim}", "metadata.namespace", others[0]),
                ),
                Fix(fix_commands.cache(there, namespace=namespace)),
            )


def _elsewhere(case: Case, claim: str, namespace: str) -> list[str]:
    def build() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for cache in case.caches:
            found.setdefault(cache.name, []).append(cache.namespace)
        return found

    places = case.once("caches by name", build).get(claim, [])
    return [] if namespace in places else places


def _waited_for(case: Case) -> Iterator[tuple[Object, str, Evidence]]:
    """Graphs with claims that are not there: graph, claim, and who says so."""
    by_name = {(namespace_of(each), name_of(each)): each for each in all_graphs(case)}
    seen = set()
    for pod in case.snapshot.all(kinds.PODS):
        name = labels_of(pod).get(resources.GRAPH_LABEL) or labels_of(pod).get(
            resources.SELECTOR_LABEL
        )
        graph = by_name.get((namespace_of(pod), str(name)))
        for condition in dicts(pod, "status", "conditions") if graph else ():
            match = _NO_CLAIM.search(str(condition.get("message")))
            if graph and match and (id(graph), match[1]) not in seen:
                seen.add((id(graph), match[1]))
                place = f"condition {condition.get('type')}"
                words = " ".join(str(condition.get("message")).split())
                yield graph, match[1], Evidence(reference(pod), place, words)
    for graph in by_name.values():
        for condition in dicts(graph, "status", "conditions"):
            match = _NO_LISTED.search(str(condition.get("message")))
            if match and (id(graph), match[1]) not in seen:
                seen.add((id(graph), match[1]))
                place = f"condition {condition.get('type')}"
                text = str(condition.get("message"))
                yield graph, match[1], Evidence(reference(graph), place, text)
    for graph in by_name.values():
        for claim, component in _absent(case, graph):
            if (id(graph), claim) not in seen:
                seen.add((id(graph), claim))
                place = f"component {component}, volumes"
                yield graph, claim, Evidence(reference(graph), place, f"claim {claim}")


def _absent(case: Case, graph: Object) -> Iterator[tuple[str, str]]:
    """The claims that a graph's spec mounts and that are surely not there, with the
    component.
    """
    namespace = namespace_of(graph)
    opened = opened_of(case, graph)
    if opened is None:
        return
    made = {
        str(each.get("name")) for each in dicts(graph, "spec", "pvcs") if each.get("create") is True
    }
    for component in opened[0].components:
        own = at(component.spec, "pvc", default={})
        if own.get("create") is True:
            made.add(str(own.get("name")))
        claims = [*component.volumes().values()]
        claims.append(str(at(component.spec, "compilationCache", "pvcName", default="")))
        for claim in claims:
            if (
                claim
                and claim not in made
                and case.snapshot.is_absent(kinds.PVCS, claim, namespace)
            ):
                yield claim, component.name


def rename(graph: Object, wrong: str, right: str) -> Fix | None:
    """A patch that names another claim wherever a graph names the wrong one."""
    paths = list(_places(graph.get("spec"), wrong, "/spec"))
    if not paths:
        return None
    patch = [{"op": "replace", "path": path, "value": right} for path in paths]
    return Fix(fix_commands.patch(graph, patch, how="json"))


def _places(value: Any, claim: str, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, claim, f"{path}/{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            listed = key == "name" and _NAMES_CLAIM.search(path)
            if item == claim and (key == "claimName" or listed):
                yield here
            else:
                yield from _places(item, claim, here)
