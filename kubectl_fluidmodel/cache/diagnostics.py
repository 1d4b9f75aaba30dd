"""Explains why a cache does not become ready, if only logs and Fluid's controllers show it."""

from __future__ import annotations

import threading
import time
from dataclasses import field

from kubectl_fluidmodel.cache.progress import master_pod_name
from kubectl_fluidmodel.errors import UnreachableError
from kubectl_fluidmodel.fluid import names, pod_problems, status
from kubectl_fluidmodel.fluid.installation import scale_up_command
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import KubeError
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.records import dataclass

MASTER_CONTAINER = "alluxio-master"
_INTERVAL = 10.0
"""Seconds between two reads."""
_CONTROLLERS = ("dataset-controller", "alluxioruntime-controller")


@dataclass
class Diagnostics:
    """Problems in the logs of a cache's pods and of Fluid's controllers.

    `refresh` reads in a separate thread, because a node that does not respond must not block the
    wait.
    """

    client: Client
    informer: Informer
    namespace: str
    name: str
    can_read_logs: bool
    master_log: str = ""
    """The end of the master's log, while it does not serve the Dataset."""
    controller_problem: str = ""
    """Why no controller creates the master; empty if the controllers are running."""
    _read_at: float = field(default_factory=time.monotonic)
    _thread: threading.Thread = field(default_factory=threading.Thread)

    def refresh(self) -> None:
        """Start another read, if the last one is some seconds old."""
        if time.monotonic() - self._read_at < _INTERVAL or self._thread.is_alive():
            return
        self._read_at = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="diagnostics", daemon=True)
        self._thread.start()

    def load_error(self) -> str:
        """The cause in the logs of the DataLoad's pods, or their last line; empty without any."""
        if not self.can_read_logs:
            return ""
        for pod in self.informer.list_objects(kinds.PODS):
            if not name_of(pod).startswith(f"{self.name}-loader"):
                continue
            container = str(get_path(pod, "spec", "containers", 0, "name", default=""))
            text = self._read_log(name_of(pod), container)
            cause = pod_problems.find_log_error(text)
            lines = [line for line in text.splitlines() if line.strip() and line[0] != "+"]
            if cause or lines:
                return cause or " ".join(lines[-1].split())[:200]
        return ""

    def store_error(self) -> str:
        """Return what workers and master logged about the store; empty if nothing.

        A load that reads nothing succeeds, and only these logs show the reason.
        """
        if not self.can_read_logs:
            return ""
        worker, master = f"{self.name}-worker-0", master_pod_name(self.name)
        for pod, container in (
            (worker, "alluxio-job-worker"),
            (worker, "alluxio-worker"),
            (master, MASTER_CONTAINER),
        ):
            cause = pod_problems.find_log_error(self._read_log(pod, container))
            if pod_problems.is_store_error(cause.partition(": ")[0]):
                return f"{pod}: {cause}"
        return ""

    def _read(self) -> None:
        master = self.informer.get(kinds.PODS, master_pod_name(self.name))
        log = problem = ""
        if master is None and not self._is_bound():
            problem = self._find_controller_problem()
        elif master is not None and self.can_read_logs and not self._is_serving(master):
            restarted = pod_problems.restart_count(master, MASTER_CONTAINER) > 0
            log = self._read_log(name_of(master), MASTER_CONTAINER, restarted=restarted)
        self.master_log, self.controller_problem = log, problem

    def _is_bound(self) -> bool:
        return status.parse_dataset(self.informer.get(names.DATASETS, self.name)).is_bound

    def _is_serving(self, master: Object) -> bool:
        """Return whether the Dataset is bound: a master can be ready without its store."""
        return pod_problems.is_ready(master) and self._is_bound()

    def _find_controller_problem(self) -> str:
        for controller in _CONTROLLERS:
            key = (kinds.DEPLOYMENTS, controller, names.SYSTEM_NAMESPACE)
            try:
                deployment = self.client.get_or_none(*key)
            except (KubeError, UnreachableError):
                return ""
            if deployment and not get_path(deployment, "status", "availableReplicas", default=0):
                replicas = get_path(deployment, "spec", "replicas", default=1)
                return (
                    f"Fluid's {controller} has no ready pod ({replicas} wanted): "
                    f"{scale_up_command(controller)}"
                )
        return ""

    def _read_log(self, pod: str, container: str, *, restarted: bool = False) -> str:
        text = ""
        for previous in [True, False] if restarted else [False]:
            try:
                text += self.client.pod_logs(
                    self.namespace, pod, container, tail=60, previous=previous
                )
            except (KubeError, UnreachableError):
                continue  # not started yet, or its node is lost: events show that
        return text
