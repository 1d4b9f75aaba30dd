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
    return [stop for graph in cache.graphs if (stop := _graph_stop(graph, cache)) is not None]


def stop_texts(stops: list[GraphStop]) -> list[tuple[str, Command | None]]:
    """Return each command after what it is for; or what to do instead, without a command."""
    texts: list[tuple[str, Command | None]] = []
    for stop in stops:
        if stop.tool:
            texts.append((f"{stop.tool} manages {stop.graph}: set its replicas in git", None))
        else:
            texts.append((f"to stop {stop.graph}:", stop.stop))
            texts.append(("to start it again afterwards:", stop.start))
    return texts


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
        arguments = ("patch", resource, Operand(name_of(graph)), "--type", "json")
        # `add` also replaces, where the field is there by default alone
        operations = [{**operation, "op": "add"} for operation in patch]
        return kubectl(*arguments, "-p", _compact(operations), namespace=namespace)

    return command


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
