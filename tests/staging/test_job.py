"""The Job as an object."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from kubectl_fluidmodel.model.plan import Plan, PlanFile
from kubectl_fluidmodel.staging.job import SecretKey, Settings, build
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
