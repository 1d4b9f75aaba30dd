"""The options of `cache --adopt`: the flags, validated once against each other. Pure."""

from __future__ import annotations

from dataclasses import replace

from kubectl_fluidmodel.cache.options import (
    DEFAULT_TIMEOUT,
    CacheFlags,
    StagingFlags,
    changed_flags,
)
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.names import is_valid_name
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass

_OWN_FIELDS = ("name", "load", "s3_secret")
"""Fields of flags that can be combined with --adopt."""


@dataclass(frozen=True)
class AdoptOptions:
    """One `cache --adopt` command."""

    name: str = ""
    """Name of the Dataset; empty if it is found by its source."""
    source: Source | None = None
    s3_secret: str | None = None
    """Secret with the keys to read the source; by default, the Dataset's own keys."""
    load: bool = False
    """Whether to load what the cache lacks."""
    wait: bool = True
    timeout: float = DEFAULT_TIMEOUT
    """Seconds."""


def parse_adopt_options(
    target: str,
    flags: CacheFlags,
    store: StoreOptions,
    staging: StagingFlags,
    hub: HubOptions,
    waiting: tuple[bool, float],
) -> AdoptOptions:
    """Validate the command line.

    Args:
        target: NAME of a Dataset, or a SOURCE that a Dataset has.
        flags: The flags that define a cache; most cannot be combined with --adopt.
        store: The flags of the store.
        staging: The flags of staging, none of which can be combined with --adopt.
        hub: The flags of the Hub, none of which can be combined with --adopt.
        waiting: Whether to wait, and for how many seconds at most.

    Raises:
        UsageError: names the flag that cannot be combined with --adopt, or the error in SOURCE.
    """
    if hub != HubOptions():
        raise UsageError(
            "--adopt does not stage models", "it cannot be combined with the flags of the Hub"
        )
    for flag_group in (flags, store, staging):
        for flag in changed_flags(flag_group, _OWN_FIELDS):
            raise UsageError(
                "--adopt leaves the cache as it is", f"{flag} would change it, or does not apply"
            )
    options = AdoptOptions(
        name=flags.name or "",
        s3_secret=store.s3_secret,
        load=bool(flags.load),
        wait=waiting[0],
        timeout=waiting[1],
    )
    if is_valid_name(target):
        if flags.name and flags.name != target:
            raise UsageError(
                f"'{target}' and --name {flags.name}", "the names differ", "use one of them"
            )
        return replace(options, name=target)
    source = parse_source(target)
    if source.scheme == "hf":
        raise UsageError(
            f"{source.uri} is a model of the Hub",
            "a hand-made Dataset has a bucket as its source",
            "kubectl get datasets, then --adopt with a name",
        )
    return replace(options, source=source)
