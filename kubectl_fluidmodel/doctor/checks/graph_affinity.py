"""7xx: may a graph's workers run on the cache's nodes, and only there?"""

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


def _possible_nodes_without_cache(context: CheckContext, use: ComponentUsage) -> list[str]:
    """Nodes that the component's pods may run on and that do not hold the cache."""
    here = set(context.cache.node_names)
    spec, needs = use.component.pod_spec(), use.component.gpus()
    return [
        name_of(node)
        for node in context.snapshot.of_kind(kinds.NODES)
        if name_of(node) not in here
        and not scheduling.unschedulable_reasons(spec, node, needs)
        and gpus.has_enough(needs, gpus.allocatable_gpus(node))
    ]


def _pods_off_cache_nodes(context: CheckContext, use: ComponentUsage) -> list[Object]:
    """The component's pods that run where the cache is not."""
    here = set(context.cache.node_names)
    return [
        pod
        for pod in use.pods
        if str(get_path(pod, "spec", "nodeName", default="")) not in {"", *here}
    ]


@register_check("FM720", "workers run where the cache is", needs=(kinds.PODS, kinds.NODES))
def workers_run_on_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """A worker reads the cache from another node: every byte crosses the network, and through FUSE.
    By the write-up's figures that start takes about 18 minutes, longer than without any cache
    (9), about 10 where the cache is spread over several nodes, and about 80 seconds on the node
    that holds it whole. Pin the graph.
    """
    if not context.cache.node_names:
        return
    for use in reading_workers(context):
        for pod in _pods_off_cache_nodes(context, use):
            node = str(get_path(pod, "spec", "nodeName"))
            yield Finding(
                object_reference(pod),
                f"it runs on node {node}, and the cache is on "
                f"{', '.join(context.cache.node_names)}: "
                f"{START_TIMES}",
                (
                    Evidence(object_reference(pod), "spec.nodeName", node),
                    *(
                        Evidence(f"node {each}", "label", f"{context.cache.node_label}=true")
                        for each in context.cache.node_names
                    ),
                ),
                use.pin_fix(),
            )


def _workers_with_binding(
    context: CheckContext, binding_kind: str
) -> Iterator[tuple[ComponentUsage, list[str], Severity]]:
    """Workers that are bound in one way and may run elsewhere, with where; an ERROR if they do."""
    if not context.cache.node_names:
        return
    for use in reading_workers(context):
        if node_binding(use.component.pod_spec(), node_label_keys(context.cache)) != binding_kind:
            continue
        strays = _possible_nodes_without_cache(context, use)
        if strays:
            astray = bool(_pods_off_cache_nodes(context, use))
            yield use, strays, Severity.ERROR if astray else Severity.WARNING


def _join_names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@register_check(
    "FM721",
    "workers are bound to the cache's nodes",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def workers_are_bound_to_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """The workers mount the cache, and nothing says that they belong on its nodes: where they run
    is a matter of luck, today and at every restart. `pin` adds the node affinity.
    """
    for use, strays, severity in _workers_with_binding(context, NOT_BOUND):
        yield Finding(
            use.about,
            f"component {use.component.name} mounts the cache and may run on "
            f"{_join_names(strays)}, "
            "where it is not",
            (use.field_evidence("affinity", f"nothing asks for {context.cache.node_label}"),),
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
    """A preference yields to anything: when the cache's node is full, the pod starts elsewhere and
    takes longer than without a cache. That may be what was wanted (`pin --preferred`); silence
    FM722 then.
    """
    for use, strays, severity in _workers_with_binding(context, PREFERRED):
        yield Finding(
            use.about,
            f"component {use.component.name} only prefers the cache's nodes, and may run on "
            f"{_join_names(strays)}",
            (use.field_evidence("affinity", f"preferred: {context.cache.node_label}"),),
            use.pin_fix(),
            severity,
        )


@register_check(
    "FM723",
    "the labels that workers ask for are on a node",
    needs=(kinds.NODES,),
    explains=("FM725", "FM730", "FM731", "FM720"),
)
def required_labels_are_on_a_node(context: CheckContext) -> Iterator[Finding]:
    """A worker requires a node label of Fluid that no node has: the cache was renamed, moved to
    another namespace or made anew, or the key was put together by hand (with a long name Fluid
    takes the Dataset's UID instead). The pods stay Pending for ever. Pinning again puts the
    right key in.
    """
    on_nodes = context.cached("labels of nodes", lambda: _labels_of_nodes(context))
    right = node_label_keys(context.cache)
    others = {
        key
        for cache in context.caches
        if cache is not context.cache
        for key in node_label_keys(cache)
    }
    for use in component_usages(context):
        stale = [
            key
            for key in required_cache_labels(use.component.pod_spec())
            if key not in on_nodes and key not in right and key not in others
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
    """Pin takes back its own key; one that somebody wrote has to go first."""
    if use.pin_note is not None and use.pin_note.key in stale:
        return None
    message = describe(terms_of(use.affinity) or [])
    return Fix(
        f"take {', '.join(stale)} out of the affinity ({message}), then {use.pin_fix().text}",
        "advice",
    )


@register_check(
    "FM724",
    "every alternative asks for the cache's nodes",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def every_term_requires_cache_nodes(context: CheckContext) -> Iterator[Finding]:
    """`nodeSelectorTerms` are alternatives: a node that fits one of them will do. The cache's label
    stands in some and not in others, so pods may go where those others lead. It belongs into
    every term, which is where `pin` puts it.
    """
    for use, strays, severity in _workers_with_binding(context, SOME_TERMS):
        message = describe(terms_of(use.affinity) or [])
        yield Finding(
            use.about,
            f"component {use.component.name} asks for the cache's nodes in some of its "
            f"nodeSelectorTerms only, and may run on {_join_names(strays)}",
            (use.field_evidence("affinity", message),),
            use.pin_fix(),
            severity,
        )
