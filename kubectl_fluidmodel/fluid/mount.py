"""How Fluid with Alluxio mounts each kind of source: one mount at the root of the cache.

`path: /` puts the files at the root of the PVC, where an engine looks for them; by default
Fluid would put them below `/<mount name>` (pkg/utils/ufs_path_builder.go).

A new kind of source is one function and one line in `_MOUNTS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.names import managed_labels
from kubectl_fluidmodel.model.source import Source
from kubectl_fluidmodel.objects.access import Object

ROOT_OPTION = "alluxio.master.mount.table.root.option."
"""Prefix of Alluxio's options for the root mount (Alluxio 2.9, UnderFileSystem.Factory
createForRoot). The master hands them to the workers with the mount.

Keys must go this way: Fluid turns an encryptOption of a root mount into a property whose value
is the path of a file that only the master's container has and substitutes (charts/alluxio,
entrypoint.script). As the plain property `aws.secretKey` a worker would take that path for the
secret itself, and every read would fail with InvalidAccessKeyId."""

GCS_KEY = "credentials.json"
_GCS_DIR = "/etc/fluidmodel/gcs"


@dataclass(frozen=True)
class SecretKeys:
    """The Secret with a store's keys, and the names of the keys in it."""

    secret: str
    access_key: str
    secret_key: str
    token_key: str = ""
    """Of temporary keys: the session token; empty where there is none."""


@dataclass(frozen=True)
class Mount:
    """One Dataset mount and what has to stand around it."""

    spec: dict[str, Any]
    properties: dict[str, str] = field(default_factory=dict)
    volumes: tuple[dict[str, Any], ...] = ()
    volume_mounts: tuple[dict[str, Any], ...] = ()
    """Mounted into the master and the workers."""
    objects: tuple[Object, ...] = ()
    """To be applied before the Dataset."""


@dataclass(frozen=True)
class MountCredentials:
    """How to get at the source: what flags and environment said."""

    endpoint: str = ""
    region: str = ""
    keys: SecretKeys | None = None
    gcs_secret: str = ""


def build_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    """The mount of a source for the Dataset `namespace/name`.

    Raises:
        UsageError: Fluid has no way to mount this kind.
    """
    build = _MOUNT_BUILDERS.get(source.scheme)
    if build is None:
        raise UsageError(
            f"Fluid cannot read {source.scheme}://",
            "a model of the Hugging Face Hub has to be staged in a bucket first",
        )
    return build(source, name, namespace, credentials)


def alluxio_path(spec: Mapping[str, Any]) -> str:
    """Where Fluid mounts an entry of a Dataset's `mounts`: its `path`, else `/` and its name.

    A path that is not absolute does not count (pkg/utils/ufs_path_builder.go,
    GenUFSPathInUnifiedNamespace, Fluid 1.0 and 1.1).
    """
    path = str(spec.get("path") or "")
    return path if path.startswith("/") else "/" + str(spec.get("name") or "").lstrip("/")


def claim_directory(spec: Mapping[str, Any]) -> str:
    """Where in the claim the files of a mount lie, empty for its root."""
    return alluxio_path(spec).strip("/")


def is_native_volume(spec: Mapping[str, Any]) -> bool:
    """Whether Fluid gives the files to the pods as a volume (IsFluidNativeScheme)."""
    return str(spec.get("mountPoint") or "").startswith(("local://", "pvc://"))


def root_mount(mounts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The mount that is the root of Alluxio's namespace, where there is one.

    It has to be the only one (GenAlluxioUFSRootPath). Its options become properties of the master;
    those of the others go to `alluxio fs mount`.
    """
    alone = len(mounts) == 1 and not is_native_volume(mounts[0]) and alluxio_path(mounts[0]) == "/"
    return mounts[0] if alone else None


def skipped_mounts(mounts: Sequence[Mapping[str, Any]]) -> list[int]:
    """The numbers of mounts that Fluid leaves out: mount.sh skips `/`, which is not theirs."""
    if len(mounts) < 2:
        return []
    return [n for n, m in enumerate(mounts) if not is_native_volume(m) and alluxio_path(m) == "/"]


_CREDENTIAL_OPTIONS = re.compile(
    r"aws\.(accessKeyId|secretKey|sessionToken)|fs\.(oss|cos|obs|kodo)\.\S*(access|secret)\S*",
    re.IGNORECASE,
)
"""Options that workers need to read, not only the master."""


def credential_option(option: str, *, root: bool) -> str:
    """The name under which an encryptOption reaches master and workers of such a mount."""
    bare = option.removeprefix(ROOT_OPTION)
    if not _CREDENTIAL_OPTIONS.fullmatch(bare):
        return option
    return ROOT_OPTION + bare if root else bare


def _mount_spec(
    name: str, mount_point: str, options: Mapping[str, str] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"mountPoint": mount_point, "name": name, "path": "/", "readOnly": True}
    if options:
        found["options"] = dict(options)
    return found


def _s3_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    options = {"alluxio.underfs.s3.inherit.acl": "false"}
    if credentials.endpoint:
        options["alluxio.underfs.s3.endpoint"] = credentials.endpoint
        options["alluxio.underfs.s3.disable.dns.buckets"] = "true"
        if credentials.region:
            options["alluxio.underfs.s3.endpoint.region"] = credentials.region
    elif credentials.region:
        options["alluxio.underfs.s3.region"] = credentials.region
    spec = _mount_spec(name, source.uri, options)
    if credentials.keys:
        spec["encryptOptions"] = [
            encrypt_option(
                "aws.accessKeyId", credentials.keys.secret, credentials.keys.access_key, root=True
            ),
            encrypt_option(
                "aws.secretKey", credentials.keys.secret, credentials.keys.secret_key, root=True
            ),
        ]
    return Mount(spec)


def encrypt_option(option: str, secret: str, key: str, *, root: bool) -> dict[str, Any]:
    """An encryptOption: a key of a Secret as the value of an option."""
    name = credential_option(option, root=root)
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _gcs_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    options = {"alluxio.underfs.gcs.version": "2"}
    if not credentials.gcs_secret:
        return Mount(_mount_spec(name, source.uri, options))
    # Alluxio reads a service account's key from a file, so the Secret is a volume of the pods.
    options["fs.gcs.credential.path"] = f"{_GCS_DIR}/{GCS_KEY}"
    volume = {"name": "gcs-credentials", "secret": {"secretName": credentials.gcs_secret}}
    at = {"name": "gcs-credentials", "mountPath": _GCS_DIR, "readOnly": True}
    return Mount(_mount_spec(name, source.uri, options), volumes=(volume,), volume_mounts=(at,))


def _web_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    return Mount(_mount_spec(name, source.uri))


def _hdfs_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    return Mount(_mount_spec(name, source.uri))


def _claim_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    return Mount(_mount_spec(name, source.uri))


def _local_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    return Mount(_mount_spec(name, source.uri))


def _nfs_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    """NFS by way of a volume of its own: Fluid knows pvc:// and not nfs://."""
    claim = f"{name}-nfs"
    labels = managed_labels(name)
    modes = ["ReadOnlyMany"]
    size = {"storage": "1Pi"}  # NFS has no capacity; the two must only agree
    volume: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"fluidmodel-{namespace}-{claim}", "labels": labels},
        "spec": {
            "capacity": size,
            "accessModes": modes,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "nfs": {"server": source.host, "path": source.path, "readOnly": True},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": claim,
                "namespace": namespace,
            },
        },
    }
    request: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace, "labels": labels},
        "spec": {
            "accessModes": modes,
            "storageClassName": "",
            "volumeName": f"fluidmodel-{namespace}-{claim}",
            "resources": {"requests": size},
        },
    }
    return Mount(_mount_spec(name, f"pvc://{claim}"), objects=(volume, request))


_MOUNT_BUILDERS: dict[str, Callable[[Source, str, str, MountCredentials], Mount]] = {
    "s3": _s3_mount,
    "gs": _gcs_mount,
    "http": _web_mount,
    "https": _web_mount,
    "hdfs": _hdfs_mount,
    "nfs": _nfs_mount,
    "pvc": _claim_mount,
    "local": _local_mount,
}
