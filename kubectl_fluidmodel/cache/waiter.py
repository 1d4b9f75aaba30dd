"""Follow a cache until it is bound, loaded and proven; woken by watches, never by sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kubectl_fluidmodel.cache import ending
from kubectl_fluidmodel.cache import verification as proofs
from kubectl_fluidmodel.cache.progress import FAILED, Progress, assess, master_pod
from kubectl_fluidmodel.cache.verification import Proof
from kubectl_fluidmodel.doctor import lasting
from kubectl_fluidmodel.errors import FluidModelError, TimedOut, Unreachable
from kubectl_fluidmodel.fluid import alluxio_cli, names, pod_problems, status
from kubectl_fluidmodel.fluid.alluxio_cli import Worker
from kubectl_fluidmodel.kube import exec as execs
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, KubeError, Unauthorized
from kubectl_fluidmodel.kube.watch import Feed
from kubectl_fluidmodel.model.files import Listing
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import HOSTNAME_LABEL, Object, at, labels_of, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating

MASTER = "alluxio-master"
_TICK = 1.0
"""Seconds after which the view is drawn anew though nothing happened (rates, elapsed time)."""
_LOOK_EVERY = 10.0
"""Seconds between looks at what no watch tells: logs, and Fluid's own controllers."""
_NODE_PATIENCE = 15.0
"""Seconds that a chosen node may be missing before the wait ends."""
_EXEC_PATIENCE = 30.0
"""Seconds in which an exec that the API server or the node refuses is tried again."""
_SETTLE = 45.0
"""Seconds that Fluid may take after a load to bring its totals up to date (it syncs each 15 s)."""


@dataclass
class Follower:
    """Watches one cache and tells what it sees.

    `emit` is called with a Progress whenever it changes and at least every second.
    """

    client: Client
    namespace: str
    name: str
    listing: Listing | None
    replicas: int
    load: bool
    deadline: float
    """time.monotonic() at which waiting ends."""
    emit: Callable[[Progress], None]
    may_exec: bool
    may_read_logs: bool
    nodes: tuple[str, ...] = ()
    """Host names of the nodes that were chosen, to tell when one goes away."""
    feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        self.feed = Feed(self.client)
        self._began = time.time()
        self._log = self._controller = ""
        self._looked_at = time.monotonic()
        self._looking = threading.Thread()
        self._lasting = lasting.Watch(
            Client(access=self.client.access), self.namespace, self.name, lasting.OF_A_CACHE
        )
        self._gone_since: float | None = None
        self._blind_until = time.monotonic() + 5.0
        own = f"metadata.name={self.name}"
        self.feed.follow(names.DATASETS, self.namespace, fields=own)
        self.feed.follow(names.ALLUXIO_RUNTIMES, self.namespace, fields=own)
        self.feed.follow(kinds.PVCS, self.namespace, fields=own)
        if self.load:
            self.feed.follow(names.DATA_LOADS, self.namespace, fields=own)
        releases = f"release in ({self.name},{self.name}-loader)"
        self.feed.follow(kinds.PODS, self.namespace, labels=releases)
        self.feed.follow(kinds.EVENTS, self.namespace, fields="type=Warning")
        if self.nodes:
            self.feed.follow(kinds.NODES, labels=f"{HOSTNAME_LABEL} in ({','.join(self.nodes)})")

    def close(self) -> None:
        self.feed.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- waiting -----------------------------------------------------------------------------

    def until_bound(self) -> None:
        """Wait for the Dataset to be Bound and its PVC to be bound to the volume.

        Raises:
            TimedOut: with the step that does not come, and the likeliest reason.
            FluidModelError: the Dataset failed or went away.
        """
        seen = False

        def over() -> bool:
            nonlocal seen
            dataset = self.feed.one(names.DATASETS, self.name)
            if dataset is None and seen:
                raise FluidModelError(
                    f"Dataset {self.name} was deleted while waiting for it",
                    "",
                    "kubectl fluidmodel cache … again",
                )
            seen = seen or dataset is not None
            claim = self.feed.one(kinds.PVCS, self.name)
            return status.dataset(dataset).bound and at(claim, "status", "phase") == "Bound"

        self._until(over)

    def until_loaded(self, uid: str) -> None:
        """Wait for the DataLoad with this UID to be Complete.

        Raises:
            TimedOut: it does not finish in time.
            FluidModelError: it failed; with the end of its pod's log.
        """

        def over() -> bool:
            load = self.feed.one(names.DATA_LOADS, self.name)
            if load is None or names.uid_of(load) != uid:
                return False
            loading = status.dataload(load)
            if loading.phase == "Failed":
                raise FluidModelError(
                    f"DataLoad {self.name} failed",
                    self._loader_words() or loading.message,
                    f"kubectl logs -n {self.namespace} -l role=dataload-pod,"
                    f"release={self.name}-loader",
                )
            return loading.phase == "Complete"

        self._until(over)

    def _until(self, over: Callable[[], bool]) -> None:
        last: Progress | None = None
        drawn = 0.0
        while True:
            self._check_deletion()
            if over():
                self.emit(self.progress())
                return
            self._check_hope()
            self._look_around()
            self._check_nodes()
            now = self.progress()
            if not self.feed.ready() and time.monotonic() < self._blind_until:
                pass  # a view of half of the objects would say that things are missing
            elif now != last or time.monotonic() - drawn >= _TICK:
                self.emit(now)
                last, drawn = now, time.monotonic()
            if any(step.state == FAILED and step.name == "Dataset" for step in now.steps):
                raise FluidModelError(
                    f"Dataset {self.name} failed",
                    next(iter(now.problems), now.current.detail),
                    f"kubectl describe dataset {self.name} -n {self.namespace}",
                )
            if names.DATASETS in self.feed.denied:
                raise FluidModelError(
                    f"cannot watch Dataset {self.name}", self.feed.denied[names.DATASETS]
                )
            remaining = self.deadline - time.monotonic()
            if remaining <= 0:
                raise self._timeout(now)
            self.feed.next(min(_TICK, remaining))

    def _check_hope(self) -> None:
        """Raises: FluidModelError: what keeps the cache from coming up stays, as doctor judges."""
        problem = self._lasting.tick()
        if problem is not None:
            self.emit(self.progress())
            raise lasting.error(
                f"cache {self.name} cannot become ready",
                problem,
                f"kubectl fluidmodel doctor {self.name} -n {self.namespace}",
            )

    def _check_deletion(self) -> None:
        """Raises: FluidModelError: the cache is being deleted while we wait for it."""
        for kind, name in (
            (names.DATASETS, self.name),
            (names.ALLUXIO_RUNTIMES, self.name),
            (kinds.PVCS, self.name),
        ):
            obj = self.feed.one(kind, name)
            if obj is not None and is_terminating(obj):
                pods = ending.holders(self.client, self.namespace, self.name)
                raise ending.refuse({"kind": kind.name, **obj}, pods)

    def _timeout(self, now: Progress) -> TimedOut:
        step = now.current
        detail = f" ({step.detail})" if step.detail else ""
        why = f"still waiting for {step.name}{detail}"
        if now.problems:
            why += f"; {now.problems[0]}"
        return TimedOut(
            f"the cache {self.name} is not ready in time",
            why,
            "the same command again, which goes on from here",
        )

    def progress(self) -> Progress:
        """How it stands now."""
        return assess(
            self.feed,
            self.namespace,
            self.name,
            total=self.listing.bytes if self.listing else None,
            replicas=self.replicas,
            load=self.load,
            log=self._log,
            outside=self._outside(),
            since=self._began - 2,
        )

    def _outside(self) -> list[str]:
        found = [self._controller] if self._controller else []
        found += [f"node {node} is gone, and the cache is bound to it" for node in self._gone()]
        if self.feed.trouble:
            found.append(f"the API server is out of reach: {self.feed.trouble}")
        return found

    def _gone(self) -> list[str]:
        """The chosen nodes that the cluster no longer has."""
        if not self.feed.knows(kinds.NODES):
            return []
        standing = {labels_of(node).get(HOSTNAME_LABEL) for node in self.feed.all(kinds.NODES)}
        return [node for node in self.nodes if node not in standing]

    def _check_nodes(self) -> None:
        """Give a node that went away a moment to come back, then stop waiting for it.

        Raises:
            FluidModelError: it did not, and the cache's pods can run nowhere else.
        """
        gone = self._gone()
        if not gone:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = time.monotonic()
        elif time.monotonic() - self._gone_since > _NODE_PATIENCE:
            raise FluidModelError(
                f"node {gone[0]} is gone",
                f"the cache {self.name} is bound to it",
                "the same command again, which chooses another node",
            )

    # -- words from the pods -----------------------------------------------------------------

    def _look_around(self) -> None:
        """Now and then, while the master is not ready, ask its log or Fluid's controller why.

        In a thread of its own: a node that does not answer must not hold up the wait.
        """
        if time.monotonic() - self._looked_at < _LOOK_EVERY or self._looking.is_alive():
            return
        self._looked_at = time.monotonic()
        self._looking = threading.Thread(target=self._look, name="look-around", daemon=True)
        self._looking.start()

    def _look(self) -> None:
        pod = self.feed.one(kinds.PODS, master_pod(self.name))
        log = controller = ""
        if pod is None and not status.dataset(self.feed.one(names.DATASETS, self.name)).bound:
            controller = self._idle_controller()
        elif pod is not None and self.may_read_logs and not self._served(pod):
            restarted = pod_problems.restarts(pod, MASTER)
            log = self._read_log(master_pod(self.name), MASTER, restarted)
        self._log, self._controller = log, controller

    def _served(self, pod: Object) -> bool:
        """Whether the master is ready and Fluid has bound what it serves: it starts without its
        store too.
        """
        return (
            pod_problems.ready(pod)
            and status.dataset(self.feed.one(names.DATASETS, self.name)).bound
        )

    def _idle_controller(self) -> str:
        """Why nobody makes the master, where Fluid's Deployments say; empty where not."""
        for controller in ("dataset-controller", "alluxioruntime-controller"):
            try:
                found = self.client.find(kinds.DEPLOYMENTS, controller, names.SYSTEM_NAMESPACE)
            except (KubeError, Unreachable):
                return ""
            if found is not None and not at(found, "status", "availableReplicas", default=0):
                wanted = at(found, "spec", "replicas", default=1)
                return (
                    f"Fluid's {controller} has no ready pod ({wanted} wanted): kubectl scale "
                    f"deployment {controller} -n {names.SYSTEM_NAMESPACE} --replicas=1"
                )
        return ""

    def _read_log(self, pod: str, container: str, restarted: int = 0) -> str:
        text = ""
        for previous in [True, False] if restarted else [False]:
            try:
                text += self.client.log(self.namespace, pod, container, tail=60, previous=previous)
            except (KubeError, Unreachable):
                continue  # not started yet, or its node is gone: events tell that
        return text

    def _loader_words(self) -> str:
        if not self.may_read_logs:
            return ""
        pods = [
            pod
            for pod in self.feed.all(kinds.PODS)
            if name_of(pod).startswith(f"{self.name}-loader")
        ]
        for pod in pods:
            container = str(at(pod, "spec", "containers", 0, "name", default=""))
            text = self._read_log(name_of(pod), container)
            cause = pod_problems.log_cause(text)
            lines = [line for line in text.splitlines() if line.strip() and line[0] != "+"]
            if cause or lines:
                return cause or " ".join(lines[-1].split())[:200]
        return ""

    def store_words(self) -> str:
        """What workers and master logged of the store, empty where nothing: a load that reads
        nothing ends well, and only their logs say why.
        """
        if not self.may_read_logs:
            return ""
        worker = f"{self.name}-worker-0"
        for pod, container in (
            (worker, "alluxio-job-worker"),
            (worker, "alluxio-worker"),
            (master_pod(self.name), MASTER),
        ):
            cause = pod_problems.log_cause(self._read_log(pod, container))
            if pod_problems.is_of_store(cause.partition(": ")[0]):
                return f"{pod}: {cause}"
        return ""

    # -- proof -------------------------------------------------------------------------------

    def prove(self) -> Proof:
        """Compare the cache with the source: by file where we may exec, else by totals."""
        if self.may_exec:
            try:
                return self._by_file()
            except Forbidden:
                self.may_exec = False  # an admission plugin may refuse what RBAC allows
        return self._by_total()

    def _by_file(self) -> Proof:
        pod = master_pod(self.name)
        with ThreadPoolExecutor(2) as pool:  # each starts a JVM, which takes two seconds
            listing = pool.submit(self._alluxio, pod, alluxio_cli.LIST_COMMAND)
            capacity = pool.submit(self._alluxio, pod, alluxio_cli.CAPACITY_COMMAND)
            listed, report = listing.result(), capacity.result()
        found = proofs.by_file(
            self.listing,
            alluxio_cli.parse_listing(listed),
            alluxio_cli.parse_workers(report),
            self.replicas,
        )
        return proofs.without(found, self._lost(alluxio_cli.parse_report(report)))

    def _lost(self, reported: Sequence[Worker]) -> list[str]:
        """Workers that are gone, though Alluxio or Fluid may still count what they had."""
        pods = None
        if self.feed.knows(kinds.PODS):
            named = f"{self.name}-worker-"
            pods = [pod for pod in self.feed.all(kinds.PODS) if name_of(pod).startswith(named)]
        if pods is None:
            return [f"node {node} is gone" for node in self._gone()] + proofs.lost_workers(
                None, None, reported, self.replicas
            )
        nodes = None
        if self.nodes and self.feed.knows(kinds.NODES):
            nodes = {name_of(node) for node in self.feed.all(kinds.NODES)}
        return proofs.lost_workers(pods, nodes, reported, self.replicas)

    def _alluxio(self, pod: str, command: list[str]) -> str:
        result = self._exec(pod, command)
        if result.code:
            words = pod_problems.log_cause(result.stderr + result.stdout) or result.stderr.strip()
            raise FluidModelError(
                f"'{' '.join(command)}' failed in pod {pod}", " ".join(words.split())[:200]
            )
        return result.stdout

    def _exec(self, pod: str, command: list[str]) -> execs.Result:
        """Run a command in the master; an API server that is away for a moment is waited for."""
        until = min(time.monotonic() + _EXEC_PATIENCE, self.deadline)
        while True:
            try:
                return execs.run(self.client, self.namespace, pod, MASTER, command, timeout=120.0)
            except (Unreachable, KubeError) as err:
                if isinstance(err, Forbidden | Unauthorized) or time.monotonic() >= until:
                    raise
                time.sleep(0.5)

    def until_counted(self) -> None:
        """Wait a little until Fluid's own count says what was proven, for `kubectl get dataset`.

        It is no proof and no failure: Fluid may be slow to count.
        """
        self._by_total()

    def _by_total(self) -> Proof:
        """Totals lag behind the load: wait for Fluid's next sync before calling it incomplete."""
        found = Proof(False, None, None, None)

        def told() -> bool:
            nonlocal found
            dataset = status.dataset(self.feed.one(names.DATASETS, self.name))
            found = proofs.by_total(self.listing, dataset, self.replicas)
            found = proofs.without(found, self._lost(()))
            return found.complete or time.monotonic() >= settled

        settled = min(time.monotonic() + _SETTLE, self.deadline - 1)
        self._until(told)
        return found
