"""Pytest fixtures: a cluster for the session, a namespace and a bucket for each test, the CLI.

``from tests.cluster.fixtures import *`` in a ``conftest.py`` makes them known.  A cluster that does
not start fails the tests that want it; nothing is skipped.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import interrupts

from . import paths
from .api import ApiError
from .bucket import Bucket
from .cluster import Cluster
from .process import locked

__all__ = ["bucket", "cli", "cluster", "fragile", "namespace"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster: the one that FLUIDMODEL_CLUSTER names, or one for this session.

    The workers of a parallel session share one, and the last to leave takes it down. With
    FLUIDMODEL_CLUSTER_PER_WORKER, each has one of its own.
    """
    named = os.environ.get("FLUIDMODEL_CLUSTER")
    if named:
        # Attached to as it is: who named it takes it up and down.
        found = Cluster(named)
        yield found if found.state.exists() else found.up()
        return
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:8]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    own = os.environ.get("FLUIDMODEL_CLUSTER_PER_WORKER") == "1"
    found = Cluster(f"pytest-{session}-{worker}" if own else f"pytest-{session}")
    users = found.state.parent / f".{found.name}.users"
    me = users / worker
    with locked(users.with_suffix(".users-lock")):
        users.mkdir(parents=True, exist_ok=True)
        me.touch()
        found.up()
    try:
        yield found
    finally:
        with locked(users.with_suffix(".users-lock")):
            me.unlink(missing_ok=True)
            if not any(users.iterdir()):
                users.rmdir()
                found.down()


@pytest.fixture(scope="module")
def fragile() -> Iterator[Cluster]:
    """A cluster of a module's own, for tests that take it apart."""
    made = Cluster(f"fragile-{os.getpid()}")
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with its ServiceAccount."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:18].strip("-")
    name = f"t-{secrets.token_hex(3)}-{stem}".strip("-")
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    deadline = time.monotonic() + 20
    while cluster.api.find("v1", "ServiceAccount", "default", name) is None:
        assert time.monotonic() < deadline, f"no ServiceAccount in {name}"
        time.sleep(0.05)
    yield name
    clear(cluster, name)


def clear(cluster: Cluster, name: str) -> None:
    """Remove a namespace; Fluid's objects first, so that Fluid takes its volumes away."""
    fluid = "data.fluid.io/v1alpha1"
    with contextlib.suppress(ApiError, OSError):
        for kind in ("DataLoad", "Dataset", "AlluxioRuntime"):
            for item in cluster.api.list(fluid, kind, name):
                cluster.api.delete(fluid, kind, item["metadata"]["name"], name)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and cluster.api.list(fluid, "AlluxioRuntime", name):
            time.sleep(0.1)
    with contextlib.suppress(ApiError, OSError):
        cluster.api.delete("v1", "Namespace", name)


@pytest.fixture
def bucket(cluster: Cluster) -> Iterator[Bucket]:
    """A fresh bucket."""
    made = Bucket(cluster.s3, f"models-{secrets.token_hex(4)}")
    yield made
    made.delete()


@dataclass
class Result:
    """How one run of the plugin went."""

    code: int
    out: str
    err: str
    elapsed: float

    def ok(self) -> Result:
        """This result, if it succeeded; otherwise the test fails with what was printed."""
        assert self.code == 0, f"exit {self.code}\nstdout: {self.out}\nstderr: {self.err}"
        return self


class Cli:
    """The plugin as a person would run it, against the cluster and its S3 server."""

    def __init__(self, cluster: Cluster, cwd: Path) -> None:
        self.cluster, self.cwd = cluster, cwd
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AWS_", "HF_", "KUBE"))
        }
        self.env = {
            **kept,
            **cluster.s3.env(),
            "KUBECONFIG": str(cluster.kubeconfig),
            "PYTHONPATH": str(paths.REPO),
            "PYTHONUNBUFFERED": "1",
        }

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "kubectl_fluidmodel", *arguments]

    def _env(self, env: dict[str, str | None] | None) -> dict[str, str]:
        merged: dict[str, str | None] = {**self.env, **(env or {})}
        return {key: value for key, value in merged.items() if value is not None}

    def __call__(
        self,
        *arguments: str,
        env: dict[str, str | None] | None = None,
        timeout: float = 120,
        stdin: str | None = None,
    ) -> Result:
        """Run to the end. ``env`` adds variables; None takes one away."""
        started = time.monotonic()
        done = subprocess.run(
            self._argv(arguments),
            env=self._env(env),
            cwd=self.cwd,
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
            input=stdin or "",
        )
        return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - started)

    def popen(
        self, *arguments: str, env: dict[str, str | None] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start it, for tests that interfere while it runs."""
        options = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
            **options,
        }
        with interrupts.interrupts_enabled():
            return subprocess.Popen(
                self._argv(arguments), env=self._env(env), cwd=self.cwd, text=True, **options
            )


@pytest.fixture
def cli(cluster: Cluster, tmp_path: Path) -> Cli:
    """Run the plugin: ``cli("cache", "s3://…")`` or ``cli.popen(…)``."""
    return Cli(cluster, tmp_path)
