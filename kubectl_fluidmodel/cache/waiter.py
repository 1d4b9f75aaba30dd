"""Follow a cache until it is bound, loaded and proven; woken by watches, never by sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kubectl_fluidmodel.cache import ending
from kubectl_fluidmodel.cache import verification as proofs
from kubectl_fluidmodel.cache.progress import (
    FAILED,
    CacheProgress,
    compute_progress,
    master_pod_name,
)
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.doctor import lasting
from kubectl_fluidmodel.errors import FluidModelError, UnreachableError, WaitTimeoutError
from kubectl_fluidmodel.fluid import alluxio_cli, names, pod_problems, status
from kubectl_fluidmodel.fluid.alluxio_cli import AlluxioWorker
from kubectl_fluidmodel.kube import exec as execs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError, UnauthorizedError
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, get_path, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating

_MASTER_CONTAINER = "alluxio-master"
_REDRAW_INTERVAL = 1.0
"""Seconds after which the view is drawn anew though nothing happened (rates, elapsed time)."""
_DIAGNOSE_INTERVAL = 10.0
"""Seconds between looks at what no watch tells: logs, and Fluid's own controllers."""
_NODE_GRACE_PERIOD = 15.0
"""Seconds that a chosen node may be missing before the wait ends."""
_EXEC_RETRY_TIMEOUT = 30.0
"""Seconds in which an exec that the API server or the node refuses is tried again."""
_TOTALS_TIMEOUT = 45.0
"""Seconds that Fluid may take after a load to bring its totals up to date (it syncs each 15 s)."""


@dataclass
class CacheWaiter:
    """Watches one cache and tells what it sees.

    `emit` is called with a Progress whenever it changes and at least every second.
    """

    client: Client
    namespace: str
    name: str
    listing: FileListing | None
    replicas: int
    load: bool
    deadline: float
    """time.monotonic() at which waiting ends."""
    on_progress: Callable[[CacheProgress], None]
    can_exec: bool
    can_read_logs: bool
    nodes: tuple[str, ...] = ()
    """Host names of the nodes that were chosen, to tell when one goes away."""
    informer: Informer = field(init=False)

    def __post_init__(self) -> None:
        self.informer = Informer(self.client)
        self._began = time.time()
        self._log = self._controller = ""
        self._diagnosed_at = time.monotonic()
        self._diagnostics = threading.Thread()
        self._lasting = lasting.FailureMonitor(
            Client(access=self.client.access), self.namespace, self.name, lasting.CACHE_FAILURES
        )
        self._nodes_missing_since: float | None = None
        self._sync_deadline = time.monotonic() + 5.0
        own = f"metadata.name={self.name}"
        self.informer.start(names.DATASETS, self.namespace, fields=own)
        self.informer.start(names.ALLUXIO_RUNTIMES, self.namespace, fields=own)
        self.informer.start(kinds.PVCS, self.namespace, fields=own)
        if self.load:
            self.informer.start(names.DATA_LOADS, self.namespace, fields=own)
        releases = f"release in ({self.name},{self.name}-loader)"
        self.informer.start(kinds.PODS, self.namespace, labels=releases)
        self.informer.start(kinds.EVENTS, self.namespace, fields="type=Warning")
        if self.nodes:
            self.informer.start(kinds.NODES, labels=f"{HOSTNAME_LABEL} in ({','.join(self.nodes)})")

    def close(self) -> None:
        self.informer.close()

    def __enter__(self) -> CacheWaiter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- waiting -----------------------------------------------------------------------------

    def wait_until_bound(self) -> None:
        """Wait for the Dataset to be Bound and its PVC to be bound to the volume.

        Raises:
            WaitTimeoutError: with the step that does not come, and the likeliest reason.
            FluidModelError: the Dataset failed or went away.
        """
        seen = False

        def over() -> bool:
            nonlocal seen
            dataset = self.informer.get(names.DATASETS, self.name)
            if dataset is None and seen:
                raise FluidModelError(
                    f"Dataset {self.name} was deleted while waiting for it",
                    "",
                    "kubectl fluidmodel cache … again",
                )
            seen = seen or dataset is not None
            claim = self.informer.get(kinds.PVCS, self.name)
            return (
                status.parse_dataset(dataset).is_bound
                and get_path(claim, "status", "phase") == "Bound"
            )

        self._wait_until(over)

    def wait_until_loaded(self, uid: str) -> None:
        """Wait for the DataLoad with this UID to be Complete.

        Raises:
            WaitTimeoutError: it does not finish in time.
            FluidModelError: it failed; with the end of its pod's log.
        """

        def over() -> bool:
            load = self.informer.get(names.DATA_LOADS, self.name)
            if load is None or names.uid_of(load) != uid:
                return False
            loading = status.parse_dataload(load)
            if loading.phase == "Failed":
                raise FluidModelError(
                    f"DataLoad {self.name} failed",
                    self._load_error() or loading.message,
                    f"kubectl logs -n {self.namespace} -l role=dataload-pod,"
                    f"release={self.name}-loader",
                )
            return loading.phase == "Complete"

        self._wait_until(over)

    def _wait_until(self, done: Callable[[], bool]) -> None:
        last: CacheProgress | None = None
        drawn = 0.0
        while True:
            self._raise_if_deleting()
            if done():
                self.on_progress(self.progress())
                return
            self._raise_lasting_problem()
            self._refresh_diagnostics()
            self._raise_if_node_missing()
            now = self.progress()
            if not self.informer.has_synced() and time.monotonic() < self._sync_deadline:
                pass  # a view of half of the objects would say that things are missing
            elif now != last or time.monotonic() - drawn >= _REDRAW_INTERVAL:
                self.on_progress(now)
                last, drawn = now, time.monotonic()
            if any(step.state == FAILED and step.name == "Dataset" for step in now.steps):
                raise FluidModelError(
                    f"Dataset {self.name} failed",
                    next(iter(now.problems), now.current.detail),
                    f"kubectl describe dataset {self.name} -n {self.namespace}",
                )
            if names.DATASETS in self.informer.denied:
                raise FluidModelError(
                    f"cannot watch Dataset {self.name}", self.informer.denied[names.DATASETS]
                )
            remaining = self.deadline - time.monotonic()
            if remaining <= 0:
                raise self._timeout_error(now)
            self.informer.next_event(min(_REDRAW_INTERVAL, remaining))

    def _raise_lasting_problem(self) -> None:
        """Raises: FluidModelError: what keeps the cache from coming up stays, as doctor judges."""
        problem = self._lasting.poll()
        if problem is not None:
            self.on_progress(self.progress())
            raise lasting.failure_error(
                f"cache {self.name} cannot become ready",
                problem,
                f"kubectl fluidmodel doctor {self.name} -n {self.namespace}",
            )

    def _raise_if_deleting(self) -> None:
        """Raises: FluidModelError: the cache is being deleted while we wait for it."""
        for kind, name in (
            (names.DATASETS, self.name),
            (names.ALLUXIO_RUNTIMES, self.name),
            (kinds.PVCS, self.name),
        ):
            obj = self.informer.get(kind, name)
            if obj is not None and is_terminating(obj):
                pods = ending.pods_holding(self.client, self.namespace, self.name)
                raise ending.being_deleted_error({"kind": kind.name, **obj}, pods)

    def _timeout_error(self, now: CacheProgress) -> WaitTimeoutError:
        step = now.current
        detail = f" ({step.detail})" if step.detail else ""
        why = f"still waiting for {step.name}{detail}"
        if now.problems:
            why += f"; {now.problems[0]}"
        return WaitTimeoutError(
            f"the cache {self.name} is not ready in time",
            why,
            "the same command again, which goes on from here",
        )

    def progress(self) -> CacheProgress:
        """How it stands now."""
        return compute_progress(
            self.informer,
            self.namespace,
            self.name,
            total=self.listing.bytes if self.listing else None,
            replicas=self.replicas,
            load=self.load,
            log=self._log,
            external_problems=self._external_problems(),
            since=self._began - 2,
        )

    def _external_problems(self) -> list[str]:
        found = [self._controller] if self._controller else []
        found += [
            f"node {node} is gone, and the cache is bound to it" for node in self._missing_nodes()
        ]
        if self.informer.last_error:
            found.append(f"the API server is out of reach: {self.informer.last_error}")
        return found

    def _missing_nodes(self) -> list[str]:
        """The chosen nodes that the cluster no longer has."""
        if not self.informer.is_watching(kinds.NODES):
            return []
        standing = {
            labels_of(node).get(HOSTNAME_LABEL) for node in self.informer.list_objects(kinds.NODES)
        }
        return [node for node in self.nodes if node not in standing]

    def _raise_if_node_missing(self) -> None:
        """Give a node that went away a moment to come back, then stop waiting for it.

        Raises:
            FluidModelError: it did not, and the cache's pods can run nowhere else.
        """
        gone = self._missing_nodes()
        if not gone:
            self._nodes_missing_since = None
        elif self._nodes_missing_since is None:
            self._nodes_missing_since = time.monotonic()
        elif time.monotonic() - self._nodes_missing_since > _NODE_GRACE_PERIOD:
            raise FluidModelError(
                f"node {gone[0]} is gone",
                f"the cache {self.name} is bound to it",
                "the same command again, which chooses another node",
            )

    # -- words from the pods -----------------------------------------------------------------

    def _refresh_diagnostics(self) -> None:
        """Now and then, while the master is not ready, ask its log or Fluid's controller why.

        In a thread of its own: a node that does not answer must not hold up the wait.
        """
        if (
            time.monotonic() - self._diagnosed_at < _DIAGNOSE_INTERVAL
            or self._diagnostics.is_alive()
        ):
            return
        self._diagnosed_at = time.monotonic()
        self._diagnostics = threading.Thread(
            target=self._read_diagnostics, name="look-around", daemon=True
        )
        self._diagnostics.start()

    def _read_diagnostics(self) -> None:
        pod = self.informer.get(kinds.PODS, master_pod_name(self.name))
        log = controller = ""
        if (
            pod is None
            and not status.parse_dataset(self.informer.get(names.DATASETS, self.name)).is_bound
        ):
            controller = self._idle_controller()
        elif pod is not None and self.can_read_logs and not self._is_serving(pod):
            restarted = pod_problems.restart_count(pod, _MASTER_CONTAINER)
            log = self._read_log(master_pod_name(self.name), _MASTER_CONTAINER, restarted)
        self._log, self._controller = log, controller

    def _is_serving(self, pod: Object) -> bool:
        """Whether the master is ready and Fluid has bound what it serves: it starts without its
        store too.
        """
        return (
            pod_problems.is_ready(pod)
            and status.parse_dataset(self.informer.get(names.DATASETS, self.name)).is_bound
        )

    def _idle_controller(self) -> str:
        """Why nobody makes the master, where Fluid's Deployments say; empty where not."""
        for controller in ("dataset-controller", "alluxioruntime-controller"):
            try:
                found = self.client.get_or_none(
                    kinds.DEPLOYMENTS, controller, names.SYSTEM_NAMESPACE
                )
            except (KubeError, UnreachableError):
                return ""
            if found is not None and not get_path(found, "status", "availableReplicas", default=0):
                wanted = get_path(found, "spec", "replicas", default=1)
                return (
                    f"Fluid's {controller} has no ready pod ({wanted} wanted): kubectl scale "
                    f"deployment {controller} -n {names.SYSTEM_NAMESPACE} --replicas=1"
                )
        return ""

    def _read_log(self, pod: str, container: str, restarted: int = 0) -> str:
        text = ""
        for previous in [True, False] if restarted else [False]:
            try:
                text += self.client.pod_logs(
                    self.namespace, pod, container, tail=60, previous=previous
                )
            except (KubeError, UnreachableError):
                continue  # not started yet, or its node is gone: events tell that
        return text

    def _load_error(self) -> str:
        if not self.can_read_logs:
            return ""
        pods = [
            pod
            for pod in self.informer.list_objects(kinds.PODS)
            if name_of(pod).startswith(f"{self.name}-loader")
        ]
        for pod in pods:
            container = str(get_path(pod, "spec", "containers", 0, "name", default=""))
            text = self._read_log(name_of(pod), container)
            cause = pod_problems.find_log_error(text)
            lines = [line for line in text.splitlines() if line.strip() and line[0] != "+"]
            if cause or lines:
                return cause or " ".join(lines[-1].split())[:200]
        return ""

    def store_error(self) -> str:
        """What workers and master logged of the store, empty where nothing: a load that reads
        nothing ends well, and only their logs say why.
        """
        if not self.can_read_logs:
            return ""
        worker = f"{self.name}-worker-0"
        for pod, container in (
            (worker, "alluxio-job-worker"),
            (worker, "alluxio-worker"),
            (master_pod_name(self.name), _MASTER_CONTAINER),
        ):
            cause = pod_problems.find_log_error(self._read_log(pod, container))
            if pod_problems.is_store_error(cause.partition(": ")[0]):
                return f"{pod}: {cause}"
        return ""

    # -- proof -------------------------------------------------------------------------------

    def verify(self) -> Verification:
        """Compare the cache with the source: by file where we may exec, else by totals."""
        if self.can_exec:
            try:
                return self._verify_by_file()
            except ForbiddenError:
                self.can_exec = False  # an admission plugin may refuse what RBAC allows
        return self._verify_by_total()

    def _verify_by_file(self) -> Verification:
        pod = master_pod_name(self.name)
        with ThreadPoolExecutor(2) as pool:  # each starts a JVM, which takes two seconds
            listing = pool.submit(self._run_alluxio, pod, alluxio_cli.LIST_COMMAND)
            capacity = pool.submit(self._run_alluxio, pod, alluxio_cli.CAPACITY_COMMAND)
            listed, report = listing.result(), capacity.result()
        found = proofs.verify_by_file(
            self.listing,
            alluxio_cli.parse_listing(listed),
            alluxio_cli.parse_live_workers(report),
            self.replicas,
        )
        return proofs.exclude_lost_workers(
            found, self._lost_workers(alluxio_cli.parse_capacity_report(report))
        )

    def _lost_workers(self, reported: Sequence[AlluxioWorker]) -> list[str]:
        """Workers that are gone, though Alluxio or Fluid may still count what they had."""
        pods = None
        if self.informer.is_watching(kinds.PODS):
            named = f"{self.name}-worker-"
            pods = [
                pod
                for pod in self.informer.list_objects(kinds.PODS)
                if name_of(pod).startswith(named)
            ]
        if pods is None:
            return [f"node {node} is gone" for node in self._missing_nodes()] + proofs.lost_workers(
                None, None, reported, self.replicas
            )
        nodes = None
        if self.nodes and self.informer.is_watching(kinds.NODES):
            nodes = {name_of(node) for node in self.informer.list_objects(kinds.NODES)}
        return proofs.lost_workers(pods, nodes, reported, self.replicas)

    def _run_alluxio(self, pod: str, command: list[str]) -> str:
        result = self._exec_in_master(pod, command)
        if result.exit_code:
            words = (
                pod_problems.find_log_error(result.stderr + result.stdout) or result.stderr.strip()
            )
            raise FluidModelError(
                f"'{' '.join(command)}' failed in pod {pod}", " ".join(words.split())[:200]
            )
        return result.stdout

    def _exec_in_master(self, pod: str, command: list[str]) -> execs.ExecResult:
        """Run a command in the master; an API server that is away for a moment is waited for."""
        until = min(time.monotonic() + _EXEC_RETRY_TIMEOUT, self.deadline)
        while True:
            try:
                return execs.exec_command(
                    self.client, self.namespace, pod, _MASTER_CONTAINER, command, timeout=120.0
                )
            except (UnreachableError, KubeError) as err:
                if isinstance(err, ForbiddenError | UnauthorizedError) or time.monotonic() >= until:
                    raise
                time.sleep(0.5)

    def wait_for_fluid_totals(self) -> None:
        """Wait a little until Fluid's own count says what was proven, for `kubectl get dataset`.

        It is no proof and no failure: Fluid may be slow to count.
        """
        self._verify_by_total()

    def _verify_by_total(self) -> Verification:
        """Totals lag behind the load: wait for Fluid's next sync before calling it incomplete."""
        found = Verification(False, None, None, None)

        def told() -> bool:
            nonlocal found
            dataset = status.parse_dataset(self.informer.get(names.DATASETS, self.name))
            found = proofs.verify_by_total(self.listing, dataset, self.replicas)
            found = proofs.exclude_lost_workers(found, self._lost_workers(()))
            return found.complete or time.monotonic() >= settled

        settled = min(time.monotonic() + _TOTALS_TIMEOUT, self.deadline - 1)
        self._wait_until(told)
        return found
