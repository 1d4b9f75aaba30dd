"""The Job that stages a model from inside the cluster. Pure.

It is an Indexed Job: each index stages one shard of the plan and resumes by itself from what the
store has, so a pod that dies costs only its parts in flight. The pods run the code that
`kubectl fluidmodel stage` runs. Keys and tokens are references to Secrets.

A running Job may have been created by another version of this package, which also has to find it
by its name. So the same settings have to build the same object in every version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.plugin_pod import PodNetwork, SecretKey, build_container, build_pod
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.objectstore.layout import BucketPrefix
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.job_description import STAGE_CONTAINER, STAGE_LABEL
from kubectl_fluidmodel.stage.options import DEFAULT_MEMORY, DEFAULT_WORKERS, MIB

INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
_MEMORY_OVERHEAD = 128 * MIB
"""Bytes of the memory limit beyond the process: the page cache of the package's files."""
_BASE_DEADLINE = 3600
_MIN_RATE = 2 * MIB
"""A Job ends after `_BASE_DEADLINE` seconds, and one more per `_MIN_RATE` bytes of the plan. This
ends a Job that nobody waits for; a transfer without progress fails much earlier by itself."""


@dataclass(frozen=True)
class JobSettings:
    """Settings of the Job."""

    name: str
    """The model's name, for labels and for the Job's own name."""
    namespace: str
    to: BucketPrefix
    endpoint: str = ""
    """Of the store, as pods reach it."""
    region: str = ""
    endpoint_hub: str = ""
    access_key: SecretKey | None = None
    secret_key: SecretKey | None = None
    session_token: SecretKey | None = None
    """Of temporary keys, which are useless without it."""
    hub_token: SecretKey | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    image: str = ""
    """An image that has this package; there is no default."""
    network: PodNetwork = field(default_factory=PodNetwork)
    shards: int = 1
    workers: int = DEFAULT_WORKERS
    memory: int = DEFAULT_MEMORY
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Object] = ()
    retries: int = 6
    """Pods that may fail per shard, for example because their node was lost."""
    ttl_seconds: int = 86_400
    """How long a finished Job and its logs stay."""


def build_job(plan: StagingPlan, settings: JobSettings) -> Object:
    """The Job that stages a plan; the same settings build the same Job, including its name."""
    spec = _job_spec(plan, settings)
    fingerprint = json.dumps([spec, settings.namespace, settings.to.uri], sort_keys=True)
    suffix = hashlib.sha256(fingerprint.encode()).hexdigest()[:8]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{settings.name[:36]}-stage-{suffix}",
            "namespace": settings.namespace,
            "labels": _labels(settings.name),
            "annotations": {
                names.SOURCE_ANNOTATION: plan.uri,
                names.COMMIT_ANNOTATION: plan.commit,
                names.BYTES_ANNOTATION: str(plan.bytes),
                names.FILES_ANNOTATION: str(len(plan.files)),
            },
        },
        "spec": spec,
    }


def job_selector(name: str) -> str:
    """The label selector of a cache's staging Jobs."""
    return ",".join(f"{key}={value}" for key, value in _labels(name).items())


def _labels(name: str) -> dict[str, str]:
    return {**names.managed_labels(name), STAGE_LABEL: "true"}


def _job_spec(plan: StagingPlan, settings: JobSettings) -> Object:
    return {
        "completionMode": "Indexed",
        "completions": settings.shards,
        "parallelism": settings.shards,
        "backoffLimit": settings.retries * settings.shards,
        "activeDeadlineSeconds": _BASE_DEADLINE + plan.bytes // _MIN_RATE,
        "ttlSecondsAfterFinished": settings.ttl_seconds,
        # A retry cannot fix a refusal (exit code 1) or a wrong flag (2), so these fail the Job.
        # A pod that was evicted or preempted does not count as a failure.
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": STAGE_CONTAINER,
                        "operator": "In",
                        "values": [1, 2],
                    },
                },
            ]
        },
        "template": {
            "metadata": {"labels": _labels(settings.name)},
            "spec": _pod_spec(plan, settings),
        },
    }


def _pod_spec(plan: StagingPlan, settings: JobSettings) -> Object:
    network = settings.network.with_default_no_proxy(settings.endpoint)
    spec = build_pod(_container_spec(plan, settings, network), network)
    if settings.node_selector:
        spec["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        spec["tolerations"] = [dict(toleration) for toleration in settings.tolerations]
    if settings.shards > 1:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(settings.name)},
            }
        ]
    return spec


def _container_spec(plan: StagingPlan, settings: JobSettings, network: PodNetwork) -> Object:
    spec = build_container(
        STAGE_CONTAINER,
        settings.image,
        "kubectl_fluidmodel stage",
        _arguments(plan, settings),
        _environment(settings),
        network,
    )
    spec["resources"] = {
        "requests": {
            "cpu": "1",
            "memory": bytes_to_quantity(settings.memory),
            "ephemeral-storage": "512Mi",
        },
        "limits": {
            "memory": bytes_to_quantity(settings.memory + _MEMORY_OVERHEAD),
            "ephemeral-storage": "1Gi",
        },
    }
    return spec


def _arguments(plan: StagingPlan, settings: JobSettings) -> list[str]:
    args = [
        f"{plan.repo}@{plan.commit}",
        f"--to={settings.to.uri}",
        "--log=json",
        f"--shard=$(FLUIDMODEL_SHARD)/{settings.shards}",
        f"--stage-workers={settings.workers}",
        f"--memory={bytes_to_quantity(settings.memory)}",
    ]
    for flag, value in (
        ("--endpoint", settings.endpoint),
        ("--region", settings.region),
        ("--endpoint-hub", settings.endpoint_hub),
    ):
        if value:
            args.append(f"{flag}={value}")
    args += [f"--include={glob}" for glob in settings.include]
    args += [f"--exclude={glob}" for glob in settings.exclude]
    return args


def _environment(settings: JobSettings) -> list[Object]:
    env: list[Object] = []
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX_ANNOTATION}']"}}
    env.append({"name": "FLUIDMODEL_SHARD", "valueFrom": index})
    for name, key in (
        ("AWS_ACCESS_KEY_ID", settings.access_key),
        ("AWS_SECRET_ACCESS_KEY", settings.secret_key),
        ("AWS_SESSION_TOKEN", settings.session_token),
        ("HF_TOKEN", settings.hub_token),
    ):
        if key is not None:
            env.append(key.env_var(name))
    return env
