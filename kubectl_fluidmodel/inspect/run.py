"""What `inspect` prints of a Snapshot, and what it asks besides for one cache.

What judges and draws is imported where it is needed: that is a good part of the run on a small
cluster, and `look` has it done while the API server is at work.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import selector as selectors
from kubectl_fluidmodel.output.text import print_note, wants_color

if TYPE_CHECKING:
    from kubectl_fluidmodel.inspect.details import CacheDetails
    from kubectl_fluidmodel.inventory.cache import Cache
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.snapshot.snapshot import Snapshot


@dataclass
class InspectCommand:
    """What was asked for."""

    name: str | None = None
    output: str | None = None
    selector: str | None = None
    sort_by: str | None = None
    header: bool = True
    color: str = "auto"
    all_namespaces: bool = False
    namespace: str | None = None
    """None for all."""
    _matches: selectors.Matches | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._matches = selectors.parse_selector(self.selector) if self.selector else None

    @property
    def _shows_warnings(self) -> bool:
        """Whether what `doctor` would say is shown."""
        return bool(self.name) or self.output in ("wide", "json", "yaml")

    def preload_modules(self) -> None:
        """Import what `show` will need in any case."""
        import kubectl_fluidmodel.inspect.details

        if self._shows_warnings:
            import kubectl_fluidmodel.inspect.doctor_warnings
        if self.output is None or self.output == "wide":
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
            and (not self.name or each.name == self.name)
        ]

    def require_caches(self, snapshot: Snapshot) -> list[Cache]:
        """As `caches`, where the one that was named has to be there.

        Raises:
            FluidModelError: there is none of that name.
        """
        found = self.select_caches(snapshot)
        if self.name and not found:
            raise FluidModelError(
                f"there is no cache {self.name}"
                + (f" in namespace {self.namespace}" if self.namespace else ""),
                "neither a Dataset nor a runtime has that name",
                f"kubectl fluidmodel inspect{_namespace_flag(self.namespace)}",
            )
        return found

    def describe(self, snapshot: Snapshot, **found_out: Any) -> list[CacheDetails]:
        """All that is known of them, in order."""
        from kubectl_fluidmodel.inspect.details import describe_caches

        caches = found_out.pop("caches", None) or self.require_caches(snapshot)
        if "warned" not in found_out and self._shows_warnings:
            from kubectl_fluidmodel.inspect.doctor_warnings import warnings_by_cache

            found_out["warned"] = warnings_by_cache(
                snapshot, namespace=self.namespace, name=self.name or ""
            )
        found = describe_caches(snapshot, caches=caches, **found_out)
        if self._matches:
            found = [one for one in found if self._matches(one.labels)]
        if self.sort_by:
            from kubectl_fluidmodel.inspect import table_view

            found.sort(key=table_view.SORT_KEYS[self.sort_by])
        return found

    def render(
        self, caches: Sequence[CacheDetails], snapshot: Snapshot, width: int | None, color: bool
    ) -> tuple[str, list[str]]:
        """What goes to stdout, and the columns that a narrow terminal has no room for."""
        left_out: list[str] = []
        if self.output in ("json", "yaml"):
            from kubectl_fluidmodel.inspect import document
            from kubectl_fluidmodel.output.serialize import to_json, to_yaml

            shown = (
                document.detail_document(caches[0], snapshot)
                if self.name
                else document.list_document(caches, snapshot)
            )
            return (to_json if self.output == "json" else to_yaml)(shown), left_out
        if self.output == "name":
            kind = names.DATASETS.resource.replace("datasets", "dataset")
            return "".join(f"{kind}/{one.name}\n" for one in caches), left_out
        if self.output == "tree":
            from kubectl_fluidmodel.inspect import tree
            from kubectl_fluidmodel.output import tree as tree_view

            return tree_view.format_tree(
                tree.cache_trees(caches), width=width, color=color
            ), left_out
        if self.name and self.output is None:
            from kubectl_fluidmodel.inspect import details_view as one_view

            return one_view.render_details(caches[0], width=width, color=color), left_out
        if not caches:
            return "", left_out
        from kubectl_fluidmodel.inspect import table_view

        text = table_view.render_table(
            caches,
            namespaces=self.all_namespaces,
            wide=self.output == "wide",
            width=width,
            color=color,
            header=self.header,
            left_out=left_out,
        )
        return text, left_out

    def empty_message(self) -> str:
        """What to say where there is nothing to show."""
        if self.selector:
            return f"No models match -l '{self.selector}'"
        where = f"in {self.namespace} namespace" if self.namespace else "in any namespace"
        return f"No models cached {where}; try: kubectl fluidmodel cache --help"

    def print(self, snapshot: Snapshot, **found_out: Any) -> None:
        """Print it, and on stderr what could not be read."""
        from kubectl_fluidmodel.snapshot.snapshot import summarize_failures

        caches = self.describe(snapshot, **found_out)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        color = wants_color(sys.stdout, self.color)
        text, left_out = self.render(caches, snapshot, width, color)
        click.echo(text, nl=False, color=color)
        if not caches and self.output not in ("json", "yaml"):
            print_note(self.empty_message())
        elif left_out:
            listed = ", ".join(left_out)
            print_note(f"note: no room for {listed}; a wider terminal or a pipe shows all")
        if self.output not in ("json", "yaml"):
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
    """One look at a cluster, printed."""
    from kubectl_fluidmodel.snapshot import collector, queries

    with ThreadPoolExecutor(1) as pool:
        snapshot_read = pool.submit(
            collector.collect, client, command.namespace, queries.INSPECT_QUERIES
        )
        command.preload_modules()
        snapshot = snapshot_read.result()
    if not command.name or offline or command.output == "name":
        why = "not asked for (--offline)" if offline else "name the cache to see its files"
        command.print(snapshot, files_why=why)
        return
    (cache,) = command.require_caches(snapshot)
    command.print(snapshot, **fetch_live_details(client, snapshot, cache))


def fetch_live_details(client: Client, snapshot: Snapshot, cache: Cache) -> Mapping[str, Any]:
    """What the cache's master, its bucket and the Hub say, asked side by side."""
    from kubectl_fluidmodel.inspect import remote
    from kubectl_fluidmodel.inventory import master_report
    from kubectl_fluidmodel.snapshot.pod_commands import PodCommand, run_commands

    key = (cache.namespace, cache.name)
    place, why = master_report.find_master_pod(cache)
    questions = [
        PodCommand(
            master_report.text_key(*key, list(command)), cache.namespace, *place, tuple(command)
        )
        for command in (master_report.LIST_COMMAND, master_report.CAPACITY_COMMAND)
        if place is not None
    ]
    jobs: dict[str, Callable[[], Any]] = {
        "files": lambda: run_commands(client, snapshot, questions),
        "hub": lambda: remote.latest_hub_commit(cache),
        "staged": lambda: remote.read_staging_manifest(cache, client),
    }
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = {name: pool.submit(job) for name, job in jobs.items()}
        results = {name: job.result() for name, job in running.items()}
    return {
        "files_why": why or f"the master was not heard: {results['files']}",
        "hub": {key: results["hub"]} if results["hub"] else {},
        "staged": {key: results["staged"]} if results["staged"] else {},
    }
