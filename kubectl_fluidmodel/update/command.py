"""One command line of `update`: the plan alone, or the run."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from kubectl_fluidmodel.cache.apply import dry_run_on_server
from kubectl_fluidmodel.cache.hub_staging import HubStaging
from kubectl_fluidmodel.errors import CommandInterruptedError, FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.objects.plugin_pod import no_image_error
from kubectl_fluidmodel.output.console import print_note, wants_color
from kubectl_fluidmodel.output.live import ProgressView
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.output.units import pluralize
from kubectl_fluidmodel.pin.workflow import Watchdog
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.update import view
from kubectl_fluidmodel.update.options import CACHE, PIN, RETIRE, UpdateOptions
from kubectl_fluidmodel.update.plan import plan_steps
from kubectl_fluidmodel.update.planning import Planner, Target, UpdatePlan, find_target
from kubectl_fluidmodel.update.workflow import UpdateWorkflow, recovery_note

HopelessCheck = Callable[[Client, str], Callable[[], None]]
"""Creates, for the cluster and a cache, the check that ends a wait that cannot succeed."""


@dataclass(frozen=True)
class UpdateCommand:
    """One command line, with what it needs."""

    options: UpdateOptions
    connection: ConfigFlags
    output: str | None
    color: str
    hopeless_check: HopelessCheck
    watchdog: Watchdog

    def dry_run(self, *, on_server: bool) -> int:
        """Print the steps; write nothing.

        Args:
            on_server: Whether the API server also checks permissions and objects.

        Returns:
            The exit code.
        """
        client = Client.connect(self.connection)
        target = find_target(client, self.options)
        if target.state.is_done:
            return self._report_done(client, target)
        plan = self._planner(client).plan(target, read_only=not on_server)
        if plan.staging.job.lacks_image and not plan.facts.status.has_manifest:
            print_note(f"note: {no_image_error()}")
        if on_server:
            dry_run_on_server(client, plan.objects, print_note)
        self._print_plan(plan)
        return 0

    def run(self) -> int:
        """Run the steps, and print the result.

        Returns:
            The exit code.

        Raises:
            FluidModelError: a step failed; a note says what serves, and how to go on or back.
        """
        client, options = Client.connect(self.connection), self.options
        target = find_target(client, options)
        if target.state.is_done:
            return self._report_done(client, target)
        deadline = time.monotonic() + options.timeout
        with ProgressView(color=self.color) as reporter:
            planner = Planner(client, options, reporter, self.hopeless_check)
            work = UpdateWorkflow(
                client,
                options,
                self.connection,
                self.color,
                self.watchdog,
                reporter.log,
                deadline,
                prints_documents=self.output is not None,
            )
            with self._recovery(work, target):
                reporter.log(view.headline(target.state, target.repo, target.revision))
                plan = planner.plan(target, read_only=False)
                staging = work.stage_and_cache(plan)
        work.log = print_note
        with self._recovery(work, target):
            if PIN in options.steps:
                work.move_graphs(target)
            if RETIRE in options.steps:
                work.retire(target.state.commit)
        if self.output is None:
            self._print_result(work, target)
        else:
            self._print_document(work, plan, staging)
        return 0

    def _planner(self, client: Client) -> Planner:
        return Planner(client, self.options, ProgressView(color=self.color), self.hopeless_check)

    def _report_done(self, client: Client, target: Target) -> int:
        """Print that there is nothing to update.

        Returns:
            The exit code.
        """
        if self.output is None:
            self._print_done(target)
        else:
            self._print_plan(self._planner(client).plan(target, read_only=True))
        return 0

    # -- output ------------------------------------------------------------------------------

    @contextmanager
    def _recovery(self, work: UpdateWorkflow, target: Target) -> Iterator[None]:
        """If something was written before a failure, print how to go on or back.

        Raises:
            CommandInterruptedError: the run was interrupted.
        """
        try:
            yield
        except (FluidModelError, KeyboardInterrupt) as err:
            if work.step:
                work.log(f"note: {recovery_note(self.options, target.state, work.step)}")
            if isinstance(err, FluidModelError):
                raise
            raise CommandInterruptedError(
                f"interrupted in step {work.step}" if work.step else "interrupted",
                "what was created stays" if work.step else "nothing was written",
                "the same command again to resume",
            ) from err

    def _print_plan(self, plan: UpdatePlan) -> None:
        target = plan.target
        if self.output is not None:
            self._echo(view.update_document(plan.state, plan.facts, target.revision, plan.steps))
            return
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        color = wants_color(sys.stdout, self.color)
        click.echo(view.headline(plan.state, target.repo, target.revision))
        click.echo(view.steps_text(plan.steps, width=width, color=color), nl=False)

    def _print_document(self, work: UpdateWorkflow, plan: UpdatePlan, staging: HubStaging) -> None:
        """Print the state after the run, with what the run moved and removed."""
        options = replace(self.options, revision=plan.state.commit)
        state = find_target(work.client, options).state
        facts = replace(plan.facts, status=staging.status())
        steps = plan_steps(state, self.options, facts, plan.ahead.desired)
        done = (work.moved, work.removed)
        self._echo(view.update_document(state, facts, plan.target.revision, steps, *done))

    def _echo(self, document: dict[str, Any]) -> None:
        from kubectl_fluidmodel.output.serialize import format_document

        click.echo(format_document(document, self.output or "yaml"), nl=False)

    def _print_done(self, target: Target) -> None:
        state, revision = target.state, target.revision
        newest = (
            "" if revision == state.commit else f", the newest of hf://{target.repo} ({revision})"
        )
        click.echo(f"{state.name} is at commit {state.commit[:12]}{newest}: nothing to update")

    def _print_result(self, work: UpdateWorkflow, target: Target) -> None:
        state, options = target.state, self.options
        last = options.steps[-1]
        if last != RETIRE and not (options.in_place and last == CACHE):
            click.echo(f"update of {options.name} to {state.commit[:12]}: step {last} is done")
            print_note("next: the same command without --to-step, or with a later step")
            return
        moved = f", {pluralize(len(work.moved), 'graph')} moved" if work.moved else ""
        removed = f", {', '.join(work.removed)} removed" if work.removed else ""
        click.echo(f"{state.name} serves commit {state.commit[:12]}{moved}{removed}")
        if work.removed:
            prune = kubectl("fluidmodel", "prune", namespace=state.namespace)
            print_note(f"the files of the old commit stay in the bucket; see {prune}")
