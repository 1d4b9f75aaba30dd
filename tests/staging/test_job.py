"""The Job as an object."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubectl_fluidmodel.model.plan import Plan, PlanFile
from kubectl_fluidmodel.staging.job import PACKAGE, SecretKey, Settings, build
from kubectl_fluidmodel.staging.place import Destination

PLAN = Plan("org/model", "main", "c" * 40, (PlanFile("a", 5, "git", "0" * 40),))
SETTINGS = Settings(
    name="model",
    namespace="ns",
    to=Destination("models", "p"),
    endpoint="http://minio:9000",
    access_key=SecretKey("keys", "AWS_ACCESS_KEY_ID"),
    secret_key=SecretKey("keys", "AWS_SECRET_ACCESS_KEY"),
    token=SecretKey("hub", "HF_TOKEN"),
    shards=4,
)


def container(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"]["containers"][0])


def test_it_is_an_indexed_job_with_a_share_per_pod() -> None:
    job = build(PLAN, SETTINGS)
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 4
    arguments = container(job)["args"]
    assert arguments[0] == f"org/model@{'c' * 40}"
    assert "--shard=$(FLUIDMODEL_SHARD)/4" in arguments and "--to=s3://models/p" in arguments


def test_it_may_nothing_that_it_need_not() -> None:
    pod = build(PLAN, SETTINGS)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    security = pod["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "384Mi"
    assert [each["mountPath"] for each in pod["containers"][0]["volumeMounts"]] == ["/fluidmodel"]


def test_secrets_are_references() -> None:
    env = {each["name"]: each for each in container(build(PLAN, SETTINGS))["env"]}
    for name, secret in (
        ("AWS_ACCESS_KEY_ID", "keys"),
        ("AWS_SECRET_ACCESS_KEY", "keys"),
        ("HF_TOKEN", "hub"),
    ):
        assert "value" not in env[name]
        assert env[name]["valueFrom"]["secretKeyRef"]["name"] == secret


def test_its_name_stands_for_what_it_does() -> None:
    one = build(PLAN, SETTINGS)
    assert build(PLAN, SETTINGS) == one
    assert build(replace(PLAN, commit="d" * 40), SETTINGS)["metadata"] != one["metadata"]
    other = build(PLAN, replace(SETTINGS, to=Destination("elsewhere")))
    assert other["metadata"]["name"] != one["metadata"]["name"]
    long = build(PLAN, replace(SETTINGS, name="n" * 45))["metadata"]["name"]
    assert len(long) <= 52  # a pod of it adds its index and a random suffix


def test_it_is_plain_json() -> None:
    json.dumps(build(PLAN, SETTINGS))


NO_SUCH = "ERROR: No matching distribution found for kubectl-fluidmodel==0.1.0"
AWAY = f"WARNING: Retrying (Retry(total=0)) after connection broken\n{NO_SUCH}"


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        (NO_SUCH, 1, "PyPI does not have it"),
        (AWAY, 3, "PyPI is out of reach"),
        ('ERROR: No space left on device "x"', 3, "pip failed"),
    ],
)
def test_a_package_that_cannot_be_installed_ends_the_job_only_where_that_stays_so(
    tmp_path: Path, said: str, code: int, why: str
) -> None:
    """The container's own command, with a Python that has nothing and whose pip fails."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || echo {shlex.quote(said)} >&2\nexit 1\n')
    python.chmod(0o755)
    made = container(build(PLAN, SETTINGS))
    env = {each["name"]: each["value"] for each in made["env"] if "value" in each}
    done = subprocess.run(
        [*made["command"], *made["args"]],
        env={**env, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["event"] == "Error" and told["exitCode"] == code
    assert PACKAGE in told["what"] and why in told["why"]
    assert said in done.stderr


def test_a_python_that_has_the_package_starts_at_once(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "$@"\n')
    python.chmod(0o755)
    made = container(build(PLAN, SETTINGS))
    done = subprocess.run(
        [*made["command"], *made["args"]],
        env={"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["-m", "kubectl_fluidmodel", "stage", *made["args"]]
