"""What an update has to do, from the objects of the cluster. Pure.

Nothing but these objects says how far an update is, so it may be interrupted anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.dynamo.component import Role
from kubectl_fluidmodel.dynamo.gitops import detect_gitops_tool
from kubectl_fluidmodel.dynamo.graph import open_graph
from kubectl_fluidmodel.dynamo.resources import GRAPH
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import mount_targets
from kubectl_fluidmodel.inventory.staging_status import staging_layout
from kubectl_fluidmodel.inventory.succession import commit_of, model_caches, successor_name
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Operand, command, kubectl
from kubectl_fluidmodel.pin.pin_request import PinRequest
from kubectl_fluidmodel.pin.replacement import replace_pin
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class GraphUse:
    """A graph that mounts an old cache."""

    reference: str
    """As `pin` takes it: `chat`, or `dcd/chat`."""
    workers: int = 0
    """Replicas of its workers, which the move restarts."""
    obstacle: str = ""
    """Why `update` does not move it; empty if it does."""
    solution: str = ""
    """The command with which you move it, if there is an obstacle."""


@dataclass(frozen=True)
class OldCache:
    """A cache that the new one replaces."""

    cache: Cache
    graphs: tuple[GraphUse, ...]
    rolling: tuple[str, ...]
    """Graphs that mount the new cache, with pods that still mount this one."""
    other_readers: tuple[str, ...]
    """Other pods that mount it."""

    @property
    def name(self) -> str:
        return self.cache.name

    @property
    def commit(self) -> str:
        return commit_of(self.cache)


@dataclass(frozen=True)
class UpdateState:
    """How far the update of a cache to a commit is."""

    namespace: str
    commit: str
    """The commit to update to."""
    name: str
    """The cache of that commit."""
    target: Cache | None
    """That cache as it is now; None if it does not exist. In place, it may hold another commit."""
    template: Cache
    """The cache whose settings the new one gets."""
    old: tuple[OldCache, ...]
    """The caches to replace, oldest first; empty in place."""

    @property
    def is_cached(self) -> bool:
        """Whether the new cache is complete, as far as Fluid's figures show."""
        cache = self.target
        if cache is None or cache.dataset is None or commit_of(cache) != self.commit:
            return False
        bound = fluid_status.parse_dataset(cache.dataset).is_bound
        return (
            bound and not is_terminating(cache.dataset) and cache_usage(cache).is_complete is True
        )

    @property
    def is_done(self) -> bool:
        return self.is_cached and not self.old


def caches_to_update(caches: Sequence[Cache], namespace: str, name: str) -> list[Cache]:
    """Return the caches of the model that a name means, oldest first.

    Raises:
        FluidModelError: there is none, or its source has no commits.
    """
    candidates = model_caches(caches, namespace, name)
    if not candidates:
        raise FluidModelError(
            f"namespace {namespace} has no cache {name}",
            "",
            kubectl("fluidmodel", "inspect", namespace=namespace),
        )
    for cache in candidates:
        if staging_layout(cache) is None:
            raise FluidModelError(
                f"{cache.name} has no newer commit to update to",
                f"it caches {names.source_uri(cache.dataset or {})}, and only models of the Hub "
                "that this plugin staged have commits",
                _staging_hint(cache),
            )
        tool = detect_gitops_tool(cache.dataset or {})
        if tool or not names.has_own_spec(cache.dataset or {}):
            raise FluidModelError(
                f"{cache.name} cannot be updated",
                f"{tool} manages it, and would create it again"
                if tool
                else "it was made by hand, so a new cache would not have its settings",
                kubectl(*("fluidmodel", "cache", "SOURCE", "--name", "OTHER"), namespace=namespace),
            )
    return candidates


def _staging_hint(cache: Cache) -> str:
    """Return the command that makes a cache with commits, of a source that looks like a model."""
    source = names.source_uri(cache.dataset or {}) or str(
        get_path(cache.dataset, "spec", "mounts", 0, "mountPoint", default="")
    )
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    parts = prefix.strip("/").split("/")
    if not source.startswith("s3://") or len(parts) < 2:
        return ""
    repo, rest = "/".join(parts[-2:]), "/".join((bucket, *parts[:-2]))
    endpoint = next((target.endpoint for target in mount_targets(cache)), "")
    command = kubectl(
        *("fluidmodel", "cache", Operand(repo), "--to", f"s3://{rest}"),
        *(("--endpoint", endpoint) if endpoint else ()),
        *("--name", f"{cache.name[: names.MAX_NAME_LENGTH - 2].rstrip('-')}-2"),
        namespace=cache.namespace,
    )
    return f"if it is {repo} on the Hub: {command}, then pin with --replace {cache.name}"


def find_state(
    caches: Sequence[Cache], namespace: str, name: str, commit: str, *, in_place: bool = False
) -> UpdateState:
    """Return the state of the update of a cache to a commit.

    Args:
        caches: The caches of the namespace, with graphs and readers.
        namespace: Of the cache.
        name: Of the cache, or of the first one of its model.
        commit: The commit to update to.
        in_place: Whether the cache keeps its name.

    Raises:
        FluidModelError: there is no such cache, or it cannot be updated.
    """
    candidates = caches_to_update(caches, namespace, name)
    named = next((cache for cache in candidates if cache.name == name), candidates[-1])
    if in_place:
        other_names = [cache.name for cache in candidates if cache is not named]
        if other_names:
            raise FluidModelError(
                f"{named.name} cannot be updated in place",
                f"it is being replaced by or replaces {', '.join(other_names)}",
                kubectl("fluidmodel", "update", Operand(named.name), namespace=namespace),
            )
        return UpdateState(namespace, commit, named.name, named, named, ())
    target = next((cache for cache in candidates if commit_of(cache) == commit), None)
    old = [cache for cache in candidates if cache is not target]
    template = named if named is not target or not old else old[-1]
    new_name = target.name if target else successor_name(template.name, commit_of(template), commit)
    if target is not None and target.runtime is not None:
        template = target
    return UpdateState(
        namespace,
        commit,
        new_name,
        target,
        template,
        tuple(_old_cache(cache, new_name, target) for cache in old),
    )


def _old_cache(cache: Cache, new: str, target: Cache | None) -> OldCache:
    reading = {name_of(graph) for graph in cache.graphs}
    moved = {name_of(graph) for graph in target.graphs} - reading if target else set()
    return OldCache(
        cache,
        tuple(_graph_use(graph, cache, new) for graph in cache.graphs),
        tuple(sorted({pod.graph for pod in cache.readers} & moved)),
        tuple(sorted(pod.name for pod in cache.readers if pod.graph not in reading | moved)),
    )


def _graph_use(graph: Object, cache: Cache, new: str) -> GraphUse:
    """Return how a graph uses an old cache, and whether it can be moved to a new one."""
    prefix = "" if graph.get("kind") == GRAPH else "dcd/"
    reference = f"{prefix}{name_of(graph)}"
    tool = detect_gitops_tool(graph)
    try:
        request = PinRequest(new, f"fluid.io/s-{cache.namespace}-{new}", replaces=cache.name)
        replace_pin(graph, request)
    except FluidModelError as err:
        return GraphUse(reference, 0, err.reason or err.message, err.hint)
    workers = sum(
        component.replicas
        for component in open_graph(graph).components
        if component.role is Role.WORKER
    )
    if tool:
        pin = ("kubectl", "fluidmodel", "pin", Operand(new), "-f", "FILE")
        solution = command(*pin, "--replace", cache.name)
        return GraphUse(reference, workers, f"{tool} manages it", f"{solution}, and commit it")
    return GraphUse(reference, workers)
