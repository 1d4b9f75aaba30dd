"""What a Dataset's mount defines about its store, for all option names. Pure.

Option names: Alluxio 2.9 (`alluxio.underfs.s3.*`, `aws.*`, with or without the prefix of the root
mount), its GCS by HMAC (`fs.gcs.*`), and JindoFS (`fs.s3.*`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import GCS_KEY, ROOT_OPTION
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.model.source import parse_source
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_list, get_path
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.options import GCS_ENDPOINT
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.secret_names import is_secret_name

ACCESS_KEY_OPTIONS = (
    "aws.accessKeyId",
    "fs.s3.accessKeyId",
    "s3a.accessKeyId",
    "fs.gcs.accessKeyId",
)
SECRET_KEY_OPTIONS = (
    "aws.secretKey",
    "fs.s3.accessKeySecret",
    "s3a.secretKey",
    "fs.gcs.secretAccessKey",
)
SESSION_TOKEN_OPTIONS = ("aws.sessionToken", "s3a.sessionToken", "fs.s3.securityToken")
_ENDPOINT_OPTIONS = ("alluxio.underfs.s3.endpoint", "fs.s3.endpoint")
_REGION_OPTIONS = (
    "alluxio.underfs.s3.endpoint.region",
    "alluxio.underfs.s3.region",
    "fs.s3.region",
)
_HTTPS_OPTIONS = (
    "alluxio.underfs.s3.secure.http.enabled",
    "alluxio.underfs.s3a.secure.http.enabled",
    "alluxio.underfs.s3.server.side.encryption.enabled",
    "alluxio.underfs.s3a.server.side.encryption.enabled",
)
"""Options that make Alluxio use https for an endpoint without a scheme; else it uses http
(S3AUnderFileSystem.createInstance: the protocol of the AWS SDK's client configuration)."""
SAME_SCHEME = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
"""Schemes of mount points by the name that SOURCE has for them."""
_PROXY_OPTION = "alluxio.underfs.s3.proxy.host"
_GCS_PATH_OPTION = "fs.gcs.credential.path"
PATH_STYLE_OPTION = "alluxio.underfs.s3.disable.dns.buckets"


@dataclass(frozen=True)
class SecretKeyRef:
    """A key of a Secret in the Dataset's namespace."""

    secret: str
    key: str
    option: str = ""
    """The encryptOption that names it."""


@dataclass(frozen=True)
class MountTarget:
    """One mount to probe. Equal targets have equal results."""

    namespace: str
    mount: str
    scheme: str
    host: str = ""
    """The bucket, the claim or the server."""
    path: str = ""
    """Without leading and trailing slashes."""
    endpoint: str = ""
    region: str = ""
    access: SecretKeyRef | None = None
    hidden: SecretKeyRef | None = None
    plain: tuple[str, str] | None = field(default=None, repr=False)
    """Access key and secret key that the Dataset has in plain text."""
    account: SecretKeyRef | None = None
    """The key file of a Google service account, which only Google's own clients support."""
    repo: str = ""
    commit: str = ""
    """The model that this plugin staged; empty for other sources."""
    skip: str = ""
    """Why the mount cannot be probed; empty if it can."""

    @property
    def staging_layout(self) -> StagingLayout | None:
        """Where this plugin staged the model; None for other sources."""
        tail = f"{self.repo}/{self.commit}"
        if not self.repo or not self.commit or not f"/{self.path}".endswith(f"/{tail}"):
            return None
        prefix = self.path.removesuffix(tail).strip("/")
        return StagingLayout(BucketPrefix(self.host, prefix), self.repo, self.commit)

    @property
    def uri(self) -> str:
        return f"{self.scheme}://{self.host}" + (f"/{self.path}" if self.path else "")

    def to_json(self) -> str:
        """JSON for the probe's pod, without plain-text keys."""
        return json.dumps(dataclasses.asdict(dataclasses.replace(self, plain=None)))


def target_from_json(text: str) -> MountTarget:
    """Parse what `MountTarget.to_json` returned."""
    data: dict[str, Any] = json.loads(text)
    for name in ("access", "hidden", "account"):
        data[name] = SecretKeyRef(**data[name]) if data[name] else None
    return MountTarget(**data)


def mount_targets(cache: Cache) -> list[MountTarget]:
    """The mounts of a cache's Dataset, in its order."""
    if cache.dataset is None:
        return []
    return [
        _mount_target(cache, cache.dataset, mount, first=index == 0)
        for index, mount in enumerate(get_list(cache.dataset, "spec", "mounts"))
    ]


def mounted_sources(dataset: Object) -> Iterator[str]:
    """The sources of a Dataset's mounts, as SOURCE is written; without mounts that are none."""
    for target in mount_targets(Cache("", "", dataset)):
        try:
            yield parse_source(target.uri).uri
        except UsageError:
            continue


def effective_options(cache: Cache, mount: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a mount.

    These are the runtime's, the shared ones and its own; later ones take precedence.
    """
    merged: dict[str, str] = {}
    for source in (
        get_path(cache.runtime, "spec", "properties", default={}),
        get_path(cache.runtime, "spec", "master", "properties", default={}),
        get_path(cache.dataset, "spec", "sharedOptions", default={}),
        get_path(mount, "options", default={}),
    ):
        if isinstance(source, Mapping):
            merged.update({str(name): str(value) for name, value in source.items()})
    return merged


def plaintext_keys(options: Any) -> list[str]:
    """The names of options whose values are secrets in plain text."""
    if not isinstance(options, Mapping):
        return []
    return [
        str(name)
        for name, value in options.items()
        if value and is_secret_name(str(name), variable=True)
    ]


def secret_key_refs(cache: Cache, mount: Mapping[str, Any]) -> Iterator[SecretKeyRef]:
    """The Secret keys that a mount's options refer to."""
    shared = get_list(cache.dataset, "spec", "sharedEncryptOptions")
    for entry in [*shared, *get_list(mount, "encryptOptions")]:
        ref = get_path(entry, "valueFrom", "secretKeyRef", default={})
        if ref.get("name"):
            key = str(ref.get("key") or "")
            yield SecretKeyRef(str(ref["name"]), key, str(entry.get("name", "")))


def _mount_target(cache: Cache, dataset: Object, mount: Object, *, first: bool) -> MountTarget:
    point = str(mount.get("mountPoint", ""))
    scheme, _, rest = point.partition("://")
    host, _, path = rest.partition("/")
    options = effective_options(cache, mount)
    refs = list(secret_key_refs(cache, mount))
    access, hidden = _find_ref(refs, ACCESS_KEY_OPTIONS), _find_ref(refs, SECRET_KEY_OPTIONS)
    plain_keys = (
        _first_value(options, ACCESS_KEY_OPTIONS),
        _first_value(options, SECRET_KEY_OPTIONS),
    )
    base = MountTarget(
        namespace=cache.namespace,
        mount=point,
        scheme=SAME_SCHEME.get(scheme, scheme),
        host=host,
        path=path.strip("/"),
        access=access,
        hidden=hidden,
        plain=(plain_keys[0], plain_keys[1]) if all(plain_keys) and not access else None,
    )
    if base.scheme == "s3":
        notes = annotations_of(dataset) if first else {}
        repo = notes.get(names.SOURCE_ANNOTATION, "")
        return dataclasses.replace(
            base,
            endpoint=endpoint_url(options),
            region=region_of(options),
            repo=repo.removeprefix("hf://").partition("@")[0] if repo.startswith("hf://") else "",
            commit=notes.get(names.COMMIT_ANNOTATION, ""),
            skip=_skip_reason(cache, options),
        )
    if base.scheme == "gs":
        account = _gcs_key_ref(cache) if _first_value(options, (_GCS_PATH_OPTION,)) else None
        return dataclasses.replace(base, endpoint=GCS_ENDPOINT, region="auto", account=account)
    if base.scheme in ("http", "https"):
        return dataclasses.replace(base, endpoint=f"{scheme}://{host}")
    if base.scheme == "pvc":
        return base
    return dataclasses.replace(
        base, skip=_UNSUPPORTED.get(base.scheme, _UNKNOWN_SCHEME.format(base.scheme))
    )


_UNSUPPORTED = {
    "local": "only pods on its nodes can read a node's directory",
    "hdfs": "doctor does not probe HDFS sources; see the master's log",
    "nfs": "doctor does not probe NFS sources; see the events of the mount",
    "dataset": "it refers to another Dataset, which is probed separately",
}
_UNKNOWN_SCHEME = "doctor does not probe {}:// sources"


def _skip_reason(cache: Cache, options: Mapping[str, str]) -> str:
    kind = str(get_path(cache.runtime, "kind", default=""))
    if kind == "JuiceFSRuntime":
        return "JuiceFS stores blocks in the bucket, not files"
    proxy = _first_value(options, (_PROXY_OPTION,))
    return f"the workers reach it through the proxy {proxy}" if proxy else ""


def region_of(options: Mapping[str, str]) -> str:
    """The region of the store; empty if no option says it."""
    return _first_value(options, _REGION_OPTIONS)


def endpoint_url(options: Mapping[str, str]) -> str:
    """The endpoint as a URL; without a scheme it is completed as Alluxio does."""
    endpoint = raw_endpoint(options).rstrip("/")
    if not endpoint or "://" in endpoint:
        return endpoint
    return f"{default_scheme(options)}://{endpoint}"


def raw_endpoint(options: Mapping[str, str]) -> str:
    """The endpoint as spelled in the Dataset."""
    return _first_value(options, _ENDPOINT_OPTIONS)


def default_scheme(options: Mapping[str, str]) -> str:
    """Return the scheme that Alluxio uses for an endpoint without one."""
    secure = any(_first_value(options, (name,)).lower() == "true" for name in _HTTPS_OPTIONS)
    return "https" if secure else "http"


def _first_value(options: Mapping[str, str], option_names: tuple[str, ...]) -> str:
    for name in option_names:
        for spelled in (ROOT_OPTION + name, name):
            if options.get(spelled):
                return options[spelled]
    return ""


def _find_ref(refs: list[SecretKeyRef], option_names: tuple[str, ...]) -> SecretKeyRef | None:
    return next((ref for ref in refs if ref.option.removeprefix(ROOT_OPTION) in option_names), None)


def _gcs_key_ref(cache: Cache) -> SecretKeyRef | None:
    """The Secret behind a Google credential path: the runtime's first Secret volume."""
    for volume in get_list(cache.runtime, "spec", "volumes"):
        secret = get_path(volume, "secret", "secretName")
        if secret:
            return SecretKeyRef(str(secret), GCS_KEY)
    return None


def split_host_port(endpoint: str) -> tuple[str, int]:
    """Return the host and port of an endpoint's URL; the host is empty if it is not a URL."""
    try:
        url = urlsplit(endpoint)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        return "", 0
    return url.hostname or "", port
