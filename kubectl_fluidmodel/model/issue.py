"""What there is to say of a source that shall be a model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LINKS = "links"
"""A Hub cache whose links were lost."""
CONTENT = "content"
"""A file is something else than its name says: a pointer, a page, a link."""
SHARDS = "shards"
"""Files of the weights are missing, or an index cannot be read."""
DAMAGED = "damaged"
"""A file of weights is cut off, or is none."""
WEIGHTS = "weights"
"""There are no weights, or empty ones."""
CONFIG = "config"
"""The configuration that an engine reads first is missing or none."""
WARNING = "doubt"
"""Engines differ in what they make of it."""

_SHOWN = 3


@dataclass(frozen=True)
class ModelIssue:
    """One thing that is wrong, or doubtful."""

    kind: str
    text: str
    """A clause that stands alone."""
    fatal: bool = False
    """Whether no engine can load it; otherwise it is only said."""
    paths: tuple[str, ...] = ()
    """The files that it is about, at most 20."""
    hub_model: str = ""
    """`org/name@commit` of the Hub's model that this was, where that is told."""


def summarize_paths(paths: Sequence[str], limit: int = _SHOWN) -> str:
    """The first few, and how many there are besides."""
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(paths[:limit]) + more


def is_or_are(paths: Sequence[str]) -> str:
    return "is" if len(paths) == 1 else "are"
