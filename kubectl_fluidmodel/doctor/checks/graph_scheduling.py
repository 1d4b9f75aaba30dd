"""7xx: whether a graph's workers can run on the cache's nodes at all."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands
from kubectl_fluidmodel.doctor.check import (
    CACHE_NODES,
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.graph_usage import (
    ALL_TERMS,
    ComponentUsage,
    component_usages,
    more_copies_fix,
    node_binding,
    node_label_keys,
    reading_workers,
)
from kubectl_fluidmodel.doctor.observations import visible_cache_nodes
from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.dynamo.autoscaling import replica_limit, shortfall
from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, get_list, name_of
from kubectl_fluidmodel.objects.scheduler import Filter, Obstacle
from kubectl_fluidmodel.output.units import pluralize


def _bound_workers(context: CheckContext) -> Iterator[tuple[ComponentUsage, list[Object]]]:
    """Workers that are bound to the cache's nodes, with these nodes."""
    nodes = visible_cache_nodes(context)
    for use in reading_workers(context) if nodes else ():
        if (
            use.component.replicas
            and node_binding(use.component.pod_spec(), node_label_keys(context.cache)) == ALL_TERMS
        ):
            yield use, nodes


def _obstacles_by_node(
    use: ComponentUsage, nodes: list[Object], *filters: Filter
) -> dict[str, list[Obstacle]]:
    """Obstacles to the component on each node, of some filters only, by node name."""
    spec, needs = use.component.pod_spec(), use.component.gpus()
    return {
        name_of(node): [
            o for o in scheduling.unschedulable_reasons(spec, node, needs) if o.filter in filters
        ]
        for node in nodes
    }


@register_check(
    "FM725", "workers fit a cache node", needs=(CACHE_NODES,), explains=("FM730", "FM731")
)
def workers_fit_a_cache_node(context: CheckContext) -> Iterator[Finding]:
    """No node that holds the cache fits the component.

    The component's own `nodeSelector`, affinity or `nodeName` excludes the cache's nodes, or these
    nodes are cordoned. The pods stay Pending. Remove the condition, or move the cache to nodes that
    match it.
    """
    for use, nodes in _bound_workers(context):
        against = _obstacles_by_node(use, nodes, Filter.CORDON, Filter.NAME, Filter.AFFINITY)
        if not all(against.values()):
            continue
        cordoned = [
            name
            for name, obstacles in against.items()
            if all(obstacle.filter is Filter.CORDON for obstacle in obstacles)
        ]
        fix = Fix(
            fix_commands.uncordon_nodes(cordoned)
            if cordoned
            else f"take {next(iter(against.values()))[0].text} out of component "
            f"{use.component.name}, or {_move_cache_hint(context)}",
            "command" if cordoned else "advice",
        )
        yield Finding(
            use.about,
            f"component {use.component.name} cannot run on any node that holds the cache",
            tuple(
                Evidence(
                    f"node {name}", "obstacles", "; ".join(obstacle.text for obstacle in obstacles)
                )
                for name, obstacles in against.items()
            ),
            fix,
        )


def _move_cache_hint(context: CheckContext) -> str:
    return (
        "create the cache on other nodes: "
        f"{cache_commands.cache_command(context.cache, flags=('--node', 'NODE'))}"
    )


@register_check(
    "FM726",
    "workers tolerate the taints of the cache's nodes",
    needs=(CACHE_NODES,),
    explains=("FM730", "FM731"),
)
def workers_tolerate_cache_node_taints(context: CheckContext) -> Iterator[Finding]:
    """A component does not tolerate the taints of the cache's nodes.

    Every node that holds the cache has such a taint. Taints named after the requested GPU resource
    do not count: many clusters add a toleration for them automatically.
    """
    for use, nodes in _bound_workers(context):
        taints = {
            name: [obstacle.subject for obstacle in obstacles]
            for name, obstacles in _obstacles_by_node(use, nodes, Filter.TAINT).items()
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
                Evidence(f"node {name}", "spec.taints", ", ".join(subjects))
                for name, subjects in taints.items()
            ),
            use.set_field_fix(
                spec,
                "tolerations",
                [*get_list(spec, "tolerations"), {"key": key, "operator": "Exists"}],
            ),
        )


@register_check(
    "FM727", "the cache's nodes have enough GPUs", needs=(CACHE_NODES,), explains=("FM730", "FM731")
)
def cache_nodes_have_enough_gpus(context: CheckContext) -> Iterator[Finding]:
    """The cache's nodes do not have enough GPUs for the component, even when they are empty.

    A replica that spans several nodes needs as many nodes with the cache. Create the cache on more
    nodes (`--replicas`) or on larger ones.
    """
    for use, nodes in _bound_workers(context):
        component, needs = use.component, use.component.gpus()
        fitting = [n for n in nodes if gpus.has_enough(needs, gpus.allocatable_gpus(n))]
        spread, count = component.nodes_per_replica, component.replicas
        allocatable = {name_of(node): gpus.allocatable_gpus(node) for node in fitting}
        pods = [(component.name, needs, tuple(allocatable))] * (count * spread)
        if len(fitting) >= spread and not scheduling.pack_pods(pods, allocatable):
            continue
        replica_size = pluralize(spread, "pod") if spread > 1 else "one pod"
        yield Finding(
            use.about,
            f"component {component.name} has {pluralize(count, 'replica')} of {replica_size} with "
            f"{pluralize(sum(needs.values()), 'GPU')}, and that is more than the nodes with the "
            "cache have",
            tuple(
                Evidence(
                    f"node {name_of(node)}",
                    "status.allocatable",
                    ", ".join(f"{g}: {n}" for g, n in gpus.allocatable_gpus(node).items())
                    or "no GPU",
                )
                for node in nodes
            ),
            more_copies_fix(context.cache, max(spread, len(nodes) + 1) if fitting else 0),
        )


@register_check(
    "FM729",
    "the cache's nodes hold the replicas that autoscalers may add",
    severity=Severity.WARNING,
    needs=(kinds.AUTOSCALERS,),
)
def cache_nodes_hold_the_maximum_of_replicas(context: CheckContext) -> Iterator[Finding]:
    """An autoscaler or Dynamo's planner may add replicas for which the cache has no node.

    The component requires the cache's nodes, so these replicas would stay Pending. Their number is
    the `maxReplicas` of a HorizontalPodAutoscaler on the component's scaling adapter (KEDA creates
    one, too), or the planner's `max_gpu_budget` divided by the GPUs of a replica. `cache` with more
    `--replicas` adds copies while the cache runs.
    """
    autoscalers = context.snapshot.of_kind(kinds.AUTOSCALERS)
    for use, nodes in _bound_workers(context):
        component = use.component
        limit = replica_limit(use.graph, component, autoscalers)
        by_name = {name_of(node): gpus.allocatable_gpus(node) for node in nodes}
        missing = shortfall(component, limit, by_name)
        if limit.replicas <= component.replicas or missing is None:
            continue  # FM727 is about the replicas of now
        yield Finding(
            use.about,
            f"component {component.name} {missing}",
            (
                use.field_evidence("replicas", f"{component.replicas}"),
                Evidence(use.about, "maximum", f"{limit.replicas} by {limit.source}"),
            ),
            more_copies_fix(context.cache, missing.nodes_needed),
        )


@register_check("FM728", "only workers are bound to the cache's nodes", severity=Severity.WARNING)
def only_workers_are_bound_to_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """A component that reads no weights is bound to the cache's nodes.

    A frontend, planner or endpoint picker needs no GPU. On the cache's node it takes CPU and
    memory, and fails together with it. `pin` gives frontends only the mount, and other components
    nothing.
    """
    for use in component_usages(context):
        if use.component.role is Role.WORKER:
            continue
        if node_binding(use.component.pod_spec(), node_label_keys(context.cache)) == ALL_TERMS:
            kind = use.component.declared_type or "no worker"
            yield Finding(
                use.about,
                f"component {use.component.name} ({kind}) is bound to the cache's nodes and reads "
                "no weights",
                (use.field_evidence("affinity", context.cache.node_label),),
                Fix(
                    f"remove {context.cache.node_label} from the affinity of component "
                    f"{use.component.name}",
                    "advice",
                ),
            )
