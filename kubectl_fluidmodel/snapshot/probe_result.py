"""The result of probing the store of a Dataset's mount, without secrets. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from kubectl_fluidmodel.model.issue import ModelIssue
from kubectl_fluidmodel.model.junk import JunkFiles
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.records import dataclass

MAX_LISTED = 20
"""Maximum number of entries in each list of a MountContents."""
CONNECT_TIMEOUT_CODE = "ConnectTimeout"
"""The code of a TIMEOUT before a connection was established."""

EMPTY_VALUE = "is empty"
"""The message of a BAD_KEY whose value is empty."""
MISSING_SESSION_TOKEN = (
    f"it is a temporary key ({error_codes.TEMPORARY_KEY_PREFIX}…) and its session token is "
    "missing; Alluxio could not send one"
)
"""The message of an EXPIRED key that would need a session token."""


class ProbeState(str, Enum):
    """The state of a mount after a probe. The values are stored in support bundles."""

    OK = "ok"
    """The mount was listed and a file was read."""
    SKIPPED = "skipped"
    """The mount was not tried; `message` gives the reason."""
    NO_SECRET = "no-secret"  # noqa: S105
    NO_KEY = "no-key"
    """The Secret has no such key."""
    BAD_KEY = "bad-key"
    """The key's value cannot be an access key or a secret key."""
    DNS = "dns"
    SERVICE = "service"
    """The endpoint's Service is missing or has no ready pod."""
    REFUSED = "refused"
    TIMEOUT = "timeout"
    TLS = error_codes.TLS
    NOT_S3 = error_codes.NOT_S3
    """The server is not an S3 store."""
    SKEW = error_codes.SKEW
    UNKNOWN_KEY = error_codes.UNKNOWN_KEY
    WRONG_SECRET = error_codes.WRONG_SECRET
    EXPIRED = error_codes.EXPIRED
    DENIED = error_codes.DENIED
    REGION = error_codes.REGION
    NO_BUCKET = error_codes.NO_BUCKET
    EMPTY = "empty"
    """The bucket has no object below the prefix."""
    CLAIM = "claim"
    """The source is a claim that is missing or not Bound; `code` is its phase."""
    ERROR = error_codes.ERROR

    def __str__(self) -> str:
        return self.value


class ProbeOrigin(str, Enum):
    """Where a probe ran. The values are stored in support bundles."""

    CLIENT = "here"
    PORT_FORWARD = "port-forward"
    POD = "pod"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class MountContents:
    """The files below a mount. Lists have at most MAX_LISTED entries."""

    files: int
    bytes: int
    complete: bool = True
    """False if the listing was truncated: then no file can be reported as missing."""
    models: tuple[str, ...] = ()
    """Relative directories with a model's configuration file (config.json …); "" for the root."""
    weights: int = 0
    """Weight files, by their extension."""
    remarks: tuple[ModelIssue, ...] = ()
    """Warnings of the model checks."""
    unread: str = ""
    """Why some files could not be checked; empty if all were."""
    rubbish: tuple[JunkFiles, ...] = ()
    """Files beside the model, by owner; `files` and `bytes` do not count them."""
    paths: tuple[str, ...] = ()
    """The first paths of the listing."""
    newest: tuple[tuple[str, str], ...] = ()
    """(path, last modification as RFC 3339) of the newest files, newest first."""


@dataclass(frozen=True)
class ProbeResult:
    """The result of probing one mount."""

    mount: str
    """The mountPoint."""
    state: ProbeState
    endpoint: str = ""
    """The endpoint as pods use it; empty for AWS itself."""
    origin: ProbeOrigin = ProbeOrigin.CLIENT
    code: str = ""
    """The store's error code, such as `SignatureDoesNotMatch`."""
    message: str = ""
    action: str = ""
    """The denied action: `ListBucket`, `GetObject`."""
    secret_name: str = ""
    secret_key: str = ""
    """The Secret, and the key in it, that the state is about."""
    secret_keys: tuple[str, ...] = ()
    """Names of the keys that the Secret has."""
    region: str = ""
    """The bucket's region, if it differs from the requested one."""
    clock_skew: float = 0.0
    """Seconds that the store's clock is ahead of the signer's."""
    nearest: tuple[str, ...] = ()
    """URIs that hold a model, most similar first, if the mount does not."""
    buckets: tuple[str, ...] = ()
    """Buckets that the credentials can list, if the mount's bucket does not exist."""
    manifest: str = ""
    """For a staged model: `valid`, `absent`, or what is wrong with its manifest."""
    contents: MountContents | None = None
    seconds: float = 0.0

    @property
    def is_endpoint_failure(self) -> bool:
        """Whether every mount of the same endpoint would fail in the same way."""
        return self.state in _ENDPOINT_FAILURES or self.code == CONNECT_TIMEOUT_CODE


_ENDPOINT_FAILURES = (
    ProbeState.DNS,
    ProbeState.SERVICE,
    ProbeState.REFUSED,
    ProbeState.TLS,
    ProbeState.NOT_S3,
)
_STORED_NAMES: Mapping[type, Mapping[str, str]] = {
    ProbeResult: {
        "secret_name": "holder",
        "secret_key": "entry",
        "secret_keys": "entries",
        "clock_skew": "skew",
        "contents": "found",
    },
    MountContents: {"complete": "whole"},
    ModelIssue: {"fatal": "wrong", "hub_model": "model"},
    JunkFiles: {"paths": "places"},
}
"""Fields that have another name in bundles and in a probe's output, so bundles of all versions
load."""


def to_document(result: ProbeResult) -> dict[str, Any]:
    """Return the result as JSON-like data, with the field names of support bundles."""
    document: dict[str, Any] = _stored(result)
    return document


def _stored(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_stored(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if not dataclasses.is_dataclass(value):
        return value
    names = _STORED_NAMES.get(type(value), {})
    return {
        names.get(field.name, field.name): _stored(getattr(value, field.name))
        for field in dataclasses.fields(value)
    }


def from_document(document: Any) -> ProbeResult:
    """Parse what `to_document` returned. Unknown fields of other versions are ignored.

    Raises:
        ValueError: the data is not a result.
    """
    import msgspec

    try:
        data = _renamed(document, ProbeResult)
        if data.get("contents") is not None:
            contents = _renamed(data["contents"], MountContents)
            for key, kind in (("remarks", ModelIssue), ("rubbish", JunkFiles)):
                contents[key] = [_renamed(item, kind) for item in contents.get(key) or ()]
            data["contents"] = contents
        return msgspec.convert(data, ProbeResult)
    except (AttributeError, TypeError, msgspec.ValidationError) as err:
        raise ValueError(str(err)) from err


def _renamed(document: Any, kind: type) -> dict[str, Any]:
    names = {stored: name for name, stored in _STORED_NAMES[kind].items()}
    return {names.get(key, key): value for key, value in document.items()}


def to_json(result: ProbeResult) -> str:
    """One line of JSON, as a probe's pod prints it."""
    return json.dumps(to_document(result), sort_keys=True)


def from_json(text: str) -> ProbeResult:
    """Parse what `to_json` returned.

    Raises:
        ValueError: the text is not a result.
    """
    return from_document(json.loads(text))
