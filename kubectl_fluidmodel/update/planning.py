"""Reads the cluster, the Hub and the bucket, and plans an update. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from kubectl_fluidmodel.cache import preflight, removal
from kubectl_fluidmodel.cache.hints import RBAC_DOCS
from kubectl_fluidmodel.cache.hub_staging import HubStaging
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.plan import CachePlan
from kubectl_fluidmodel.cache.preflight import PreflightResult
from kubectl_fluidmodel.cache.quota_check import NotAdmittedError
from kubectl_fluidmodel.cache.workflow import CacheWorkflow
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.placement import NoFittingNodeError
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.inventory.cache import Cache, build_caches
from kubectl_fluidmodel.inventory.staging_status import staging_layout
from kubectl_fluidmodel.inventory.succession import commit_of, revision_of
from kubectl_fluidmodel.kube import permissions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, labels_of
from kubectl_fluidmodel.output.progress import ProgressReporter
from kubectl_fluidmodel.output.shell import Operand, kubectl
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from kubectl_fluidmodel.stage import credentials
from kubectl_fluidmodel.update.options import UpdateOptions
from kubectl_fluidmodel.update.permissions import reading_permissions, required_permissions
from kubectl_fluidmodel.update.plan import StagingFacts, Step, downtime, plan_steps
from kubectl_fluidmodel.update.state import UpdateState, caches_to_update, find_state
from kubectl_fluidmodel.update.successor import cache_options

_COMMIT_PREFIX = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Target:
    """The commit to update to, and how far that is."""

    state: UpdateState
    repo: str
    revision: str
    """The branch or tag that was asked for, or the commit."""


@dataclass(frozen=True)
class UpdatePlan:
    """Everything that is known before the first write."""

    target: Target
    options: CacheOptions
    """What to build."""
    workflow: CacheWorkflow
    checked: PreflightResult
    ahead: CachePlan
    facts: StagingFacts
    steps: tuple[Step, ...]
    shared_secret: Object | None
    """The old cache's own Secret, of which the new cache gets a copy; None if it gets none."""

    @property
    def state(self) -> UpdateState:
        return self.target.state

    @property
    def staging(self) -> HubStaging:
        return staging_of(self.workflow)

    @property
    def objects(self) -> list[Object]:
        """What the steps `stage` and `cache` apply."""
        return [*self.staging.job.objects(), *self.ahead.desired.objects_and_load]


def staging_of(workflow: CacheWorkflow) -> HubStaging:
    """Return how a workflow stages its model.

    Raises:
        FluidModelError: it does not.
    """
    if workflow.staging is None:
        raise FluidModelError(f"{workflow.options.name} is not a model of the Hub")
    return workflow.staging


def read_caches(client: Client) -> tuple[list[Cache], Snapshot]:
    """Read the caches of the client's namespace, with their graphs and readers.

    Raises:
        ForbiddenError: Datasets, graphs or pods may not be listed.
    """
    namespace = client.namespace
    client.list_objects(names.DATASETS, namespace, metadata_only=True)  # raises if denied
    snapshot = collector.collect(client, namespace, queries.INSPECT_QUERIES)
    permissions.require_permissions(
        client,
        reading_permissions(snapshot, namespace),
        task=f"see what reads a cache in {namespace}",
        docs=RBAC_DOCS,
    )
    return build_caches(snapshot), snapshot


def find_target(client: Client, options: UpdateOptions) -> Target:
    """Resolve the commit to update to, and find how far the update is.

    Raises:
        FluidModelError: there is no such cache or revision, or the cache cannot be updated.
        UnreachableError: the cluster or the Hub does not respond.
    """
    caches, _ = read_caches(client)
    candidates = caches_to_update(caches, client.namespace, options.name)
    newest = candidates[-1]
    layout = staging_layout(newest)
    repo = layout.repo if layout else ""
    commit = _known_commit(candidates, options.revision)
    revision = commit or options.revision or revision_of(newest)
    if not commit:
        login = credentials.resolve_hub_credentials(options.hub, client, client.namespace)
        commit = HubClient(login, connections=1).resolve_commit(repo, revision)
    state = find_state(caches, client.namespace, options.name, commit, in_place=options.in_place)
    return Target(state, repo, revision)


def _known_commit(caches: Sequence[Cache], revision: str) -> str:
    """Return the commit of a cache that a revision abbreviates; empty if there is none."""
    if not _COMMIT_PREFIX.fullmatch(revision):
        return ""
    commits = {commit_of(cache) for cache in caches if commit_of(cache).startswith(revision)}
    return commits.pop() if len(commits) == 1 else ""


@dataclass(frozen=True)
class Planner:
    """Plans one update, once its target is known."""

    client: Client
    options: UpdateOptions
    reporter: ProgressReporter
    hopeless_check: Callable[[Client, str], Callable[[], None]]

    def plan(self, target: Target, *, read_only: bool) -> UpdatePlan:
        """Plan all steps.

        Args:
            target: What to update to.
            read_only: Whether nothing will be written, so only reading has to be allowed.

        Raises:
            FluidModelError: names the obstacle and a solution; nothing was written.
        """
        client, options, state = self.client, self.options, target.state
        new_options = cache_options(options, state, target.revision)
        workflow = self.open(new_options)
        staging = staging_of(workflow)
        if read_only:
            checked = PreflightResult(
                preflight.existing_objects(client, new_options, state.namespace)
            )
        else:
            self._require_permissions(state, new_options, staging)
            checked = workflow.preflight()
        secret = self._shared_secret(new_options, state)
        cache_plan = self._plan_ahead(state, workflow, checked)
        facts = StagingFacts(staging.files, staging.layout, staging.status())
        steps = plan_steps(state, options, facts, cache_plan.desired)
        return UpdatePlan(
            target, new_options, workflow, checked, cache_plan, facts, tuple(steps), secret
        )

    def open(self, options: CacheOptions) -> CacheWorkflow:
        """Return the workflow of the new cache."""
        check = self.hopeless_check(self.client, options.name)
        return CacheWorkflow.open(self.client, options, self.reporter, check)

    def _require_permissions(
        self, state: UpdateState, new_options: CacheOptions, staging: HubStaging
    ) -> None:
        owned = [
            obj
            for old in state.old
            for obj in removal.owned_objects(self.client, state.namespace, old.name)
        ]
        permissions.require_permissions(
            self.client,
            required_permissions(self.options.steps, state, new_options, staging, owned),
            task=f"update a cache in {state.namespace}",
            docs=RBAC_DOCS,
        )

    def _plan_ahead(
        self, state: UpdateState, workflow: CacheWorkflow, checked: PreflightResult
    ) -> CachePlan:
        """Plan the new cache.

        Raises:
            FluidModelError: there is no room for it, with the way that needs none.
        """
        staging = staging_of(workflow)
        try:
            return workflow.plan_ahead(checked, staging, readers_end=self.options.in_place)
        except (NoFittingNodeError, NotAdmittedError) as err:
            if self.options.in_place or state.target is not None:
                raise
            lasts = downtime(staging.files.bytes, len(staging.files.files), state.template)
            at = f"@{self.options.revision}" if self.options.revision else ""
            update = ("fluidmodel", "update", Operand(self.options.name + at), "--in-place")
            flags = self.options.repeated_flags
            command = kubectl(*update, *flags, namespace=state.namespace)
            raise type(err)(
                f"there is no room for a second cache beside {state.template.name}",
                f"{err.message}: {err.reason}",
                f"{err.hint}; or {command}, in which nothing can read the cache for {lasts}",
            ) from err

    def _shared_secret(self, new_options: CacheOptions, state: UpdateState) -> Object | None:
        """Return the old cache's Secret if `cache` made it, so that it is removed with it."""
        name = new_options.store.s3_secret
        if not name or state.template.name == new_options.name:
            return None
        secret = self.client.get_or_none(kinds.SECRETS, name, state.namespace)
        if secret is None or not names.is_managed(secret):
            return None
        owners = {old.name for old in state.old} | {state.template.name}
        return secret if labels_of(secret).get(names.MODEL_LABEL) in owners else None


def with_secret(workflow: CacheWorkflow, secret: str) -> CacheWorkflow:
    """Return a workflow that uses another Secret with the same keys of the store."""

    def changed(options: CacheOptions) -> CacheOptions:
        return replace(options, store=replace(options.store, s3_secret=secret))

    staging = staging_of(workflow)
    options = changed(staging.options)
    renewed = replace(staging, options=options, job=replace(staging.job, options=options))
    return replace(workflow, options=changed(workflow.options), staging=renewed)
