"""The workflow of `doctor`: collect or load a Snapshot, run the checks, and repeat with --wait."""

from __future__ import annotations

import time
from pathlib import Path

import kubectl_fluidmodel.doctor.checks  # noqa: F401 - registers them
from kubectl_fluidmodel.doctor.check import Check, select_checks
from kubectl_fluidmodel.doctor.collect.collector import collect_snapshot
from kubectl_fluidmodel.doctor.diagnosis import Diagnosis, Problem, diagnose
from kubectl_fluidmodel.doctor.mount_probe.job import PodProbe
from kubectl_fluidmodel.doctor.report_view import group_problems
from kubectl_fluidmodel.doctor.support_bundle import redact_snapshot
from kubectl_fluidmodel.errors import CommandInterruptedError, FluidModelError, UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.wait import read_until
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.output.console import print_note
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.archive import load_snapshot
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

_POLL_INTERVAL = 2.0
"""Seconds between two runs of --wait."""
_STORE_AREA = "5"


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """What to diagnose, and how.

    Raises:
        UsageError: options that exclude each other.
    """

    name: str = ""
    """The only cache to diagnose; empty for all."""
    all_namespaces: bool = False
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    """Codes or areas of checks."""
    probe: PodProbe | None = None
    """How to probe the stores from inside the cluster; None to probe them from here."""
    wait: float | None = None
    """Seconds to wait until nothing fails; None for one run."""
    bundle: Path | None = None
    from_bundle: Path | None = None

    def __post_init__(self) -> None:
        if self.name and self.all_namespaces:
            raise UsageError("cannot combine NAME and --all-namespaces", "", "use one of them")
        if self.from_bundle and (self.wait is not None or self.probe or self.bundle):
            raise UsageError(
                "a bundle is read as it is", "--wait, --probe and --bundle need a cluster"
            )


@dataclass(frozen=True)
class DoctorReport:
    """What one run found."""

    snapshot: Snapshot
    diagnosis: Diagnosis
    seconds: float


class DoctorRun:
    """One invocation of `doctor`."""

    def __init__(self, options: DoctorOptions, connection: ConfigFlags) -> None:
        self._options = options
        self._connection = connection
        self._checks: list[Check] = select_checks(options.only, options.skip)

    def run(self) -> DoctorReport:
        """Diagnose the cluster or the bundle.

        Raises:
            FluidModelError: the namespace or the cache does not exist, or the bundle is unreadable.
            ClusterUnreachableError: the API server does not respond.
            CommandInterruptedError: the user ended the wait.
        """
        if self._options.from_bundle:
            return self._diagnose_bundle(self._options.from_bundle)
        client = Client.connect(self._connection)
        if self._options.wait is None:
            return self._diagnose_cluster(client)
        try:
            return self._wait_until_healthy(client, self._options.wait)
        except KeyboardInterrupt as err:
            raise CommandInterruptedError("interrupted", "nothing was changed") from err

    def _wait_until_healthy(self, client: Client, timeout: float) -> DoctorReport:
        reported: set[str] = set()

        def note_new_problems(report: DoctorReport) -> None:
            failing = {_line(group[0]) for group in group_problems(report.diagnosis)}
            for line in sorted(failing - reported):
                print_note(f"waiting: {line}")
            reported.clear()
            reported.update(failing)

        return read_until(
            lambda: self._diagnose_cluster(client),
            lambda report: not report.diagnosis.failed,
            time.monotonic() + timeout,
            note_new_problems,
            interval=_POLL_INTERVAL,
        )

    def _diagnose_cluster(self, client: Client) -> DoctorReport:
        options, started = self._options, time.monotonic()
        # Only checks of one area need the stores; `--only 1xx` does not have to wait for them.
        probe_stores = bool(options.bundle) or any(c.code[2] == _STORE_AREA for c in self._checks)
        snapshot = collect_snapshot(
            client,
            None if options.all_namespaces else client.namespace,
            options.name,
            probe_stores=probe_stores,
            pod_probe=options.probe,
            all_logs=bool(options.bundle),
        )
        if options.bundle:
            snapshot = redact_snapshot(snapshot)
        return self._diagnose(snapshot, snapshot.namespace, started)

    def _diagnose_bundle(self, path: Path) -> DoctorReport:
        started = time.monotonic()
        snapshot, namespace = load_snapshot(path), self._connection.namespace
        if namespace and snapshot.namespace not in (None, namespace):
            raise FluidModelError(
                f"{path} has no data of namespace {namespace}",
                f"it contains only namespace {snapshot.namespace}",
            )
        if self._options.all_namespaces and snapshot.namespace is not None:
            print_note(f"note: the bundle contains only namespace {snapshot.namespace}")
        return self._diagnose(snapshot, namespace or snapshot.namespace, started)

    def _diagnose(self, snapshot: Snapshot, namespace: str | None, started: float) -> DoctorReport:
        name = self._options.name
        _require_namespace(snapshot, namespace)
        diagnosis = diagnose(snapshot, self._checks, namespace=namespace, name=name)
        if name and not diagnosis.caches:
            _require_cache(snapshot, name)
        return DoctorReport(snapshot, diagnosis, time.monotonic() - started)


def _line(problem: Problem) -> str:
    return f"{problem.check.code} {problem.finding.about}: {problem.finding.cause}"


def _require_namespace(snapshot: Snapshot, namespace: str | None) -> None:
    """Fail if the namespace certainly does not exist."""
    if namespace is None or not snapshot.was_read(kinds.NAMESPACES):
        return
    if snapshot.get(kinds.NAMESPACES, namespace) is None:
        raise FluidModelError(
            f'namespaces "{namespace}" not found', "nothing was checked", "kubectl get namespaces"
        )


def _require_cache(snapshot: Snapshot, name: str) -> None:
    """Fail if neither a Dataset nor a runtime can have the name."""
    namespace = snapshot.namespace or ""
    if snapshot.is_served(names.DATASETS) and snapshot.was_read(names.DATASETS, namespace):
        raise FluidModelError(
            f"there is no cache {name}" + (f" in namespace {namespace}" if namespace else ""),
            "neither a Dataset nor a runtime has that name",
            kubectl("get", "datasets", *([] if namespace else ["-A"]), namespace=namespace),
        )
