"""The options with which `cache` makes the cache of the new commit. Pure."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.cache.options import CacheOptions, parse_options
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import alluxio_runtime, fuse
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import mount_targets
from kubectl_fluidmodel.inventory.runtimes import wanted_replicas
from kubectl_fluidmodel.inventory.staging_status import staged_globs, staging_layout
from kubectl_fluidmodel.inventory.succession import revision_of
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.update.options import UpdateOptions
from kubectl_fluidmodel.update.state import UpdateState


def _hub_options(options: UpdateOptions, template: Cache) -> HubOptions:
    """Return the options of the Hub; the globs are those of the old cache, unless given."""
    if options.hub.include or options.hub.exclude:
        return options.hub
    include, exclude = staged_globs(template.dataset or {})
    return replace(options.hub, include=include, exclude=exclude)


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
    template, cache_flags = state.template, options.cache
    layout = staging_layout(template)
    if layout is None:
        raise FluidModelError(f"{template.name} is not the cache of a staged commit")
    target = mount_targets(template)[0]
    medium, path, _ = alluxio_runtime.parse_tier(template.runtime or {})
    flags = replace(
        cache_flags,
        name=state.name,
        replicas=None if cache_flags.nodes else wanted_replicas(template.runtime) or 1,
        medium=medium or "auto",
        path=path or None,
        high_concurrency=fuse.uses_jnr_fuse(template.runtime),
    )
    store = StoreOptions(
        options.store.endpoint or target.endpoint or None,
        options.store.region or target.region or None,
        options.store.s3_secret or (target.access.secret if target.access else None),
    )
    cache = parse_options(
        f"hf://{layout.repo}@{state.commit}",
        flags,
        store,
        replace(options.staging, to=layout.destination.uri),
        _hub_options(options, template),
        (True, options.timeout),
    )
    followed = revision_of(template) if revision == state.commit else revision
    return replace(
        cache,
        revision="" if followed == "main" else followed,
        replaces=state.old[-1].name if state.old else "",
    )
