"""The workflow of `inspect`: read the cluster, and print its caches.

Most modules are imported where they are needed: importing takes a good part of the time on a small
cluster, and `run_once` does it while the API server works.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import selector as selectors
from kubectl_fluidmodel.output.console import print_note, wants_color

if TYPE_CHECKING:
    from kubectl_fluidmodel.inspect.details import CacheDetails, LiveDetails
    from kubectl_fluidmodel.inventory.cache import Cache
    from kubectl_fluidmodel.kube.client import Client
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
            selectors.parse_selector(self.selector)
        return self


@dataclass(frozen=True)
class InspectCommand:
    """Shows the caches of a Snapshot."""

    options: InspectOptions
    namespace: str | None
    """None for all."""

    @property
    def _shows_warnings(self) -> bool:
        """Whether what `doctor` would say is shown."""
        return bool(self.options.name) or self.options.output in ("wide", "json", "yaml")

    def preload_modules(self) -> None:
        """Import what `show` will need in any case."""
        import kubectl_fluidmodel.inspect.details

        if self._shows_warnings:
            import kubectl_fluidmodel.inspect.doctor_warnings
        if self.options.output is None or self.options.output == "wide":
            import kubectl_fluidmodel.inspect.details_view
            import kubectl_fluidmodel.inspect.table_view  # noqa: F401

    # -- what is shown -----------------------------------------------------------------------

    def select_caches(self, snapshot: Snapshot) -> list[Cache]:
        """The caches that were asked for.

        Raises:
            FluidModelError: none can be seen at all.
        """
        from kubectl_fluidmodel.inventory.cache import build_caches

        _require_datasets_readable(snapshot, self.namespace)
        return [
            each
            for each in build_caches(snapshot)
            if (self.namespace is None or each.namespace == self.namespace)
            and (not self.options.name or each.name == self.options.name)
        ]

    def require_caches(self, snapshot: Snapshot) -> list[Cache]:
        """As `caches`, where the one that was named has to be there.

        Raises:
            FluidModelError: there is none of that name.
        """
        found = self.select_caches(snapshot)
        if self.options.name and not found:
            raise FluidModelError(
                f"there is no cache {self.options.name}"
                + (f" in namespace {self.namespace}" if self.namespace else ""),
                "neither a Dataset nor a runtime has that name",
                f"kubectl fluidmodel inspect{_namespace_flag(self.namespace)}",
            )
        return found

    def describe(
        self,
        snapshot: Snapshot,
        *,
        live: LiveDetails | None = None,
        caches: Sequence[Cache] | None = None,
    ) -> list[CacheDetails]:
        """Describe the caches, in the order in which they are shown.

        Args:
            snapshot: The cluster.
            live: What lies outside of it, where it was asked.
            caches: The caches; None for those of the options.
        """
        from kubectl_fluidmodel.inspect.details import describe_caches

        options, warnings = self.options, None
        caches = self.require_caches(snapshot) if caches is None else caches
        if self._shows_warnings:
            from kubectl_fluidmodel.inspect.doctor_warnings import warnings_by_cache

            warnings = warnings_by_cache(
                snapshot, namespace=self.namespace, name=options.name or ""
            )
        found = describe_caches(snapshot, warnings=warnings, live=live, caches=caches)
        if options.selector:
            matches = selectors.parse_selector(options.selector)
            found = [each for each in found if matches(each.labels)]
        if options.sort_by:
            from kubectl_fluidmodel.inspect import table_view

            found.sort(key=table_view.SORT_KEYS[options.sort_by])
        return found

    def render(
        self, caches: Sequence[CacheDetails], snapshot: Snapshot, width: int | None, color: bool
    ) -> tuple[str, list[str]]:
        """What goes to stdout, and the columns that a narrow terminal has no room for."""
        left_out: list[str] = []
        if self.options.output in ("json", "yaml"):
            from kubectl_fluidmodel.inspect import document
            from kubectl_fluidmodel.output.serialize import to_json, to_yaml

            shown = (
                document.detail_document(caches[0], snapshot)
                if self.options.name
                else document.list_document(caches, snapshot)
            )
            return (to_json if self.options.output == "json" else to_yaml)(shown), left_out
        if self.options.output == "name":
            kind = names.DATASETS.resource.replace("datasets", "dataset")
            return "".join(f"{kind}/{one.name}\n" for one in caches), left_out
        if self.options.output == "tree":
            from kubectl_fluidmodel.inspect import tree
            from kubectl_fluidmodel.output import tree as tree_view

            return tree_view.format_tree(
                tree.cache_trees(caches), width=width, color=color
            ), left_out
        if self.options.name and self.options.output is None:
            from kubectl_fluidmodel.inspect import details_view as one_view

            return one_view.render_details(caches[0], width=width, color=color), left_out
        if not caches:
            return "", left_out
        from kubectl_fluidmodel.inspect import table_view

        text = table_view.render_table(
            caches,
            namespaces=self.options.all_namespaces,
            wide=self.options.output == "wide",
            width=width,
            color=color,
            header=self.options.header,
            left_out=left_out,
        )
        return text, left_out

    def empty_message(self) -> str:
        """What to say where there is nothing to show."""
        if self.options.selector:
            return f"No models match -l '{self.options.selector}'"
        where = f"in {self.namespace} namespace" if self.namespace else "in any namespace"
        return f"No models cached {where}; try: kubectl fluidmodel cache --help"

    def print(self, snapshot: Snapshot, live: LiveDetails | None = None) -> None:
        """Print the caches to stdout, and what could not be read to stderr."""
        from kubectl_fluidmodel.snapshot.snapshot import summarize_failures

        caches = self.describe(snapshot, live=live)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        color = wants_color(sys.stdout, self.options.color)
        text, left_out = self.render(caches, snapshot, width, color)
        click.echo(text, nl=False, color=color)
        if not caches and self.options.output not in ("json", "yaml"):
            print_note(self.empty_message())
        elif left_out:
            listed = ", ".join(left_out)
            print_note(f"note: no room for {listed}; a wider terminal or a pipe shows all")
        if self.options.output not in ("json", "yaml"):
            for line in summarize_failures(snapshot.read_failures):
                print_note(f"note: not all is shown: {line}")


def _namespace_flag(namespace: str | None) -> str:
    return f" -n {namespace}" if namespace else ""


def _require_datasets_readable(snapshot: Snapshot, namespace: str | None) -> None:
    """A view of nothing must not look like a cluster without caches."""
    if not snapshot.is_served(names.DATASETS):
        raise FluidModelError(
            "there are no cached models here",
            "Fluid is not installed: the API server has no kind Dataset",
            "kubectl fluidmodel doctor",
        )
    missing = snapshot.read_failure(names.DATASETS)
    if missing is None or snapshot.of_kind(names.DATASETS):
        return
    where = "in all namespaces" if namespace is None else f"in namespace {namespace}"
    try_ = "-n NAMESPACE" if namespace is None else f"kubectl auth can-i list {missing.resource}"
    raise FluidModelError(
        f"cannot list {missing.resource} {where}",
        missing.why,
        try_ + (_namespace_flag(namespace) if namespace else ""),
    )


def run_once(client: Client, command: InspectCommand, *, offline: bool) -> None:
    """Read the cluster once and print its caches.

    Args:
        client: The cluster.
        command: What to show.
        offline: Whether only the API server is asked.

    Raises:
        FluidModelError: the cluster cannot be read, or has no such cache.
    """
    from kubectl_fluidmodel.snapshot import collector, queries

    with ThreadPoolExecutor(1) as pool:
        snapshot_read = pool.submit(
            collector.collect, client, command.namespace, queries.INSPECT_QUERIES
        )
        command.preload_modules()
        snapshot = snapshot_read.result()
    if not command.options.name or offline or command.options.output == "name":
        from kubectl_fluidmodel.inspect.details import LiveDetails

        reason = "not read (--offline)" if offline else "name the cache to see its files"
        command.print(snapshot, LiveDetails(files_reason=reason))
        return
    (cache,) = command.require_caches(snapshot)
    command.print(snapshot, fetch_live_details(client, snapshot, cache))


def fetch_live_details(client: Client, snapshot: Snapshot, cache: Cache) -> LiveDetails:
    """Ask the cache's master, its bucket and the Hub, at the same time.

    The master's answers go into the snapshot.
    """
    from kubectl_fluidmodel.inspect import remote
    from kubectl_fluidmodel.inspect.details import LiveDetails
    from kubectl_fluidmodel.inventory import master_report
    from kubectl_fluidmodel.snapshot.pod_commands import PodCommand, run_commands

    key = (cache.namespace, cache.name)
    pod, reason = master_report.find_master_pod(cache)
    commands = [
        PodCommand(
            master_report.command_key(*key, list(command)), cache.namespace, *pod, tuple(command)
        )
        for command in (master_report.LIST_COMMAND, master_report.CAPACITY_COMMAND)
        if pod is not None
    ]
    with ThreadPoolExecutor(3) as pool:
        answered = pool.submit(run_commands, client, snapshot, commands)
        hub = pool.submit(remote.latest_hub_commit, cache)
        staged = pool.submit(remote.read_staging_manifest, cache, client)
        error, commit, manifest = answered.result(), hub.result(), staged.result()
    return LiveDetails(
        hub={key: commit} if commit else {},
        staged={key: manifest} if manifest else {},
        files_reason=reason or f"could not query the Alluxio master: {error}",
    )
