"""Change a graph in a cluster: plan, judge, try on the server, patch, look at the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.json_patch import Operation, diff, guarded
from kubectl_fluidmodel.dynamo.pin_annotation import read
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.errors import Conflict, Invalid, KubeError
from kubectl_fluidmodel.objects.access import Object, meta, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin import cluster_reader
from kubectl_fluidmodel.pin.cluster_reader import Counted
from kubectl_fluidmodel.pin.pinning import Outcome, missing
from kubectl_fluidmodel.pin.preflight import Verdict

JSON_PATCH = "application/json-patch+json"

Change = Callable[[Object, str | None], Outcome]
"""What makes of an object the changed one: `pin` or `unpin` with their arguments."""


@dataclass
class Plan:
    """One graph, read, with what is to become of it."""

    kind: Kind
    before: Object
    schema: str | None
    outcome: Outcome
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def operations(self) -> list[Operation]:
        return diff(self.before, self.outcome.object)

    @property
    def reference(self) -> str:
        return self.outcome.graph.reference

    @property
    def namespace(self) -> str:
        return str(meta(self.before).get("namespace", ""))


def attempt(
    client: Counted, planned: Plan, model: str | None, change: Change
) -> tuple[Plan, Object]:
    """The object as the server would store it, and the plan for the version that it is of.

    With a `model`, it is checked that the result is pinned to it.

    Raises:
        FluidModelError: the server, its schema or the operator's conversion would lose a part.
    """
    try:
        result = send(client, planned, dry_run=True)
    except (Invalid, Conflict) as err:
        planned = refreshed(client, planned, change, err)
        result = send(client, planned, dry_run=True)
    lost = losses(planned, result, model) if model is not None else []
    if lost:
        raise FluidModelError(
            f"cannot pin {planned.reference}",
            f"the API server would store it without {', '.join(lost)}",
            "kubectl get crd dynamographdeployments.nvidia.com -o jsonpath='{.spec.versions}'",
        )
    return planned, result


def carry_out(client: Counted, planned: Plan, change: Change) -> Object:
    """Patch the graph; where only others' fields changed since it was read, once more.

    Raises:
        FluidModelError: what the patch touches was changed meanwhile.
    """
    try:
        return send(client, planned, dry_run=False)
    except (Invalid, Conflict) as err:
        return send(client, refreshed(client, planned, change, err), dry_run=False)


def refreshed(client: Counted, planned: Plan, change: Change, err: KubeError) -> Plan:
    """The same plan for the graph's newest version, after a patch that came too late.

    Operators write the status at any time, which makes a new version, too.

    Raises:
        KubeError: the version is the same, so that is not why the patch failed.
        FluidModelError: the change is no longer the same, or no requests are left.
    """
    if client.requests + 2 <= cluster_reader.REQUESTS:
        current = client.get(planned.kind, name_of(planned.before), planned.namespace)
        if meta(current).get("resourceVersion") == meta(planned.before).get("resourceVersion"):
            raise err
        outcome = change(current, planned.schema)
        again = Plan(planned.kind, current, planned.schema, outcome, planned.verdicts)
        if again.operations == planned.operations:
            return again
    raise FluidModelError(
        f"{planned.reference} was changed while it was being patched",
        "nothing was written",
        "the same command again",
    ) from err


def send(client: Counted, planned: Plan, *, dry_run: bool) -> Object:
    """One patch request; it fails where the graph is no longer the version that was read."""
    return client.patch(
        planned.kind,
        name_of(planned.before),
        planned.namespace,
        guarded(planned.before, planned.operations),
        media=JSON_PATCH,
        dry_run=dry_run,
    )


def losses(planned: Plan, stored: Object, model: str) -> list[str]:
    """Parts of the pin that are not in the object as stored: mounts, affinity, the record."""
    lost = []
    if model not in read(stored).models():
        lost.append("the record of the pin")
    graph = open_graph(stored, planned.schema)
    recorded = read(planned.outcome.object).components
    for part in planned.outcome.parts:
        component = graph.component(part.component)
        if component is None:
            lost.append(f"component {part.component}")
            continue
        entry = recorded.get(part.component)
        pinned = entry.pins.get(model) if entry else None
        if pinned is None:  # pinned by hand: there is nothing of ours to lose
            continue
        for what in missing(component, pinned, model):
            lost.append(f"the {what} of component {part.component}")
    return lost
