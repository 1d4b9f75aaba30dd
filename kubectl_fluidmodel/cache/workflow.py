"""The steps of `cache`: preflight, stage, plan, execute, verify. Start at `run`.

Each step can be interrupted: what was created stays, and the same command continues.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import field, replace

from kubectl_fluidmodel.cache import (
    apply,
    name_conflicts,
    nodes,
    preflight,
    preheating,
    quota_check,
    recreation,
    resizing,
)
from kubectl_fluidmodel.cache.desired import DesiredCache
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.hub_staging import HubStaging
from kubectl_fluidmodel.cache.loader import CacheLoader
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.plan import CachePlan, plan_cache
from kubectl_fluidmodel.cache.preflight import PreflightResult
from kubectl_fluidmodel.cache.preheating import Preheating
from kubectl_fluidmodel.cache.progress import CacheProgress
from kubectl_fluidmodel.cache.read_verification import expected_files
from kubectl_fluidmodel.cache.source_info import SourceInfo, read_source
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.waiter import CacheWaiter, open_waiter
from kubectl_fluidmodel.cache.watch import CacheTarget
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.job_run import job_permissions
from kubectl_fluidmodel.objects.access import Object, get_path
from kubectl_fluidmodel.output.progress import ProgressReporter
from kubectl_fluidmodel.records import dataclass

_RETRY_TIMEOUT = 60.0
"""Seconds for which the API server may be unavailable during the work."""


@dataclass(frozen=True)
class CacheResult:
    """The resulting cache."""

    namespace: str
    options: CacheOptions
    source: SourceInfo
    desired: DesiredCache
    verification: Verification | None
    """None if nothing was loaded or waited for."""
    reading: Preheating = field(default_factory=Preheating)
    """What was read through the claim."""


def run(
    client: Client,
    options: CacheOptions,
    reporter: ProgressReporter,
    raise_if_hopeless: Callable[[], None] = lambda: None,
) -> CacheResult | None:
    """Build a cache, from the preflight to the verified result.

    Args:
        client: The client; the cache is created in its namespace.
        options: What to build.
        reporter: Gets messages and progress.
        raise_if_hopeless: Called periodically during the wait; raises FluidModelError if a
            permanent problem keeps the cache from becoming ready.

    Returns:
        The cache; None if its model is still being staged and the command does not wait.

    Raises:
        FluidModelError: names the obstacle and a solution.
    """
    workflow = CacheWorkflow.open(client, options, reporter, raise_if_hopeless)
    checked, staging = workflow.preflight(), workflow.staging
    if staging is not None:
        desired = workflow.plan_ahead(checked, staging).desired
        objects = [*staging.job.objects(), *desired.objects_and_load]
        apply.dry_run_on_server(client, objects, lambda _: None)
        if not workflow.stage(staging):
            return None
        checked = workflow.after_staging(checked)
    return workflow.build(checked)


@dataclass
class CacheWorkflow:
    """The steps of one run of `cache` against a cluster."""

    client: Client
    namespace: str
    options: CacheOptions
    reporter: ProgressReporter
    deadline: float
    """The time.monotonic() at which every wait ends, including that for staging."""
    staging: HubStaging | None = None
    """How the model is staged, if it comes from the Hub."""
    raise_if_hopeless: Callable[[], None] = lambda: None
    _logged: set[str] = field(default_factory=set)

    @classmethod
    def open(
        cls,
        client: Client,
        options: CacheOptions,
        reporter: ProgressReporter,
        raise_if_hopeless: Callable[[], None] = lambda: None,
    ) -> CacheWorkflow:
        """Return the workflow; for a Hub model, its commit is resolved and its files are listed.

        Raises:
            FluidModelError: the Hub refuses.
            UnreachableError: the Hub does not respond.
        """
        deadline = time.monotonic() + options.timeout
        staging = HubStaging.plan(options, client.namespace, client) if options.staging else None
        staged = staging.staged_options() if staging else options
        namespace = client.namespace
        return cls(client, namespace, staged, reporter, deadline, staging, raise_if_hopeless)

    def preflight(self) -> PreflightResult:
        """Run all checks before the first write.

        Raises:
            FluidModelError: names the obstacle.
        """
        permissions = list(self.staging.job.required_permissions()) if self.staging else []
        if self.options.must_read:
            permissions += job_permissions(self.namespace)
        return preflight.run_preflight(self.client, self.options, self.namespace, permissions)

    def plan_ahead(
        self, checked: PreflightResult, staging: HubStaging, *, readers_end: bool = False
    ) -> CachePlan:
        """Plan the cache of a model that is not staged yet, from its list of files.

        Args:
            checked: Results of the preflight.
            staging: How the model is staged.
            readers_end: Whether pods may still read from a cache that has to be recreated, because
                somebody stops them before that.

        Raises:
            FluidModelError: names what would prevent the cache, before anything is transferred.
        """
        for line in staging.summary_lines():
            self.reporter.log(line)
        staging.job.require_references()
        for job in staging.job.objects():
            quota_check.require_job_admitted(self.client, self.namespace, job)
        plan = self.plan(checked)
        if plan.desired.immutable_changes and not readers_end:
            recreation.require_no_readers(self.client, self.namespace, plan.desired)
        return plan

    def stage(self, staging: HubStaging) -> bool:
        """Stage the model, unless it is already staged.

        Returns:
            Whether it is staged; False if its Job was started without waiting for it.

        Raises:
            FluidModelError: staging fails.
        """
        self.client.retry_timeout = _RETRY_TIMEOUT
        return staging.run(self.reporter, self.deadline, wait=self.options.wait)

    def after_staging(self, checked: PreflightResult) -> PreflightResult:
        """Read the existing objects again; hours may have passed since the preflight.

        Raises:
            FluidModelError: the cache's name is now in use.
        """
        existing = preflight.existing_objects(self.client, self.options, self.namespace)
        name_conflicts.require_name_available(self.client, self.options, self.namespace, existing)
        self.options = replace(self.options, expected=None)  # now the bucket can be listed
        return replace(checked, existing=existing)

    def plan(self, checked: PreflightResult) -> CachePlan:
        """Read the source and decide what to create; writes nothing.

        Raises:
            FluidModelError: names the obstacle.
        """
        source = read_source(self.options, self.client, self.namespace)
        candidates = nodes.candidate_nodes(
            self.client, self.options, self.namespace, checked.existing
        )
        desired = plan_cache(self.options, self.namespace, source, candidates, checked.existing)
        for note in (*checked.notes, *source.notes, *desired.notes):
            self._log_once(f"note: {note}")
        for warning in source.warnings:
            self._log_once(f"warning: {warning}")
        quota_check.require_cache_admitted(self.client, self.namespace, desired, checked.existing)
        return CachePlan(self.options, checked, source, desired)

    def build(self, checked: PreflightResult) -> CacheResult:
        """Plan the cache, create it, wait for it and verify it.

        Raises:
            FluidModelError: names the obstacle and a solution.
        """
        plan = self.plan(checked)
        verification = self.execute(plan)
        return CacheResult(
            self.namespace,
            plan.options,
            plan.source,
            plan.desired,
            verification,
            self.read_through_claim(plan),
        )

    def execute(self, plan: CachePlan) -> Verification | None:
        """Create the cache, wait for it, load it and verify it.

        Returns:
            The comparison with the source; None if nothing was loaded or waited for.
        """
        self.client.retry_timeout = _RETRY_TIMEOUT
        desired, existing, log = plan.desired, plan.preflight.existing, self.reporter.log
        for line in plan.lines():
            log(line)
        if desired.immutable_changes:
            recreation.delete_for_recreation(self.client, self.namespace, desired, log)
            existing = ExistingObjects()
        if desired.resize:
            self.prepare_resize(desired, existing)
            resizing.admit_nodes(self.client, self.namespace, desired.dataset, log)
        for obj in desired.objects:
            apply.apply_and_log(self.client, obj, log)
        loader = CacheLoader(self.client, self.namespace, self.options.name, self.reporter)
        if not self.options.wait:
            if desired.load is not None:
                loader.ensure_load(desired.load)
            return None
        with self._waiter(plan) as waiter:
            waiter.wait_until_bound()
            if desired.resize or (existing.runtime and not _is_scaled(existing.runtime)):
                waiter.wait_until_scaled()
            if desired.load is None:
                return None
            verification = loader.load_and_verify(
                waiter, desired.load, check_first=existing.dataset is not None
            )
            waiter.wait_for_fluid_totals()  # for `kubectl get dataset`
            return verification

    def read_through_claim(self, plan: CachePlan) -> Preheating:
        """Read the cache on each of its nodes: to preheat it, to verify it, or both.

        Raises:
            FluidModelError: a pod reads something else than the source has, or cannot read what it
                had to.
        """
        options = self.options
        if not (options.wait and options.load and (options.must_read or options.preheat != "off")):
            return Preheating()
        return preheating.read_cache(
            self.client,
            self.namespace,
            options,
            plan.desired.runtime,
            expected_files(plan.source.listing, self.staging.files.files if self.staging else ()),
            self.reporter,
            self.deadline,
        )

    def prepare_resize(self, desired: DesiredCache, existing: ExistingObjects) -> None:
        """Report how the running cache is scaled, if it is.

        Raises:
            FluidModelError: it may not be, or a copy is read that would be removed.
        """
        if desired.resize is not None:
            resizing.require_allowed(
                self.client, self.namespace, self.options.name, desired.resize, existing.dataset
            )
            self.reporter.log(str(desired.resize))

    # -- steps -------------------------------------------------------------------------------

    def _log_once(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            self.reporter.log(text)

    def _waiter(self, plan: CachePlan) -> AbstractContextManager[CacheWaiter]:
        """Return a waiter for the planned cache, with its watches."""
        desired, checked = plan.desired, plan.preflight
        placement = desired.placement
        target = CacheTarget(
            self.namespace,
            self.options.name,
            plan.source.listing,
            desired.replicas,
            desired.load is not None,
            tuple(node.hostname for node in placement.nodes) if placement else (),
        )
        return open_waiter(
            self.client,
            target,
            self.deadline,
            can_exec=checked.can_exec,
            can_read_logs=checked.can_read_logs,
            on_progress=self._update,
            raise_if_hopeless=self.raise_if_hopeless,
        )

    def _update(self, progress: CacheProgress) -> None:
        """Report the cache's steps after staging, in one view."""
        before = (self.staging.done_step,) if self.staging else ()
        self.reporter.update(replace(progress, steps=(*before, *progress.steps)))


def _is_scaled(runtime: Object) -> bool:
    """Whether Fluid has seen the runtime's number of workers."""
    replicas = get_path(runtime, "spec", "replicas", default=1)
    return bool(get_path(runtime, "status", "desiredWorkerNumberScheduled") == replicas)
