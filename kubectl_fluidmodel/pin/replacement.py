"""Moves the pin of a graph from one cache to another, in one change and one roll-out. Pure."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.dynamo.affinity import mentioned_keys
from kubectl_fluidmodel.dynamo.graph import Graph, open_graph
from kubectl_fluidmodel.dynamo.pin_annotation import read_pins
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid.names import node_label_keys
from kubectl_fluidmodel.objects.access import Object, namespace_of
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.pinning import PinResult, pin_graph, unpin_graph


class NotPinnedError(FluidModelError):
    """A graph of which there is no complete record of a pin to the replaced cache."""


def pin_or_replace(obj: Object, request: PinRequest, schema: str | None = None) -> PinResult:
    """Return a pinned copy of a graph; with `replaces`, its earlier pin is moved."""
    return (replace_pin if request.replaces else pin_graph)(obj, request, schema)


def replace_pin(obj: Object, request: PinRequest, schema: str | None = None) -> PinResult:
    """Return a copy of a graph with its pin to `request.replaces` moved to another cache.

    Options that the request does not set are those of each component's earlier pin. A graph whose
    pin was moved before is not changed.

    Raises:
        NotPinnedError: the graph is not pinned to that cache, or by hand.
        UsageError: a named component is not pinned to it.
    """
    record = read_pins(obj)
    pinned = {
        name: pins.pins[request.replaces]
        for name, pins in record.components.items()
        if request.replaces in pins.pins
    }
    done = {name for name, pins in record.components.items() if request.cache in pins.pins}
    graph = open_graph(obj, schema)
    names = request.components or tuple(pinned) or tuple(sorted(done))
    if not names:
        raise _by_hand_error(graph, request, f"it is not pinned to {request.replaces}")
    for name in names:
        if name not in pinned and name not in done:
            raise UsageError(
                f"component '{name}' of {graph.reference} is not pinned to {request.replaces}",
                f"these are: {', '.join(pinned) or 'none'}",
            )
    moved = {name: pin for name, pin in pinned.items() if name in names}
    shape = graph.shape  # without the old mounts, the object's own fields may not tell it
    bare = unpin_graph(obj, request.replaces, tuple(moved), shape) if moved else None
    if bare is not None:
        _require_moved(bare.graph, request, names)
    result = pin_graph(
        bare.object if bare else obj,
        replace(request, components=names, replaced_pins=moved),
        shape,
    )
    return PinResult(result.graph, result.changes, result.object != obj)


def _require_moved(graph: Graph, request: PinRequest, names: tuple[str, ...]) -> None:
    """Check that nothing binds the components to the old cache.

    Raises:
        NotPinnedError: a mount or an affinity that `pin` did not add does.
    """
    old = request.replaces
    namespace = namespace_of(graph.object)
    live, dead = node_label_keys(namespace, old)
    for component in graph.components:
        if component.name not in names:
            continue
        if old in component.claims_by_volume().values() or component.find_claim_mount(
            old, component.main_path
        ):
            raise _by_hand_error(graph, request, f"component {component.name} mounts {old} by hand")
        if namespace and mentioned_keys(component.pod_spec(), (*live, *dead)):
            raise _by_hand_error(
                graph, request, f"component {component.name} requires the nodes of {old} by hand"
            )


def _by_hand_error(graph: Graph, request: PinRequest, reason: str) -> NotPinnedError:
    """Return the error for a graph of which this plugin has no complete record."""
    adopt = ("fluidmodel", "pin", Operand(request.replaces), Operand(graph.reference), "--adopt")
    return NotPinnedError(
        f"the pin of {graph.reference} cannot be moved to {request.cache}",
        reason,
        f"{kubectl(*adopt, namespace=namespace_of(graph.object))} first, if it was made by hand",
    )
