"""Waits until a cache is bound, loaded and verified; woken by watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field

from kubectl_fluidmodel.cache import deletion, resizing
from kubectl_fluidmodel.cache.diagnostics import Diagnostics
from kubectl_fluidmodel.cache.progress import CacheProgress, compute_progress
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.verifier import Verifier
from kubectl_fluidmodel.cache.watch import CacheTarget, missing_nodes, watch_cache
from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.wait import wait_until
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.progress import FAILED
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.records import dataclass

_REDRAW_INTERVAL = 1.0
"""Seconds after which progress is reported without changes (rates, elapsed time)."""
_SYNC_TIMEOUT = 5.0
"""Seconds for which nothing is reported until the first lists are complete."""
_NODE_GRACE_PERIOD = 15.0
"""Seconds for which a chosen node may be missing before the wait ends."""
_FAILED_GRACE_PERIOD = 40.0
"""Seconds for which a Dataset that was Bound may be Failed. Fluid's health check sets that for any
error, also a conflict of two writes, and takes it back at the next one, 15 s later."""
_TOTALS_TIMEOUT = 45.0
"""Seconds for Fluid to update its totals after a load (it syncs every 15 s)."""


@dataclass
class CacheWaiter:
    """Waits for one cache, reports its progress, and ends early if waiting cannot help."""

    client: Client
    informer: Informer
    """Watches the cache: see `cache.watch.watch_cache`."""
    target: CacheTarget
    deadline: float
    """The time.monotonic() at which the wait ends."""
    diagnostics: Diagnostics
    can_exec: bool
    on_progress: Callable[[CacheProgress], None]
    """Called whenever the progress changes, and every second."""
    raise_if_hopeless: Callable[[], None] = lambda: None
    """Raises FluidModelError if a permanent problem keeps the cache from becoming ready."""
    _started_at: float = field(default_factory=time.time)
    _sync_deadline: float = field(default_factory=lambda: time.monotonic() + _SYNC_TIMEOUT)
    _nodes_missing_since: float | None = None
    _was_bound: bool = False
    _failed_since: float | None = None
    _reported: CacheProgress | None = None
    _reported_at: float = 0.0

    def wait_until_bound(self) -> None:
        """Wait for the Dataset to be Bound and its PVC to be bound to the volume.

        Raises:
            WaitTimeoutError: names the pending step and the most likely reason.
            FluidModelError: the Dataset failed or was deleted.
        """
        existed = False

        def is_bound() -> bool:
            nonlocal existed
            dataset = self.informer.get(names.DATASETS, self.target.name)
            if dataset is None and existed:
                raise FluidModelError(
                    f"Dataset {self.target.name} was deleted while waiting for it",
                    "",
                    "the same command again",
                )
            existed = existed or dataset is not None
            claim = self.informer.get(kinds.PVCS, self.target.name)
            bound = get_path(claim, "status", "phase") == "Bound"
            self._was_bound = self._was_bound or status.parse_dataset(dataset).is_bound
            return status.parse_dataset(dataset).is_bound and bound

        self._wait_until(is_bound)

    def wait_until_scaled(self) -> None:
        """Wait for the runtime to have as many ready workers as there are copies.

        Raises:
            WaitTimeoutError: names the pending step and the most likely reason.
        """
        kind, name = names.ALLUXIO_RUNTIMES, self.target.name
        self._wait_until(
            lambda: resizing.is_scaled(self.informer.get(kind, name), self.target.replicas)
        )

    def wait_until_loaded(self, uid: str) -> None:
        """Wait for the DataLoad with this UID to be Complete.

        Raises:
            WaitTimeoutError: it does not finish in time.
            FluidModelError: it failed; has the end of its pod's log.
        """
        name = self.target.name

        def is_loaded() -> bool:
            load = self.informer.get(names.DATA_LOADS, name)
            if load is None or names.uid_of(load) != uid:
                return False
            loading = status.parse_dataload(load)
            if loading.phase == "Failed":
                selector = f"role=dataload-pod,release={name}-loader"
                logs = command("kubectl", "logs", "-n", self.target.namespace, "-l", selector)
                reason = self.diagnostics.load_error() or loading.message
                raise FluidModelError(f"DataLoad {name} failed", reason, logs)
            return loading.phase == "Complete"

        self._wait_until(is_loaded)

    def verify(self) -> Verification:
        """Compare the cache with the source: by file if exec is allowed, else by totals.

        Raises:
            FluidModelError: the master cannot be queried.
        """
        if self.can_exec:
            try:
                return self._verifier().by_file()
            except ForbiddenError:
                self.can_exec = False  # an admission plugin may deny what RBAC allows
        return self.wait_for_fluid_totals()

    def wait_for_fluid_totals(self) -> Verification:
        """Wait briefly until Fluid's totals are complete; they lag behind the load.

        Returns:
            The comparison by totals, complete or not.
        """
        verifier = self._verifier()
        settled = min(time.monotonic() + _TOTALS_TIMEOUT, self.deadline - 1)
        verification = Verification(False, None, None, None)

        def is_settled() -> bool:
            nonlocal verification
            verification = verifier.by_total()
            return verification.complete or time.monotonic() >= settled

        self._wait_until(is_settled)
        return verification

    def progress(self) -> CacheProgress:
        """The progress now."""
        return compute_progress(
            self.informer,
            self.target,
            log=self.diagnostics.master_log,
            external_problems=self._external_problems(),
            since=self._started_at - 2,
        )

    # -- steps -------------------------------------------------------------------------------

    def _verifier(self) -> Verifier:
        return Verifier(self.client, self.informer, self.target, self.deadline)

    def _wait_until(self, done: Callable[[], bool]) -> None:
        def check() -> bool:
            self._raise_if_deleting()
            if done():
                self.on_progress(self.progress())
                return True
            return False

        if not wait_until(
            self.informer, check, self.deadline, self._tick, required=(names.DATASETS,)
        ):
            raise self._timeout_error()

    def _tick(self) -> None:
        """Report progress; raise an error if waiting cannot help."""
        try:
            self.raise_if_hopeless()
        except FluidModelError:
            self.on_progress(self.progress())
            raise
        self.diagnostics.refresh()
        self._raise_if_node_missing()
        progress = self.progress()
        if self.informer.has_synced() or time.monotonic() >= self._sync_deadline:
            self._report(progress)
        self._raise_if_failed(progress)

    def _report(self, progress: CacheProgress) -> None:
        now = time.monotonic()
        if progress != self._reported or now - self._reported_at >= _REDRAW_INTERVAL:
            self._reported, self._reported_at = progress, now
            self.on_progress(progress)

    def _raise_if_failed(self, progress: CacheProgress) -> None:
        if not any(step.state == FAILED and step.name == "Dataset" for step in progress.steps):
            self._failed_since = None
            return
        now = time.monotonic()
        self._failed_since = self._failed_since or now
        if not self._was_bound or now - self._failed_since >= _FAILED_GRACE_PERIOD:
            raise FluidModelError(
                f"Dataset {self.target.name} failed",
                next(iter(progress.problems), progress.current.detail),
                command(
                    *("kubectl", "describe", "dataset", Operand(self.target.name)),
                    *("-n", self.target.namespace),
                ),
            )

    def _raise_if_deleting(self) -> None:
        for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES, kinds.PVCS):
            obj = self.informer.get(kind, self.target.name)
            if obj is not None and is_terminating(obj):
                pods = deletion.pods_holding(self.client, self.target.namespace, self.target.name)
                raise deletion.being_deleted_error({"kind": kind.name, **obj}, pods)

    def _raise_if_node_missing(self) -> None:
        """Wait briefly for a missing node to come back; the pods can run nowhere else."""
        missing = missing_nodes(self.informer, self.target)
        if not missing:
            self._nodes_missing_since = None
        elif self._nodes_missing_since is None:
            self._nodes_missing_since = time.monotonic()
        elif time.monotonic() - self._nodes_missing_since > _NODE_GRACE_PERIOD:
            raise FluidModelError(
                f"node {missing[0]} does not exist",
                f"the cache {self.target.name} is bound to it",
                "the same command again, to choose another node",
            )

    def _timeout_error(self) -> WaitTimeoutError:
        progress = self.progress()
        step = progress.current
        detail = f" ({step.detail})" if step.detail else ""
        reason = f"still waiting for {step.name}{detail}"
        cause = self.diagnostics.load_error() if step.name == "load" else ""
        cause = cause or next(iter(progress.problems), "")
        if cause:
            reason += f"; {cause}"
        return WaitTimeoutError(
            f"the cache {self.target.name} is not ready in time",
            reason,
            "the same command again, to continue",
        )

    def _external_problems(self) -> list[str]:
        problems = (
            [self.diagnostics.controller_problem] if self.diagnostics.controller_problem else []
        )
        problems += [
            f"node {node} does not exist, and the cache is bound to it"
            for node in missing_nodes(self.informer, self.target)
        ]
        if self.informer.last_error:
            problems.append(f"the API server is unreachable: {self.informer.last_error}")
        return problems


@contextmanager
def open_waiter(
    client: Client,
    target: CacheTarget,
    deadline: float,
    *,
    can_exec: bool,
    can_read_logs: bool,
    on_progress: Callable[[CacheProgress], None],
    raise_if_hopeless: Callable[[], None],
) -> Iterator[CacheWaiter]:
    """A waiter with its watches, which end with it; the arguments are the waiter's fields."""
    with watch_cache(client, target) as informer:
        yield CacheWaiter(
            client,
            informer,
            target,
            deadline,
            Diagnostics(client, informer, target.namespace, target.name, can_read_logs),
            can_exec,
            on_progress,
            raise_if_hopeless,
        )
