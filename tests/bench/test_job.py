"""The Job of `bench`: where it runs, what it mounts, what it is allowed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from kubectl_fluidmodel.bench.job import MODULE, PURPOSE, build_bench_job
from kubectl_fluidmodel.bench.plan import MOUNT_CASES, BenchPlan, plan_from_json
from kubectl_fluidmodel.fluid.claim_job import ClaimJob, ClaimNode
from kubectl_fluidmodel.inventory.mount_target import MountTarget, SecretKeyRef

PLAN = BenchPlan(MOUNT_CASES, 0, 10.0)
GPU = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
NODE = ClaimNode("gpu-0", (GPU,))
JOB = ClaimJob("team", "llama", PURPOSE, MODULE, NODE, "img:1", 300, "0a1b2c3d", memory_limit="2Gi")
STORE = MountTarget(
    "team",
    "s3://models/llama",
    "s3",
    "models",
    "llama",
    endpoint="http://minio:9000",
    access=SecretKeyRef("keys", "id", "aws.accessKeyId"),
    hidden=SecretKeyRef("keys", "secret", "aws.secretKey"),
    plain=None,
)


def build(store: MountTarget | None = None) -> dict[str, Any]:
    return build_bench_job(JOB, PLAN, store)


def pod(job: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def test_it_runs_on_the_node_with_its_tolerations() -> None:
    spec = pod(build())
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term == {
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-0"]}]
    }
    assert spec["tolerations"] == [GPU]


def test_it_mounts_the_claim_read_only() -> None:
    spec = pod(build())
    (volume,) = (volume for volume in spec["volumes"] if "persistentVolumeClaim" in volume)
    assert volume["persistentVolumeClaim"] == {"claimName": "llama", "readOnly": True}
    mounts = {volume["name"]: volume for volume in spec["containers"][0]["volumeMounts"]}
    assert mounts[volume["name"]] == {"name": "model", "mountPath": "/model", "readOnly": True}


def test_it_is_unprivileged_bounded_and_removes_itself() -> None:
    job = build()
    spec = pod(job)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"] == "2Gi"
    assert job["spec"]["activeDeadlineSeconds"] == 300
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    assert job["spec"]["backoffLimit"] == 0


def test_keys_are_references_and_the_plan_has_none() -> None:
    (container,) = pod(build(STORE))["containers"]
    env = {variable["name"]: variable for variable in container["env"]}
    assert env["AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"] == {"name": "keys", "key": "id"}
    assert "value" not in env["AWS_SECRET_ACCESS_KEY"]
    assert plan_from_json(env["FLUIDMODEL_BENCH"]["value"]) == PLAN


def test_a_long_name_still_makes_a_legal_job() -> None:
    job = replace(JOB, cache="m" * 45).build()
    assert len(job["metadata"]["name"]) <= 63
    assert json.loads(json.dumps(job)) == job
