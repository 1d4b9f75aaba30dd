"""7xx: whether graphs mount the cache, in the right place, and keep the mount."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.checks.graph_claims import replace_claim_fix
from kubectl_fluidmodel.doctor.graph_usage import (
    ComponentUsage,
    all_graphs,
    component_usages,
    open_graph_once,
)
from kubectl_fluidmodel.dynamo import resources
from kubectl_fluidmodel.dynamo.component import Component, Role
from kubectl_fluidmodel.dynamo.gitops import detect_gitops_tool
from kubectl_fluidmodel.dynamo.pin_annotation import missing_parts
from kubectl_fluidmodel.inventory.cache import Cache, claims_in
from kubectl_fluidmodel.objects.access import get_list, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.snapshot import queries


def _missing_pin_parts(use: ComponentUsage) -> list[str]:
    if use.pin_note is None:
        return []
    return missing_parts(use.component, use.pin_note, use.cache.name)


@register_check(
    "FM701", "what pin added to a graph is still there", explains=("FM703", "FM721", "FM720")
)
def pin_is_still_in_place(context: CheckContext) -> Iterator[Finding]:
    """The mount or the affinity that `pin` added to a graph is gone.

    The graph's annotation says that it is pinned to the cache, but somebody edited the graph or
    applied an older manifest. Its workers now download the model, or run on nodes without the
    cache. Pinning again restores what is missing and changes nothing else.
    """
    for use in component_usages(context):
        missing = _missing_pin_parts(use)
        if missing and not detect_gitops_tool(use.graph.object):
            yield Finding(
                use.about,
                f"component {use.component.name} was pinned to {use.cache.name}, and its "
                f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} gone",
                (_pin_evidence(use), *(use.field_evidence(part, "absent") for part in missing)),
                use.pin_fix(),
            )


@register_check(
    "FM702",
    "no other tool reverts the pin",
    explains=("FM703", "FM721", "FM720", "FM730"),
)
def pin_is_not_reverted_by_a_tool(context: CheckContext) -> Iterator[Finding]:
    """A tool that manages the graph has reverted the pin.

    Argo CD, Flux, Helm or a DynamoGraphDeploymentRequest restores the graph from another source and
    removed what `pin` added to the live object. Pin the manifest that the tool reads: `pin NAME -f
    FILE` keeps its comments and order.
    """
    for use in component_usages(context):
        missing, tool = _missing_pin_parts(use), detect_gitops_tool(use.graph.object)
        if missing and tool:
            yield Finding(
                use.about,
                f"{tool} manages the graph and took the {' and '.join(missing)} of component "
                f"{use.component.name} away",
                (_pin_evidence(use), *(use.field_evidence(part, "absent") for part in missing)),
                Fix(
                    f"{cache_commands.pin_graphs(use.cache, flags=('-f', 'FILE'))} > FILE.new, "
                    "and commit it",
                    "advice",
                ),
            )


def _pin_evidence(use: ComponentUsage) -> Evidence:
    mode = use.pin_note.mode if use.pin_note else ""
    text = f"{use.component.name}: {use.cache.name} ({mode})"
    return Evidence(use.about, f"metadata.annotations {resources.PINS_ANNOTATION}", text)


@register_check("FM703", "every worker of a graph mounts the cache", severity=Severity.WARNING)
def all_workers_mount_the_cache(context: CheckContext) -> Iterator[Finding]:
    """A worker reads the model without the cache.

    Some workers of the graph mount the cache and others do not. Those download the model from the
    Hub, about 9 minutes instead of 80 seconds, and the graph starts as slowly as its slowest
    worker. A worker with another model is fine; `pin --component` names the others. Or a component
    mounts the source of the cache (a claim or a directory) directly and bypasses the cache.
    """
    yield from _components_bypassing_cache(context)
    by_graph: dict[str, list[ComponentUsage]] = {}
    for use in component_usages(context):
        by_graph.setdefault(use.about, []).append(use)
    for usages in by_graph.values():
        workers = [use for use in usages if use.component.role is Role.WORKER]
        without = [use for use in workers if use.claim_mount is None]
        # A worker that mounts another claim has another model.
        bare = [use for use in without if not any(use.component.claims_by_volume().values())]
        if len(without) < len(workers):
            for use in bare:
                mounting = next(worker for worker in workers if worker.claim_mount)
                yield Finding(
                    use.about,
                    f"component {use.component.name} does not mount the cache, and "
                    f"{mounting.component.name} does",
                    (
                        use.field_evidence("volumes", f"no claim {use.cache.name}"),
                        mounting.field_evidence(
                            "mount", mounting.claim_mount.path if mounting.claim_mount else ""
                        ),
                    ),
                    use.pin_fix(),
                )


def _components_bypassing_cache(context: CheckContext) -> Iterator[Finding]:
    """Findings for components that mount the source of the cache instead of the cache."""
    cache = context.cache
    sources = _mountable_sources(cache)
    for obj in all_graphs(context) if sources else ():
        opened = open_graph_once(context, obj)
        if opened is None or namespace_of(obj) != cache.namespace:
            continue
        for component in opened[0].components:
            claims = component.claims_by_volume()
            mounted = next((s for s in sources if s in _mounted_sources(component, claims)), None)
            if mounted is None or cache.name in claims.values():
                continue
            fix = replace_claim_fix(obj, mounted.removeprefix("pvc://"), cache.name)
            source = mounted.removeprefix("pvc://").removeprefix("local://")
            flags = ("--component", component.name)
            pin = cache_commands.pin_graphs(cache, opened[0].reference, flags=flags)
            yield Finding(
                object_reference(obj),
                f"component {component.name} mounts {source}, which cache {cache.name} caches, and "
                f"bypasses it: mount claim {cache.name}",
                (
                    Evidence(object_reference(obj), f"component {component.name}, volumes", source),
                    *(
                        Evidence(object_reference(cache.dataset or obj), "spec.mounts", str(point))
                        for point in _mount_points(cache)
                    ),
                ),
                fix or Fix(pin),
            )


def _mount_points(cache: Cache) -> list[str]:
    return [str(mount.get("mountPoint", "")) for mount in get_list(cache.dataset, "spec", "mounts")]


def _mountable_sources(cache: Cache) -> set[str]:
    """The cache's sources that a pod can mount itself: `pvc://claim`, `local:///directory`."""
    sources = set()
    for point in _mount_points(cache):
        scheme, _, rest = point.partition("://")
        if scheme == "pvc":
            sources.add(f"pvc://{rest.split('/')[0]}")
        elif scheme == "local":
            sources.add(f"local://{rest.rstrip('/')}")
    return sources


def _mounted_sources(component: Component, claims: Mapping[str, str]) -> set[str]:
    paths = {
        str(get_path(volume, "hostPath", "path", default="")).rstrip("/")
        for volume in get_list(component.pod_spec(), "volumes")
    }
    sources = {f"local://{path}" for path in paths if path}
    return sources | {f"pvc://{claim}" for claim in claims.values() if claim}


@register_check("FM711", "no graph of the cache is being deleted", severity=Severity.WARNING)
def graphs_are_not_terminating(context: CheckContext) -> Iterator[Finding]:
    """A graph that uses the cache is being deleted.

    It waits for its finalizers or its pods. It cannot be pinned, and its pods will go.
    """
    for obj in context.cache.graphs:
        if is_terminating(obj):
            yield Finding(
                object_reference(obj),
                f"it is being deleted, {describe_deletion(obj)}",
                (observations.field_evidence(obj, "metadata", "deletionTimestamp"),),
                observations.advice(obj, "get", *fix_commands.object_operands(obj), "-o", "yaml"),
            )


@register_check("FM706", "the graph does not create the cache's claim")
def graph_does_not_create_the_claim(context: CheckContext) -> Iterator[Finding]:
    """The graph creates a claim with the name of the cache.

    A v1alpha1 graph lists that claim with `create: true`. If Fluid was not first, the operator
    creates an empty volume with that name, and Fluid cannot create its own. Set `create` to false:
    the graph then mounts the existing claim.
    """
    for obj in context.cache.graphs:
        spec = get_path(obj, "spec", default={})
        entries = [("spec.pvcs", entry) for entry in get_list(spec, "pvcs")]
        services = spec.get("services")
        for name, service in (services if isinstance(services, dict) else {}).items():
            entries.append((f"spec.services.{name}.pvc", get_path(service, "pvc", default={})))
        for path, entry in entries:
            if entry.get("name") == context.cache.name and entry.get("create") is True:
                yield Finding(
                    object_reference(obj),
                    f"it creates claim {context.cache.name}, which has to be the cache's",
                    (
                        Evidence(
                            object_reference(obj),
                            path,
                            f"name: {context.cache.name}, create: true",
                        ),
                    ),
                    Fix(
                        fix_commands.patch_nested(obj, entry, "create", False)
                        or fix_commands.patch_object(obj, {"spec": obj["spec"]})
                    ),
                )


@register_check("FM707", "the mount is in the graph itself")
def mount_is_in_the_graph(context: CheckContext) -> Iterator[Finding]:
    """The mount is in an object that the operator overwrites.

    A DynamoComponentDeployment that belongs to a graph is rewritten whenever the graph changes, so
    a mount that was added to it will be lost. Pin the graph.
    """
    mounting = {(str(graph.get("kind")), name_of(graph)) for graph in context.cache.graphs}
    for obj in context.snapshot.of_kind(queries.COMPONENTS):
        owners = get_list(obj, "metadata", "ownerReferences")
        if namespace_of(obj) != context.cache.namespace or not owners:
            continue
        owner = next(
            (reference for reference in owners if reference.get("kind") == resources.GRAPH), None
        )
        if owner is None or (resources.GRAPH, str(owner.get("name"))) in mounting:
            continue
        if context.cache.name in claims_in(obj.get("spec")):
            yield Finding(
                object_reference(obj),
                f"it mounts the cache, and graph {owner.get('name')}, which owns it and writes "
                "over it, does not",
                (
                    Evidence(
                        object_reference(obj), "metadata.ownerReferences", str(owner.get("name"))
                    ),
                ),
                Fix(cache_commands.pin_graphs(context.cache, f"dgd/{owner.get('name')}")),
            )
