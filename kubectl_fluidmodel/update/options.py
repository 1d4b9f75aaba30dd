"""The options of `update`. Pure."""

from __future__ import annotations

import re
from dataclasses import field

from kubectl_fluidmodel.cache.options import DEFAULT_TIMEOUT, CacheFlags, StagingFlags
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.output.shell import flags_with_values
from kubectl_fluidmodel.records import dataclass

STAGE, CACHE, PIN, RETIRE = STEPS = ("stage", "cache", "pin", "retire")
"""The steps, in order."""
IN_PLACE_STEPS = (STAGE, CACHE)
"""The steps of `--in-place`: the cache keeps its name, so no graph has to be moved."""
_REVISION = re.compile(r"[\w][\w./-]*", re.ASCII)


@dataclass(frozen=True)
class UpdateFlags:
    """The flags that only `update` has, as on the command line."""

    to_step: str | None = None
    in_place: bool = False
    recreate: bool = False


@dataclass(frozen=True)
class UpdateOptions:
    """One command line of `update`."""

    name: str
    revision: str = ""
    """The branch, tag or commit; empty for the branch or tag that the cache follows."""
    to_step: str = RETIRE
    """The last step to run."""
    in_place: bool = False
    recreate: bool = False
    """Whether old workers end before new ones start."""
    cache: CacheFlags = field(default_factory=CacheFlags)
    """Placement and verification of the new cache; the rest is as in the old one."""
    store: StoreOptions = field(default_factory=StoreOptions)
    staging: StagingFlags = field(default_factory=StagingFlags)
    hub: HubOptions = field(default_factory=HubOptions)
    timeout: float = DEFAULT_TIMEOUT
    """Seconds for all waits together."""

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that this command may run."""
        steps = IN_PLACE_STEPS if self.in_place else STEPS
        return steps[: steps.index(self.to_step) + 1]

    @property
    def repeated_flags(self) -> list[str]:
        """The flags that another run needs, too: the same Hub, store, files and way of staging."""
        stage_on = self.staging.stage_on
        staging = flags_with_values(
            ("--stage-on", stage_on if stage_on != "cluster" else None),
            ("--image", self.staging.image),
        )
        return [*self.hub.flags, *self.store.flags, *staging]


def parse_update_options(
    text: str,
    flags: UpdateFlags,
    cache: CacheFlags,
    store: StoreOptions,
    staging: StagingFlags,
    hub: HubOptions,
    timeout: float,
) -> UpdateOptions:
    """Check the flags against each other.

    Args:
        text: NAME or NAME@REVISION.
        flags: The flags of `update` alone.
        cache: The flags of the new cache.
        store: The flags of the store.
        staging: The flags of staging, without a bucket.
        hub: The flags of the Hub.
        timeout: Seconds.

    Raises:
        UsageError: names the flag, and a solution.
    """
    name, at, revision = text.partition("@")
    if not name or (at and not _REVISION.fullmatch(revision)):
        raise UsageError(f"'{text}' is not NAME or NAME@REVISION", "", "kubectl fluidmodel inspect")
    steps = IN_PLACE_STEPS if flags.in_place else STEPS
    to_step = flags.to_step or steps[-1]
    if to_step not in steps:
        raise UsageError(
            f"--to-step {to_step} with --in-place",
            f"the steps in place are {' and '.join(steps)}: the graphs stay as they are",
        )
    if flags.in_place and (cache.nodes or cache.node_selector):
        raise UsageError("--in-place with --node", "the cache stays on its nodes")
    return UpdateOptions(
        name=name,
        revision=revision,
        to_step=to_step,
        in_place=flags.in_place,
        recreate=flags.recreate,
        cache=cache,
        store=store,
        staging=staging,
        hub=hub,
        timeout=timeout,
    )
