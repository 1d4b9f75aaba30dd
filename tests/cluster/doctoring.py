<<<<<<< HEAD
"""Breaking things for real, and what doctor must say of it.

A test that is marked `@pytest.mark.breaks("FM204")` makes the fault, and asks the fixture `doctor`:

    report = doctor()
    found = report.problem("FM204", about=f"dataset {namespace}/demo")
    doctor.heal(found)                      # runs the printed command
    doctor.until_gone("FM204")

The fixture fails a test that does not ask for the codes of its mark.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .cluster import Cluster
from .fixtures import Cli

Problem = dict[str, Any]


class Report:
    """One `Diagnosis` document."""

    def __init__(self, document: dict[str, Any], code: int, asked: set[str]) -> None:
        self.document, self.code, self._asked = document, code, asked

    @property
    def codes(self) -> set[str]:
        """The codes of all problems, causes and consequences."""
        return {problem["code"] for problem in self.document["problems"]}

    @property
    def roots(self) -> set[str]:
        """The codes of the problems that nothing else explains."""
        problems = self.document["problems"]
        return {problem["code"] for problem in problems if problem["causedBy"] is None}

    def skipped(self, code: str) -> str:
        """Why a check was skipped; empty where it was not."""
        return next(
            (each["skipped"] or "" for each in self.document["checks"] if each["code"] == code), ""
        )

    def problem(self, code: str, about: str = "") -> Problem:
        """The problem of that code, about that object; the test fails where there is none."""
        self._asked.add(code)
        found: list[Problem] = [
            problem
            for problem in self.document["problems"]
            if problem["code"] == code and about in ("", problem["about"])
        ]
        told = [(each["code"], each["about"], each["cause"]) for each in self.document["problems"]]
        assert found, f"no {code} {about}; there is {told}"
        return found[0]


class Doctor:
    """`doctor` on a cluster, in a namespace."""

    def __init__(self, cluster: Cluster, cli: Cli, namespace: str) -> None:
        self.cluster, self.cli, self.namespace = cluster, cli, namespace
        self.asked: set[str] = set()

    def __call__(self, *arguments: str, env: dict[str, str | None] | None = None) -> Report:
        """One run with `-o json`; its exit code must fit what it says."""
        done = self.cli("doctor", *self._where(arguments), "-o", "json", *arguments, env=env)
        assert done.code in (0, 1), f"exit {done.code}\n{done.err}\n{done.out}"
        document = json.loads(done.out)
        assert document["healthy"] == (done.code == 0)
        return Report(document, done.code, self.asked)

    def _where(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        named = {"-n", "-A", "--namespace", "--from-bundle"} & set(arguments)
        return () if named else ("-n", self.namespace)

    def until(self, code: str, *arguments: str, seconds: float = 40) -> Report:
        """Ask until a problem of that code is found: Fluid and kubelets take their time."""
        deadline = time.monotonic() + seconds
        while True:
            report = self(*arguments)
            if code in report.codes:
                return report
            told = [(each["code"], each["cause"]) for each in report.document["problems"]]
            assert time.monotonic() < deadline, f"no {code} in {seconds:.0f} s; there is {told}"
            time.sleep(0.5)

    def until_gone(self, code: str, *arguments: str, seconds: float = 60) -> Report:
        """Ask until no problem of that code is left."""
        deadline = time.monotonic() + seconds
        while True:
            report = self(*arguments)
            left = [each for each in report.document["problems"] if each["code"] == code]
            if not left:
                return report
            assert time.monotonic() < deadline, f"still {code}: {left[0]['cause']}"
            time.sleep(0.5)

    def heal(self, problem: Problem) -> str:
        """Run the printed fix, word for word, as a person would paste it into a shell."""
        fix = problem["fix"]
        assert fix and fix["how"] == "command", f"{problem['code']} has no command: {fix}"
        binaries = Path(self.cluster.facts["binaries"]["kubectl"]).parent
        plugin = Path(sys.executable).parent
        env = {key: value for key, value in self.cli.env.items() if value is not None}
        env["PATH"] = os.pathsep.join([str(binaries), str(plugin), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-ec", fix["text"]],
            env=env,
            cwd=self.cli.cwd,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{fix['text']}: {done.stdout}{done.stderr}"
        return done.stdout


def checked(made: Doctor, request: pytest.FixtureRequest) -> Iterator[Doctor]:
    """The fixture's life: at the end every code of the mark must have been asked for."""
    yield made
    mark = request.node.get_closest_marker("breaks")
    if mark is not None and getattr(request.node, "passed", True):
        left = set(mark.args) - made.asked
        assert not left, f"{request.node.name} is marked to break {sorted(left)}, and never asks"


@pytest.fixture
def doctor(
    cluster: Cluster, cli: Cli, namespace: str, request: pytest.FixtureRequest
) -> Iterator[Doctor]:
    """`doctor()` in the test's own namespace of the shared cluster."""
    yield from checked(Doctor(cluster, cli, namespace), request)
=======
"""Doctor run in the test's own process on a live cluster, and its fixes run as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.doctor import checks, store
from kubectl_fluidmodel.doctor.check import Finding, Fix, Severity, select
from kubectl_fluidmodel.doctor.diagnosis import BROKEN, Diagnosis, diagnose
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import Connection
from kubectl_fluidmodel.overview.cached import link
from kubectl_fluidmodel.snapshot import live, reads
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

from . import paths
from .cluster import Cluster
from .objects import until

assert checks.__all__, "importing the package registers the checks"


class Doctor:
    """Looks at one namespace, with the checks of one area."""

    def __init__(self, cluster: Cluster, namespace: str, area: str, bin_: Path) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.checks = select([area], [])
        self.client = Client(Connection(kubeconfig=str(cluster.kubeconfig)))
        self.bin = bin_
        self.bin.mkdir(exist_ok=True)
        (self.bin / "kubectl").unlink(missing_ok=True)
        (self.bin / "kubectl").symlink_to(cluster.facts["binaries"]["kubectl"])
        plugin = self.bin / "kubectl-fluidmodel"
        plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m kubectl_fluidmodel "$@"\n')
        plugin.chmod(0o755)
        self.snapshot = Snapshot(namespace, 0.0)
        self.diagnosis = Diagnosis([], [])

    def look(self, *, ask: bool = False, client: Client | None = None, **how: Any) -> Diagnosis:
        """Take a Snapshot, ask the stores if told to, and judge."""
        client = client or self.client
        self.snapshot = live.take(client, self.namespace, reads.DOCTOR)
        if ask:
            store.ask(client, link(self.snapshot), self.snapshot, **how)
        self.diagnosis = diagnose(self.snapshot, self.checks)
        broken = [each.skipped for each in self.diagnosis.outcomes if BROKEN in each.skipped]
        assert not broken, broken
        return self.diagnosis

    def found(self, name: str = "") -> dict[str, list[Finding]]:
        """Findings by code, of one cache (and the cluster) where it is named."""
        found: dict[str, list[Finding]] = {}
        for outcome in self.diagnosis.outcomes:
            if not name or outcome.cache in (None, (self.namespace, name)):
                for problem in outcome.problems:
                    found.setdefault(outcome.check.code, []).append(problem.finding)
        return found

    def codes(self, name: str = "") -> list[str]:
        return sorted(self.found(name))

    def errors(self, name: str = "") -> list[str]:
        """Codes of findings that are no mere warnings."""
        return sorted(
            {
                problem.check.code
                for outcome in self.diagnosis.outcomes
                for problem in outcome.problems
                if problem.severity is Severity.ERROR
                and (not name or outcome.cache in (None, (self.namespace, name)))
            }
        )

    def skipped(self, code: str, name: str = "") -> str:
        return next(
            each.skipped
            for each in self.diagnosis.outcomes
            if each.check.code == code
            and (not name or each.cache in (None, (self.namespace, name)))
        )

    def see(self, what: str, *codes: str, name: str = "", seconds: float = 30, **how: Any) -> None:
        """Look until exactly these codes are found."""

        def check() -> bool:
            self.look(**how)
            return self.codes(name) == sorted(codes)

        try:
            until(what, check, seconds)
        except AssertionError as err:
            raise AssertionError(f"{what}: {self.told(name)}, not {sorted(codes)}") from err

    def told(self, name: str = "") -> dict[str, list[str]]:
        """Causes by code, for messages of tests that fail."""
        return {code: [each.cause for each in all_] for code, all_ in self.found(name).items()}

    def run(self, fix: Fix | None, env: dict[str, str] | None = None, timeout: float = 120) -> str:
        """Run a fix that is a command, in a shell; its output."""
        assert fix is not None and fix.how == "command", fix
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
    for key, text in snapshot.texts.items():
        for value in planted:
            assert value not in text, f"{value} in {key}"
>>>>>>> 7e5b2a9 (Break tests: the store's checks, each broken on the real S3 server and mended)
