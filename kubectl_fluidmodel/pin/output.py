"""What `pin` and `unpin` print of graphs that they changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.dynamo.json_patch import kustomize_patch
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.console import print_note, print_warning, wants_color
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import format_objects, kubectl_name, to_yaml
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.pin import report

if TYPE_CHECKING:
    from kubectl_fluidmodel.cli.pin_options import PinOptions
    from kubectl_fluidmodel.dynamo.rollout import RolloutStatus
    from kubectl_fluidmodel.pin.graph_patch import GraphChange
    from kubectl_fluidmodel.pin.preflight.context import CacheInfo, PreflightFinding

_DRY = {"none": "", "client": " (dry run)", "server": " (server dry run)"}


def for_each_graph(graphs: tuple[str, ...], handle_graph: Callable[[str], None]) -> int:
    """Work on every graph, whatever becomes of the others; failures are told at the end.

    Raises:
        FluidModelError: the first failure; the others have been printed.
    """
    failures: list[FluidModelError] = []
    for graph in graphs:
        try:
            handle_graph(graph)
        except FluidModelError as err:
            if err.exit_code not in (1, 124):
                raise
            failures.append(err)
    for failure in failures[1:]:
        sys.stderr.write(f"error: {escape_control(str(failure))}\n")
    if failures:
        raise failures[0]
    return 0


def print_diff_text(text: str, beside: bool, color: str) -> None:
    """A diff on stdout, or on stderr where something else goes to stdout."""
    stream = sys.stderr if beside else sys.stdout
    wanted = wants_color(stream, color)
    click.echo(report.color_diff(text) if wanted else text, nl=False, file=stream, color=wanted)


class PinPrinter:
    """One run's output: words and tables, or objects and patches, which come at the end."""

    def __init__(self, verb: str, asked: PinOptions) -> None:
        self.verb = verb
        self.model = asked.name
        self.output = asked.output
        self.show_diff = asked.show_diff or asked.dry_run != "none"
        self.dry_run = asked.dry_run
        self.color = asked.color
        self.objects: list[Object] = []
        self.patches: list[dict[str, object]] = []

    def print_unchanged(self, planned: GraphChange, why: str = "") -> None:
        if self.output is None:
            why = why or f"already {self.verb} {self.model}"
            click.echo(f"{kubectl_name(planned.before)} unchanged ({why})")
        self.objects.append(planned.before)

    def print_diff(self, planned: GraphChange, stored: Object) -> None:
        """The change, where it was asked for: on stdout, or beside what goes there."""
        if self.show_diff:
            text = report.object_diff(planned.before, stored, planned.reference)
            print_diff_text(text, self.output is not None, self.color)

    def print_changed(self, planned: GraphChange, stored: Object) -> None:
        if self.dry_run != "none":
            self.print_diff(planned, stored)
        if self.output is None:
            click.echo(
                f"{kubectl_name(planned.before)} {self.verb} {self.model}{_DRY[self.dry_run]}"
            )
            what = "GETS" if self.verb.startswith("pinned") else "HAD"
            click.echo(report.component_table(planned.result, what), nl=False)
        self.objects.append(stored)
        self.patches.append(kustomize_patch(planned.before, planned.operations, to_yaml))

    def print_patch_for_git(self, planned: GraphChange) -> None:
        """The patch on stderr, for an object that somebody else will write again."""
        if self.output != "patch":
            patch = kustomize_patch(planned.before, planned.operations, to_yaml)
            print_note(report.kustomization([patch]).rstrip("\n"))

    def print_rollout(self, planned: GraphChange, progress: RolloutStatus) -> None:
        """Every pod, where it runs, and whether the cache is there."""
        text = report.rollout_table(progress)
        click.echo(text, nl=False, err=self.output is not None)
        if progress.done and not progress.misplaced:
            print_note(
                f"{planned.reference}: {pluralize(progress.total, 'pod')} ready"
                f", {sum(row.on_cache_node for row in progress.pods)} on a cache node"
            )

    def __enter__(self) -> PinPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        """Print what goes out as documents, also after a failure: those graphs are written."""
        if self.output == "patch" and (self.patches or self.objects):
            click.echo(report.kustomization(self.patches), nl=False)
        elif self.output is not None and self.objects:
            click.echo(
                format_objects([_without_managed_fields(obj) for obj in self.objects], self.output),
                nl=False,
            )


def require_cache_label(info: CacheInfo) -> None:
    """Without a cache there is no label to pin to, with or without --force."""
    from kubectl_fluidmodel.pin.preflight.cache import no_cache_finding

    if not info.key:
        verdict = no_cache_finding(info)
        raise FluidModelError(verdict.message, verdict.reason, verdict.hint)


def enforce_preflight(change: GraphChange, force: bool, printer: PinPrinter) -> None:
    """Say what the preflight found; raise its first refusal."""
    from kubectl_fluidmodel.pin.preflight.gitops import detect_gitops_tool

    refusals: list[PreflightFinding] = []
    for verdict in change.findings:
        if verdict.level == "refuse" and not force:
            refusals.append(verdict)
        elif verdict.level == "note":
            print_note(f"note: {verdict}")
        elif change.result.changed or verdict.level == "refuse":
            print_warning(str(verdict))
    if change.result.changed and detect_gitops_tool(change.before):
        printer.print_patch_for_git(change)
    if refusals and (change.result.changed or any(each.even_if_pinned for each in refusals)):
        if printer.dry_run != "none":
            printer.print_diff(change, change.result.object)
        for other in refusals[1:]:
            print_warning(f"also: {other}")
        first = refusals[0]
        raise FluidModelError(
            f"{change.reference} was not pinned: {first.message}",
            first.reason,
            first.hint or "--force to patch it all the same",
        )


def _without_managed_fields(obj: Object) -> Object:
    """An object as kubectl prints it: without managedFields."""
    metadata = {k: v for k, v in obj.get("metadata", {}).items() if k != "managedFields"}
    return {**obj, "metadata": metadata}
