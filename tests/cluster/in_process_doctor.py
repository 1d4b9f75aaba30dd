"""Doctor in the test's own process on a live cluster: many looks at one area in little time.

`doctoring.py` runs the command itself; here a Snapshot is taken and checked without starting it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.doctor import checks
from kubectl_fluidmodel.doctor.check import Finding, Fix, Severity, select_checks
from kubectl_fluidmodel.doctor.collect import logs, occupants
from kubectl_fluidmodel.doctor.diagnosis import CHECK_CRASHED, Diagnosis, diagnose
from kubectl_fluidmodel.doctor.mount_probe import runner
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.snapshot import collector, queries
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from kubectl_fluidmodel.snapshot.texts import encode_texts

from . import paths
from .cluster import Cluster
from .objects import until

assert checks.__all__, "importing the package registers the checks"


class Doctor:
    """Looks at one namespace, with the checks of one area, or of several by comma."""

    def __init__(self, cluster: Cluster, namespace: str, area: str, bin_: Path) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.checks = select_checks(area.split(","), [])
        self.client = Client.connect(ConfigFlags(kubeconfig=str(cluster.kubeconfig)))
        self.bin = bin_
        self.bin.mkdir(exist_ok=True)
        (self.bin / "kubectl").unlink(missing_ok=True)
        (self.bin / "kubectl").symlink_to(cluster.facts["binaries"]["kubectl"])
        plugin = self.bin / "kubectl-fluidmodel"
        plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m kubectl_fluidmodel "$@"\n')
        plugin.chmod(0o755)
        self.snapshot = Snapshot(namespace, 0.0)
        self.diagnosis = Diagnosis([], [])

    def diagnose(
        self,
        *,
        probe: bool = False,
        everywhere: bool = False,
        client: Client | None = None,
        read_logs: bool = False,
        later: float = 0.0,
        **how: Any,
    ) -> Diagnosis:
        """Take a Snapshot, ask the stores and read the logs if told to, and run the checks.

        `later` is how many seconds hence it is checked, for what is only wrong when it lasts.
        """
        client = client or self.client
        self.snapshot = collector.collect(
            client, None if everywhere else self.namespace, queries.DOCTOR_QUERIES
        )
        self.snapshot.taken_at += later
        occupants.collect_occupants(client, build_caches(self.snapshot), self.snapshot)
        if read_logs:
            logs.collect_logs(client, build_caches(self.snapshot), self.snapshot)
        if probe:
            runner.probe_mounts(client, build_caches(self.snapshot), self.snapshot, **how)
        self.diagnosis = diagnose(self.snapshot, self.checks)
        broken = [
            each.skip_reason for each in self.diagnosis.results if CHECK_CRASHED in each.skip_reason
        ]
        assert not broken, broken
        return self.diagnosis

    def found(self, name: str = "") -> dict[str, list[Finding]]:
        """Findings by code, of one cache (and the cluster) where it is named."""
        found: dict[str, list[Finding]] = {}
        for outcome in self.diagnosis.results:
            if not name or outcome.cache in (None, (self.namespace, name)):
                for problem in outcome.problems:
                    found.setdefault(outcome.check.code, []).append(problem.finding)
        return found

    def codes(self, name: str = "") -> list[str]:
        return sorted(self.found(name))

    def roots(self, name: str = "") -> list[str]:
        """The codes of the findings that nothing else explains."""
        return sorted(
            {
                problem.check.code
                for problem in self.diagnosis.roots
                if not name or problem.cache in (None, (self.namespace, name))
            }
        )

    def errors(self, name: str = "") -> list[str]:
        """Codes of findings that are no mere warnings."""
        return sorted(
            {
                problem.check.code
                for outcome in self.diagnosis.results
                for problem in outcome.problems
                if problem.severity is Severity.ERROR
                and (not name or outcome.cache in (None, (self.namespace, name)))
            }
        )

    def skipped(self, code: str, name: str = "") -> str:
        return next(
            each.skip_reason
            for each in self.diagnosis.results
            if each.check.code == code
            and (not name or each.cache in (None, (self.namespace, name)))
        )

    def see(self, what: str, *codes: str, name: str = "", seconds: float = 30, **how: Any) -> None:
        """Look until exactly these codes are found."""

        def check() -> bool:
            self.diagnose(**how)
            return self.codes(name) == sorted(codes)

        try:
            until(what, check, seconds)
        except AssertionError as err:
            raise AssertionError(
                f"{what}: {self.causes_by_code(name)}, not {sorted(codes)}"
            ) from err

    def causes_by_code(self, name: str = "") -> dict[str, list[str]]:
        """Causes by code, for messages of tests that fail."""
        return {code: [each.cause for each in all_] for code, all_ in self.found(name).items()}

    def run(self, fix: Fix | None, env: dict[str, str] | None = None, timeout: float = 120) -> str:
        """Run a fix that is a command, or one to look something up, in a shell; its output."""
        assert fix is not None and fix.how in ("command", "advice"), fix
        done = subprocess.run(  # the printed fix is what is tested
            ["bash", "-c", fix.text],
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
                **self.cluster.s3.env(),
                **(env or {}),
                "KUBECONFIG": str(self.cluster.kubeconfig),
                "PATH": f"{self.bin}:{os.environ.get('PATH', os.defpath)}",
                "PYTHONPATH": str(paths.REPO),
            },
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{fix.text}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def secret_free(snapshot: Snapshot, *planted: str) -> None:
    """Fail where a planted value is in a snapshot's texts."""
    for key, text in encode_texts(snapshot).items():
        for value in planted:
            assert value not in text, f"{value} in {key}"
