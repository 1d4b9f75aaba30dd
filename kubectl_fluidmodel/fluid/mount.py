"""How Fluid mounts each kind of source with Alluxio: one mount at the root of the cache.

`path: /` puts the files at the root of the PVC, where engines expect them. By default, Fluid would
put them at `/<mount name>` (pkg/utils/ufs_path_builder.go).

To add a kind of source, add one function and its entry in `_MOUNT_BUILDERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.names import managed_labels
from kubectl_fluidmodel.model.source import Source
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.records import dataclass

ROOT_OPTION = "alluxio.master.mount.table.root.option."
"""Prefix of Alluxio's options for the root mount (Alluxio 2.9, UnderFileSystem.Factory
createForRoot). The master passes them to the workers as part of the mount.

Keys need this prefix: Fluid turns an encryptOption of a root mount into a property whose value is a
file path, and only the master's container has the file and replaces the path (charts/alluxio,
entrypoint.script). With the plain property `aws.secretKey`, a worker would use the path as the
secret key, and every read would fail with InvalidAccessKeyId.
"""

GCS_KEY = "credentials.json"
_GCS_DIR = "/etc/fluidmodel/gcs"


@dataclass(frozen=True)
class SecretKeys:
    """The Secret with a store's keys, and the names of its data keys."""

    secret: str
    access_key: str
    secret_key: str
    token_key: str = ""
    """The session token of temporary keys; empty if there is none."""


@dataclass(frozen=True)
class Mount:
    """A Dataset's mount and the objects that it needs."""

    spec: dict[str, Any]
    properties: dict[str, str] = field(default_factory=dict)
    volumes: tuple[dict[str, Any], ...] = ()
    volume_mounts: tuple[dict[str, Any], ...] = ()
    """Volumes to mount into the master and the workers."""
    objects: tuple[Object, ...] = ()
    """Objects to apply before the Dataset."""


@dataclass(frozen=True)
class MountCredentials:
    """Access to the source, as set by flags and the environment."""

    endpoint: str = ""
    region: str = ""
    keys: SecretKeys | None = None
    gcs_secret: str = ""


def build_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    """Build the mount of a source for the Dataset `namespace/name`.

    Raises:
        UsageError: Fluid cannot mount this kind of source.
    """
    build = _MOUNT_BUILDERS.get(source.scheme)
    if build is None:
        raise UsageError(
            f"Fluid cannot read {source.scheme}://",
            "a Hub model has to be staged in a bucket first",
        )
    return build(source, name, namespace, credentials)


def alluxio_path(spec: Mapping[str, Any]) -> str:
    """Return where Fluid mounts an entry of `mounts`: its `path`, else `/` and its name.

    A relative path is ignored (pkg/utils/ufs_path_builder.go, GenUFSPathInUnifiedNamespace, Fluid
    1.0 and 1.1).
    """
    path = str(spec.get("path") or "")
    return path if path.startswith("/") else "/" + str(spec.get("name") or "").lstrip("/")


def claim_directory(spec: Mapping[str, Any]) -> str:
    """Return the path of a mount's files in the claim; empty for the root."""
    return alluxio_path(spec).strip("/")


def is_native_volume(spec: Mapping[str, Any]) -> bool:
    """Return whether Fluid passes the files to pods as a volume (IsFluidNativeScheme)."""
    return str(spec.get("mountPoint") or "").startswith(("local://", "pvc://"))


def root_mount(mounts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the mount that is the root of Alluxio's namespace, or None.

    It has to be the only mount (GenAlluxioUFSRootPath). Its options become properties of the
    master; those of other mounts are passed to `alluxio fs mount`.
    """
    alone = len(mounts) == 1 and not is_native_volume(mounts[0]) and alluxio_path(mounts[0]) == "/"
    return mounts[0] if alone else None


def skipped_mounts(mounts: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the indexes of mounts that Fluid skips.

    mount.sh ignores a mount at `/` unless it is the only one.
    """
    if len(mounts) < 2:
        return []
    return [n for n, m in enumerate(mounts) if not is_native_volume(m) and alluxio_path(m) == "/"]


_CREDENTIAL_OPTIONS = re.compile(
    r"aws\.(accessKeyId|secretKey|sessionToken)|fs\.(oss|cos|obs|kodo)\.\S*(access|secret)\S*",
    re.IGNORECASE,
)
"""Options that the workers also need, to read files."""


def credential_option(option: str, *, root: bool) -> str:
    """Return the option name with which master and workers of such a mount get an encryptOption."""
    bare = option.removeprefix(ROOT_OPTION)
    if not _CREDENTIAL_OPTIONS.fullmatch(bare):
        return option
    return ROOT_OPTION + bare if root else bare


def _mount_spec(
    name: str, mount_point: str, options: Mapping[str, str] | None = None
) -> dict[str, Any]:
    spec: dict[str, Any] = {"mountPoint": mount_point, "name": name, "path": "/", "readOnly": True}
    if options:
        spec["options"] = dict(options)
    return spec


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
    """Build an encryptOption: a key of a Secret as the value of an option."""
    name = credential_option(option, root=root)
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _gcs_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    options = {"alluxio.underfs.gcs.version": "2"}
    if not credentials.gcs_secret:
        return Mount(_mount_spec(name, source.uri, options))
    # Alluxio reads a service account's key from a file, so the pods mount the Secret as a volume.
    options["fs.gcs.credential.path"] = f"{_GCS_DIR}/{GCS_KEY}"
    volume = {"name": "gcs-credentials", "secret": {"secretName": credentials.gcs_secret}}
    at = {"name": "gcs-credentials", "mountPath": _GCS_DIR, "readOnly": True}
    return Mount(_mount_spec(name, source.uri, options), volumes=(volume,), volume_mounts=(at,))


def _plain_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    """Mount a source that needs neither options nor credentials."""
    return Mount(_mount_spec(name, source.uri))


def _nfs_mount(source: Source, name: str, namespace: str, credentials: MountCredentials) -> Mount:
    """Mount NFS through its own volume, because Fluid supports pvc:// but not nfs://."""
    claim = f"{name}-nfs"
    labels = managed_labels(name)
    modes = ["ReadOnlyMany"]
    size = {"storage": "1Pi"}  # NFS has no capacity; the two values only have to be equal
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
    "http": _plain_mount,
    "https": _plain_mount,
    "hdfs": _plain_mount,
    "nfs": _nfs_mount,
    "pvc": _plain_mount,
    "local": _plain_mount,
}
