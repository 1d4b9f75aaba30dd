"""The commands that stop the pods of graphs which read a cache, and start them again. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable

from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.dynamo.gitops import detect_gitops_tool
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.json_patch import make_patch
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.output.shell import Command, Operand, kubectl
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class GraphStop:
    """How the pods of one graph that mount a cache are stopped, and started again."""

    graph: str
    stop: Command
    """Sets the replicas of these components to 0."""
    start: Command
    """Sets them to what they are now."""
    tool: str = ""
    """The GitOps tool that would revert the commands; empty if there is none."""


def graph_stops(cache: Cache) -> list[GraphStop]:
    """Return the commands for each graph that has pods with a cache's claim."""
    found = (_graph_stop(graph, cache) for graph in cache.graphs)
    return [each for each in found if each is not None]


def stop_texts(stops: list[GraphStop]) -> list[tuple[str, Command | None]]:
    """Return each command after what it is for; or what to do instead, without a command."""
    found: list[tuple[str, Command | None]] = []
    for each in stops:
        if each.tool:
            found.append((f"{each.tool} manages {each.graph}: set its replicas in git", None))
        else:
            found.append((f"to stop {each.graph}:", each.stop))
            found.append(("to start it again afterwards:", each.start))
    return found


def _graph_stop(graph: Object, cache: Cache) -> GraphStop | None:
    try:
        before, after = open_graph(graph), open_graph(graph)
    except FluidModelError:  # another object makes its pods
        return None
    for component, planned in zip(before.components, after.components, strict=True):
        if component.replicas and _mounts(component, cache.name):
            component.spec["replicas"] = component.replicas  # it may be there by default alone
            planned.spec["replicas"] = 0
    stopping = make_patch(before.object, after.object)
    if not stopping:
        return None
    patch = _patch_command(graph, cache.namespace)
    return GraphStop(
        name_of(graph),
        patch(stopping),
        patch(make_patch(after.object, before.object)),
        detect_gitops_tool(graph),
    )


def _mounts(component: Component, claim: str) -> bool:
    return claim in component.claims_by_volume().values() or any(
        component.find_claim_mount(claim, path) for path in component.reader_paths()
    )


def _patch_command(graph: Object, namespace: str) -> Callable[[list[Object]], Command]:
    group, _, version = str(graph.get("apiVersion")).partition("/")
    resource = f"{str(graph.get('kind')).lower()}s.{version}.{group}"

    def command(patch: list[Object]) -> Command:
        words = ("patch", resource, Operand(name_of(graph)), "--type", "json")
        # `add` also replaces, where the field is there by default alone
        operations = [{**each, "op": "add"} for each in patch]
        return kubectl(*words, "-p", _compact(operations), namespace=namespace)

    return command


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
