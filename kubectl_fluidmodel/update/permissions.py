"""The permissions of all steps of an update, checked together before the first write. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubectl_fluidmodel.cache import preflight, removal
from kubectl_fluidmodel.cache.hub_staging import HubStaging
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.job_run import job_permissions
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot import queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from kubectl_fluidmodel.update.options import CACHE, PIN, RETIRE
from kubectl_fluidmodel.update.state import UpdateState


def required_permissions(
    steps: Sequence[str],
    state: UpdateState,
    cache: CacheOptions,
    staging: HubStaging | None,
    owned: Sequence[Object],
) -> list[Permission]:
    """Return the permissions of the steps.

    Args:
        steps: Those that this command may run.
        state: With the graphs to move.
        cache: What to build.
        staging: How the model is staged.
        owned: The objects of the old caches, which are deleted at the end.
    """
    space = state.namespace
    required = list(staging.job.required_permissions()) if staging is not None else []
    required += [Permission(verb, kinds.SECRETS, space) for verb in ("get", "create", "patch")]
    if CACHE in steps:
        required += preflight.required_permissions(cache, space)
        required += job_permissions(space) if cache.reader is not None else []
    if CACHE in steps and cache.name == state.template.name and not state.old:  # recreated
        recreated = (names.DATASETS, names.ALLUXIO_RUNTIMES)
        required += [Permission("delete", kind, space) for kind in recreated]
    graphs = [graph for old in state.old for graph in old.cache.graphs]
    if PIN in steps and graphs:
        for kind in (queries.GRAPHS, queries.COMPONENTS):
            if any(graph.get("kind") == kind.name for graph in graphs):
                required += [Permission(verb, kind, space) for verb in ("get", "patch")]
        required += [Permission(verb, kinds.PODS, space) for verb in ("list", "watch")]
    if RETIRE in steps and state.old:
        required += removal.required_permissions(list(owned), space)
    return list(dict.fromkeys(required))


def reading_permissions(snapshot: Snapshot, namespace: str) -> Iterable[Permission]:
    """Yield what has to be readable to know who reads a cache, and could not be read."""
    for kind in (queries.GRAPHS, queries.COMPONENTS, kinds.PODS):
        if snapshot.read_failure(kind, namespace) is not None:
            yield Permission("list", kind, namespace)
