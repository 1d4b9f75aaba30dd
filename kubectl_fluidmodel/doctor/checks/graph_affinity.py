"""7xx: may a graph's workers run on the cache's nodes, and only there?"""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, check, reference
from kubectl_fluidmodel.doctor.graph_usage import (
    COSTS,
    NONE,
    PREFERRED,
    SOME,
    Use,
    binding,
    cache_labels_in,
    keys_of,
    readers,
    uses,
)
from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.objects import gpus, kinds
from kubectl_fluidmodel.objects.access import Object, at, labels_of, name_of
from kubectl_fluidmodel.objects.node_selector import describe, terms_of


def _strays(case: Case, use: Use) -> list[str]:
    """Nodes that the component's pods may run on and that do not hold the cache."""
    here = set(case.own.node_names)
    spec, needs = use.component.pod_spec(), use.component.gpus()
    return [
        name_of(node)
        for node in case.snapshot.all(kinds.NODES)
        if name_of(node) not in here
        and not scheduling.obstacles(spec, node, needs)
        and gpus.fits(needs, gpus.allocatable(node))
    ]


def _astray(case: Case, use: Use) -> list[Object]:
    """The component's pods that run where the cache is not."""
    here = set(case.own.node_names)
    return [
        pod for pod in use.pods if str(at(pod, "spec", "nodeName", default="")) not in {"", *here}
    ]


@check("FM720", "workers run where the cache is", needs=(kinds.PODS, kinds.NODES))
def on_the_node(case: Case) -> Iterator[Finding]:
    """A worker reads the cache from another node: every byte crosses the network, and through FUSE.
    By the write-up's figures that start takes about 18 minutes, longer than without any cache
    (9), about 10 where the cache is spread over several nodes, and about 80 seconds on the node
    that holds it whole. Pin the graph.
    """
    if not case.own.node_names:
        return
    for use in readers(case):
        for pod in _astray(case, use):
            node = str(at(pod, "spec", "nodeName"))
            yield Finding(
                reference(pod),
                f"it runs on node {node}, and the cache is on {', '.join(case.own.node_names)}: "
                f"{COSTS}",
                (
                    Evidence(reference(pod), "spec.nodeName", node),
                    *(
                        Evidence(f"node {each}", "label", f"{case.own.label}=true")
                        for each in case.own.node_names
                    ),
                ),
                use.pin(),
            )


def _loose(case: Case, how: str) -> Iterator[tuple[Use, list[str], Severity]]:
    """Workers that are bound in one way and may run elsewhere, with where; an ERROR if they do."""
    if not case.own.node_names:
        return
    for use in readers(case):
        if binding(use.component.pod_spec(), keys_of(case.own)) != how:
            continue
        strays = _strays(case, use)
        if strays:
            astray = bool(_astray(case, use))
            yield use, strays, Severity.ERROR if astray else Severity.WARNING


def _shown(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@check(
    "FM721",
    "workers are bound to the cache's nodes",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def bound_to(case: Case) -> Iterator[Finding]:
    """The workers mount the cache, and nothing says that they belong on its nodes: where they run
    is a matter of luck, today and at every restart. `pin` adds the node affinity.
    """
    for use, strays, severity in _loose(case, NONE):
        yield Finding(
            use.about,
            f"component {use.component.name} mounts the cache and may run on {_shown(strays)}, "
            "where it is not",
            (use.field("affinity", f"nothing asks for {case.own.label}"),),
            use.pin(),
            severity,
        )


@check(
    "FM722",
    "the cache's nodes are required, not preferred",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def required(case: Case) -> Iterator[Finding]:
    """A preference yields to anything: when the cache's node is full, the pod starts elsewhere and
    takes longer than without a cache. That may be what was wanted (`pin --preferred`); silence
    FM722 then.
    """
    for use, strays, severity in _loose(case, PREFERRED):
        yield Finding(
            use.about,
            f"component {use.component.name} only prefers the cache's nodes, and may run on "
            f"{_shown(strays)}",
            (use.field("affinity", f"preferred: {case.own.label}"),),
            use.pin(),
            severity,
        )


@check(
    "FM723",
    "the labels that workers ask for are on a node",
    needs=(kinds.NODES,),
    explains=("FM725", "FM730", "FM731", "FM720"),
)
def fresh_key(case: Case) -> Iterator[Finding]:
    """A worker requires a node label of Fluid that no node has: the cache was renamed, moved to
    another namespace or made anew, or the key was put together by hand (with a long name Fluid
    takes the Dataset's UID instead). The pods stay Pending for ever. Pinning again puts the
    right key in.
    """
    on_nodes = case.once("labels of nodes", lambda: _labels(case))
    right = keys_of(case.own)
    others = {key for cache in case.caches if cache is not case.own for key in keys_of(cache)}
    for use in uses(case):
        stale = [
            key
            for key in cache_labels_in(use.component.pod_spec())
            if key not in on_nodes and key not in right and key not in others
        ]
        if stale and (use.mounted or use.pinned):
            yield Finding(
                use.about,
                f"component {use.component.name} requires {', '.join(stale)}, which no node has; "
                f"the cache's is {case.own.label}",
                tuple(use.field("affinity", key) for key in stale),
                _drop(use, stale) or use.pin(),
            )


def _labels(case: Case) -> set[str]:
    return {key for node in case.snapshot.all(kinds.NODES) for key in labels_of(node)}


def _drop(use: Use, stale: list[str]) -> Fix | None:
    """Pin takes back its own key; one that somebody wrote has to go first."""
    if use.pinned is not None and use.pinned.key in stale:
        return None
    words = describe(terms_of(use.affinity) or [])
    return Fix(
        f"take {', '.join(stale)} out of the affinity ({words}), then {use.pin().text}", "advice"
    )


@check(
    "FM724",
    "every alternative asks for the cache's nodes",
    severity=Severity.WARNING,
    needs=(kinds.NODES,),
    explains=("FM720",),
)
def in_every_term(case: Case) -> Iterator[Finding]:
    """`nodeSelectorTerms` are alternatives: a node that fits one of them will do. The cache's label
    stands in some and not in others, so pods may go where those others lead. It belongs into
    every term, which is where `pin` puts it.
    """
    for use, strays, severity in _loose(case, SOME):
        words = describe(terms_of(use.affinity) or [])
        yield Finding(
            use.about,
            f"component {use.component.name} asks for the cache's nodes in some of its "
            f"nodeSelectorTerms only, and may run on {_shown(strays)}",
            (use.field("affinity", words),),
            use.pin(),
            severity,
        )
