"""Patches a graph in a cluster: dry run on the server, check of the result, patch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.json_patch import Operation, make_patch, with_version_test
from kubectl_fluidmodel.dynamo.pin_annotation import missing_parts, read_pins
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.errors import ConflictError, InvalidError, KubeError
from kubectl_fluidmodel.objects.access import Object, metadata_of, name_of
from kubectl_fluidmodel.pin.cluster_reader import CountingClient
from kubectl_fluidmodel.pin.graph_reader import ServedGraph
from kubectl_fluidmodel.pin.pinning import PinResult
from kubectl_fluidmodel.records import dataclass

JSON_PATCH = "application/json-patch+json"
ATTEMPTS = 5
"""Patches sent until one meets the version it was made for (client-go's `retry.DefaultRetry`)."""

GraphTransform = Callable[[Object, str | None], PinResult]
"""From an object and its schema to the changed one: `pin_graph` or `unpin_graph` with arguments."""


@dataclass(frozen=True)
class GraphChange:
    """A graph as it was read, and the intended change."""

    graph: ServedGraph
    result: PinResult
    transform: GraphTransform
    pinned_to: str = ""
    """The cache that the result must be pinned to; empty for an unpin."""

    @staticmethod
    def of(graph: ServedGraph, transform: GraphTransform, pinned_to: str = "") -> GraphChange:
        """Apply a transform to a graph that was read."""
        return GraphChange(graph, transform(graph.object, graph.schema), transform, pinned_to)

    @property
    def before(self) -> Object:
        return self.graph.object

    @property
    def operations(self) -> list[Operation]:
        return make_patch(self.before, self.result.object)

    @property
    def reference(self) -> str:
        return self.result.graph.reference

    @property
    def namespace(self) -> str:
        return str(metadata_of(self.before).get("namespace", ""))


def dry_run_on_server(client: CountingClient, change: GraphChange) -> tuple[GraphChange, Object]:
    """Send the patch as a server-side dry run.

    Returns:
        The change, updated if the graph has a newer version, and the object as the server would
        store it.

    Raises:
        FluidModelError: the server, its schema or the operator's conversion would drop a part.
    """
    change, stored = _patch_newest(client, change, dry_run=True)
    dropped = dropped_fields(change, stored) if change.pinned_to else []
    if dropped:
        raise FluidModelError(
            f"cannot pin {change.reference}",
            f"the API server would store it without {', '.join(dropped)}",
            "kubectl get crd dynamographdeployments.nvidia.com -o jsonpath='{.spec.versions}'",
        )
    return change, stored


def apply_change(client: CountingClient, change: GraphChange) -> Object:
    """Patch the graph; try again if only fields of others have changed since it was read.

    Raises:
        FluidModelError: fields of the patch have changed in the meantime.
    """
    return _patch_newest(client, change, dry_run=False)[1]


def _patch_newest(
    client: CountingClient, change: GraphChange, *, dry_run: bool
) -> tuple[GraphChange, Object]:
    """Send the patch for the graph's newest version.

    Operators write the status at any time, several times in a row while they roll out, and each
    write is a new version.

    Returns:
        The change as it was sent, and the object as stored.

    Raises:
        KubeError: the patch failed, and not because of another version.
        FluidModelError: the change is no longer the same, or others wrote at each attempt.
    """
    for _ in range(ATTEMPTS):
        try:
            return change, send_patch(client, change, dry_run=dry_run)
        except (InvalidError, ConflictError) as err:
            change = rebase(client, change, err)
    raise _changed_meanwhile(change)


def rebase(client: CountingClient, change: GraphChange, err: KubeError) -> GraphChange:
    """Return the same change for the graph's newest version, after a patch for an older one.

    If the newest version has the change already, nothing is left of it: a patch that was stored,
    but whose response was lost, is sent once more and then fails.

    Raises:
        KubeError: the version is the same, so the patch failed for another reason.
        FluidModelError: the change is no longer the same.
    """
    current = client.get(change.graph.kind, name_of(change.before), change.namespace)
    if metadata_of(current).get("resourceVersion") == metadata_of(change.before).get(
        "resourceVersion"
    ):
        raise err
    rebased = GraphChange.of(
        replace(change.graph, object=current), change.transform, change.pinned_to
    )
    if rebased.operations not in (change.operations, []):
        raise _changed_meanwhile(change) from err
    return rebased


def _changed_meanwhile(change: GraphChange) -> FluidModelError:
    return FluidModelError(
        f"{change.reference} was changed while it was being patched",
        "nothing was written",
        "the same command again",
    )


def send_patch(client: CountingClient, change: GraphChange, *, dry_run: bool) -> Object:
    """Send the patch, which fails if the graph has another version than the one that was read."""
    return client.patch(
        change.graph.kind,
        name_of(change.before),
        change.namespace,
        with_version_test(change.before, change.operations),
        media=JSON_PATCH,
        dry_run=dry_run,
    )


def dropped_fields(change: GraphChange, stored: Object) -> list[str]:
    """Return parts of the pin that the stored object lacks: mounts, affinity, the record."""
    cache = change.pinned_to
    dropped = []
    if cache not in read_pins(stored).caches():
        dropped.append("the record of the pin")
    graph = open_graph(stored, change.graph.schema)
    recorded = read_pins(change.result.object).components
    for changed in change.result.changes:
        component = graph.component(changed.component)
        if component is None:
            dropped.append(f"component {changed.component}")
            continue
        pins = recorded.get(changed.component)
        pin = pins.pins.get(cache) if pins else None
        if pin is not None:  # None: pinned by hand, so we have nothing to lose
            dropped += [
                f"the {part} of component {changed.component}"
                for part in missing_parts(component, pin, cache)
            ]
    return dropped
