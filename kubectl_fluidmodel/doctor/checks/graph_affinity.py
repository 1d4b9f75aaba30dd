"""7xx: whether a graph's workers are bound to the cache's nodes."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.graph_usage import (
    NOT_BOUND,
    PREFERRED,
    SOME_TERMS,
    START_TIMES,
    ComponentUsage,
    component_usages,
    node_binding,
    node_label_keys,
    reading_workers,
    required_cache_labels,
)
from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, get_path, labels_of, name_of
from kubectl_fluidmodel.objects.node_selector import describe, terms_of
from kubectl_fluidmodel.output.units import summarize


def _possible_nodes_without_cache(context: CheckContext, use: ComponentUsage) -> list[str]:
    """Nodes without the cache that the component's pods may run on."""
    cache_nodes = set(context.cache.node_names)
    spec, needs = use.component.pod_spec(), use.component.gpus()
    return [
        name_of(node)
        for node in context.snapshot.of_kind(kinds.NODES)
        if name_of(node) not in cache_nodes
        and not scheduling.unschedulable_reasons(spec, node, needs)
        and gpus.has_enough(needs, gpus.allocatable_gpus(node))
    ]


def _pods_off_cache_nodes(context: CheckContext, use: ComponentUsage) -> list[Object]:
    """The component's pods that run on other nodes than the cache's."""
    cache_nodes = set(context.cache.node_names)
    return [
        pod
        for pod in use.pods
        if str(get_path(pod, "spec", "nodeName", default="")) not in {"", *cache_nodes}
    ]


@register_check("FM720", "workers run on the cache's nodes", needs=(kinds.PODS, kinds.NODES))
def workers_run_on_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """A worker reads the cache from another node.

    Every byte crosses the network and FUSE. According to the write-up, that start takes about 18
    minutes, longer than without any cache (9); about 10 where the cache is spread over several
    nodes; and about 80 seconds on a node that holds it completely. Pin the graph.
    """
    if not context.cache.node_names:
        return
    for use in reading_workers(context):
        for pod in _pods_off_cache_nodes(context, use):
            node = str(get_path(pod, "spec", "nodeName"))
            yield Finding(
                object_reference(pod),
                f"it runs on node {node}, and the cache is on "
                f"{', '.join(context.cache.node_names)}: {START_TIMES}",
                (
                    Evidence(object_reference(pod), "spec.nodeName", node),
                    *(
                        Evidence(f"node {cache_node}", "label", f"{context.cache.node_label}=true")
                        for cache_node in context.cache.node_names
                    ),
                ),
                use.pin_fix(),
            )


def _workers_with_binding(
    context: CheckContext, binding_kind: str
) -> Iterator[tuple[ComponentUsage, list[str], Severity]]:
    """Workers with a kind of binding that allows other nodes: worker, nodes, severity."""
    if not context.cache.node_names:
        return
    for use in reading_workers(context):
        if node_binding(use.component.pod_spec(), node_label_keys(context.cache)) != binding_kind:
            continue
        other_nodes = _possible_nodes_without_cache(context, use)
        if other_nodes:
            is_misplaced = bool(_pods_off_cache_nodes(context, use))
            yield use, other_nodes, Severity.ERROR if is_misplaced else Severity.WARNING


@register_check(
    "FM721",
    "workers are bound to the cache's nodes",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def workers_are_bound_to_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """Workers mount the cache, but nothing binds them to its nodes.

    Where they run is a matter of luck, now and after every restart. `pin` adds the node affinity.
    """
    for use, other_nodes, severity in _workers_with_binding(context, NOT_BOUND):
        yield Finding(
            use.about,
            f"component {use.component.name} mounts the cache and may run on "
            f"{summarize(other_nodes)}, where it is not",
            (use.field_evidence("affinity", f"nothing requires {context.cache.node_label}"),),
            use.pin_fix(),
            severity,
        )


@register_check(
    "FM722",
    "the cache's nodes are required, not preferred",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def cache_nodes_are_required(context: CheckContext) -> Iterator[Finding]:
    """Workers only prefer the cache's nodes.

    If the cache's node is full, the pod starts elsewhere, which takes longer than without a cache.
    If that is intended (`pin --preferred`), silence FM722.
    """
    for use, other_nodes, severity in _workers_with_binding(context, PREFERRED):
        yield Finding(
            use.about,
            f"component {use.component.name} only prefers the cache's nodes, and may run on "
            f"{summarize(other_nodes)}",
            (use.field_evidence("affinity", f"preferred: {context.cache.node_label}"),),
            use.pin_fix(),
            severity,
        )


@register_check(
    "FM723",
    "the labels that workers require exist on a node",
    needs=(kinds.NODES,),
    explains=("FM725", "FM730", "FM731", "FM720"),
)
def required_labels_are_on_a_node(context: CheckContext) -> Iterator[Finding]:
    """A worker requires a node label of Fluid that no node has.

    The cache was renamed, moved to another namespace or recreated, or somebody wrote the key by
    hand (with a long name, Fluid uses the Dataset's UID instead). The pods stay Pending. Pinning
    again sets the right key.
    """
    on_nodes = context.cached("labels of nodes", lambda: _labels_of_nodes(context))
    right = node_label_keys(context.cache)
    other_keys = {
        key
        for cache in context.caches
        if cache is not context.cache
        for key in node_label_keys(cache)
    }
    for use in component_usages(context):
        stale = [
            key
            for key in required_cache_labels(use.component.pod_spec())
            if key not in on_nodes and key not in right and key not in other_keys
        ]
        if stale and (use.claim_mount or use.pin_note):
            yield Finding(
                use.about,
                f"component {use.component.name} requires {', '.join(stale)}, which no node has; "
                f"the cache's is {context.cache.node_label}",
                tuple(use.field_evidence("affinity", key) for key in stale),
                _remove_stale_label_fix(use, stale) or use.pin_fix(),
            )


def _labels_of_nodes(context: CheckContext) -> set[str]:
    return {key for node in context.snapshot.of_kind(kinds.NODES) for key in labels_of(node)}


def _remove_stale_label_fix(use: ComponentUsage, stale: list[str]) -> Fix | None:
    """Advice to remove a stale label by hand; None for a label of `pin`, which it replaces."""
    if use.pin_note is not None and use.pin_note.key in stale:
        return None
    message = describe(terms_of(use.affinity) or [])
    return Fix(
        f"remove {', '.join(stale)} from the affinity ({message}), then {use.pin_fix().text}",
        "advice",
    )


@register_check(
    "FM724",
    "every node selector term requires the cache's label",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def every_term_requires_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """Only some of a worker's `nodeSelectorTerms` require the cache's label.

    The terms are alternatives: a node that matches one of them is enough, so pods may run on nodes
    that match a term without the label. It belongs in every term, which is what `pin` does.
    """
    for use, other_nodes, severity in _workers_with_binding(context, SOME_TERMS):
        message = describe(terms_of(use.affinity) or [])
        yield Finding(
            use.about,
            f"component {use.component.name} requires the cache's nodes in only some of its "
            f"nodeSelectorTerms, and may run on {summarize(other_nodes)}",
            (use.field_evidence("affinity", message),),
            use.pin_fix(),
            severity,
        )
