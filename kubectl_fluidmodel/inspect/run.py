"""The workflow of `inspect`: reads the cluster, selects the caches, and prints their view."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inspect.view import InspectOptions, Rendering, ViewContext, load_view
from kubectl_fluidmodel.inventory.cache import Cache, build_caches
from kubectl_fluidmodel.objects.access import labels_of
from kubectl_fluidmodel.objects.selector import parse_selector
from kubectl_fluidmodel.output.console import print_note, terminal_width, wants_color
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot, summarize_failures

if TYPE_CHECKING:
    from kubectl_fluidmodel.inspect.details import LiveDetails
    from kubectl_fluidmodel.kube.client import Client


@dataclass(frozen=True)
class InspectCommand:
    """Shows the caches of a Snapshot."""

    options: InspectOptions
    namespace: str | None
    """None for all."""

    def select_caches(self, snapshot: Snapshot) -> list[Cache]:
        """Return the requested caches.

        Raises:
            FluidModelError: no cache can be read at all.
        """
        _require_datasets_readable(snapshot, self.namespace)
        selector = self.options.selector
        matches = parse_selector(selector) if selector else None
        return [
            cache
            for cache in build_caches(snapshot)
            if (self.namespace is None or cache.namespace == self.namespace)
            and (not self.options.name or cache.name == self.options.name)
            and (matches is None or matches(labels_of(cache.dataset or cache.runtime or {})))
        ]

    def require_caches(self, snapshot: Snapshot) -> list[Cache]:
        """Like `select_caches`, but a named cache must exist.

        Raises:
            FluidModelError: there is no cache with that name.
        """
        caches = self.select_caches(snapshot)
        if self.options.name and not caches:
            raise FluidModelError(
                f"there is no cache {self.options.name}"
                + (f" in namespace {self.namespace}" if self.namespace else ""),
                "neither a Dataset nor a runtime has that name",
                kubectl("fluidmodel", "inspect", namespace=self.namespace or ""),
            )
        return caches

    def render(self, context: ViewContext) -> Rendering:
        return load_view(self.options).render(context)

    def empty_message(self) -> str:
        """Return the message for an empty result."""
        if self.options.selector:
            return f"No models match -l '{self.options.selector}'"
        scope = f"in {self.namespace} namespace" if self.namespace else "in any namespace"
        return f"No models cached {scope}; try: kubectl fluidmodel cache --help"

    def print(self, snapshot: Snapshot, live: LiveDetails | None = None) -> None:
        """Print the caches to stdout, and what could not be read to stderr.

        Raises:
            FluidModelError: the cluster cannot be read, or has no such cache.
        """
        options = self.options
        context = ViewContext(
            snapshot,
            self.require_caches(snapshot),
            options,
            self.namespace,
            live,
            width=terminal_width(),
            color=wants_color(sys.stdout, options.color),
        )
        rendering = self.render(context)
        click.echo(rendering.text, nl=False, color=context.color)
        if options.output in ("json", "yaml"):
            return
        if not context.caches:
            print_note(self.empty_message())
        elif rendering.left_out:
            listed = ", ".join(rendering.left_out)
            print_note(
                f"note: not shown: {listed}; use a wider terminal or a pipe to see all columns"
            )
        for line in summarize_failures(snapshot.read_failures):
            print_note(f"note: the output is incomplete: {line}")


def _require_datasets_readable(snapshot: Snapshot, namespace: str | None) -> None:
    """Fail if nothing could be read: an empty view must not look like a cluster without caches."""
    if not snapshot.is_served(names.DATASETS):
        raise FluidModelError(
            "there are no cached models here",
            "Fluid is not installed: the API server has no kind Dataset",
            "kubectl fluidmodel doctor",
        )
    missing = snapshot.read_failure(names.DATASETS)
    if missing is None or snapshot.of_kind(names.DATASETS):
        return
    scope = "in all namespaces" if namespace is None else f"in namespace {namespace}"
    raise FluidModelError(
        f"cannot list {missing.resource} {scope}",
        missing.reason,
        "-n NAMESPACE"
        if namespace is None
        else kubectl("auth", "can-i", "list", missing.resource, namespace=namespace),
    )


def run_once(client: Client, command: InspectCommand, *, offline: bool) -> None:
    """Read the cluster once and print its caches.

    Args:
        client: The cluster.
        command: What to show.
        offline: Whether only the API server is queried.

    Raises:
        FluidModelError: the cluster cannot be read, or has no such cache.
    """
    with ThreadPoolExecutor(1) as pool:
        snapshot_read = pool.submit(
            collector.collect, client, command.namespace, queries.INSPECT_QUERIES
        )
        load_view(command.options)  # while the API server works
        snapshot = snapshot_read.result()
    if not command.options.name or command.options.output == "name":
        command.print(snapshot)
    elif offline:
        print_without_live_details(command, snapshot, "not read (--offline)")
    else:
        from kubectl_fluidmodel.inspect.remote import fetch_live_details

        (cache,) = command.require_caches(snapshot)
        command.print(snapshot, fetch_live_details(client, snapshot, cache))


def print_without_live_details(command: InspectCommand, snapshot: Snapshot, reason: str) -> None:
    """Print a cache from its snapshot only; `reason` says why its files are unknown."""
    from kubectl_fluidmodel.inspect.details import LiveDetails

    command.print(snapshot, LiveDetails(files_reason=reason))
