"""The options of `cache --adopt`: the flags, checked once against each other. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from kubectl_fluidmodel.cache.options import DEFAULT_TIMEOUT, CacheFlags, StagingFlags
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.names import is_valid_name
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.objectstore.options import StoreOptions

_FLAG_BY_FIELD = {"nodes": "--node", "pull_secrets": "--image-pull-secret"}
"""Flags that are not called like their fields."""
_OWN_FIELDS = ("name", "load", "s3_secret")
"""Fields of flags that go with --adopt."""


@dataclass(frozen=True)
class AdoptOptions:
    """One `cache --adopt` command."""

    name: str = ""
    """Of the Dataset; empty where it is found by its source."""
    source: Source | None = None
    s3_secret: str | None = None
    """Secret with the keys to read the source; the Dataset's own keys where not given."""
    load: bool = False
    """Whether what the cache lacks is loaded."""
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
    """Check the command line.

    Args:
        target: NAME of a Dataset, or SOURCE that a Dataset has.
        flags: The flags that shape a cache; most do not go with --adopt.
        store: The flags of the store.
        staging: The flags of staging, none of which goes with --adopt.
        hub: The flags of the Hub, none of which goes with --adopt.
        waiting: Whether to wait, and for how many seconds at most.

    Raises:
        UsageError: with the flag that does not go with --adopt, or what is wrong with SOURCE.
    """
    if hub != HubOptions():
        raise UsageError("--adopt stages nothing", "the flags of the Hub do not go with it")
    for given in (flags, store, staging):
        _require_defaults(given)
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
                f"'{target}' and --name {flags.name}", "these are two names", "give one of them"
            )
        return replace(options, name=target)
    source = parse_source(target)
    if source.scheme == "hf":
        raise UsageError(
            f"{source.uri} is a model of the Hub",
            "a Dataset made by hand has a bucket for its source",
            "kubectl get datasets, and --adopt with the name of one",
        )
    return replace(options, source=source)


def _require_defaults(given: Any) -> None:
    """Raises: UsageError: a flag is given that would change the cache."""
    default = type(given)()
    for field in fields(given):
        if field.name in _OWN_FIELDS or getattr(given, field.name) == getattr(default, field.name):
            continue
        flag = _FLAG_BY_FIELD.get(field.name, f"--{field.name.replace('_', '-')}")
        raise UsageError(
            "--adopt leaves the cache as it is", f"{flag} would change it, or does not apply"
        )
