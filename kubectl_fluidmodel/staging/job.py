"""The Job that stages a model from inside the cluster. Pure: settings in, object out.

It is an Indexed Job: each index stages its share of the plan and goes on by itself from what
the store holds, so a pod that dies costs its parts in flight. The pods run the very code that
`kubectl fluidmodel stage` runs, as nobody in particular, with nothing writable but a scratch
directory, and no token of the cluster. Keys and tokens are references to Secrets.

With the default image the package is installed from PyPI when the pod starts. An image that has
the package (the project's own, see the Dockerfile) starts at once and needs no internet for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.kind import Object
from kubectl_fluidmodel.kube.quantity import from_bytes
from kubectl_fluidmodel.model.plan import Plan
from kubectl_fluidmodel.staging.options import MEMORY, MIB, WORKERS
from kubectl_fluidmodel.staging.place import Destination

IMAGE = "python:3.12-slim"
CONTAINER = "stage"
PACKAGE = f"kubectl-fluidmodel=={__version__}"
USER = 65532
"""The uid that distroless images call nonroot."""
STAGE_LABEL = "fluidmodel.io/stage"
"""On a staging Job and its pods: `true`."""
INDEX = "batch.kubernetes.io/job-completion-index"
_HOME = "/fluidmodel"
_BESIDE = 128 * MIB
"""Memory limit beyond the budget: page cache of the installed package, and pip before it."""

# A failed install is told as our own errors are. It ends the Job only where another attempt cannot
# mend it: PyPI was asked and has no such version. pip retries where it cannot ask.
_SCRIPT = """\
export PYTHONPATH="$HOME/lib${PYTHONPATH:+:$PYTHONPATH}"
if ! python -c 'import kubectl_fluidmodel, boto3, huggingface_hub' 2>/dev/null; then
  echo '{"event": "Note", "text": "installing the package into the pod"}'
  said=$(python -m pip install --quiet --no-cache-dir --disable-pip-version-check \\
    --target "$HOME/lib" "$FLUIDMODEL_PACKAGE" 2>&1) || {
    echo "$said" >&2
    why="pip failed, its last words are in the log" code=3
    case "$said" in
      *Retrying*) why="PyPI is out of reach from the pod" ;;
      *"No matching distribution"*) why="PyPI does not have it for this image" code=1 ;;
    esac
    echo '{"event": "Error", "what": "the pod cannot install '"$FLUIDMODEL_PACKAGE"'", "why": "'\
"$why"'", "try": "--image with the package in it (see the Dockerfile)", "exitCode": '$code'}'
    exit $code
  }
fi
exec python -m {module} "$@"
"""


@dataclass(frozen=True)
class SecretKey:
    """A key in a Secret of the Job's namespace."""

    secret: str
    key: str

    def variable(self, name: str) -> Object:
        """An environment variable with its value."""
        reference = {"name": self.secret, "key": self.key}
        return {"name": name, "valueFrom": {"secretKeyRef": reference}}


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
    token: SecretKey | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    image: str = IMAGE
    package: str = PACKAGE
    """What pip installs where the image does not have it."""
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


def _labels(settings: Settings) -> dict[str, str]:
    return {**names.our_labels(settings.name), STAGE_LABEL: "true"}


def _spec(plan: Plan, settings: Settings) -> Object:
    return {
        "completionMode": "Indexed",
        "completions": settings.shards,
        "parallelism": settings.shards,
        "backoffLimit": settings.retries * settings.shards,
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


def pod(container: Object) -> Object:
    """A pod spec around a container of `container`: as nobody, and without the cluster's token."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "work", "emptyDir": {"sizeLimit": "1Gi"}}],
    }


def _pod(plan: Plan, settings: Settings) -> Object:
    made = pod(_container(plan, settings))
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


def _container(plan: Plan, settings: Settings) -> Object:
    made = container(
        CONTAINER,
        settings.image,
        "kubectl_fluidmodel stage",
        _arguments(plan, settings),
        _environment(settings),
        settings.package,
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


def container(
    name: str,
    image: str,
    module: str,
    args: Sequence[str] = (),
    env: Sequence[Object] = (),
    package: str = PACKAGE,
) -> Object:
    """A container that runs a module of this package, with nothing writable but its home."""
    return {
        "name": name,
        "image": image,
        "command": ["sh", "-c", _SCRIPT.replace("{module}", module), name],
        "args": list(args),
        "env": [*_plain(package), *env],
        "workingDir": _HOME,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "work", "mountPath": _HOME}],
    }


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


def _plain(package: str) -> list[Object]:
    plain = {
        "HOME": _HOME,
        "TMPDIR": _HOME,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "FLUIDMODEL_PACKAGE": package,
    }
    return [{"name": name, "value": value} for name, value in plain.items()]


def _environment(settings: Settings) -> list[Object]:
    found: list[Object] = []
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    found.append({"name": "FLUIDMODEL_SHARD", "valueFrom": index})
    for name, key in (
        ("AWS_ACCESS_KEY_ID", settings.access_key),
        ("AWS_SECRET_ACCESS_KEY", settings.secret_key),
        ("HF_TOKEN", settings.token),
    ):
        if key is not None:
            found.append(key.variable(name))
    return found
