"""What the rules compare, and one difference that they find. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache
from kubectl_fluidmodel.cache.desired import DesiredCache
from kubectl_fluidmodel.objects.access import get_map
from kubectl_fluidmodel.records import dataclass

NOT_SET = "not set"


@dataclass(frozen=True)
class Difference:
    """One setting: its current value, and what `cache` would write."""

    setting: str
    current: str
    ours: str
    reason: str
    """Why `cache` writes another value."""
    consequence: str = ""
    """The consequence of leaving it; empty if there is none."""


@dataclass(frozen=True)
class Comparison:
    """A hand-made cache, and the cache that `cache` would create."""

    cache: HandMadeCache
    desired: DesiredCache
    """What `cache` would create for the same source."""
    model_bytes: int | None
    """Bytes of the source; None if it cannot be listed."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the mount, including shared ones."""
        shared = get_map(self.cache.dataset, "spec", "sharedOptions")
        return {**shared, **get_map(self.cache.mount, "options")}

    @property
    def properties(self) -> Mapping[str, Any]:
        return get_map(self.cache.runtime, "spec", "properties")


def shorten_options(options: list[str]) -> list[str]:
    """Return the names of options without their common prefix."""
    return [re.sub(r"^alluxio\.(underfs\.|user\.)?", "", option) for option in options]
