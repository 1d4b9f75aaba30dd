"""The Job that stages a model from inside the cluster. Pure: settings in, object out.

It is an Indexed Job: each index stages its share of the plan and goes on by itself from what
the store holds, so a pod that dies costs its parts in flight. The pods run the very code that
`kubectl fluidmodel stage` runs. Keys and tokens are references to Secrets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.model.plan import Plan
from kubectl_fluidmodel.objects.access import Object, annotations_of, at, dicts, labels_of
from kubectl_fluidmodel.objects.plugin_pod import Network, SecretKey, bundle_of, container, pod
from kubectl_fluidmodel.objects.quantity import from_bytes
from kubectl_fluidmodel.objectstore.layout import Destination
from kubectl_fluidmodel.stage.options import MEMORY, MIB, WORKERS

CONTAINER = "stage"
STAGE_LABEL = "fluidmodel.io/stage"
"""On a staging Job and its pods: `true`."""
INDEX = "batch.kubernetes.io/job-completion-index"
_BESIDE = 128 * MIB
"""Memory limit beyond the budget: the page cache of the package's files."""
_START = 3600
_SLOWEST = 2 * MIB
"""A Job ends after this many seconds, and one more for this many bytes of the plan. It is the stop
of one that nobody follows: a transfer without progress gives up long before by itself."""
_GIVEN = ("--to", "--endpoint", "--region", "--endpoint-hub", "--include", "--exclude")
"""Arguments of the container that are flags of `cache`, too."""
_IN_CLUSTER = ("localhost", "127.0.0.1", ".svc", ".cluster.local")
"""What is never behind a proxy, where `--stage-no-proxy` does not say."""


@dataclass(frozen=True)
class Settings:
    """How the Job shall be."""

    name: str
    """The model's: of its cache, its labels and the Job's own name."""
    namespace: str
    to: Destination
    endpoint: str = ""
    """Of the store, as pods see it."""
    region: str = ""
    endpoint_hub: str = ""
    access_key: SecretKey | None = None
    secret_key: SecretKey | None = None
    session_token: SecretKey | None = None
    """Of temporary keys, which are worth nothing without."""
    token: SecretKey | None = None
    """Of the Hub."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    image: str = ""
    """It has this package; there is none by default."""
    network: Network = field(default_factory=Network)
    shards: int = 1
    workers: int = WORKERS
    memory: int = MEMORY
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Object] = ()
    retries: int = 6
    """Pods that may fail per shard, e.g. because their node went away."""
    keep: int = 86_400
    """Seconds that a finished Job and its logs stay."""


def build(plan: Plan, settings: Settings) -> Object:
    """The Job that stages a plan; the same settings make the same Job, name included."""
    spec = _spec(plan, settings)
    mark = json.dumps([spec, settings.namespace, settings.to.uri], sort_keys=True)
    name = f"{settings.name[:36]}-stage-{hashlib.sha256(mark.encode()).hexdigest()[:8]}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": _labels(settings),
            "annotations": {
                names.SOURCE_ANNOTATION: plan.uri,
                names.COMMIT_ANNOTATION: plan.commit,
                names.BYTES_ANNOTATION: str(plan.bytes),
                names.FILES_ANNOTATION: str(len(plan.files)),
            },
        },
        "spec": spec,
    }


def selector(name: str) -> str:
    """The label selector of the staging Jobs of a cache."""
    return f"{names.MANAGED_BY}={names.MANAGER},{names.MODEL_LABEL}={name},{STAGE_LABEL}=true"


def work_of(job: Object) -> str:
    """What a staging Job stages, as `hf://org/model@COMMIT`: two of the same do the same work."""
    return annotations_of(job).get(names.SOURCE_ANNOTATION, "")


def arguments_of(job: Object) -> list[str]:
    """The arguments of a staging Job's container."""
    found = at(job, "spec", "template", "spec", "containers", 0, "args", default=[])
    return [str(each) for each in found]


def flags_of(job: Object) -> list[str]:
    """The flags of `cache` that make a staging Job again, as words: the inverse of `build`."""
    spec = at(job, "spec", "template", "spec", default={})
    made = at(spec, "containers", 0, default={})
    found: list[str] = []
    for arg in arguments_of(job):
        flag, mark, value = arg.partition("=")
        if mark and flag in _GIVEN:
            found += [flag, value]
    shards = at(job, "spec", "completions", default=1)
    if shards > 1:
        found += ["--shards", str(shards)]
    name = labels_of(job).get(names.MODEL_LABEL, "")
    env = {str(each.get("name")): each for each in dicts(made, "env")}
    for variable, flag, own in (
        ("AWS_ACCESS_KEY_ID", "--s3-secret", secrets.store_name(name)),
        ("HF_TOKEN", "--hf-secret", name + secrets.HUB_SUFFIX),
    ):
        secret = at(env.get(variable), "valueFrom", "secretKeyRef", "name")
        if secret and secret != own:
            found += [flag, str(secret)]
    for flag, value in (
        ("--image", made.get("image")),
        ("--stage-proxy", at(env.get("HTTPS_PROXY"), "value")),
        ("--stage-no-proxy", at(env.get("NO_PROXY"), "value")),
        ("--stage-ca", bundle_of(spec)),
    ):
        if value:
            found += [flag, str(value)]
    for each in dicts(spec, "imagePullSecrets"):
        found += ["--image-pull-secret", str(each.get("name"))]
    return found


def _labels(settings: Settings) -> dict[str, str]:
    return {**names.our_labels(settings.name), STAGE_LABEL: "true"}


def _spec(plan: Plan, settings: Settings) -> Object:
    return {
        "completionMode": "Indexed",
        "completions": settings.shards,
        "parallelism": settings.shards,
        "backoffLimit": settings.retries * settings.shards,
        "activeDeadlineSeconds": _START + plan.bytes // _SLOWEST,
        "ttlSecondsAfterFinished": settings.keep,
        # What another attempt cannot mend ends the Job: 1 is a refusal, 2 a wrong setting.
        # A pod that its node or the scheduler took away does not count.
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": CONTAINER,
                        "operator": "In",
                        "values": [1, 2],
                    },
                },
            ]
        },
        "template": {"metadata": {"labels": _labels(settings)}, "spec": _pod(plan, settings)},
    }


def _pod(plan: Plan, settings: Settings) -> Object:
    network = _network(settings)
    made = pod(_container(plan, settings, network), network)
    if settings.node_selector:
        made["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        made["tolerations"] = [dict(each) for each in settings.tolerations]
    if settings.shards > 1:
        made["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(settings)},
            }
        ]
    return made


def _container(plan: Plan, settings: Settings, network: Network) -> Object:
    made = container(
        CONTAINER,
        settings.image,
        "kubectl_fluidmodel stage",
        _arguments(plan, settings),
        _environment(settings),
        network,
    )
    made["resources"] = {
        "requests": {
            "cpu": "1",
            "memory": from_bytes(settings.memory),
            "ephemeral-storage": "512Mi",
        },
        "limits": {
            "memory": from_bytes(settings.memory + _BESIDE),
            "ephemeral-storage": "1Gi",
        },
    }
    return made


def _network(settings: Settings) -> Network:
    """With what is never behind a proxy: a store within the cluster is not."""
    given = settings.network
    if not given.proxy or given.no_proxy:
        return given
    host = urlsplit(settings.endpoint).hostname or ""
    service = [host] if host and "." not in host else []
    return replace(given, no_proxy=",".join([*_IN_CLUSTER, *service]))


def _arguments(plan: Plan, settings: Settings) -> list[str]:
    found = [
        f"{plan.repo}@{plan.commit}",
        f"--to={settings.to.uri}",
        "--log=json",
        f"--shard=$(FLUIDMODEL_SHARD)/{settings.shards}",
        f"--stage-workers={settings.workers}",
        f"--memory={from_bytes(settings.memory)}",
    ]
    for flag, value in (
        ("--endpoint", settings.endpoint),
        ("--region", settings.region),
        ("--endpoint-hub", settings.endpoint_hub),
    ):
        if value:
            found.append(f"{flag}={value}")
    found += [f"--include={glob}" for glob in settings.include]
    found += [f"--exclude={glob}" for glob in settings.exclude]
    return found


def _environment(settings: Settings) -> list[Object]:
    found: list[Object] = []
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    found.append({"name": "FLUIDMODEL_SHARD", "valueFrom": index})
    for name, key in (
        ("AWS_ACCESS_KEY_ID", settings.access_key),
        ("AWS_SECRET_ACCESS_KEY", settings.secret_key),
        ("AWS_SESSION_TOKEN", settings.session_token),
        ("HF_TOKEN", settings.token),
    ):
        if key is not None:
            found.append(key.variable(name))
    return found
