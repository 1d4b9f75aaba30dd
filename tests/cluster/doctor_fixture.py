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
PASSED = pytest.StashKey[bool]()
"""Whether a test passed, for fixtures that end after it."""


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
        assert done.code in (0, 1) and done.out, f"exit {done.code}\n{done.err}\n{done.out}"
        document = json.loads(done.out)
        assert document["healthy"] == (done.code == 0)
        return Report(document, done.code, self.asked)

    def _where(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        named = {"-n", "-A", "--namespace", "--from-bundle"} & set(arguments)
        return () if named else ("-n", self.namespace)

    def until(self, code: str, *arguments: str, seconds: float = 120) -> Report:
        """Ask until a problem of that code is found: Fluid and kubelets take their time."""
        deadline = time.monotonic() + seconds
        while True:
            report = self(*arguments)
            if code in report.codes:
                return report
            told = [(each["code"], each["cause"]) for each in report.document["problems"]]
            assert time.monotonic() < deadline, f"no {code} in {seconds:.0f} s; there is {told}"
            time.sleep(1.0)

    def until_gone(self, code: str, *arguments: str, seconds: float = 120) -> Report:
        """Ask until no problem of that code is left."""
        deadline = time.monotonic() + seconds
        while True:
            report = self(*arguments)
            left = [each for each in report.document["problems"] if each["code"] == code]
            if not left:
                return report
            assert time.monotonic() < deadline, f"still {code}: {left[0]['cause']}"
            time.sleep(1.0)

    def heal(self, problem: Problem) -> str:
        """Run the printed fix, word for word, as a person would paste it into a shell."""
        fix = problem["fix"]
        assert fix and fix["how"] == "command", f"{problem['code']} has no command: {fix}"
        plugin = Path(sys.executable).parent
        env = {key: value for key, value in self.cli.env.items() if value is not None}
        env["PATH"] = os.pathsep.join([str(self.cluster.bin), str(plugin), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-ec", fix["text"]],
            env=env,
            cwd=self.cli.cwd,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{fix['text']}: {done.stdout}{done.stderr}"
        return done.stdout


def checked(made: Doctor, request: pytest.FixtureRequest) -> Iterator[Doctor]:
    """The fixture's life: at the end every code of the mark must have been asked for."""
    yield made
    mark = request.node.get_closest_marker("breaks")
    if mark is not None and request.node.stash.get(PASSED, False):
        left = set(mark.args) - made.asked
        assert not left, f"{request.node.name} is marked to break {sorted(left)}, and never asks"


@pytest.fixture
def doctor(
    cluster: Cluster, cli: Cli, namespace: str, request: pytest.FixtureRequest
) -> Iterator[Doctor]:
    """`doctor()` in the test's own namespace of the shared cluster."""
    yield from checked(Doctor(cluster, cli, namespace), request)
