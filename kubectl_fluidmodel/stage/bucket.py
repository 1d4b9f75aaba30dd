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
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.net.retry_budget import CancelledError
from kubectl_fluidmodel.objectstore.retry import RetryingS3Client, S3RequestError
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.checkpoint import CRC32, MD5, UploadedPart
from kubectl_fluidmodel.stage.file_hasher import BytesLike, content_md5

CONTENT_METADATA = "fluidmodel-content"
COMMIT_METADATA = "fluidmodel-commit"
"""Metadata of each object. An upload is completed only after its hash is verified, and only then
there is an object with this metadata. So the metadata can be trusted."""

_READ_SIZE = 8 << 20
"""Bytes of one request when an object is read back."""
COPY_SIZE = 256 << 20
"""Bytes that one request copies within the bucket; S3 allows 5 GiB, a slow store times out then."""
_MISSING_CODES = ("404", "NoSuchKey", "NotFound")
_MISSING_UPLOAD_CODES = ("NoSuchUpload", "404", "NoSuchKey", "InvalidPart")
"""Missing parts at the end are a sign of an aborted upload, too: some stores keep parts that arrive
while an upload is being aborted."""


class NoSuchUploadError(Exception):
    """The upload does not exist any more: another run completed it, or it was aborted."""


class OperationUnavailableError(Exception):
    """The credentials may not use the operation, or the store does not support it."""


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
    """An object as a list of the bucket has it."""

    key: str
    size: int
    etag: str
    age: float
    """Seconds since it was last modified, by the store's own clock; 0 if the store tells none."""


class Bucket(RetryingS3Client):
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

    def list_objects(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """List the objects below a prefix.

        Yields:
            Key, size in bytes and ETag.

        Raises:
            OperationUnavailableError: the credentials lack s3:ListBucket.
        """
        for each in self.list_entries(prefix):
            yield each.key, each.size, each.etag

    def list_entries(self, prefix: str) -> Iterator[ObjectEntry]:
        """List the objects below a prefix with everything that the list tells.

        Raises:
            OperationUnavailableError: the credentials lack s3:ListBucket.
        """
        for entry, now in self._iter_entries(prefix):
            # The Date header has whole seconds, so it may be earlier than the modification.
            age = max(0.0, now - entry["LastModified"].timestamp()) if now else 0.0
            etag = _unquoted_etag(entry.get("ETag", ""))
            yield ObjectEntry(str(entry["Key"]), int(entry["Size"]), etag, age)

    def list_with_age(self, prefix: str) -> Iterator[tuple[str, float]]:
        """List the objects below a prefix with their age by the store's own clock.

        Yields:
            Key, and seconds since the last modification.

        Raises:
            OperationUnavailableError: the credentials lack s3:ListBucket.
        """
        for each in self.list_entries(prefix):
            yield each.key, each.age

    def _iter_entries(self, prefix: str) -> Iterator[tuple[dict[str, Any], float]]:
        """Yield the entries of a list with the store's time, which is 0 if it does not say."""
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
            _unquoted_etag(response["ETag"]),
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
            Metadata=_metadata(file, commit),
        )
        etag = _unquoted_etag(response["ETag"])
        if etag == base64.b64decode(checksum).hex():
            return etag
        # With SSE-KMS and in some stores, the ETag is not an MD5, and HEAD may return another one.
        info = self.head_object(key)
        return info.etag if info is not None else etag

    def copy_file(
        self,
        source: str,
        etag: str,
        key: str,
        file: PlanFile,
        commit: str,
        on_upload: Callable[[str], None],
    ) -> ObjectInfo | None:
        """Copy an object within the bucket, while it has this ETag.

        Args:
            source: key of the object.
            etag: its ETag when its content was verified.
            key: key of the copy.
            file: what the object is.
            commit: the commit that the copy belongs to.
            on_upload: receives the ID of the upload of a copy in parts, before the first part. The
                upload is the caller's to abort if there is no copy.

        Returns:
            The copy; None if the store does not allow or support it, or the object has changed.
        """
        try:
            if file.size <= COPY_SIZE:
                self.call_raw(
                    "copy",
                    "copy_object",
                    Key=key,
                    Metadata=_metadata(file, commit),
                    MetadataDirective="REPLACE",
                    **self._copy_source(source, etag),
                )
            else:
                self._copy_in_parts(source, etag, key, file, commit, on_upload)
        except S3RequestError:
            return None
        info = self.head_object(key)
        return info if info is not None and info.matches(file) else None

    def _copy_source(self, source: str, etag: str) -> dict[str, Any]:
        return {
            "CopySource": {"Bucket": self.name, "Key": source},
            "CopySourceIfMatch": f'"{etag}"',
        }

    def _copy_in_parts(
        self,
        source: str,
        etag: str,
        key: str,
        file: PlanFile,
        commit: str,
        on_upload: Callable[[str], None],
    ) -> None:
        """Copy a large object part by part, each of which is done within the read timeout."""
        started = self.call_raw(
            "start a copy of",
            "create_multipart_upload",
            Key=key,
            Metadata=_metadata(file, commit),
        )
        upload_id = str(started["UploadId"])
        on_upload(upload_id)
        parts = [
            self.call_raw(
                "copy a part of",
                "upload_part_copy",
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                CopySourceRange=f"bytes={start}-{min(start + COPY_SIZE, file.size) - 1}",
                **self._copy_source(source, etag),
            )["CopyPartResult"]["ETag"]
            for number, start in enumerate(range(0, file.size, COPY_SIZE), 1)
        ]
        listed = [{"PartNumber": n, "ETag": each} for n, each in enumerate(parts, 1)]
        self.call_raw(
            "complete the copy of",
            "complete_multipart_upload",
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
        )

    def delete_object(self, key: str) -> None:
        """Delete one of our own objects; do nothing if the credentials may not.

        A checkpoint that stays behind does no harm: it is read only while its file is missing.
        """
        try:
            self._try_cleanup("delete", "delete_object", Key=key)
        except S3RequestError as err:
            raise err.error from err

    def remove_object(self, key: str) -> None:
        """Delete an object.

        Raises:
            FluidModelError: the credentials may not, or the store does not answer.
        """
        self.call("delete", "delete_object", Key=key)

    def _try_cleanup(self, verb: str, operation: str, **settings: Any) -> bool:
        """Call an operation that only cleans up; False if it is unavailable."""
        try:
            self.call_raw(verb, operation, **settings)
        except S3RequestError as err:
            if not err.is_unavailable:
                raise
            return False
        return True

    # -- multipart uploads -------------------------------------------------------------------

    def create_multipart_upload(self, key: str, file: PlanFile, commit: str) -> tuple[str, str]:
        """Start an upload.

        Returns:
            Its ID, and the checksum that its parts have to carry: CRC32 or MD5.
        """
        settings: dict[str, Any] = {"Key": key, "Metadata": _metadata(file, commit)}
        verb, operation = "start an upload of", "create_multipart_upload"
        try:
            response = self.call_raw(verb, operation, ChecksumAlgorithm="CRC32", **settings)
        except S3RequestError as err:
            if err.code not in ("NotImplemented", "InvalidArgument", "InvalidRequest", "400"):
                raise err.error from err
            response = self.call(verb, operation, **settings)
        keeps_crc32 = response.get("ChecksumAlgorithm") == "CRC32"
        return str(response["UploadId"]), CRC32 if keeps_crc32 else MD5

    def upload_part(
        self, key: str, upload_id: str, number: int, body: BytesLike, crc32: str = ""
    ) -> UploadedPart:
        """Upload a part; the store verifies it by its CRC-32, or else by an MD5.

        Args:
            key: the object's key.
            upload_id: the upload.
            number: the part's number, counting from 0.
            body: its content.
            crc32: its CRC-32 in base64; empty to send an MD5.

        Raises:
            NoSuchUploadError: the upload does not exist any more.
        """
        checksum: dict[str, Any] = (
            {"ChecksumCRC32": crc32} if crc32 else {"ContentMD5": content_md5(body)}
        )
        try:
            response = self.call_raw(
                "upload a part of",
                "upload_part",
                Key=key,
                UploadId=upload_id,
                PartNumber=number + 1,
                Body=body,
                probe=lambda: self._require_upload(key, upload_id),
                **checksum,
            )
        except S3RequestError as err:
            raise _upload_error(err) from err
        return UploadedPart(_unquoted_etag(response["ETag"]), len(body), crc32)

    def _require_upload(
        self, key: str, upload_id: str, parts: Mapping[int, UploadedPart] | None = None
    ) -> None:
        """Check that an upload exists and has these parts, if the credentials may list them.

        Where two runs stage one file, or somebody aborts the upload, a part that arrives at that
        moment may leave an upload that has lost its other parts or its checksum algorithm. A store
        then responds to every CompleteMultipartUpload with InternalError (versitygw 1.8).

        Raises:
            NoSuchUploadError: it does not exist any more, or lacks parts.
        """
        with suppress(OperationUnavailableError):
            stored = self.list_parts(key, upload_id)
            if any(stored.get(number) != part for number, part in (parts or {}).items()):
                raise NoSuchUploadError("InvalidPart")

    def list_parts(self, key: str, upload_id: str) -> dict[int, UploadedPart]:
        """List the parts that the store has of an upload, by their number from 0.

        Raises:
            NoSuchUploadError: the upload does not exist any more.
            OperationUnavailableError: the credentials lack s3:ListMultipartUploadParts, or the
                store does not support the operation.
        """
        parts: dict[int, UploadedPart] = {}
        verb, token = "list the parts of", dict[str, Any]()
        while True:
            try:
                page = self.call_raw(verb, "list_parts", Key=key, UploadId=upload_id, **token)
            except S3RequestError as err:
                if err.is_unavailable:
                    raise OperationUnavailableError(err.error.reason) from err
                raise _upload_error(err) from err
            for entry in page.get("Parts") or []:
                parts[int(entry["PartNumber"]) - 1] = UploadedPart(
                    _unquoted_etag(entry["ETag"]),
                    int(entry["Size"]),
                    str(entry.get("ChecksumCRC32", "")),
                )
            if not page.get("IsTruncated"):
                return parts
            token = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def complete_multipart_upload(
        self, key: str, upload_id: str, parts: dict[int, UploadedPart], assembly_timeout: float
    ) -> None:
        """Have the store assemble the object, which may take `assembly_timeout` seconds.

        Raises:
            NoSuchUploadError: the upload does not exist any more. It may have been completed by an
                attempt whose response was lost.
        """
        listed = []
        for number, part in sorted(parts.items()):
            entry: dict[str, Any] = {"PartNumber": number + 1, "ETag": f'"{part.etag}"'}
            if part.checksum:
                entry["ChecksumCRC32"] = part.checksum
            listed.append(entry)
        try:
            self.call_raw(
                "complete the upload of",
                "complete_multipart_upload",
                assembly_timeout=assembly_timeout,
                probe=lambda: self._require_upload(key, upload_id, parts),
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},
            )
        except S3RequestError as err:
            raise _upload_error(err) from err

    def abort_multipart_upload(self, key: str, upload_id: str) -> bool:
        """Abort an upload and delete its parts.

        Returns:
            False if the credentials may not abort it. Its parts then stay until the bucket's
            lifecycle rule for incomplete uploads deletes them.
        """
        try:
            operation = "abort_multipart_upload"
            return self._try_cleanup("abort", operation, Key=key, UploadId=upload_id)
        except S3RequestError as err:
            if isinstance(_upload_error(err), NoSuchUploadError):
                return True
            raise err.error from err


def _upload_error(err: S3RequestError) -> Exception:
    """NoSuchUploadError if that is what the refusal means, else the refusal."""
    return NoSuchUploadError(err.code) if err.code in _MISSING_UPLOAD_CODES else err.error


def _read_body(response: Any) -> bytes:
    return bytes(response["Body"].read())


def _metadata(file: PlanFile, commit: str) -> dict[str, str]:
    return {CONTENT_METADATA: file.identity, COMMIT_METADATA: commit}


def _unquoted_etag(etag: str) -> str:
    return str(etag).strip('"')
