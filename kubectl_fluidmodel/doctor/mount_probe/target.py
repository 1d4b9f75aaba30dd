"""What a Dataset's mount says of its store, by whichever option names it was written. Pure.

Option names: Alluxio 2.9 (`alluxio.underfs.s3.*`, `aws.*`, with or without the prefix of the root
mount), its GCS by HMAC (`fs.gcs.*`), and JindoFS (`fs.s3.*`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import GCS_KEY, ROOT_OPTION
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects.access import Object, annotations_of, at, dicts
from kubectl_fluidmodel.objectstore.layout import Destination, Place
from kubectl_fluidmodel.objectstore.s3 import GCS_ENDPOINT

ACCESS = ("aws.accessKeyId", "fs.s3.accessKeyId", "s3a.accessKeyId", "fs.gcs.accessKeyId")
HIDDEN = ("aws.secretKey", "fs.s3.accessKeySecret", "s3a.secretKey", "fs.gcs.secretAccessKey")
TOKEN = ("aws.sessionToken", "s3a.sessionToken", "fs.s3.securityToken")
_ENDPOINT = ("alluxio.underfs.s3.endpoint", "fs.s3.endpoint")
_REGION = ("alluxio.underfs.s3.endpoint.region", "alluxio.underfs.s3.region", "fs.s3.region")
_SECURE = (
    "alluxio.underfs.s3.secure.http.enabled",
    "alluxio.underfs.s3a.secure.http.enabled",
    "alluxio.underfs.s3.server.side.encryption.enabled",
    "alluxio.underfs.s3a.server.side.encryption.enabled",
)
"""Options with which Alluxio takes an endpoint without a scheme for https, and else for http
(S3AUnderFileSystem.createInstance: the protocol of the AWS SDK's client configuration)."""
_PROXY = "alluxio.underfs.s3.proxy.host"
_GCS_PATH = "fs.gcs.credential.path"
BY_PATH = "alluxio.underfs.s3.disable.dns.buckets"


@dataclass(frozen=True)
class KeyRef:
    """A key of a Secret in the Dataset's namespace."""

    secret: str
    key: str
    option: str = ""
    """The encryptOption that names it."""


@dataclass(frozen=True)
class Question:
    """One mount to be tried. Equal questions have equal answers."""

    namespace: str
    mount: str
    scheme: str
    host: str = ""
    """The bucket, the claim or the server."""
    path: str = ""
    """Without slashes around."""
    endpoint: str = ""
    region: str = ""
    access: KeyRef | None = None
    hidden: KeyRef | None = None
    plain: tuple[str, str] | None = field(default=None, repr=False)
    """Keys that stand in the Dataset in plain text."""
    account: KeyRef | None = None
    """A Google service account's key file, which only Google's own clients can use."""
    repo: str = ""
    commit: str = ""
    """Of a model that this plugin staged."""
    skip: str = ""
    """Why it cannot be tried at all."""

    @property
    def place(self) -> Place | None:
        """Where the model was staged, None where this plugin did not."""
        tail = f"{self.repo}/{self.commit}"
        if not self.repo or not self.commit or not f"/{self.path}".endswith(f"/{tail}"):
            return None
        prefix = self.path.removesuffix(tail).strip("/")
        return Place(Destination(self.host, prefix), self.repo, self.commit)

    @property
    def uri(self) -> str:
        return f"{self.scheme}://{self.host}" + (f"/{self.path}" if self.path else "")

    def text(self) -> str:
        """As JSON, for a probe; plain keys are left out."""
        return json.dumps(dataclasses.asdict(dataclasses.replace(self, plain=None)))


def load(text: str) -> Question:
    """Read what `Question.text` gave."""
    data: dict[str, Any] = json.loads(text)
    for name in ("access", "hidden", "account"):
        data[name] = KeyRef(**data[name]) if data[name] else None
    return Question(**data)


def questions(cache: Cached) -> list[Question]:
    """One question for each mount of a cache's Dataset."""
    if cache.dataset is None:
        return []
    found = []
    for index, mount in enumerate(dicts(cache.dataset, "spec", "mounts")):
        found.append(_question(cache, cache.dataset, mount, first=index == 0))
    return found


def options_of(cache: Cached, mount: Mapping[str, Any]) -> dict[str, str]:
    """The options that a mount ends up with: the runtime's, the shared ones, its own."""
    merged: dict[str, str] = {}
    for source in (
        at(cache.runtime, "spec", "properties", default={}),
        at(cache.runtime, "spec", "master", "properties", default={}),
        at(cache.dataset, "spec", "sharedOptions", default={}),
        at(mount, "options", default={}),
    ):
        if isinstance(source, Mapping):
            merged.update({str(name): str(value) for name, value in source.items()})
    return merged


def encrypted(cache: Cached, mount: Mapping[str, Any]) -> Iterator[KeyRef]:
    """The keys of Secrets that a mount's options come from."""
    shared = dicts(cache.dataset, "spec", "sharedEncryptOptions")
    for entry in [*shared, *dicts(mount, "encryptOptions")]:
        ref = at(entry, "valueFrom", "secretKeyRef", default={})
        if ref.get("name"):
            key = str(ref.get("key") or "")
            yield KeyRef(str(ref["name"]), key, str(entry.get("name", "")))


def _question(cache: Cached, dataset: Object, mount: Object, *, first: bool) -> Question:
    point = str(mount.get("mountPoint", ""))
    scheme, _, rest = point.partition("://")
    host, _, path = rest.partition("/")
    options = options_of(cache, mount)
    refs = list(encrypted(cache, mount))
    access, hidden = _pick(refs, ACCESS), _pick(refs, HIDDEN)
    given = (_value(options, ACCESS), _value(options, HIDDEN))
    base = Question(
        namespace=cache.namespace,
        mount=point,
        scheme={"s3a": "s3", "s3n": "s3"}.get(scheme, scheme),
        host=host,
        path=path.strip("/"),
        access=access,
        hidden=hidden,
        plain=(given[0], given[1]) if all(given) and not access else None,
    )
    if base.scheme == "s3":
        notes = annotations_of(dataset) if first else {}
        repo = notes.get(names.SOURCE_ANNOTATION, "")
        return dataclasses.replace(
            base,
            endpoint=_endpoint(options),
            region=_value(options, _REGION),
            repo=repo.removeprefix("hf://").partition("@")[0] if repo.startswith("hf://") else "",
            commit=notes.get(names.COMMIT_ANNOTATION, ""),
            skip=_why_not(cache, options),
        )
    if base.scheme == "gs":
        account = _account(cache) if _value(options, (_GCS_PATH,)) else None
        return dataclasses.replace(base, endpoint=GCS_ENDPOINT, region="auto", account=account)
    if base.scheme in ("http", "https"):
        return dataclasses.replace(base, endpoint=f"{scheme}://{host}")
    if base.scheme == "pvc":
        return base
    return dataclasses.replace(base, skip=_UNTRIED.get(base.scheme, _UNKNOWN.format(base.scheme)))


_UNTRIED = {
    "local": "a directory of the nodes can be seen by pods on them alone",
    "hdfs": "HDFS is not spoken here; the master's log says how it went",
    "nfs": "NFS is not spoken here; the mount's events say how it went",
    "dataset": "it refers to another Dataset, which is tried on its own",
}
_UNKNOWN = "{}:// is not spoken here"


def _why_not(cache: Cached, options: Mapping[str, str]) -> str:
    kind = str(at(cache.runtime, "kind", default=""))
    if kind == "JuiceFSRuntime":
        return "JuiceFS keeps blocks of its own in the bucket, not files"
    proxy = _value(options, (_PROXY,))
    return f"it is reached by way of the proxy {proxy}" if proxy else ""


def _endpoint(options: Mapping[str, str]) -> str:
    """The endpoint as a URL, as Alluxio reads one without a scheme."""
    found = written_endpoint(options).rstrip("/")
    if not found or "://" in found:
        return found
    return f"{scheme_of(options)}://{found}"


def written_endpoint(options: Mapping[str, str]) -> str:
    """The endpoint as it is written."""
    return _value(options, _ENDPOINT)


def scheme_of(options: Mapping[str, str]) -> str:
    """What Alluxio speaks to an endpoint that is written without a scheme."""
    secure = any(_value(options, (name,)).lower() == "true" for name in _SECURE)
    return "https" if secure else "http"


def _value(options: Mapping[str, str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        for spelled in (ROOT_OPTION + name, name):
            if options.get(spelled):
                return options[spelled]
    return ""


def _pick(refs: list[KeyRef], wanted: tuple[str, ...]) -> KeyRef | None:
    return next((ref for ref in refs if ref.option.removeprefix(ROOT_OPTION) in wanted), None)


def _account(cache: Cached) -> KeyRef | None:
    """The Secret that a Google credential path comes from: the runtime's first Secret volume."""
    for volume in dicts(cache.runtime, "spec", "volumes"):
        secret = at(volume, "secret", "secretName")
        if secret:
            return KeyRef(str(secret), GCS_KEY)
    return None


def host_of(endpoint: str) -> tuple[str, int]:
    """Host and port of an endpoint's URL; an empty host for one that is none."""
    try:
        url = urlsplit(endpoint)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        return "", 0
    return url.hostname or "", port
