"""A planned cache: its objects, and the facts behind them. Pure, but for `plan_offline`."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.cache.desired import DesiredCache, build_desired
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.node_choice import CandidateNodes
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.preflight import PreflightResult
from kubectl_fluidmodel.cache.source_info import SourceInfo, read_source
from kubectl_fluidmodel.objects.scheduler import group_by_reason
from kubectl_fluidmodel.output.units import format_bytes, pluralize
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class CachePlan:
    """The objects to create, and the facts behind them."""

    options: CacheOptions
    preflight: PreflightResult
    source: SourceInfo
    desired: DesiredCache

    def lines(self) -> Iterator[str]:
        """Yield what is cached, on which medium and nodes, and why."""
        listing, desired = self.source.listing, self.desired
        medium, placement = desired.medium, desired.placement
        if listing:
            files = pluralize(len(listing.files), "file")
            yield f"{self.options.source.uri}: {files}, {format_bytes(listing.bytes)}"
        yield (
            f"quota {format_bytes(desired.quota)} per worker on {medium.type} at "
            f"{medium.path} ({medium.reason})"
        )
        if placement is None:
            yield "nodes cannot be listed: the scheduler chooses among the allowed ones"
            return
        count = pluralize(len(placement.nodes), "node")
        yield f"{count}: {', '.join(placement.names)} ({placement.reason})"
        if placement.runners_up:
            runners_up = ", ".join(
                f"{node.name} ({pluralize(node.caches, 'cache')})" for node in placement.runners_up
            )
            yield f"runners-up: {runners_up}"
        if placement.rejected:
            yield f"not chosen: {group_by_reason(placement.rejected)}"


def plan_cache(
    options: CacheOptions,
    namespace: str,
    source: SourceInfo,
    candidates: CandidateNodes | None,
    existing: ExistingObjects,
) -> DesiredCache:
    """Return the desired cache, from the source and the cluster's state."""
    return build_desired(
        options,
        namespace,
        credentials=source.credentials,
        listing=source.listing,
        candidates=candidates,
        existing=existing,
        secret=source.secret,
    )


def plan_offline(options: CacheOptions, namespace: str) -> tuple[SourceInfo, DesiredCache]:
    """Return the desired cache without a cluster: nothing exists, and labels select the nodes."""
    source = read_source(options, None, namespace)
    return source, plan_cache(options, namespace, source, None, ExistingObjects())
