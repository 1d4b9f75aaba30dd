"""What a view of `inspect` is given, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.selector import parse_selector

if TYPE_CHECKING:
    from kubectl_fluidmodel.inspect.details import LiveDetails
    from kubectl_fluidmodel.inventory.cache import Cache
    from kubectl_fluidmodel.snapshot.snapshot import Snapshot


@dataclass(frozen=True)
class InspectOptions:
    """Which caches `inspect` shows, and how."""

    name: str | None = None
    output: str | None = None
    selector: str | None = None
    sort_by: str | None = None
    header: bool = True
    color: str = "auto"
    all_namespaces: bool = False

    def validated(self) -> InspectOptions:
        """Check the options against each other.

        Raises:
            UsageError: with the flags that do not go together.
        """
        if self.name and (self.all_namespaces or self.selector or self.sort_by):
            raise UsageError("NAME is one cache", "it does not go with -A, -l and --sort-by")
        if self.selector:
            parse_selector(self.selector)
        return self


@dataclass(frozen=True)
class ViewContext:
    """What a view shows, and the terminal that it is for."""

    snapshot: Snapshot
    caches: Sequence[Cache]
    """Those of the snapshot that were asked for."""
    options: InspectOptions
    namespace: str | None
    """None for all."""
    live: LiveDetails | None = None
    """What lies outside of the snapshot, where it was asked."""
    width: int | None = None
    """Characters of a line; None for a pipe."""
    color: bool = False


@dataclass(frozen=True)
class Rendering:
    """The text of a view."""

    text: str
    left_out: Sequence[str] = ()
    """Titles of the columns that a narrow terminal has no room for."""


class View(Protocol):
    """A module that shows caches."""

    def render(self, context: ViewContext) -> Rendering:
        """The caches as text."""


def load_view(options: InspectOptions) -> View:
    """Import the view of `-o`, and what it needs.

    The others stay on disk: on a small cluster, importing is most of the time that `inspect` takes.
    """
    if options.output in ("json", "yaml"):
        from kubectl_fluidmodel.inspect import document_view

        return document_view
    if options.output == "name":
        from kubectl_fluidmodel.inspect import name_view

        return name_view
    if options.output == "tree":
        from kubectl_fluidmodel.inspect import tree_view

        return tree_view
    if options.output == "wide":
        from kubectl_fluidmodel.inspect import wide_table_view

        return wide_table_view
    if options.name:
        from kubectl_fluidmodel.inspect import details_view

        return details_view
    from kubectl_fluidmodel.inspect import table_view

    return table_view
