"""The story of `cache`, step by step: look, measure, decide, make, wait, prove.

Every step can be interrupted: what was made stays, and the same command goes on from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kubectl_fluidmodel.cache import apply, nodes, preflight, removal
from kubectl_fluidmodel.cache.desired import (
    CandidateNodes,
    DesiredCache,
    ExistingObjects,
    build_desired,
)
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.progress import CacheProgress
from kubectl_fluidmodel.cache.progress_reporter import ProgressReporter
from kubectl_fluidmodel.cache.source_info import SourceInfo, read_source
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.waiter import CacheWaiter
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import dataload, names, status
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.objects.access import Object, name_of, namespace_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.scheduler import group_by_reason
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.text import format_bytes, pluralize

if TYPE_CHECKING:
    from kubectl_fluidmodel.cache.hub_staging import HubStaging

MAX_LOAD_ATTEMPTS = 3
"""Loads in one run before an incomplete cache is a failure."""
_RETRY_TIMEOUT = 60.0
"""Seconds that an API server may be away in the middle of the work."""
_DELETE_TIMEOUT = 120.0
"""Seconds to wait for Fluid to clean up what is deleted."""


@dataclass(frozen=True)
class CacheResult:
    """How a run of `cache` ended."""

    desired: DesiredCache
    source: SourceInfo
    verification: Verification | None
    """None where nothing was loaded or waited for."""


@dataclass
class CacheWorkflow:
    """One run of `cache` against a cluster."""

    client: Client
    options: CacheOptions
    namespace: str
    reporter: ProgressReporter
    timeout: float
    """Seconds for the whole wait, staging included."""
    staging: HubStaging | None = None
    """How the model gets into its bucket first, where it comes from the Hub."""
    preflight_result: preflight.PreflightResult = field(init=False)

    def __post_init__(self) -> None:
        self._logged: set[str] = set()
        self._planned_ahead: DesiredCache | None = None
        self._deadline = time.monotonic() + self.timeout

    def preflight(self) -> None:
        """The preflight; nothing is written.

        Raises:
            FluidModelError: with what is in the way.
        """
        staging_permissions = self.staging.required_permissions() if self.staging else ()
        self.preflight_result = preflight.run_preflight(
            self.client, self.options, self.namespace, staging_permissions
        )

    def dry_run_staging(self) -> None:
        """Have the API server try what will be made once the model is staged.

        Raises:
            FluidModelError: an admission policy, a schema or another manager is in the way.
        """
        if self.staging is not None:
            first = self.staging.job_objects()
            dry_run_on_server(self.client, self._plan_ahead(self.staging), lambda _: None, first)

    def stage(self, *, wait: bool) -> bool:
        """Have the model in its bucket; False where its Job is started and nobody waits.

        Raises:
            FluidModelError: also with what would be in the way of the cache itself, before the
                first byte is moved.
        """
        if self.staging is None:
            return True
        self.client.patience = _RETRY_TIMEOUT
        self._plan_ahead(self.staging)
        staged = self.staging.run(self.reporter, self._deadline, wait=wait)
        self.options = replace(self.options, expected=None)
        if staged:  # hours may have passed, in which somebody took the name
            found = preflight.existing_objects(self.client, self.options, self.namespace)
            preflight.require_name_available(self.client, self.options, self.namespace, found)
            self.preflight_result.existing = found
        return staged

    def _plan_ahead(self, staging: HubStaging) -> DesiredCache:
        """What the plan alone makes of the cache, with what is in its way."""
        if self._planned_ahead is None:
            for line in staging.summary_lines():
                self.reporter.log(line)
            given = staging.options
            staging.require_references()
            _, self._planned_ahead = self.plan(given.endpoint, given.region)
            if self._planned_ahead.immutable_changes:
                self.require_no_readers(self._planned_ahead)
        return self._planned_ahead

    def plan(self, endpoint: str | None, region: str | None) -> tuple[SourceInfo, DesiredCache]:
        """Measure and decide; nothing is written.

        Raises:
            FluidModelError: with what is in the way.
        """
        source = read_source(
            self.options, self.client, self.namespace, endpoint=endpoint, region=region
        )
        cluster = nodes.candidate_nodes(
            self.client, self.options, self.namespace, self.preflight_result.existing
        )
        desired = plan_cache(
            self.options, self.namespace, source, cluster, self.preflight_result.existing
        )
        for note in (*self.preflight_result.notes, *source.notes, *desired.notes):
            self._log_once(f"note: {note}")
        for warning in source.warnings:
            self._log_once(f"warning: {warning}")
        return source, desired

    def _log_once(self, text: str) -> None:
        """Say it once."""
        if text not in self._logged:
            self._logged.add(text)
            self.reporter.log(text)

    def execute(self, source: SourceInfo, desired: DesiredCache, *, wait: bool) -> CacheResult:
        """Make it, wait for it, load it and prove it."""
        self.client.patience = _RETRY_TIMEOUT
        self._log_plan(source, desired)
        if desired.immutable_changes:
            self._delete_for_recreate(desired)
        for obj in desired.objects:
            what, _ = apply.apply_object(self.client, obj)
            self.reporter.log(f"{kubectl_name(obj)} {what}")
        if not wait:
            if desired.load is not None:
                self._ensure_load(desired.load)
            return CacheResult(desired, source, None)
        with CacheWaiter(
            self.client,
            self.namespace,
            self.options.name,
            source.listing,
            desired.replicas,
            desired.load is not None,
            self._deadline,
            self._update,
            self.preflight_result.can_exec,
            self.preflight_result.can_read_logs,
            tuple(node.hostname for node in desired.placement.nodes) if desired.placement else (),
        ) as waiter:
            waiter.wait_until_bound()
            verification = None
            if desired.load is not None:
                verification = self._load_and_verify(waiter, desired.load)
                waiter.wait_for_fluid_totals()
        return CacheResult(desired, source, verification)

    # -- steps -------------------------------------------------------------------------------

    def _update(self, progress: CacheProgress) -> None:
        """Where the cache stands, behind the staging where there was one: one view of all."""
        before = (self.staging.done_step,) if self.staging else ()
        self.reporter.update(replace(progress, steps=(*before, *progress.steps)))

    def _log_plan(self, source: SourceInfo, desired: DesiredCache) -> None:
        if source.listing:
            files = pluralize(len(source.listing.files), "file")
            self.reporter.log(
                f"{self.options.source.uri}: {files}, {format_bytes(source.listing.bytes)}"
            )
        medium = desired.medium
        self.reporter.log(
            f"quota {format_bytes(desired.quota)} per worker on {medium.type} at {medium.path} "
            f"({medium.reason})"
        )
        chosen = desired.placement
        if chosen is None:
            self.reporter.log("nodes cannot be listed: the scheduler chooses among those allowed")
            return
        self.reporter.log(
            f"{pluralize(len(chosen.nodes), 'node')}: {', '.join(chosen.names)} ({chosen.reason})"
        )
        if chosen.runners_up:
            others = ", ".join(
                f"{n.name} ({pluralize(n.caches, 'cache')})" for n in chosen.runners_up
            )
            self.reporter.log(f"runners-up: {others}")
        if chosen.rejected:
            self.reporter.log(f"not chosen: {group_by_reason(chosen.rejected)}")

    def _delete_for_recreate(self, desired: DesiredCache) -> None:
        """Fluid cannot change these while the cache runs, so it is made anew.

        Raises:
            FluidModelError: pods read from it.
        """
        name = self.options.name
        for change in desired.immutable_changes:
            self.reporter.log(f"changes {change}")
        self.require_no_readers(desired)
        self.reporter.log("Fluid cannot change that on a running cache: making it anew")
        for line in removal.delete_owned(
            self.client,
            self.namespace,
            name,
            kinds=removal.RECREATED_KINDS,
            timeout=_DELETE_TIMEOUT,
        ):
            self.reporter.log(line)
        self.preflight_result.existing = ExistingObjects()

    def require_no_readers(self, desired: DesiredCache) -> None:
        """Raises: FluidModelError: pods read from a cache that has to be made anew."""
        name = self.options.name
        try:
            reading = removal.pods_mounting(self.client, self.namespace, name)
        except ForbiddenError as err:
            raise FluidModelError(
                f"cache {name} has to be made anew for this",
                "whether pods read from it cannot be seen: " + err.reason,
                f"kubectl fluidmodel uncache {name} -n {self.namespace}",
            ) from err
        if reading:
            raise FluidModelError(
                f"cache {name} has to be made anew for this "
                f"({'; '.join(desired.immutable_changes)})",
                f"pods read from it: {', '.join(reading[:5])}",
                f"stop them, or --name {name}-2",
            )

    def _load_and_verify(self, waiter: CacheWaiter, load: Object) -> Verification:
        """Load until the proof holds, at most ATTEMPTS times.

        Raises:
            FluidModelError: bytes are still missing after the last; names the files.
        """
        if self.preflight_result.existing.dataset is not None:
            verification = waiter.verify()
            if verification.complete:
                self.reporter.log(
                    f"the cache is complete already; {_verified_message(verification)}"
                )
                return verification
        verification = Verification(False, None, None, None)
        for attempt in range(1, MAX_LOAD_ATTEMPTS + 1):
            uid = self._ensure_load({**load, **_attempt_metadata(load, attempt)})
            waiter.wait_until_loaded(uid)
            verification = waiter.verify()
            if verification.complete:
                self.reporter.log(_verified_message(verification))
                return verification
            missing = verification.missing or (verification.reason,)
            self.reporter.log(
                f"DataLoad says Complete, but {pluralize(len(missing), _missing_noun(missing))} "
                f"{'is' if len(missing) == 1 else 'are'} not: {missing[0]}"
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
                + ("; loading again" if attempt < MAX_LOAD_ATTEMPTS else "")
            )
        listed = "; ".join(verification.missing[:5]) or verification.reason
        more = (
            f"; and {len(verification.missing) - 5} more" if len(verification.missing) > 5 else ""
        )
        words = waiter.store_error()
        raise FluidModelError(
            f"cache {self.options.name} is incomplete after {MAX_LOAD_ATTEMPTS} loads",
            listed + more + (f"; {words}" if words else ""),
            f"kubectl logs -n {self.namespace} {self.options.name}-worker-0 -c alluxio-worker",
        )

    def _ensure_load(self, load: Object) -> str:
        """See that a DataLoad runs; returns its UID. One that is over makes room for a new one."""
        name = self.options.name
        existing = self.client.get_or_none(names.DATA_LOADS, name, self.namespace)
        running = existing is not None and not is_terminating(existing)
        if existing is not None and running and not status.parse_dataload(existing).finished:
            self.reporter.log(f"{kubectl_name(existing)} runs already")
            return names.uid_of(existing)
        if existing is not None:
            self.client.delete(names.DATA_LOADS, name, self.namespace, uid=names.uid_of(existing))
            self._wait_until_deleted(names.uid_of(existing))
        what, made = apply.apply_object(self.client, load)
        self.reporter.log(f"{kubectl_name(load)} {what}")
        return names.uid_of(made)

    def _wait_until_deleted(self, uid: str) -> None:
        deadline = time.monotonic() + _DELETE_TIMEOUT
        while time.monotonic() < deadline:
            found = self.client.get_or_none(names.DATA_LOADS, self.options.name, self.namespace)
            if found is None or names.uid_of(found) != uid:
                return
            time.sleep(0.3)
        raise FluidModelError(
            f"the old DataLoad {self.options.name} is still being deleted",
            "",
            f"kubectl describe dataload {self.options.name} -n {self.namespace}",
        )


def _verified_message(verification: Verification) -> str:
    if verification.files is None:
        return (
            f"proven by Fluid's totals: {verification.cached_bytes} of {verification.bytes} bytes, "
            "rounded"
        )
    return (
        f"proven: {pluralize(verification.files, 'file')} and {verification.bytes} bytes compared "
        "with the source"
    )


def _missing_noun(missing: Sequence[str]) -> str:
    """What lacks: files, or workers that are gone with what they held."""
    return "worker" if all(each.startswith("worker ") for each in missing) else "file"


def _attempt_metadata(load: Object, attempt: int) -> Object:
    metadata = dict(load["metadata"])
    metadata["annotations"] = {
        **metadata.get("annotations", {}),
        dataload.ATTEMPT_ANNOTATION: str(attempt),
    }
    return {"metadata": metadata}


def plan_cache(
    options: CacheOptions,
    namespace: str,
    source: SourceInfo,
    candidates: CandidateNodes | None,
    existing: ExistingObjects,
) -> DesiredCache:
    """The design from what was measured and found."""
    return build_desired(
        options,
        namespace,
        credentials=source.credentials,
        listing=source.listing,
        candidates=candidates,
        existing=existing,
        secret=source.secret,
    )


def plan_offline(
    options: CacheOptions, namespace: str, endpoint: str | None, region: str | None
) -> tuple[SourceInfo, DesiredCache]:
    """The design without a cluster: nothing stands, and nodes are chosen by label."""
    source = read_source(options, None, namespace, endpoint=endpoint, region=region)
    return source, plan_cache(options, namespace, source, None, ExistingObjects())


def dry_run_on_server(
    client: Client, desired: DesiredCache, log: Callable[[str], None], first: Sequence[Object] = ()
) -> list[Object]:
    """Send every object with dryRun=All; returns them as the server would keep them."""
    found = []
    for obj in (*first, *desired.objects, *([desired.load] if desired.load else [])):
        what, after = apply.apply_object(client, obj, dry_run=True)
        log(f"{kubectl_name(obj)} {what} (server dry run)")
        after.setdefault("kind", obj["kind"])
        (after.get("metadata") or {}).pop("managedFields", None)
        found.append(after)
    return found


def create_secret_command(secret: Object) -> str:
    """How to make the Secret by hand: its values come from the environment, never from us."""
    name, namespace = name_of(secret), namespace_of(secret)
    literals = " ".join(f'--from-literal={key}="${key}"' for key in secret["data"])
    return f"kubectl create secret generic {name} -n {namespace} {literals}"
