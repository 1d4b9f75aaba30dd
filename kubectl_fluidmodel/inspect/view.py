"""The input and the output of a view of `inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.selector import parse_selector
from kubectl_fluidmodel.records import dataclass

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
    price_per_gib: float | None = None
    """Of what leaves the Hub and the store; None shows no money."""

    def validated(self) -> InspectOptions:
        """Check the options against each other.

        Raises:
            UsageError: names the flags that cannot be combined.
        """
        if self.name and (self.all_namespaces or self.selector or self.sort_by):
            raise UsageError("NAME is one cache", "it cannot be combined with -A, -l and --sort-by")
        if self.price_per_gib is not None and not self.name:
            raise UsageError("--price-per-gib is for the estimate of one cache", "", "inspect NAME")
        if self.selector:
            parse_selector(self.selector)
        return self


@dataclass(frozen=True)
class ViewContext:
    """What a view shows, and its terminal."""

    snapshot: Snapshot
    caches: Sequence[Cache]
    """The requested caches of the snapshot."""
    options: InspectOptions
    namespace: str | None
    """None for all."""
    live: LiveDetails | None = None
    """Data from outside the snapshot, if it was read."""
    width: int | None = None
    """Maximum line width; None for a pipe."""
    color: bool = False


@dataclass(frozen=True)
class Rendering:
    """The text of a view."""

    text: str
    left_out: Sequence[str] = ()
    """Titles of the columns that do not fit a narrow terminal."""


class View(Protocol):
    """A module that shows caches."""

    def render(self, context: ViewContext) -> Rendering:
        """The caches as text."""


def load_view(options: InspectOptions) -> View:
    """Import the view of `-o`, and what it needs.

    Other views are not imported: on a small cluster, importing takes most of `inspect`'s time.
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
