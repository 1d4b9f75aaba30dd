"""The steps of `update`: stage, cache, pin, retire.

Each step is that of another command, and does nothing where its work is done. So an update can be
interrupted anywhere, and the same command continues. The old cache is removed last, when nothing
reads it, and until then it is unchanged.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import field, replace

from kubectl_fluidmodel.cache import apply, removal
from kubectl_fluidmodel.cache.hub_staging import HubStaging
from kubectl_fluidmodel.cache.name_conflicts import require_own_secret
from kubectl_fluidmodel.cache.summary import summary_text
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.inventory.succession import replaced_name
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.wait import wait_until_empty
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.plugin_pod import no_image_error
from kubectl_fluidmodel.output.console import print_note, print_warning
from kubectl_fluidmodel.output.shell import Operand, chain, kubectl
from kubectl_fluidmodel.output.units import list_first
from kubectl_fluidmodel.pin.options import PinOptions
from kubectl_fluidmodel.pin.run import run_pin
from kubectl_fluidmodel.pin.workflow import Watchdog
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.update.options import CACHE, PIN, RETIRE, STAGE, UpdateOptions
from kubectl_fluidmodel.update.planning import (
    Target,
    UpdatePlan,
    find_target,
    staging_of,
    with_secret,
)
from kubectl_fluidmodel.update.state import GraphUse, OldCache, UpdateState
from kubectl_fluidmodel.update.stopping import graph_stops, stop_texts

_DRAIN_TIMEOUT = 90.0
"""Seconds to wait for the last pods of moved graphs to end, before the old cache is removed."""
_POLL = 1.0


@dataclass
class UpdateWorkflow:
    """One run of `update` against a cluster."""

    client: Client
    options: UpdateOptions
    connection: ConfigFlags
    color: str
    watchdog: Watchdog
    log: Callable[[str], None] = print_note
    deadline: float = 0.0
    """The time.monotonic() at which every wait ends."""
    step: str = ""
    """The step that is running; empty before the first write."""
    moved: list[str] = field(default_factory=list)
    """The graphs that were moved."""
    removed: list[str] = field(default_factory=list)
    """The caches that were removed."""
    prints_documents: bool = False
    """Whether stdout is for a document alone, so that the tables of `pin` go to stderr."""

    def stage_and_cache(self, plan: UpdatePlan) -> HubStaging:
        """Stage the commit, and build and verify its cache, up to the last step to run.

        Returns:
            How it was staged: with the new cache's Secret, which is there after `retire`.

        Raises:
            FluidModelError: names the obstacle; the old cache is unchanged.
        """
        staging = plan.staging
        if staging.job.lacks_image and not plan.facts.status.has_manifest:
            raise no_image_error()
        apply.dry_run_on_server(self.client, plan.objects, lambda _: None)
        self.step = STAGE
        workflow = plan.workflow
        if plan.shared_secret is not None:
            copy = self._copy_secret(plan.shared_secret, plan.state.name)
            workflow = with_secret(workflow, copy)
        staging = staging_of(workflow)
        workflow.stage(staging)
        if CACHE not in self.options.steps:
            return staging
        self.step = CACHE
        if self.options.in_place:
            self._require_stopped(plan)
        for old in plan.state.old:
            self._forget_replacement(old, plan.state.name)
        checked = workflow.after_staging(plan.checked)
        result = workflow.build(checked)
        self.log(summary_text(result).splitlines()[0])
        return staging

    def move_graphs(self, target: Target) -> None:
        """Move the graphs of the old caches one by one, each when the one before is ready.

        Raises:
            FluidModelError: a graph does not become ready, or you have to move it.
        """
        self.step = PIN
        for old in target.state.old:
            for graph in old.graphs:
                if not graph.obstacle:
                    self._move(graph.reference, old, target.state.name)
            for reference in old.rolling:
                self._move(reference, old, target.state.name)
        manual = [(old, graph) for old in target.state.old for graph in old.graphs]
        manual = [(old, graph) for old, graph in manual if graph.obstacle]
        for old, graph in manual[1:]:
            print_warning(_manual_text(old, graph))
        if manual:
            old, graph = manual[0]
            raise FluidModelError(
                f"{graph.reference} still reads {old.name}, and has to be moved by you",
                graph.obstacle,
                graph.solution,
            )

    def retire(self, commit: str) -> None:
        """Remove the old caches, if nothing reads them any more.

        Args:
            commit: The commit that this run updates to; its branch may have moved since.

        Raises:
            FluidModelError: a graph or a pod still reads one of them.
        """
        self.step = RETIRE
        state = find_target(self.client, replace(self.options, revision=commit)).state
        for old in state.old:
            if old.graphs:
                raise FluidModelError(
                    f"{old.name} is kept",
                    f"{', '.join(graph.reference for graph in old.graphs)} mounts it",
                    "the same command again",
                )
        for old in state.old:
            self._wait_until_unread(old)
            timeout = max(1.0, self.deadline - time.monotonic())
            for line in removal.uncache(
                self.client,
                state.namespace,
                old.name,
                force=False,
                timeout=timeout,
                warn=print_warning,
            ):
                self.log(line)
            self.removed.append(old.name)

    # -- steps -------------------------------------------------------------------------------

    def _copy_secret(self, secret: Object, name: str) -> str:
        """Copy the old cache's Secret for the new one, which outlives it, and return its name.

        Raises:
            FluidModelError: somebody else has a Secret of that name.
        """
        namespace = self.client.namespace
        copy = {**secrets.build_secret(name, namespace, {}), "data": secret.get("data") or {}}
        hint = f"--s3-secret {name_of(secret)}"
        require_own_secret(self.client, namespace, name_of(copy), hint)
        apply.apply_and_log(self.client, copy, self.log)
        return name_of(copy)

    def _forget_replacement(self, old: OldCache, name: str) -> None:
        """On the way back, the cache that replaced this one is now replaced by it."""
        if replaced_name(old.cache) == name:
            body = {"metadata": {"annotations": {names.REPLACES_ANNOTATION: None}}}
            self.client.patch(names.DATASETS, old.name, self.client.namespace, body)

    def _require_stopped(self, plan: UpdatePlan) -> None:
        """Raises: FluidModelError: pods read from the cache that is about to be recreated."""
        state = plan.state
        if not plan.ahead.desired.immutable_changes:  # it was recreated by an earlier run
            return
        pods = removal.pods_mounting(self.client, state.namespace, state.name)
        if pods:
            stops = graph_stops(state.template)
            for text, command in stop_texts(stops):
                self.log(f"note: {text} {command or ''}".rstrip())
            commands = [stop.stop for stop in stops if not stop.tool]
            hint = chain(*commands) if commands else "stop them"
            raise FluidModelError(
                f"{state.name} cannot be recreated yet",
                f"the new commit is staged, and pods read the old one: {', '.join(pods[:5])}",
                f"{hint}, then the same command again",
            )

    def _move(self, reference: str, old: OldCache, name: str) -> None:
        self.log(f"moving {reference} from {old.name} to {name}")
        options = PinOptions(
            cache=name,
            graphs=(reference,),
            filename=None,
            components=(),
            show_diff=False,
            dry_run="none",
            output=None,
            color=self.color,
            connection=self.connection,
            recreate=self.options.recreate,
            wait=True,
            timeout=max(1.0, self.deadline - time.monotonic()),
            replaces=old.name,
        )
        try:
            with redirect_stdout(sys.stderr if self.prints_documents else sys.stdout):
                run_pin(options, self.watchdog)
        except FluidModelError:
            pin = ("fluidmodel", "pin", Operand(old.name), Operand(reference), "--replace", name)
            back = kubectl(*pin, "--wait", namespace=self.client.namespace)
            print_note(f"to move only {reference} back: {back}")
            raise
        self.moved.append(reference)

    def _wait_until_unread(self, old: OldCache) -> None:
        """Wait for pods that are ending.

        Raises:
            FluidModelError: pods still read from the cache.
        """
        namespace = self.client.namespace
        deadline = min(self.deadline, time.monotonic() + _DRAIN_TIMEOUT)
        pods = wait_until_empty(
            lambda: removal.pods_mounting(self.client, namespace, old.name),
            deadline,
            interval=_POLL,
        )
        if pods:
            raise FluidModelError(
                f"{old.name} is kept",
                f"pods read it: {list_first(pods)}",
                "the same command again when they have ended",
            )


def _manual_text(old: OldCache, graph: GraphUse) -> str:
    solution = f" ({graph.solution})" if graph.solution else ""
    return f"{graph.reference} still reads {old.name}: {graph.obstacle}{solution}"


def recovery_note(options: UpdateOptions, state: UpdateState, step: str) -> str:
    """Return what serves after a failure in a step, and how to go on or back."""
    on = "to go on: the same command"
    if options.in_place:
        return on if step == CACHE else f"{state.name} is unchanged; {on}"
    if not state.old:
        return on
    old = state.old[-1]
    text = f"{old.name} still serves commit {old.commit[:12]}; {on}"
    if step in (PIN, RETIRE):
        text = f"{old.name} and {state.name} both serve; {on}"
    back = ("fluidmodel", "update", Operand(f"{options.name}@{old.commit[:12]}"))
    return (
        f"{text}; to go back: {kubectl(*back, *options.repeated_flags, namespace=state.namespace)}"
    )
