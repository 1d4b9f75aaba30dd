"""The metadata of a staging Job: its labels, its source, and the flags that created it. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    get_list,
    get_path,
    labels_of,
)
from kubectl_fluidmodel.objects.plugin_pod import ca_bundle_reference
from kubectl_fluidmodel.output.shell import flags_with_values

STAGE_CONTAINER = "stage"
STAGE_LABEL = "fluidmodel.io/stage"
"""On a staging Job and its pods: `true`."""
_SHARED_FLAGS = ("--to", "--endpoint", "--region", "--endpoint-hub", "--include", "--exclude")
"""Arguments of the container that are flags of `cache`, too."""


def staged_source(job: Object) -> str:
    """What a Job stages, as `hf://org/model@COMMIT`."""
    return annotations_of(job).get(names.SOURCE_ANNOTATION, "")


def container_args(job: Object) -> list[str]:
    """The arguments of a Job's container."""
    args = get_path(job, "spec", "template", "spec", "containers", 0, "args", default=[])
    return [str(arg) for arg in args]


def update_flags(job: Object) -> list[str]:
    """The flags of `update` that build this Job: those of `cache` but the bucket."""
    flags = cache_flags(job)
    return [
        word for at in range(0, len(flags), 2) if flags[at] != "--to" for word in flags[at:][:2]
    ]


def cache_flags(job: Object) -> list[str]:
    """The flags of `cache` that build this Job, as words: the inverse of `build_job`."""
    spec = get_path(job, "spec", "template", "spec", default={})
    container = get_path(spec, "containers", 0, default={})
    flags: list[str] = []
    for arg in container_args(job):
        flag, separator, value = arg.partition("=")
        if separator and flag in _SHARED_FLAGS:
            flags += [flag, value]
    shards = get_path(job, "spec", "completions", default=1)
    if shards > 1:
        flags += ["--shards", str(shards)]
    name = labels_of(job).get(names.MODEL_LABEL, "")
    env = {str(entry.get("name")): entry for entry in get_list(container, "env")}
    for variable, flag, own_secret in (
        ("AWS_ACCESS_KEY_ID", "--s3-secret", secrets.store_secret_name(name)),
        ("HF_TOKEN", "--hf-secret", name + secrets.HUB_SUFFIX),
    ):
        secret = get_path(env.get(variable), "valueFrom", "secretKeyRef", "name")
        if secret and secret != own_secret:
            flags += [flag, str(secret)]
    flags += flags_with_values(
        ("--image", container.get("image")),
        ("--stage-proxy", get_path(env.get("HTTPS_PROXY"), "value")),
        ("--stage-no-proxy", get_path(env.get("NO_PROXY"), "value")),
        ("--stage-ca", ca_bundle_reference(spec)),
    )
    for entry in get_list(spec, "imagePullSecrets"):
        flags += ["--image-pull-secret", str(entry.get("name"))]
    return flags
