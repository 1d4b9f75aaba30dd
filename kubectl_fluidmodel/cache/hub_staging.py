"""Stages a Hub model in a bucket, from which it is cached like any other source.

The cache uses the prefix of one commit, and only if the manifest beside it lists all files of the
commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from kubectl_fluidmodel.cache import apply, name_conflicts
from kubectl_fluidmodel.cache.options import CacheOptions, StagingOptions
from kubectl_fluidmodel.cache.progress import pending_steps
from kubectl_fluidmodel.cache.source_info import reachable_store
from kubectl_fluidmodel.cache.staging_job import StagingJob
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.inventory.staging_status import staged_globs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.model.source import Source
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.plugin_pod import no_image_error
from kubectl_fluidmodel.objectstore.layout import StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output.progress import DONE, ProgressReporter, Step
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.output.units import format_bytes, pluralize
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage import credentials, job_control, job_run, manifest
from kubectl_fluidmodel.stage.engine import stage_plan
from kubectl_fluidmodel.stage.events import Message, Started
from kubectl_fluidmodel.stage.job_description import container_args, staged_source
from kubectl_fluidmodel.stage.options import TransferOptions
from kubectl_fluidmodel.stage.progress import STAGE_STEP, ProgressAggregator, ProgressSnapshot
from kubectl_fluidmodel.stage.status import StagingStatus, read_status


@dataclass(frozen=True)
class HubStaging:
    """The staging of one commit of a model, from the plan to the manifest."""

    options: CacheOptions
    """As the user specified them: their source is the Hub model."""
    staging: StagingOptions
    namespace: str
    client: Client | None
    """None for a dry run without a cluster."""
    hub: HubClient
    files: StagingPlan
    layout: StagingLayout
    job: StagingJob

    @classmethod
    def plan(cls, options: CacheOptions, namespace: str, client: Client | None) -> HubStaging:
        """Resolve the revision once, and list the files at that commit.

        Raises:
            FluidModelError: the Hub refuses.
            UnreachableError: the Hub does not respond.
        """
        options = _with_recorded_globs(options, namespace, client)
        staging, source = options.staging, options.source
        if staging is None:
            raise UsageError(f"{source.uri} cannot be staged", "it is not a model of the Hub")
        hub_options = staging.hub
        login = credentials.resolve_hub_credentials(hub_options, client, namespace)
        hub = HubClient(login, connections=staging.workers + 2)
        files = hub.plan(
            source.host, source.revision, include=hub_options.include, exclude=hub_options.exclude
        )
        layout = StagingLayout(staging.to, files.repo, files.commit)
        staging_job = StagingJob(options, staging, namespace, client, login, files)
        return cls(options, staging, namespace, client, hub, files, layout, staging_job)

    def staged_options(self) -> CacheOptions:
        """Return the options of the cache: its source is the commit's prefix in the bucket."""
        return replace(
            self.options,
            source=self.layout.source,
            origin=Source("hf", self.files.repo).uri,
            commit=self.files.commit,
            revision=self.options.revision or _followed_revision(self.files),
            expected=self.files.listing(),
        )

    def summary_lines(self) -> list[str]:
        """Return a summary of the plan: commit, files, bytes, and what is skipped."""
        from kubectl_fluidmodel.stage.report import summary_lines

        return [*summary_lines(self.files), *self._glob_lines(), *self.job.network_notes()]

    def _glob_lines(self) -> list[str]:
        """Return which globs select the files, which may be those of an earlier run."""
        hub = self.staging.hub
        flags = [argument for glob in hub.include for argument in ("--include", glob)]
        flags += [argument for glob in hub.exclude for argument in ("--exclude", glob)]
        return [f"files by {command(*flags)}"] if flags else []

    def status(self) -> StagingStatus:
        """Return how much of the model is in its bucket, or can be copied there.

        Raises:
            FluidModelError: the store refuses.
            UnreachableError: the store does not respond.
        """
        with self._open_store() as store:
            return read_status(store, self.files, self.staging.to)

    def is_staged(self) -> bool:
        """Return whether the model is in its bucket, with a valid manifest."""
        with self._open_store() as store:
            return self._has_manifest(store)

    @property
    def done_step(self) -> Step:
        """Return the finished staging, as the first step of the cache."""
        files = pluralize(len(self.files.files), "file")
        return Step(STAGE_STEP, DONE, f"{files}, {format_bytes(self.files.bytes)}")

    def run(self, reporter: ProgressReporter, deadline: float, *, wait: bool) -> bool:
        """Stage the model, unless it is already staged.

        Args:
            reporter: Gets messages, and progress that includes the steps of the cache.
            deadline: The time.monotonic() at which the wait for the Job ends.
            wait: Whether to wait for the Job.

        Returns:
            Whether it is staged; False if the Job was started without waiting for it.

        Raises:
            FluidModelError: names the obstacle; the same command resumes.
        """
        with self._open_store() as store:
            if self._has_manifest(store, missing_if_denied=True):
                reporter.log(f"already staged at {self.layout.uri} with a valid manifest")
                return True
            if self.staging.on == "client":
                self._run_on_client(store, reporter)
            elif not self._run_in_cluster(reporter, deadline, wait):
                return False
            if not self._has_manifest(store):
                raise FluidModelError(
                    f"{self.layout.uri} has no valid manifest after staging",
                    "something else may be writing to the bucket",
                    "the same command again",
                )
        return True

    # -- steps -------------------------------------------------------------------------------

    @contextmanager
    def _open_store(self) -> Iterator[S3Store]:
        store = credentials.resolve_store(self.options.store, self.client, self.namespace)
        with reachable_store(store, self.client, self.namespace) as reached:
            yield reached

    def _has_manifest(self, store: S3Store, *, missing_if_denied: bool = False) -> bool:
        recorded = manifest.read_manifest(store, self.layout, missing_if_denied=missing_if_denied)
        return recorded is not None and recorded.covers(self.files.files)

    def _run_on_client(self, store: S3Store, reporter: ProgressReporter) -> None:
        options = TransferOptions(workers=self.staging.workers)
        progress: ProgressAggregator | None = None
        for event in stage_plan(self.files, store, self.staging.to, options, self.hub):
            if isinstance(event, Message):
                reporter.log(f"note: {event.text}")
            if isinstance(event, Started):
                progress = ProgressAggregator(event.bytes, event.files)
                reporter.log(f"staging to {event.destination}")
            if progress is not None:
                progress.handle(event)
                reporter.update(self._with_cache_steps(progress.snapshot()))

    def _run_in_cluster(self, reporter: ProgressReporter, deadline: float, wait: bool) -> bool:
        client = self._require_client()
        running = self._find_active_job(client)
        if self.job.lacks_image:
            if running is None:
                raise no_image_error()
            reporter.log(f"{kubectl_name(running)} found running")  # no image needed to wait for it
        else:
            running = self._start_job(client, reporter)
        if not wait:
            return False
        job_run.wait_for_job(
            client,
            running,
            lambda snapshot: reporter.update(self._with_cache_steps(snapshot)),
            deadline=deadline,
            log=reporter.log,
        )
        return True

    def _start_job(self, client: Client, reporter: ProgressReporter) -> Object:
        for secret in self.job.secrets():
            apply.apply_and_log(client, secret, reporter.log)
        job = self.job.build()
        reporter.log(f"{kubectl_name(job)} {job_control.ensure_job(client, job)}")
        self._yield_to_earlier_job(client, job)
        return job

    def _find_active_job(self, client: Client) -> Object | None:
        """Return a running Job that stages this commit to the same bucket."""
        target = f"--to={self.staging.to.uri}"
        for job in job_control.active_jobs(client, self.options.name, self.namespace):
            same_source = staged_source(job) == self.files.uri
            if same_source and target in container_args(job):
                return job
        return None

    def _yield_to_earlier_job(self, client: Client, job: Object) -> None:
        """Delete our Job if another model's Job with the same name was created before it.

        Raises:
            FluidModelError: ours was created later.
        """
        name = self.options.name
        current = client.get_or_none(kinds.JOBS, name_of(job), self.namespace)
        others = name_conflicts.jobs_of_other_models(client, name, self.namespace, self.files.repo)
        first = min(others, key=_creation_order, default=None)
        if current is None or first is None or _creation_order(current) < _creation_order(first):
            return
        job_control.delete_job(client, name_of(job), self.namespace)
        raise name_conflicts.name_taken_error(first, name, self.namespace)

    def _with_cache_steps(self, snapshot: ProgressSnapshot) -> ProgressSnapshot:
        load = self.options.load
        to_come = pending_steps(self.options.replicas, load=load)
        remaining = self.files.bytes if load else 0  # several nodes load at the same time
        return replace(snapshot, steps=(*snapshot.steps, *to_come), remaining_after=remaining)

    def _require_client(self) -> Client:
        if self.client is None:
            raise FluidModelError("staging in the cluster needs a cluster")
        return self.client


def _with_recorded_globs(
    options: CacheOptions, namespace: str, client: Client | None
) -> CacheOptions:
    """Return the options with the globs of an earlier run, unless this one has its own."""
    staging = options.staging
    if client is None or staging is None or staging.hub.include or staging.hub.exclude:
        return options
    try:
        dataset = client.get_or_none(names.DATASETS, options.name, namespace)
    except ForbiddenError:  # the preflight reports it
        return options
    origin = Source("hf", options.source.host).uri
    if dataset is None or names.source_uri(dataset) != origin:
        return options
    include, exclude = staged_globs(dataset)
    hub = replace(staging.hub, include=include, exclude=exclude)
    return replace(options, staging=replace(staging, hub=hub))


def _followed_revision(files: StagingPlan) -> str:
    """Return the branch or tag that was asked for; empty for `main`, and for a commit."""
    return "" if files.revision in ("main", files.commit) else files.revision


def _creation_order(job: Object) -> tuple[str, str]:
    """Sort Jobs by creation time, then by name."""
    created = str(get_path(job, "metadata", "creationTimestamp", default=""))
    return created, name_of(job)
