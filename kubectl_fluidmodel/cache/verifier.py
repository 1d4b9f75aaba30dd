"""Reads what a running cache holds, and compares it with the source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kubectl_fluidmodel.cache import verification
from kubectl_fluidmodel.cache.diagnostics import MASTER_CONTAINER
from kubectl_fluidmodel.cache.progress import master_pod_name
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.watch import CacheTarget, missing_nodes
from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.fluid import alluxio_cli, names, pod_problems, status
from kubectl_fluidmodel.fluid.alluxio_cli import AlluxioWorker
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError, UnauthorizedError
from kubectl_fluidmodel.kube.exec import ExecResult, exec_command
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import name_of
from kubectl_fluidmodel.records import dataclass

_RETRY_TIMEOUT = 30.0
"""Seconds for which a command is retried that the API server or the node refuses."""
_RETRY_INTERVAL = 0.5
_COMMAND_TIMEOUT = 120.0


@dataclass
class Verifier:
    """Reads the contents of one cache from its master, its Dataset and its pods."""

    client: Client
    informer: Informer
    target: CacheTarget
    deadline: float
    """The time.monotonic() at which retries end."""

    def by_file(self) -> Verification:
        """Compare each file in the master's list with the source.

        Raises:
            ForbiddenError: no permission to run commands in the master's pod.
            FluidModelError: the command fails there.
        """
        with ThreadPoolExecutor(2) as pool:  # each command starts a JVM, which takes two seconds
            listing = pool.submit(self._run_alluxio, alluxio_cli.LIST_COMMAND)
            capacity = pool.submit(self._run_alluxio, alluxio_cli.CAPACITY_COMMAND)
            listed, report = listing.result(), capacity.result()
        result = verification.verify_by_file(
            self.target.listing,
            alluxio_cli.parse_listing(listed),
            alluxio_cli.parse_live_workers(report),
            self.target.replicas,
        )
        lost = self._lost_workers(alluxio_cli.parse_capacity_report(report))
        return verification.exclude_lost_workers(result, lost)

    def by_total(self) -> Verification:
        """Compare the totals in the Dataset's status."""
        dataset = status.parse_dataset(self.informer.get(names.DATASETS, self.target.name))
        result = verification.verify_by_total(self.target.listing, dataset, self.target.replicas)
        return verification.exclude_lost_workers(result, self._lost_workers(()))

    def _lost_workers(self, reported: Sequence[AlluxioWorker]) -> list[str]:
        """Return lost workers, whose data Alluxio or Fluid may still count."""
        replicas = self.target.replicas
        if not self.informer.is_watching(kinds.PODS):
            lost = [
                f"node {node} does not exist" for node in missing_nodes(self.informer, self.target)
            ]
            return lost + verification.lost_workers(None, None, reported, replicas)
        prefix = f"{self.target.name}-worker-"
        listed = self.informer.list_objects(kinds.PODS)
        pods = [pod for pod in listed if name_of(pod).startswith(prefix)]
        nodes = None
        if self.target.hostnames and self.informer.is_watching(kinds.NODES):
            nodes = {name_of(node) for node in self.informer.list_objects(kinds.NODES)}
        return verification.lost_workers(pods, nodes, reported, replicas)

    def _run_alluxio(self, command: list[str]) -> str:
        result = self._exec(command)
        if result.exit_code:
            # Alluxio's shell prints its errors to stdout.
            output = result.stderr + result.stdout
            cause = pod_problems.find_log_error(output) or output.strip()
            pod = master_pod_name(self.target.name)
            raise FluidModelError(
                f"'{' '.join(command)}' failed in pod {pod}", " ".join(cause.split())[:200]
            )
        return result.stdout

    def _exec(self, command: list[str]) -> ExecResult:
        """Run a command in the master; retry while the API server is briefly unavailable."""
        target = self.target
        until = min(time.monotonic() + _RETRY_TIMEOUT, self.deadline)
        while True:
            try:
                return exec_command(
                    self.client,
                    target.namespace,
                    master_pod_name(target.name),
                    MASTER_CONTAINER,
                    command,
                    timeout=_COMMAND_TIMEOUT,
                )
            except (UnreachableError, KubeError) as err:
                refused = isinstance(err, ForbiddenError | UnauthorizedError)
                if refused or time.monotonic() >= until:
                    raise
                time.sleep(_RETRY_INTERVAL)
