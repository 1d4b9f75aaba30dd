"""Can the pods run on the nodes that hold the cache?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

from kubectl_fluidmodel.dynamo import scheduling
from kubectl_fluidmodel.dynamo.component import Component
from kubectl_fluidmodel.objects import gpus
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.node_selector import REQUIRED
from kubectl_fluidmodel.objects.taints import untolerated
from kubectl_fluidmodel.output.text import plural
from kubectl_fluidmodel.pin.preflight.context import REFUSE, WARN, Case, Verdict


def judge_placement(case: Case) -> Iterator[Verdict]:
    """Refuses where a worker would stay Pending; with a preference it is only a warning."""
    facts = case.cache
    workers = list(case.workers())
    if not workers or facts.dataset is None:
        return
    level = WARN if case.wish.preferred else REFUSE
    if facts.nodes is None:
        yield Verdict(WARN, "it was not checked whether the pods fit", "; ".join(facts.unread))
        return
    if not facts.nodes:
        yield Verdict(
            level,
            f"no node carries the label {facts.key}=true",
            "Fluid sets it some 15 s after the cache is Bound, and never for a ThinRuntime",
            f"kubectl get nodes -l {facts.key}=true",
        )
        return
    open_nodes: dict[str, list[Object]] = {}
    for before, _ in workers:
        found = yield from _open_nodes(case, before, level)
        open_nodes[before.name] = found
        yield from _pod_affinity(before)
    if all(open_nodes.values()) and not (yield from _spread(workers, open_nodes, level)):
        yield from _room(case, [before for before, _ in workers], open_nodes, level)


def _open_nodes(
    case: Case, component: Component, level: str
) -> Generator[Verdict, None, list[Object]]:
    """The cache nodes that a component's own constraints and size allow."""
    nodes = case.cache.nodes or []
    needs = component.gpus()
    found = []
    reasons: Counter[str] = Counter()
    for node in nodes:
        against = [o.text for o in scheduling.obstacles(component.pod_spec(), node, needs)]
        if not against and not gpus.fits(needs, gpus.allocatable(node)):
            offered = sum(gpus.allocatable(node).values())
            against = [f"{_gpus(needs)} needed, the node has {offered}"]
        reasons.update(against)
        if not against:
            found.append(node)
    if not found:
        named = ", ".join(name_of(node) for node in nodes[:3]) + (", …" if len(nodes) > 3 else "")
        listed = "; ".join(
            text if count == len(nodes) else f"{text} ({plural(count, 'node')})"
            for text, count in reasons.most_common(4)
        )
        yield Verdict(
            level,
            f"component {component.name} can run on no cache node ({named})",
            listed,
            "--preferred, or a cache on other nodes",
        )
    strict = [untolerated(component.pod_spec(), node) for node in found]
    if found and all(strict):
        yield Verdict(
            WARN,
            f"component {component.name} does not tolerate {strict[0][0]}, which every cache "
            "node that it fits has",
            "its pods run there only if the cluster's ExtendedResourceToleration adds it",
        )
    return found


def _pod_affinity(component: Component) -> Iterator[Verdict]:
    affinity = component.pod_spec().get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        if (affinity.get(kind) or {}).get(REQUIRED):
            yield Verdict(
                WARN,
                f"component {component.name} has a required {kind}",
                "together with the cache's node it may leave pods Pending; it was not evaluated",
            )


def _spread(
    workers: list[tuple[Component, Component]], open_nodes: dict[str, list[Object]], level: str
) -> Generator[Verdict, None, bool]:
    """A replica over more nodes than have the cache; whether there is one."""
    found = False
    for worker, _ in workers:
        wanted, there = worker.nodes_per_replica, len(open_nodes[worker.name])
        if not worker.replicas or wanted <= there:
            continue
        found = True
        yield Verdict(
            level,
            f"component {worker.name} spreads each replica over {wanted} nodes, and only "
            f"{plural(there, 'cache node')} {'suits' if there == 1 else 'suit'} it",
            "gang scheduling need not hold its pods back: operators before Dynamo's #7905 ask for "
            "one pod of each role only, and those that start wait for the rest",
            f"kubectl fluidmodel cache with --replicas {wanted}, or --preferred",
        )
    return found


def _room(
    case: Case, workers: list[Component], open_nodes: dict[str, list[Object]], level: str
) -> Iterator[Verdict]:
    """Count GPUs: what the cache nodes have in all, and what others leave of it."""
    pods = [
        (worker.name, worker.gpus(), tuple(name_of(n) for n in open_nodes[worker.name]))
        for worker in workers
        if worker.gpus()
        for _ in range(worker.replicas * worker.nodes_per_replica)
    ]
    nodes = {name_of(node): node for node in case.cache.nodes or []}
    whole = {name: gpus.allocatable(node) for name, node in nodes.items()}
    unplaced = Counter(scheduling.place(pods, whole))
    if unplaced:
        yield _too_small(workers, unplaced, whole, level)
        return
    counted = {name: listed for name, listed in case.cache.pods.items() if name in nodes}
    left = {
        name: gpus.free(nodes[name], [pod for pod in listed if not case.owns(pod)])
        for name, listed in counted.items()
    }
    seen = [(name, needs, tuple(n for n in where if n in left)) for name, needs, where in pods]
    unplaced = Counter(scheduling.place(seen, left))
    if not unplaced:
        return
    if len(counted) < len(nodes):
        level = WARN  # the nodes that were not looked at may have room
    holders = sorted(
        {
            f"{pod['metadata'].get('namespace')}/{name_of(pod)}"
            for listed in counted.values()
            for pod in listed
            if not case.owns(pod) and gpus.used([pod])
        }
    )
    shown = ", ".join(holders[:3]) + (f" and {len(holders) - 3} more" if len(holders) > 3 else "")
    missing = ", ".join(f"{count} of {name}" for name, count in unplaced.items())
    looked = f" (looked at {len(counted)} of {len(nodes)})" if len(counted) < len(nodes) else ""
    yield Verdict(
        level,
        f"the cache nodes have no free GPUs for {plural(sum(unplaced.values()), 'pod')}"
        f" ({missing}){looked}",
        f"held by {shown}" if holders else "other pods of the graph need them",
        "--preferred, or free the GPUs first",
    )


def _too_small(
    workers: list[Component], unplaced: Counter[str], whole: dict[str, Any], level: str
) -> Verdict:
    parts = []
    for worker in workers:
        if worker.name in unplaced:
            nodes = (
                f" of {plural(worker.nodes_per_replica, 'node')} each"
                if worker.nodes_per_replica > 1
                else ""
            )
            count = worker.replicas * worker.nodes_per_replica
            parts.append(
                f"{worker.name} needs {plural(count, 'pod')} with {_gpus(worker.gpus())}"
                f" ({plural(worker.replicas, 'replica')}{nodes}), {unplaced[worker.name]} too many"
            )
    total = sum(sum(offered.values()) for offered in whole.values())
    return Verdict(
        level,
        f"{plural(len(whole), 'cache node')} with {plural(total, 'GPU')} cannot hold the graph",
        "; ".join(parts),
        "kubectl fluidmodel cache with more --replicas, or --preferred",
    )


def _gpus(needs: dict[str, int]) -> str:
    total = sum(needs.values())
    return plural(total, "GPU")
