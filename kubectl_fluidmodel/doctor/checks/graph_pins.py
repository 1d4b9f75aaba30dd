"""7xx: graphs and the cache's mount: is it there, where it should be, and does it stay?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Severity,
    check,
    reference,
)
from kubectl_fluidmodel.doctor.checks.graph_claims import rename
from kubectl_fluidmodel.doctor.graph_usage import Use, all_graphs, opened_of, uses
from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.inventory.cache import Cached, claims_in
from kubectl_fluidmodel.objects.access import at, dicts, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.pin import pinning
from kubectl_fluidmodel.pin.preflight.gitops import manager
from kubectl_fluidmodel.snapshot import queries


def _lost(use: Use) -> list[str]:
    if use.pinned is None:
        return []
    return pinning.missing(use.component, use.pinned, use.cache.name)


@check("FM701", "what pin added to a graph is still there", explains=("FM703", "FM721", "FM720"))
def kept(case: Case) -> Iterator[Finding]:
    """The graph's annotation says that it is pinned to the cache, and the mount or the affinity is
    gone: somebody edited the graph or applied an older file. Workers then pull the model, or run
    where the cache is not. Pinning again puts back what is missing and nothing else.
    """
    for use in uses(case):
        lost = _lost(use)
        if lost and not manager(use.graph.object):
            yield Finding(
                use.about,
                f"component {use.component.name} was pinned to {use.cache.name}, and its "
                f"{' and '.join(lost)} {'are' if len(lost) > 1 else 'is'} gone",
                (_noted(use), *(use.field(what, "absent") for what in lost)),
                use.pin(),
            )


@check(
    "FM702",
    "no tool undoes the pin",
    explains=("FM703", "FM721", "FM720", "FM730"),
)
def not_undone(case: Case) -> Iterator[Finding]:
    """Argo CD, Flux, Helm or a DynamoGraphDeploymentRequest keeps the graph as it is written
    elsewhere, and has taken back what `pin` added to the live object. Put the pin where the tool
    reads it: `pin NAME -f FILE` changes the manifest and keeps its comments and order.
    """
    for use in uses(case):
        lost, tool = _lost(use), manager(use.graph.object)
        if lost and tool:
            yield Finding(
                use.about,
                f"{tool} manages the graph and took the {' and '.join(lost)} of component "
                f"{use.component.name} away",
                (_noted(use), *(use.field(what, "absent") for what in lost)),
                Fix(
                    f"{fix_commands.pin(use.cache, flags=('-f', 'FILE'))} > FILE.new, "
                    "and commit it",
                    "advice",
                ),
            )


def _noted(use: Use) -> Evidence:
    mode = use.pinned.mode if use.pinned else ""
    text = f"{use.component.name}: {use.cache.name} ({mode})"
    return Evidence(use.about, f"metadata.annotations {resources.PINS}", text)


@check("FM703", "every worker of a graph mounts the cache", severity=Severity.WARNING)
def all_mount(case: Case) -> Iterator[Finding]:
    """Some workers of the graph mount the cache and others do not: those pull the model from the
    Hub, about 9 minutes against 80 seconds, and the graph is as slow as its slowest worker. A
    worker that serves another model is right not to; `pin --component` names the others. Or a
    component mounts what the cache itself reads from, a claim or a directory, and reads past it.
    """
    yield from _past(case)
    by_graph: dict[str, list[Use]] = {}
    for use in uses(case):
        by_graph.setdefault(use.about, []).append(use)
    for listed in by_graph.values():
        workers = [use for use in listed if use.component.role is Role.WORKER]
        without = [use for use in workers if use.mounted is None]
        # Where a worker mounts another claim, it has another model.
        bare = [use for use in without if not any(use.component.volumes().values())]
        if len(without) < len(workers):
            for use in bare:
                there = next(other for other in workers if other.mounted)
                yield Finding(
                    use.about,
                    f"component {use.component.name} does not mount the cache, and "
                    f"{there.component.name} does",
                    (
                        use.field("volumes", f"no claim {use.cache.name}"),
                        there.field("mount", there.mounted.path if there.mounted else ""),
                    ),
                    use.pin(),
                )


def _past(case: Case) -> Iterator[Finding]:
    """Components that mount the source of the cache, and not the cache."""
    cache = case.own
    sources = _sources(cache)
    for obj in all_graphs(case) if sources else ():
        opened = opened_of(case, obj)
        if opened is None or namespace_of(obj) != cache.namespace:
            continue
        for component in opened[0].components:
            claims = component.volumes()
            hit = next((s for s in sources if s in _read_by(component, claims)), None)
            if hit is None or cache.name in claims.values():
                continue
            fix = rename(obj, hit.removeprefix("pvc://"), cache.name)
            what = hit.removeprefix("pvc://").removeprefix("local://")
            flags = ("--component", component.name)
            pin = fix_commands.pin(cache, opened[0].reference, flags=flags)
            yield Finding(
                reference(obj),
                f"component {component.name} mounts {what}, which cache {cache.name} caches, and "
                f"reads past it: mount claim {cache.name}",
                (
                    Evidence(reference(obj), f"component {component.name}, volumes", what),
                    *(
                        Evidence(reference(cache.dataset or obj), "spec.mounts", str(point))
                        for point in _points(cache)
                    ),
                ),
                fix or Fix(pin),
            )


def _points(cache: Cached) -> list[str]:
    return [str(each.get("mountPoint", "")) for each in dicts(cache.dataset, "spec", "mounts")]


def _sources(cache: Cached) -> set[str]:
    """What a pod can mount of a cache's sources: `pvc://claim`, `local:///directory`."""
    found = set()
    for point in _points(cache):
        scheme, _, rest = point.partition("://")
        if scheme == "pvc":
            found.add(f"pvc://{rest.split('/')[0]}")
        elif scheme == "local":
            found.add(f"local://{rest.rstrip('/')}")
    return found


def _read_by(component: Component, claims: Mapping[str, str]) -> set[str]:
    paths = {
        str(at(volume, "hostPath", "path", default="")).rstrip("/")
        for volume in dicts(component.pod_spec(), "volumes")
    }
    found = {f"local://{path}" for path in paths if path}
    return found | {f"pvc://{claim}" for claim in claims.values() if claim}


@check("FM711", "no graph of the cache is being deleted", severity=Severity.WARNING)
def graph_stays(case: Case) -> Iterator[Finding]:
    """The graph was deleted and waits for its finalizers or its pods: it takes no pin, and its
    pods go.
    """
    for obj in case.own.graphs:
        if is_terminating(obj):
            yield Finding(
                reference(obj),
                f"it is being deleted, {describe_deletion(obj)}",
                (
                    Evidence(
                        reference(obj),
                        "metadata.deletionTimestamp",
                        str(at(obj, "metadata", "deletionTimestamp")),
                    ),
                ),
                Fix(
                    fix_commands.kubectl(
                        obj, "get", fix_commands.kind_of(obj), name_of(obj), "-o", "yaml"
                    ),
                    "advice",
                ),
            )


@check("FM706", "the graph does not make the cache's claim itself")
def not_created(case: Case) -> Iterator[Finding]:
    """A v1alpha1 graph lists a claim of the cache's name with `create: true`: where Fluid was not
    first, the operator makes an empty volume of that name, and Fluid cannot make its own. The
    graph mounts a claim that exists; `create` has to be false.
    """
    for obj in case.own.graphs:
        spec = at(obj, "spec", default={})
        listed = [("spec.pvcs", entry) for entry in dicts(spec, "pvcs")]
        services = spec.get("services")
        for name, service in (services if isinstance(services, dict) else {}).items():
            listed.append((f"spec.services.{name}.pvc", at(service, "pvc", default={})))
        for place, entry in listed:
            if entry.get("name") == case.own.name and entry.get("create") is True:
                yield Finding(
                    reference(obj),
                    f"it makes a claim {case.own.name} of its own, which is the name of the "
                    "cache's",
                    (Evidence(reference(obj), place, f"name: {case.own.name}, create: true"),),
                    Fix(
                        fix_commands.patch_part(obj, entry, "create", False)
                        or fix_commands.patch(obj, {"spec": obj["spec"]})
                    ),
                )


@check("FM707", "the mount is in the graph, not in what the operator makes of it")
def in_the_graph(case: Case) -> Iterator[Finding]:
    """A DynamoComponentDeployment that a graph owns is written anew from the graph whenever that
    changes. The mount was put into the former, and will be lost. Pin the graph.
    """
    mounting = {(str(each.get("kind")), name_of(each)) for each in case.own.graphs}
    for obj in case.snapshot.all(queries.COMPONENTS):
        owners = dicts(obj, "metadata", "ownerReferences")
        if namespace_of(obj) != case.own.namespace or not owners:
            continue
        owner = next((each for each in owners if each.get("kind") == resources.GRAPH), None)
        if owner is None or (resources.GRAPH, str(owner.get("name"))) in mounting:
            continue
        if case.own.name in claims_in(obj.get("spec")):
            yield Finding(
                reference(obj),
                f"it mounts the cache, and graph {owner.get('name')}, which owns it and writes "
                "over it, does not",
                (Evidence(reference(obj), "metadata.ownerReferences", str(owner.get("name"))),),
                Fix(fix_commands.pin(case.own, f"dgd/{owner.get('name')}")),
            )
