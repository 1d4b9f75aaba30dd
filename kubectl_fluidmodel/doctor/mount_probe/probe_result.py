"""What a store said when doctor tried a Dataset's mount: a record without secrets. Pure.

It lies in `Snapshot.texts` as JSON, so that it goes into a bundle and checks judge it offline.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.remark import ModelIssue
from kubectl_fluidmodel.model.rubbish import JunkFiles
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

OK = "ok"
"""The mount was listed and a file read."""
SKIPPED = "skipped"
"""It was not tried; `message` says why."""
NO_SECRET, NO_KEY, BAD_KEY = "no-secret", "no-key", "bad-key"
"""The Secret, a key of it, or the key's value is missing or cannot be a key."""
DNS, SERVICE, REFUSED, TIMEOUT = "dns", "service", "refused", "timeout"
"""The name, the Service behind it, the port or the answer is what fails."""
TLS, FOREIGN, ERROR = error_codes.TLS, error_codes.NOT_S3, error_codes.ERROR
SKEW, UNKNOWN_KEY, WRONG_SECRET = (
    error_codes.SKEW,
    error_codes.UNKNOWN_KEY,
    error_codes.WRONG_SECRET,
)
EXPIRED, DENIED = error_codes.EXPIRED, error_codes.DENIED
REGION, NO_BUCKET = error_codes.REGION, error_codes.NO_BUCKET
"""What the store itself says, see there."""
CONNECT_TIMEOUT_CODE = "ConnectTimeout"
"""The code of a TIMEOUT in which not even a connection came about."""
EMPTY = "empty"
"""The bucket holds nothing below the prefix."""
CLAIM = "claim"
"""The source is a claim that is absent or not Bound; `code` is its phase."""
STATES = frozenset(
    {
        *(OK, SKIPPED, NO_SECRET, NO_KEY, BAD_KEY, DNS, SERVICE, REFUSED, TIMEOUT, TLS, FOREIGN),
        *(SKEW, UNKNOWN_KEY, WRONG_SECRET, EXPIRED, DENIED, REGION, NO_BUCKET, EMPTY, ERROR),
        CLAIM,
    }
)

MAX_LISTED = 20
"""Entries that a list of a Found holds at most."""

HERE, FORWARD, POD = "here", "port-forward", "pod"
"""Where an attempt was made from."""


@dataclass(frozen=True)
class MountContents:
    """What lies below a mount. Lists are cut to what a person reads."""

    files: int
    bytes: int
    whole: bool = True
    """False where there is more than was listed: nothing may be said to be missing then."""
    models: tuple[str, ...] = ()
    """Directories with a model's own mark (config.json …), relative; empty text for the root."""
    weights: int = 0
    """Files that are weights, by their ending."""
    remarks: tuple[ModelIssue, ...] = ()
    """What the judge of models says."""
    unread: str = ""
    """What of it could not be read, and so was not judged."""
    rubbish: tuple[JunkFiles, ...] = ()
    """What lies beside the model, by owner; not counted in `files` and `bytes`."""
    paths: tuple[str, ...] = ()
    """The first paths of the listing."""
    newest: tuple[tuple[str, str], ...] = ()
    """(path, time of the last write as RFC 3339) of the files written last, newest first."""


@dataclass(frozen=True)
class ProbeResult:
    """How trying one mount went."""

    mount: str
    """The mountPoint."""
    state: str
    endpoint: str = ""
    """As pods use it; empty for the cloud's own."""
    origin: str = HERE
    """HERE, FORWARD or POD."""
    code: str = ""
    """The store's own word, such as `SignatureDoesNotMatch`."""
    message: str = ""
    action: str = ""
    """What was asked for when it refused: `ListBucket`, `GetObject`."""
    holder: str = ""
    entry: str = ""
    """The Secret and the key in it that a state is about; a field that is named `secret` would be
    taken for one and blackened."""
    entries: tuple[str, ...] = ()
    """Names of the keys that the Secret has."""
    region: str = ""
    """The region that the bucket says it is in, where it differs from the one asked."""
    skew: float = 0.0
    """Seconds that the store's clock is ahead of the one that signed."""
    nearest: tuple[str, ...] = ()
    """URIs that do hold a model, the likeliest first, where the mount does not."""
    buckets: tuple[str, ...] = ()
    """Names of buckets that the credentials may see, where the mount's is not there."""
    manifest: str = ""
    """Of a model that we staged: `valid`, `absent`, or what is wrong with it; empty otherwise."""
    found: MountContents | None = None
    seconds: float = 0.0

    @property
    def is_endpoint_failure(self) -> bool:
        """Whether it would be the same for every mount of the endpoint."""
        return (
            self.state in (DNS, SERVICE, REFUSED, TLS, FOREIGN) or self.code == CONNECT_TIMEOUT_CODE
        )


@dataclass(frozen=True)
class MountResults:
    """One cache's mounts, in the Dataset's order."""

    results: tuple[ProbeResult, ...] = field(default=())

    def to_json(self) -> str:
        return json.dumps([dataclasses.asdict(each) for each in self.results], sort_keys=True)


def results_key(namespace: str, name: str) -> str:
    """Where a cache's answers lie in `Snapshot.texts`."""
    return f"store {namespace}/{name}"


def store_results(snapshot: Snapshot, namespace: str, name: str, results: MountResults) -> None:
    snapshot.texts[results_key(namespace, name)] = results.to_json()


def read_results(snapshot: Snapshot, namespace: str, name: str) -> MountResults | None:
    """The answers of a cache, None where its store was not asked.

    Raises:
        FluidModelError: the text is not one of ours.
    """
    text = snapshot.texts.get(results_key(namespace, name))
    if text is None:
        return None
    try:
        return MountResults(tuple(_convert_result(each) for each in json.loads(text)))
    except (ValueError, TypeError) as err:
        what = f"cannot read the store's answer for {namespace}/{name}"
        raise FluidModelError(what, str(err)) from err


def result_to_json(result: ProbeResult) -> str:
    """One answer as JSON on one line, as a probe prints it."""
    return json.dumps(dataclasses.asdict(result), sort_keys=True)


def result_from_json(text: str) -> ProbeResult:
    """Read what `one` gave.

    Raises:
        FluidModelError: the text is not one of ours.
    """
    try:
        return _convert_result(json.loads(text))
    except ValueError as err:
        raise FluidModelError("cannot read an answer of a store", str(err)) from err


def _convert_result(data: Any) -> ProbeResult:
    """Raises: ValueError: it is none. Fields of another version are left out."""
    import msgspec

    try:
        found = msgspec.convert(data, ProbeResult)
    except msgspec.ValidationError as err:
        raise ValueError(str(err)) from err
    if found.state not in STATES:
        raise ValueError(f"there is no state '{found.state}'")
    return found
