"""What `pin` and `unpin` print of graphs that they changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.dynamo.json_patch import kustomize
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.output.serialize import objects, reference, to_yaml
from kubectl_fluidmodel.output.text import note, plural, printable, wants_color, warn
from kubectl_fluidmodel.pin import report

if TYPE_CHECKING:
    from kubectl_fluidmodel.cli.pin_options import Asked
    from kubectl_fluidmodel.dynamo.rollout import Progress
    from kubectl_fluidmodel.pin.graph_patch import Plan
    from kubectl_fluidmodel.pin.preflight.context import CacheFacts, Verdict

_DRY = {"none": "", "client": " (dry run)", "server": " (server dry run)"}


def each(graphs: tuple[str, ...], one: Callable[[str], None]) -> int:
    """Work on every graph, whatever becomes of the others; failures are told at the end.

    Raises:
        FluidModelError: the first failure; the others have been printed.
    """
    failures: list[FluidModelError] = []
    for graph in graphs:
        try:
            one(graph)
        except FluidModelError as err:
            if err.exit_code not in (1, 124):
                raise
            failures.append(err)
    for failure in failures[1:]:
        sys.stderr.write(f"error: {printable(str(failure))}\n")
    if failures:
        raise failures[0]
    return 0


def print_diff(text: str, beside: bool, color: str) -> None:
    """A diff on stdout, or on stderr where something else goes to stdout."""
    stream = sys.stderr if beside else sys.stdout
    wanted = wants_color(stream, color)
    click.echo(report.colored(text) if wanted else text, nl=False, file=stream, color=wanted)


class Printer:
    """One run's output: words and tables, or objects and patches, which come at the end."""

    def __init__(self, verb: str, asked: Asked) -> None:
        self.verb = verb
        self.model = asked.name
        self.output = asked.output
        self.show_diff = asked.show_diff or asked.dry_run != "none"
        self.dry_run = asked.dry_run
        self.color = asked.color
        self.objects: list[Object] = []
        self.patches: list[dict[str, object]] = []

    def unchanged(self, planned: Plan, why: str = "") -> None:
        if self.output is None:
            why = why or f"already {self.verb} {self.model}"
            click.echo(f"{reference(planned.before)} unchanged ({why})")
        self.objects.append(planned.before)

    def diff(self, planned: Plan, stored: Object) -> None:
        """The change, where it was asked for: on stdout, or beside what goes there."""
        if self.show_diff:
            text = report.diff(planned.before, stored, planned.reference)
            print_diff(text, self.output is not None, self.color)

    def changed(self, planned: Plan, stored: Object) -> None:
        if self.dry_run != "none":
            self.diff(planned, stored)
        if self.output is None:
            click.echo(f"{reference(planned.before)} {self.verb} {self.model}{_DRY[self.dry_run]}")
            what = "GETS" if self.verb.startswith("pinned") else "HAD"
            click.echo(report.parts(planned.outcome, what), nl=False)
        self.objects.append(stored)
        self.patches.append(kustomize(planned.before, planned.operations, to_yaml))

    def patch_for_git(self, planned: Plan) -> None:
        """The patch on stderr, for an object that somebody else will write again."""
        if self.output != "patch":
            patch = kustomize(planned.before, planned.operations, to_yaml)
            note(report.kustomization([patch]).rstrip("\n"))

    def rollout(self, planned: Plan, progress: Progress) -> None:
        """Every pod, where it runs, and whether the cache is there."""
        text = report.rollout(progress)
        click.echo(text, nl=False, err=self.output is not None)
        if progress.done and not progress.astray:
            note(
                f"{planned.reference}: {plural(progress.total, 'pod')} ready"
                f", {sum(row.local for row in progress.rows)} on a cache node"
            )

    def __enter__(self) -> Printer:
        return self

    def __exit__(self, *_: object) -> None:
        """Print what goes out as documents, also after a failure: those graphs are written."""
        if self.output == "patch" and (self.patches or self.objects):
            click.echo(report.kustomization(self.patches), nl=False)
        elif self.output is not None and self.objects:
            click.echo(objects([_clean(obj) for obj in self.objects], self.output), nl=False)


def check_label(facts: CacheFacts) -> None:
    """Without a cache there is no label to pin to, with or without --force."""
    from kubectl_fluidmodel.pin.preflight.cache import absent

    if not facts.key:
        verdict = absent(facts)
        raise FluidModelError(verdict.what, verdict.why, verdict.try_)


def heed(planned: Plan, force: bool, printer: Printer) -> None:
    """Say what the preflight found; raise its first refusal."""
    from kubectl_fluidmodel.pin.preflight.gitops import manager

    refusals: list[Verdict] = []
    for verdict in planned.verdicts:
        if verdict.level == "refuse" and not force:
            refusals.append(verdict)
        elif verdict.level == "note":
            note(f"note: {verdict}")
        elif planned.outcome.changed or verdict.level == "refuse":
            warn(str(verdict))
    if planned.outcome.changed and manager(planned.before):
        printer.patch_for_git(planned)
    if refusals and (planned.outcome.changed or any(each.always for each in refusals)):
        if printer.dry_run != "none":
            printer.diff(planned, planned.outcome.object)
        for other in refusals[1:]:
            warn(f"also: {other}")
        first = refusals[0]
        raise FluidModelError(
            f"{planned.reference} was not pinned: {first.what}",
            first.why,
            first.try_ or "--force to patch it all the same",
        )


def _clean(obj: Object) -> Object:
    """An object as kubectl prints it: without managedFields."""
    metadata = {k: v for k, v in obj.get("metadata", {}).items() if k != "managedFields"}
    return {**obj, "metadata": metadata}
