"""7xx: can a graph's workers run on the cache's nodes at all?"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check
from kubectl_fluidmodel.doctor.graph_usage import ALL, Use, binding, keys_of, readers, uses
from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, dicts, name_of
from kubectl_fluidmodel.objects.scheduler import Filter, Obstacle
from kubectl_fluidmodel.output.text import plural


def holders(case: Case) -> list[Object]:
    """The nodes that hold the cache."""
    found = (case.snapshot.find(kinds.NODES, name) for name in case.own.node_names)
    return [node for node in found if node is not None]


def _required(case: Case) -> Iterator[tuple[Use, list[Object]]]:
    """Workers that may only run on cache nodes, and those nodes."""
    nodes = holders(case)
    for use in readers(case) if nodes else ():
        if use.component.replicas and binding(use.component.pod_spec(), keys_of(case.own)) == ALL:
            yield use, nodes


def _against(use: Use, nodes: list[Object], *filters: Filter) -> dict[str, list[Obstacle]]:
    """What keeps the component off each node by some filters, by node."""
    spec, needs = use.component.pod_spec(), use.component.gpus()
    return {
        name_of(node): [o for o in scheduling.obstacles(spec, node, needs) if o.filter in filters]
        for node in nodes
    }


@check("FM725", "workers fit a cache node", needs=(kinds.NODES,), explains=("FM730", "FM731"))
def fits_a_node(case: Case) -> Iterator[Finding]:
    """The component's own `nodeSelector`, affinity or `nodeName` and the cache's label exclude each
    other, or the cache's nodes are cordoned: no node is left, and the pods stay Pending. Either
    the component's condition goes, or the cache moves to nodes that fulfil it.
    """
    for use, nodes in _required(case):
        against = _against(use, nodes, Filter.CORDON, Filter.NAME, Filter.AFFINITY)
        if not all(against.values()):
            continue
        cordoned = [
            name
            for name, found in against.items()
            if all(each.filter is Filter.CORDON for each in found)
        ]
        fix = Fix(
            fix_commands.uncordon(cordoned)
            if cordoned
            else f"take {next(iter(against.values()))[0].text} out of component "
            f"{use.component.name}, or {_move(case)}",
            "command" if cordoned else "advice",
        )
        yield Finding(
            use.about,
            f"component {use.component.name} can run on no node that holds the cache",
            tuple(
                Evidence(f"node {name}", "against it", "; ".join(each.text for each in found))
                for name, found in against.items()
            ),
            fix,
        )


def _move(case: Case) -> str:
    return (
        f"make the cache on other nodes: {fix_commands.cache(case.own, flags=('--node', 'NODE'))}"
    )


@check(
    "FM726",
    "workers tolerate the taints of the cache's nodes",
    needs=(kinds.NODES,),
    explains=("FM730", "FM731"),
)
def tolerated(case: Case) -> Iterator[Finding]:
    """Every node that holds the cache has a taint that the component does not tolerate. A taint
    named like the GPUs that it asks for is not counted: many clusters tolerate that one for it.
    """
    for use, nodes in _required(case):
        taints = {
            name: [each.subject for each in found]
            for name, found in _against(use, nodes, Filter.TAINT).items()
        }
        if not all(taints.values()):
            continue
        key = next(iter(taints.values()))[0].partition(":")[0].partition("=")[0]
        spec = use.component.pod_spec()
        yield Finding(
            use.about,
            f"component {use.component.name} does not tolerate {next(iter(taints.values()))[0]}, "
            "which every node with the cache has",
            tuple(
                Evidence(f"node {name}", "spec.taints", ", ".join(found))
                for name, found in taints.items()
            ),
            use.change(
                spec,
                "tolerations",
                [*dicts(spec, "tolerations"), {"key": key, "operator": "Exists"}],
            ),
        )


@check(
    "FM727", "the cache's nodes have GPUs enough", needs=(kinds.NODES,), explains=("FM730", "FM731")
)
def gpus_enough(case: Case) -> Iterator[Finding]:
    """The component's pods ask for more GPUs than the nodes that hold the cache have, empty or not.
    A replica over several nodes needs as many cache nodes. Make the cache on more nodes
    (`--replicas`) or on larger ones.
    """
    for use, nodes in _required(case):
        component, needs = use.component, use.component.gpus()
        fitting = [n for n in nodes if gpus.fits(needs, gpus.allocatable(n))]
        spread, count = component.nodes_per_replica, component.replicas
        whole = {name_of(node): gpus.allocatable(node) for node in fitting}
        pods = [(component.name, needs, tuple(whole))] * (count * spread)
        if len(fitting) >= spread and not scheduling.place(pods, whole):
            continue
        each = plural(spread, "pod") if spread > 1 else "one pod"
        yield Finding(
            use.about,
            f"component {component.name} has {plural(count, 'replica')} of {each} with "
            f"{plural(sum(needs.values()), 'GPU')}, and that is more than the nodes with the "
            "cache have",
            tuple(
                Evidence(
                    f"node {name_of(node)}",
                    "status.allocatable",
                    ", ".join(f"{g}: {n}" for g, n in gpus.allocatable(node).items()) or "no GPU",
                )
                for node in nodes
            ),
            Fix(
                fix_commands.anew(case.own, flags=("--replicas", str(max(spread, len(nodes) + 1))))
            ),
        )


@check("FM728", "only workers are bound to the cache's nodes", severity=Severity.WARNING)
def only_workers(case: Case) -> Iterator[Finding]:
    """A frontend, planner or endpoint picker reads no weights and needs no GPU. Bound to the
    cache's node it takes CPU and memory there, and falls with it. `pin` gives frontends the mount
    only, and others nothing.
    """
    for use in uses(case):
        if use.component.role is Role.WORKER:
            continue
        if binding(use.component.pod_spec(), keys_of(case.own)) == ALL:
            kind = use.component.declared_type or "no worker"
            yield Finding(
                use.about,
                f"component {use.component.name} ({kind}) is bound to the cache's nodes and reads "
                "no weights",
                (use.field("affinity", case.own.label),),
                Fix(
                    f"take {case.own.label} out of the affinity of component {use.component.name}",
                    "advice",
                ),
            )
