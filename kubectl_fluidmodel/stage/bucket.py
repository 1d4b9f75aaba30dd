"""The S3 operations of a transfer: boto3's low-level client with our own retries.

Settings for speed and portability: path-style addressing with an endpoint, no checksums beyond
those sent here, and unsigned payloads. Each part has a checksum that the store verifies. Signing
the payload, too, would hash it a second time, which over plain HTTP costs more CPU than everything
else. The checksum is CRC-32 if the store confirms that it keeps it, else MD5, which every store
supports.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.net.retry_budget import CancelledError
from kubectl_fluidmodel.objectstore.retry import S3RequestError
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.file_hasher import BytesLike, content_md5
from kubectl_fluidmodel.stage.multipart import (
    CONTENT_METADATA,
    MultipartUploads,
    OperationUnavailableError,
    object_metadata,
    unquoted_etag,
)

_READ_SIZE = 8 << 20
"""Bytes of one request when an object is read back."""
_SHORT_RETRY_TIMEOUT = 15.0
"""Seconds to retry a request while a person waits."""
_MISSING_CODES = ("404", "NoSuchKey", "NotFound")


@dataclass(frozen=True)
class ObjectInfo:
    """An object as HEAD reports it."""

    size: int
    etag: str
    identity: str

    def matches(self, file: PlanFile) -> bool:
        """Whether it is this file, by its size and the hash in its metadata."""
        return (self.size, self.identity) == (file.size, file.identity)


@dataclass(frozen=True)
class ObjectEntry:
    """An object in a listing of the bucket."""

    key: str
    size: int
    etag: str
    age: float
    """Seconds since it was last modified, by the store's clock; 0 without a Date header."""


class Bucket(MultipartUploads):
    """One bucket. Safe to share between threads."""

    def __init__(
        self,
        store: S3Store,
        name: str,
        *,
        connections: int = 10,
        retry_timeout: float = 60.0,
        no_answer_timeout: float | None = None,
        stall_timeout: float = 30.0,
        stop: threading.Event | None = None,
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        """Create the client; nothing is sent. The timeouts are in seconds.

        `retry_timeout` and `no_answer_timeout` are those of RetryBudget, `stall_timeout` is that of
        TransferOptions.
        """
        style = {"addressing_style": "path"} if store.endpoint else {}
        super().__init__(
            store,
            name,
            retry_timeout,
            stop,
            on_retry,
            no_answer_timeout,
            s3={**style, "payload_signing_enabled": False},
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": 1},
            read_timeout=stall_timeout,
            parameter_validation=False,
            tcp_keepalive=True,
        )
        self.denied_error: FluidModelError | None = None
        """Error of the last HEAD that the store denied."""

    # -- the bucket --------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the bucket exists; True, too, if the credentials may not ask."""
        try:
            self.call_raw("access bucket", "head_bucket")
        except S3RequestError as err:
            if err.code in ("404", "NoSuchBucket"):
                return False
            if err.code not in ("403", "AccessDenied", "Forbidden"):
                raise err.error from err
            # The credentials may be limited to writing; the first write shows it.
        return True

    def create_if_missing(self) -> bool:
        """Create the bucket unless it exists.

        Returns:
            Whether it was created.

        Raises:
            FluidModelError: it does not exist and cannot be created.
        """
        if self.exists():
            return False
        settings: dict[str, Any] = {}
        region = self.store.region
        if region and region != "us-east-1" and not self.store.endpoint:
            settings["CreateBucketConfiguration"] = {"LocationConstraint": region}
        try:
            self.call_raw("create bucket", "create_bucket", **settings)
        except S3RequestError as err:
            if err.code == "BucketAlreadyOwnedByYou":
                return False
            raise FluidModelError(
                f"bucket '{self.name}' does not exist and cannot be created",
                err.error.reason or err.error.message,
                f"create it, or grant the credentials s3:CreateBucket on {self.name}",
            ) from err
        return True

    def list_objects(self, prefix: str) -> Iterator[ObjectEntry]:
        """List the objects below a prefix.

        Raises:
            OperationUnavailableError: the credentials lack s3:ListBucket.
        """
        for entry, now in self._iter_entries(prefix):
            # The Date header has whole seconds, so it may be earlier than the modification.
            age = max(0.0, now - entry["LastModified"].timestamp()) if now else 0.0
            etag = unquoted_etag(entry.get("ETag", ""))
            yield ObjectEntry(str(entry["Key"]), int(entry["Size"]), etag, age)

    def _iter_entries(self, prefix: str) -> Iterator[tuple[dict[str, Any], float]]:
        """Yield the entries of a listing with the store's time; 0 without a Date header."""
        from email.utils import parsedate_to_datetime

        token: dict[str, Any] = {}
        while True:
            try:
                page = self.call_raw("list", "list_objects_v2", Prefix=prefix, **token)
            except S3RequestError as err:
                if err.is_unavailable:
                    raise OperationUnavailableError(err.error.reason) from err
                raise err.error from err
            date = page["ResponseMetadata"]["HTTPHeaders"].get("date", "")
            now = parsedate_to_datetime(date).timestamp() if date else 0.0
            for entry in page.get("Contents") or []:
                yield entry, now
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    # -- objects -----------------------------------------------------------------------------

    def head_object(self, key: str) -> ObjectInfo | None:
        """Look an object up.

        Returns:
            The object, or None if there is none or the credentials may not read it. Without
            s3:ListBucket, S3 responds with 403 instead of 404 for an object that does not exist,
            so the two cases look alike; `denied_error` then has the error.
        """
        try:
            response = self.call_raw("look up", "head_object", Key=key)
        except S3RequestError as err:
            if err.is_unavailable:
                self.denied_error = err.error
            elif err.code not in _MISSING_CODES:
                raise err.error from err
            return None
        metadata = response.get("Metadata") or {}
        lowercase = {str(name).lower(): value for name, value in metadata.items()}
        return ObjectInfo(
            int(response["ContentLength"]),
            unquoted_etag(response["ETag"]),
            lowercase.get(CONTENT_METADATA, ""),
        )

    def wait_for_object(self, key: str, file: PlanFile, timeout: float) -> ObjectInfo | None:
        """Wait for an object that the store may still be assembling.

        Args:
            key: the object's key.
            file: what the object has to match.
            timeout: seconds to wait.

        Returns:
            The object that is there at the end, if any; after the timeout it may be another file's.

        Raises:
            CancelledError: the run is stopped.
        """
        # Not read_until: a stopped run ends this wait, and the pauses grow.
        deadline, delay = time.monotonic() + timeout, 0.1
        while True:
            info = self.head_object(key)
            if info is not None and info.matches(file):
                return info
            if time.monotonic() >= deadline:
                return info
            if delay > 0.5:
                self._on_retry(f"the store is still assembling {file.path}")
            if self._stop.wait(delay):
                raise CancelledError
            delay = min(2.0, delay * 2)

    def read_object(self, key: str, *, missing_if_denied: bool = False) -> bytes | None:
        """Read one of our own small objects.

        Args:
            key: the object's key.
            missing_if_denied: treat a denied read as a missing object.

        Returns:
            Its content, or None if there is no such object.
        """
        try:
            return bytes(self.call_raw("read", "get_object", transform=_read_body, Key=key))
        except S3RequestError as err:
            is_missing = err.code in (*_MISSING_CODES, "NoSuchBucket")
            if is_missing or (missing_if_denied and err.is_unavailable):
                return None
            raise err.error from err

    def read_chunks(self, key: str, size: int) -> Iterator[bytes]:
        """Read an object of `size` bytes in chunks, each with its own retries."""
        for start in range(0, size, _READ_SIZE):
            byte_range = f"bytes={start}-{min(size, start + _READ_SIZE) - 1}"
            yield self.call("read", "get_object", transform=_read_body, Key=key, Range=byte_range)

    def write_object(self, key: str, body: bytes) -> None:
        """Write one of our own small objects."""
        self.call(
            "write",
            "put_object",
            Key=key,
            Body=body,
            ContentMD5=content_md5(body),
            ContentType="application/json",
        )

    def put_file(self, key: str, body: BytesLike, file: PlanFile, commit: str) -> str:
        """Write a small file with one request.

        Returns:
            The object's ETag as HEAD reports it.
        """
        checksum = content_md5(body)
        response = self.call(
            "write",
            "put_object",
            Key=key,
            Body=body,
            ContentMD5=checksum,
            Metadata=object_metadata(file, commit),
        )
        etag = unquoted_etag(response["ETag"])
        if etag == base64.b64decode(checksum).hex():
            return etag
        # With SSE-KMS and in some stores, the ETag is not an MD5, and HEAD may return another one.
        info = self.head_object(key)
        return info.etag if info is not None else etag

    def delete_object(self, key: str) -> None:
        """Delete one of our own objects; do nothing if the credentials may not.

        A checkpoint that stays behind does no harm: it is read only while its file is missing.
        """
        try:
            self.try_cleanup("delete", "delete_object", Key=key)
        except S3RequestError as err:
            raise err.error from err

    def remove_object(self, key: str) -> None:
        """Delete an object.

        Raises:
            FluidModelError: the credentials may not, or the store does not answer.
        """
        self.call("delete", "delete_object", Key=key)


def open_bucket(store: S3Store, name: str) -> Bucket:
    """Return a bucket with few retries, for commands that a person waits for."""
    return Bucket(store, name, retry_timeout=_SHORT_RETRY_TIMEOUT)


def _read_body(response: Any) -> bytes:
    return bytes(response["Body"].read())
