"""The options with which `cache` makes the cache of the new commit. Pure."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.cache.options import CacheOptions, parse_options
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import alluxio_runtime
from kubectl_fluidmodel.inventory.mount_target import mount_targets
from kubectl_fluidmodel.inventory.runtimes import wanted_replicas
from kubectl_fluidmodel.inventory.staging_status import staging_layout
from kubectl_fluidmodel.inventory.succession import revision_of
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.update.options import UpdateOptions
from kubectl_fluidmodel.update.state import UpdateState


def cache_options(options: UpdateOptions, state: UpdateState, revision: str) -> CacheOptions:
    """Return the options of the new cache: those of the old one, unless a flag says otherwise.

    Args:
        options: The command line.
        state: With the cache whose settings are taken over.
        revision: The branch or tag that was asked for, or the commit.

    Raises:
        UsageError: a flag is invalid.
        FluidModelError: the old cache is not one of a staged commit.
    """
    template, given = state.template, options.cache
    layout = staging_layout(template)
    if layout is None:
        raise FluidModelError(f"{template.name} is not the cache of a staged commit")
    target = mount_targets(template)[0]
    medium, path, _ = alluxio_runtime.parse_tier(template.runtime or {})
    flags = replace(
        given,
        name=state.name,
        replicas=None if given.nodes else wanted_replicas(template.runtime) or 1,
        medium=medium or "auto",
        path=path or None,
    )
    store = StoreOptions(
        options.store.endpoint or target.endpoint or None,
        options.store.region or target.region or None,
        options.store.s3_secret or (target.access.secret if target.access else None),
    )
    made = parse_options(
        f"hf://{layout.repo}@{state.commit}",
        flags,
        store,
        replace(options.staging, to=layout.destination.uri),
        options.hub,
        (True, options.timeout),
    )
    followed = revision_of(template) if revision == state.commit else revision
    return replace(
        made,
        revision="" if followed == "main" else followed,
        replaces=state.old[-1].name if state.old else "",
    )
