"""Issues of a source that should be a model. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.records import dataclass

LINKS = "links"
"""A Hub cache without its links."""
CONTENT = "content"
"""A file's content does not match its name: a pointer, a page, a link."""
SHARDS = "shards"
"""Weight files are missing, or an index cannot be read."""
DAMAGED = "damaged"
"""A weight file is truncated or has another format."""
WEIGHTS = "weights"
"""There are no weights, or only empty ones."""
CONFIG = "config"
"""The main configuration file is missing or invalid."""
WARNING = "doubt"
"""Only some engines can load it."""
MAX_PATHS = 20
"""Maximum number of affected files in an issue."""


@dataclass(frozen=True)
class ModelIssue:
    """An error or a warning."""

    kind: str
    text: str
    """A complete clause."""
    fatal: bool = False
    """Whether no engine can load the model; otherwise it is a warning."""
    paths: tuple[str, ...] = ()
    """The affected files, at most `MAX_PATHS`."""
    hub_model: str = ""
    """`org/name@commit` of the Hub model that the files are from, if known."""


def is_or_are(paths: Sequence[str]) -> str:
    return "is" if len(paths) == 1 else "are"
