"""The commands that mend a cache, with the user's own names in them. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from kubectl_fluidmodel.doctor.check import Fix
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION
from kubectl_fluidmodel.kube.kind import Object, annotations_of, at, dicts, name_of, namespace_of
from kubectl_fluidmodel.overview.cached import Cached

S3 = "alluxio.underfs.s3."


def ours(cache: Cached) -> bool:
    """Whether `cache` made it, and so may change it."""
    return cache.dataset is not None and names.is_ours(cache.dataset)


def kubectl(*words: str, about: Object | Cached) -> str:
    """A kubectl command in an object's namespace."""
    namespace = about.namespace if isinstance(about, Cached) else namespace_of(about)
    place = ["-n", namespace] if namespace else []
    return shlex.join(["kubectl", *words, *place])


def patch(obj: Object, body: Mapping[str, Any]) -> Fix:
    """A merge patch of an object."""
    text = json.dumps(body, separators=(",", ":"))
    kind = str(obj.get("kind", "")).lower()
    return Fix(kubectl("patch", kind, name_of(obj), "--type=merge", f"-p={text}", about=obj))


def recache(cache: Cached, *flags: str, name: str = "", keys: bool = False) -> str:
    """The `cache` command that makes this cache, with other flags beside, or under another name.

    It names the Secret that the cache has, so that it needs no keys in the environment; with
    `keys` those of the environment go into the Secret.
    """
    dataset = cache.dataset or {}
    mount = at(dataset, "spec", "mounts", 0, default={})
    options: dict[str, Any] = at(mount, "options", default={})
    words = ["kubectl", "fluidmodel", "cache", *_source(dataset), "--name", name or cache.name]
    words += ["-n", cache.namespace]
    region = options.get(f"{S3}endpoint.region") or options.get(f"{S3}region")
    for flag, value in (
        ("--endpoint", options.get(f"{S3}endpoint")),
        ("--region", region),
        ("--s3-secret", "" if keys else _secret(mount)),
    ):
        if value and flag not in flags:
            words += [flag, str(value)]
    return shlex.join([*words, *flags])


def anew(cache: Cached, yaml: str, where: str, *flags: str) -> Fix:
    """Change what Fluid cannot change on a running cache.

    One of ours is made anew by `cache`; of another's, the line of YAML is what there is to say.
    """
    if ours(cache):
        return Fix(recache(cache, *flags))
    kind = str((cache.runtime or {}).get("kind", "AlluxioRuntime")).lower()
    return Fix(yaml, "yaml", f"{kind} {cache.namespace}/{cache.name} {where}, made anew")


def _source(dataset: Mapping[str, Any]) -> list[str]:
    source = names.source_of(dataset)
    if not source.startswith("hf://"):
        return [source]
    commit = annotations_of(dataset).get(names.COMMIT_ANNOTATION, "")
    repo = source.removeprefix("hf://")
    point = str(at(dataset, "spec", "mounts", 0, "mountPoint", default="")).rstrip("/")
    to = point.removesuffix(f"/{repo}/{commit}")
    return [f"{repo}@{commit}" if commit else repo, "--to", to]


def _secret(mount: Mapping[str, Any]) -> str:
    for option in dicts(mount, "encryptOptions"):
        if str(option.get("name", "")).removeprefix(ROOT_OPTION).startswith("aws."):
            return str(at(option, "valueFrom", "secretKeyRef", "name", default=""))
    return ""
