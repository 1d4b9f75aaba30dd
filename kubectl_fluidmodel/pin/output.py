"""Prints the results of `pin` and `unpin`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.dynamo.gitops import detect_gitops_tool
from kubectl_fluidmodel.dynamo.json_patch import kustomize_patch
from kubectl_fluidmodel.dynamo.pin_annotation import read_pins
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object, metadata_of
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.output.console import print_note, print_warning
from kubectl_fluidmodel.output.escaping import escape_control
from kubectl_fluidmodel.output.serialize import format_objects, kubectl_name, to_yaml
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.pin import report
from kubectl_fluidmodel.pin.diff import object_diff, print_diff
from kubectl_fluidmodel.pin.preflight.context import NOTE, REFUSE, PreflightFinding

if TYPE_CHECKING:
    from kubectl_fluidmodel.dynamo.rollout import RolloutStatus
    from kubectl_fluidmodel.pin.graph_patch import GraphChange
    from kubectl_fluidmodel.pin.options import PinOptions

_DRY_RUN_NOTES = {"none": "", "client": " (dry run)", "server": " (server dry run)"}


def for_each_graph(graphs: tuple[str, ...], handle_graph: Callable[[str], None]) -> None:
    """Handle every graph, even if others fail, and report failures at the end.

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


class PinPrinter:
    """The output of one run: text and tables, or documents, which are printed at the end."""

    def __init__(self, verb: str, options: PinOptions) -> None:
        self.verb = verb
        """`pinned to` or `unpinned from`."""
        self.options = options
        self.objects: list[Object] = []
        self.patches: list[dict[str, object]] = []

    def enforce(
        self, change: GraphChange, findings: list[PreflightFinding], *, force: bool
    ) -> None:
        """Print the preflight's findings.

        Raises:
            FluidModelError: the first refusal, unless `force` turns it into a warning.
        """
        changed = change.result.changed
        refusals = [finding for finding in findings if finding.level == REFUSE and not force]
        for finding in findings:
            if finding.level == NOTE:
                print_note(f"note: {finding}")
            elif finding not in refusals and (
                changed or finding.level == REFUSE or finding.even_if_pinned
            ):
                print_warning(str(finding))
        if changed and self.options.output != "patch" and detect_gitops_tool(change.before):
            print_note(report.kustomization([_patch(change)]).rstrip("\n"))
        if not refusals or not (changed or any(refusal.even_if_pinned for refusal in refusals)):
            return
        if self.options.dry_run != "none":
            self.print_diff(change, change.result.object)
        for refusal in refusals[1:]:
            print_warning(f"also: {refusal}")
        first = refusals[0]
        raise FluidModelError(
            f"{change.reference} was not pinned: {first.message}",
            first.reason,
            first.hint or "--force to patch it anyway",
        )

    def print_unchanged(self, change: GraphChange) -> None:
        if self.options.output is None:
            cache = self.options.cache
            reason = change.result.reason_unchanged() or f"already {self.verb} {cache}"
            if self.verb.startswith("unpinned"):
                reason = f"it is not pinned to {cache} by this plugin"
            elif self.options.adopt and cache not in read_pins(change.before).caches():
                reason = f"no component is pinned to {cache} by hand"
            click.echo(f"{kubectl_name(change.before)} unchanged ({reason})")
        self.objects.append(change.before)

    def print_diff(self, change: GraphChange, stored: Object) -> None:
        """Print the change, if it was requested or nothing is written."""
        if self.options.show_diff or self.options.dry_run != "none":
            print_diff(object_diff(change.before, stored, change.reference), self.options)

    def print_changed(self, change: GraphChange, stored: Object) -> None:
        if self.options.dry_run != "none":
            self.print_diff(change, stored)
        if self.options.output is None:
            verb = "adopted for" if self.options.adopt else self.verb
            dry_run = _DRY_RUN_NOTES[self.options.dry_run]
            click.echo(f"{kubectl_name(change.before)} {verb} {self.options.cache}{dry_run}")
            heading = "GETS" if verb == "pinned to" else "HAD"
            click.echo(report.component_table(change.result, heading), nl=False)
        self.objects.append(stored)
        self.patches.append(_patch(change))

    def print_wait_hint(self, change: GraphChange) -> None:
        """Print the command that waits for the roll-out."""
        kind, _, name = change.reference.partition("/")
        arguments = shell.operands(
            [self.options.cache, name if kind == "dgd" else change.reference]
        )
        flags = ["-n", change.namespace] if change.namespace != "default" else []
        command = shell.command("kubectl", "fluidmodel", "pin", *arguments, *flags, "--wait")
        print_note(f"to wait for the roll-out: {command}")

    def print_rollout(self, change: GraphChange, status: RolloutStatus) -> None:
        """Print every pod, its node, and whether the cache is there."""
        click.echo(report.rollout_table(status), nl=False, err=self.options.output is not None)
        if status.done and not status.misplaced:
            local = [pod.on_cache_node for pod in status.pods]
            location = "" if None in local else f", {local.count(True)} on a cache node"
            print_note(f"{change.reference}: {pluralize(status.total, 'pod')} ready{location}")

    def __enter__(self) -> PinPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        """Print the documents, also after a failure, because earlier graphs were written."""
        output = self.options.output
        if output == "patch" and (self.patches or self.objects):
            click.echo(report.kustomization(self.patches), nl=False)
        elif output is not None and self.objects:
            shown = [_without_managed_fields(obj) for obj in self.objects]
            click.echo(format_objects(shown, output), nl=False)


def _patch(change: GraphChange) -> dict[str, object]:
    return kustomize_patch(change.before, change.operations, to_yaml)


def _without_managed_fields(obj: Object) -> Object:
    """An object as kubectl prints it."""
    metadata = {key: value for key, value in metadata_of(obj).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}
