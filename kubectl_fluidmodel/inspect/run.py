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
from kubectl_fluidmodel.output.text import note, wants_color

if TYPE_CHECKING:
    from kubectl_fluidmodel.inspect.details import Inspection
    from kubectl_fluidmodel.inventory.cache import Cached
    from kubectl_fluidmodel.kube.client import Client
    from kubectl_fluidmodel.snapshot.snapshot import Snapshot


@dataclass
class View:
    """What was asked for."""

    name: str | None = None
    output: str | None = None
    selector: str | None = None
    sort_by: str | None = None
    header: bool = True
    color: str = "auto"
    everywhere: bool = False
    namespace: str | None = None
    """None for all."""
    _matches: selectors.Matches | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._matches = selectors.parse(self.selector) if self.selector else None

    @property
    def _warns(self) -> bool:
        """Whether what `doctor` would say is shown."""
        return bool(self.name) or self.output in ("wide", "json", "yaml")

    def prepare(self) -> None:
        """Import what `show` will need in any case."""
        import kubectl_fluidmodel.inspect.details

        if self._warns:
            import kubectl_fluidmodel.inspect.doctor_warnings
        if self.output is None or self.output == "wide":
            import kubectl_fluidmodel.inspect.details_view
            import kubectl_fluidmodel.inspect.table_view  # noqa: F401

    # -- what is shown -----------------------------------------------------------------------

    def caches(self, snapshot: Snapshot) -> list[Cached]:
        """The caches that were asked for.

        Raises:
            FluidModelError: none can be seen at all.
        """
        from kubectl_fluidmodel.inventory.cache import link

        _check(snapshot, self.namespace)
        return [
            each
            for each in link(snapshot)
            if (self.namespace is None or each.namespace == self.namespace)
            and (not self.name or each.name == self.name)
        ]

    def pick(self, snapshot: Snapshot) -> list[Cached]:
        """As `caches`, where the one that was named has to be there.

        Raises:
            FluidModelError: there is none of that name.
        """
        found = self.caches(snapshot)
        if self.name and not found:
            raise FluidModelError(
                f"there is no cache {self.name}"
                + (f" in namespace {self.namespace}" if self.namespace else ""),
                "neither a Dataset nor a runtime has that name",
                f"kubectl fluidmodel inspect{_flag(self.namespace)}",
            )
        return found

    def inspections(self, snapshot: Snapshot, **found_out: Any) -> list[Inspection]:
        """All that is known of them, in order."""
        from kubectl_fluidmodel.inspect.details import inspect

        caches = found_out.pop("caches", None) or self.pick(snapshot)
        if "warned" not in found_out and self._warns:
            from kubectl_fluidmodel.inspect.doctor_warnings import warned

            found_out["warned"] = warned(snapshot, namespace=self.namespace, name=self.name or "")
        found = inspect(snapshot, caches=caches, **found_out)
        if self._matches:
            found = [one for one in found if self._matches(one.labels)]
        if self.sort_by:
            from kubectl_fluidmodel.inspect import table_view

            found.sort(key=table_view.SORTS[self.sort_by])
        return found

    def text(
        self, caches: Sequence[Inspection], snapshot: Snapshot, width: int | None, color: bool
    ) -> tuple[str, list[str]]:
        """What goes to stdout, and the columns that a narrow terminal has no room for."""
        left_out: list[str] = []
        if self.output in ("json", "yaml"):
            from kubectl_fluidmodel.inspect import document
            from kubectl_fluidmodel.output.serialize import to_json, to_yaml

            shown = (
                document.single(caches[0], snapshot)
                if self.name
                else document.listed(caches, snapshot)
            )
            return (to_json if self.output == "json" else to_yaml)(shown), left_out
        if self.output == "name":
            kind = names.DATASETS.resource.replace("datasets", "dataset")
            return "".join(f"{kind}/{one.name}\n" for one in caches), left_out
        if self.output == "tree":
            from kubectl_fluidmodel.inspect import tree
            from kubectl_fluidmodel.output import tree as tree_view

            return tree_view.draw(tree.forest(caches), width=width, color=color), left_out
        if self.name and self.output is None:
            from kubectl_fluidmodel.inspect import details_view as one_view

            return one_view.draw(caches[0], width=width, color=color), left_out
        if not caches:
            return "", left_out
        from kubectl_fluidmodel.inspect import table_view

        text = table_view.draw(
            caches,
            namespaces=self.everywhere,
            wide=self.output == "wide",
            width=width,
            color=color,
            header=self.header,
            left_out=left_out,
        )
        return text, left_out

    def empty(self) -> str:
        """What to say where there is nothing to show."""
        if self.selector:
            return f"No models match -l '{self.selector}'"
        where = f"in {self.namespace} namespace" if self.namespace else "in any namespace"
        return f"No models cached {where}; try: kubectl fluidmodel cache --help"

    def show(self, snapshot: Snapshot, **found_out: Any) -> None:
        """Print it, and on stderr what could not be read."""
        from kubectl_fluidmodel.snapshot.snapshot import summed_up

        caches = self.inspections(snapshot, **found_out)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        color = wants_color(sys.stdout, self.color)
        text, left_out = self.text(caches, snapshot, width, color)
        click.echo(text, nl=False, color=color)
        if not caches and self.output not in ("json", "yaml"):
            note(self.empty())
        elif left_out:
            listed = ", ".join(left_out)
            note(f"note: no room for {listed}; a wider terminal or a pipe shows all")
        if self.output not in ("json", "yaml"):
            for line in summed_up(snapshot.missing):
                note(f"note: not all is shown: {line}")


def _flag(namespace: str | None) -> str:
    return f" -n {namespace}" if namespace else ""


def _check(snapshot: Snapshot, namespace: str | None) -> None:
    """A view of nothing must not look like a cluster without caches."""
    if not snapshot.served(names.DATASETS):
        raise FluidModelError(
            "there are no cached models here",
            "Fluid is not installed: the API server has no kind Dataset",
            "kubectl fluidmodel doctor",
        )
    missing = snapshot.why_missing(names.DATASETS)
    if missing is None or snapshot.all(names.DATASETS):
        return
    where = "in all namespaces" if namespace is None else f"in namespace {namespace}"
    try_ = "-n NAMESPACE" if namespace is None else f"kubectl auth can-i list {missing.resource}"
    raise FluidModelError(
        f"cannot list {missing.resource} {where}",
        missing.why,
        try_ + (_flag(namespace) if namespace else ""),
    )


def look(client: Client, view: View, *, offline: bool) -> None:
    """One look at a cluster, printed."""
    from kubectl_fluidmodel.snapshot import collector, queries

    with ThreadPoolExecutor(1) as aside:
        taking = aside.submit(collector.take, client, view.namespace, queries.INSPECT)
        view.prepare()
        snapshot = taking.result()
    if not view.name or offline or view.output == "name":
        why = "not asked for (--offline)" if offline else "name the cache to see its files"
        view.show(snapshot, files_why=why)
        return
    (cache,) = view.pick(snapshot)
    view.show(snapshot, **beyond(client, snapshot, cache))


def beyond(client: Client, snapshot: Snapshot, cache: Cached) -> Mapping[str, Any]:
    """What the cache's master, its bucket and the Hub say, asked side by side."""
    from kubectl_fluidmodel.inspect import remote
    from kubectl_fluidmodel.inventory import master_report
    from kubectl_fluidmodel.snapshot.pod_commands import Question, ask

    key = (cache.namespace, cache.name)
    place, why = master_report.master(cache)
    questions = [
        Question(master_report.key(*key, list(command)), cache.namespace, *place, tuple(command))
        for command in (master_report.LISTING, master_report.CAPACITY)
        if place is not None
    ]
    jobs: dict[str, Callable[[], Any]] = {
        "files": lambda: ask(client, snapshot, questions),
        "hub": lambda: remote.newest(cache),
        "staged": lambda: remote.proven(cache, client),
    }
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = {name: pool.submit(job) for name, job in jobs.items()}
        said = {name: job.result() for name, job in running.items()}
    return {
        "files_why": why or f"the master was not heard: {said['files']}",
        "hub": {key: said["hub"]} if said["hub"] else {},
        "staged": {key: said["staged"]} if said["staged"] else {},
    }
