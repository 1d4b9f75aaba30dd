"""Change a graph in a cluster: plan, judge, try on the server, patch, look at the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.json_patch import Operation, make_patch, with_version_test
from kubectl_fluidmodel.dynamo.pin_annotation import read_pins
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.errors import ConflictError, InvalidError, KubeError
from kubectl_fluidmodel.objects.access import Object, metadata_of, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin import cluster_reader
from kubectl_fluidmodel.pin.cluster_reader import CountingClient
from kubectl_fluidmodel.pin.pinning import PinResult, missing_parts
from kubectl_fluidmodel.pin.preflight import PreflightFinding

JSON_PATCH = "application/json-patch+json"

GraphTransform = Callable[[Object, str | None], PinResult]
"""What makes of an object the changed one: `pin` or `unpin` with their arguments."""


@dataclass
class GraphChange:
    """One graph, read, with what is to become of it."""

    kind: Kind
    before: Object
    schema: str | None
    result: PinResult
    findings: list[PreflightFinding] = field(default_factory=list)

    @property
    def operations(self) -> list[Operation]:
        return make_patch(self.before, self.result.object)

    @property
    def reference(self) -> str:
        return self.result.graph.reference

    @property
    def namespace(self) -> str:
        return str(metadata_of(self.before).get("namespace", ""))


def dry_run_on_server(
    client: CountingClient, change: GraphChange, model: str | None, transform: GraphTransform
) -> tuple[GraphChange, Object]:
    """The object as the server would store it, and the plan for the version that it is of.

    With a `model`, it is checked that the result is pinned to it.

    Raises:
        FluidModelError: the server, its schema or the operator's conversion would lose a part.
    """
    try:
        result = send_patch(client, change, dry_run=True)
    except (InvalidError, ConflictError) as err:
        change = rebase(client, change, transform, err)
        result = send_patch(client, change, dry_run=True)
    lost = dropped_fields(change, result, model) if model is not None else []
    if lost:
        raise FluidModelError(
            f"cannot pin {change.reference}",
            f"the API server would store it without {', '.join(lost)}",
            "kubectl get crd dynamographdeployments.nvidia.com -o jsonpath='{.spec.versions}'",
        )
    return change, result


def apply_change(client: CountingClient, change: GraphChange, transform: GraphTransform) -> Object:
    """Patch the graph; where only others' fields changed since it was read, once more.

    Raises:
        FluidModelError: what the patch touches was changed meanwhile.
    """
    try:
        return send_patch(client, change, dry_run=False)
    except (InvalidError, ConflictError) as err:
        return send_patch(client, rebase(client, change, transform, err), dry_run=False)


def rebase(
    client: CountingClient, change: GraphChange, transform: GraphTransform, err: KubeError
) -> GraphChange:
    """The same plan for the graph's newest version, after a patch that came too late.

    Operators write the status at any time, which makes a new version, too.

    Raises:
        KubeError: the version is the same, so that is not why the patch failed.
        FluidModelError: the change is no longer the same, or no requests are left.
    """
    if client.requests + 2 <= cluster_reader.MAX_REQUESTS:
        current = client.get(change.kind, name_of(change.before), change.namespace)
        if metadata_of(current).get("resourceVersion") == metadata_of(change.before).get(
            "resourceVersion"
        ):
            raise err
        result = transform(current, change.schema)
        rebased = GraphChange(change.kind, current, change.schema, result, change.findings)
        if rebased.operations == change.operations:
            return rebased
    raise FluidModelError(
        f"{change.reference} was changed while it was being patched",
        "nothing was written",
        "the same command again",
    ) from err


def send_patch(client: CountingClient, change: GraphChange, *, dry_run: bool) -> Object:
    """One patch request; it fails where the graph is no longer the version that was read."""
    return client.patch(
        change.kind,
        name_of(change.before),
        change.namespace,
        with_version_test(change.before, change.operations),
        media=JSON_PATCH,
        dry_run=dry_run,
    )


def dropped_fields(change: GraphChange, stored: Object, model: str) -> list[str]:
    """Parts of the pin that are not in the object as stored: mounts, affinity, the record."""
    lost = []
    if model not in read_pins(stored).models():
        lost.append("the record of the pin")
    graph = open_graph(stored, change.schema)
    recorded = read_pins(change.result.object).components
    for part in change.result.changes:
        component = graph.component(part.component)
        if component is None:
            lost.append(f"component {part.component}")
            continue
        entry = recorded.get(part.component)
        pinned = entry.pins.get(model) if entry else None
        if pinned is None:  # pinned by hand: there is nothing of ours to lose
            continue
        for what in missing_parts(component, pinned, model):
            lost.append(f"the {what} of component {part.component}")
    return lost
