"""What staging does in a bucket: low-level boto3, with our own retries.

Settings that make it fast and portable: path style where there is an endpoint, no checksums
beyond what we send, and unsigned payloads. Each part carries a checksum that the store
verifies, so signing it too would only hash it once more, which on plain HTTP costs more than
all the rest. Which checksum: CRC-32 where the store says that it keeps it, else MD5, which all
stores have known from the beginning.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.net.retry_budget import CancelledError
from kubectl_fluidmodel.objectstore.retry import RetryingS3Client, S3RequestError
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.stage.checkpoint import CRC32, MD5, UploadedPart
from kubectl_fluidmodel.stage.file_hasher import BytesLike, content_md5

CONTENT_METADATA = "fluidmodel-content"
COMMIT_METADATA = "fluidmodel-commit"
"""Metadata of each object. An upload is completed only after its hash was proven, and only then
has an object with this metadata, so what it says holds."""


_READ_SIZE = 8 << 20
"""Bytes of an object that are read back at once."""


class NoSuchUploadError(Exception):
    """The upload is not there any more: completed by somebody, or aborted."""


class OperationUnavailableError(Exception):
    """The store does not let it be seen."""


@dataclass(frozen=True)
class ObjectInfo:
    """An object as HEAD tells it."""

    size: int
    etag: str
    identity: str

    def matches(self, file: PlanFile) -> bool:
        """Whether it is this file, by what an object of ours says of itself."""
        return (self.size, self.identity) == (file.size, file.identity)


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
        """`patience` and `silent` are those of Patience; `stall` as in Options."""
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
        """What was said when an object was last not let be seen."""

    # -- the bucket --------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the bucket is there, as far as one may know."""
        try:
            self.call_raw("look at the bucket", "head_bucket")
        except S3RequestError as err:
            if err.code in ("404", "NoSuchBucket"):
                return False
            if err.code not in ("403", "AccessDenied", "Forbidden"):
                raise err.error from err
            # One may be allowed to write and not to look; listing tells.
        return True

    def create_if_missing(self) -> bool:
        """Make the bucket unless it is there; returns whether it was made.

        Raises:
            FluidModelError: it is not there and may not be made.
        """
        if self.exists():
            return False
        settings: dict[str, Any] = {}
        region = self.store.region
        if region and region != "us-east-1" and not self.store.endpoint:
            settings["CreateBucketConfiguration"] = {"LocationConstraint": region}
        try:
            self.call_raw("make the bucket", "create_bucket", **settings)
        except S3RequestError as err:
            if err.code == "BucketAlreadyOwnedByYou":
                return False
            raise FluidModelError(
                f"bucket '{self.name}' does not exist and cannot be made",
                err.error.reason or err.error.message,
                f"make it, or give the credentials s3:CreateBucket on {self.name}",
            ) from err
        return True

    def list_objects(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Key, size and ETag of every object below a prefix.

        Raises:
            OperationUnavailableError: one may not list (s3:ListBucket).
        """
        for each, _ in self._iter_entries(prefix):
            yield str(each["Key"]), int(each["Size"]), _unquoted_etag(each.get("ETag", ""))

    def list_with_age(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Key and age in seconds of every object below a prefix, by the store's own clock.

        Raises:
            OperationUnavailableError: one may not list (s3:ListBucket).
        """
        for each, now in self._iter_entries(prefix):
            # The store's clock is told in whole seconds, and may seem to be behind.
            age = now - each["LastModified"].timestamp() if now else 0.0
            yield str(each["Key"]), max(0.0, age)

    def _iter_entries(self, prefix: str) -> Iterator[tuple[dict[str, Any], float]]:
        """Entries of a list, with the time at the store, or 0."""
        from email.utils import parsedate_to_datetime

        token: dict[str, Any] = {}
        while True:
            try:
                page = self.call_raw("list", "list_objects_v2", Prefix=prefix, **token)
            except S3RequestError as err:
                if err.is_unavailable:
                    raise OperationUnavailableError(err.error.reason) from err
                raise err.error from err
            date_header = page["ResponseMetadata"]["HTTPHeaders"].get("date", "")
            now = parsedate_to_datetime(date_header).timestamp() if date_header else 0.0
            for each in page.get("Contents") or []:
                yield each, now
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    # -- objects -----------------------------------------------------------------------------

    def head_object(self, key: str) -> ObjectInfo | None:
        """An object, or None where there is none.

        Who may not list a bucket is told 403, and not 404, where there is none; so is who may
        not read. Both are None, and what was to be proven then is not.
        """
        try:
            answer = self.call_raw("look at", "head_object", Key=key)
        except S3RequestError as err:
            if err.is_unavailable:
                self.denied_error = err.error
            elif err.code not in ("404", "NoSuchKey", "NotFound"):
                raise err.error from err
            return None
        metadata = {
            str(name).lower(): value for name, value in (answer.get("Metadata") or {}).items()
        }
        return ObjectInfo(
            int(answer["ContentLength"]),
            _unquoted_etag(answer["ETag"]),
            metadata.get(CONTENT_METADATA, ""),
        )

    def wait_for_object(self, key: str, file: PlanFile, timeout: float) -> ObjectInfo | None:
        """A whole file that the store may still be putting together: waited for so long.

        Returns what is there at the end, if anything; it may be another file's.

        Raises:
            CancelledError: stopped.
        """
        deadline, pause = time.monotonic() + timeout, 0.1
        while True:
            found = self.head_object(key)
            if found is not None and found.matches(file):
                return found
            if time.monotonic() >= deadline:
                return found
            if pause > 0.5:
                self._on_retry(f"the store still puts {file.path} together")
            if self._stop.wait(pause):
                raise CancelledError
            pause = min(2.0, pause * 2)

    def read_object(self, key: str, *, missing_if_denied: bool = False) -> bytes | None:
        """A small object of ours, or None where there is none; `hidden`: or none to be seen."""
        try:
            return bytes(self.call_raw("read", "get_object", then=_read_body, Key=key))
        except S3RequestError as err:
            missing = ("404", "NoSuchKey", "NotFound", "NoSuchBucket")
            if err.code in missing or (missing_if_denied and err.is_unavailable):
                return None
            raise err.error from err

    def read_chunks(self, key: str, size: int) -> Iterator[bytes]:
        """The bytes of an object, for `--verify --read`; each piece is read until it is there."""
        for start in range(0, size, _READ_SIZE):
            byte_range = f"bytes={start}-{min(size, start + _READ_SIZE) - 1}"
            yield self.call("read", "get_object", then=_read_body, Key=key, Range=byte_range)

    def write_object(self, key: str, body: bytes) -> None:
        """A small object of ours."""
        self.call(
            "write",
            "put_object",
            Key=key,
            Body=body,
            ContentMD5=content_md5(body),
            ContentType="application/json",
        )

    def put_file(self, key: str, body: BytesLike, file: PlanFile, commit: str) -> str:
        """A whole small file; returns its ETag as HEAD tells it."""
        checksum = content_md5(body)
        answer = self.call(
            "write",
            "put_object",
            Key=key,
            Body=body,
            ContentMD5=checksum,
            Metadata=_metadata(file, commit),
        )
        etag = _unquoted_etag(answer["ETag"])
        if etag == base64.b64decode(checksum).hex():
            return etag
        # With SSE-KMS and in some stores it is no MD5, and need not be the same everywhere.
        existing = self.head_object(key)
        return existing.etag if existing is not None else etag

    def delete_object(self, key: str) -> None:
        """Delete an object of ours that nobody needs any more, as far as one may.

        A record of an upload that is gone stays without harm where one may not: it is looked at
        only as long as its file does not stand.
        """
        try:
            self._try_cleanup("delete", "delete_object", Key=key)
        except S3RequestError as err:
            raise err.error from err

    def _try_cleanup(self, verb: str, operation: str, **settings: Any) -> bool:
        """What only cleans up; False where the credentials or the store do not have it."""
        try:
            self.call_raw(verb, operation, **settings)
        except S3RequestError as err:
            if not err.is_unavailable:
                raise
            return False
        return True

    # -- multipart uploads -------------------------------------------------------------------

    def create_multipart_upload(self, key: str, file: PlanFile, commit: str) -> tuple[str, str]:
        """Begin an upload; returns its id and the checksum that its parts shall carry."""
        settings: dict[str, Any] = {"Key": key, "Metadata": _metadata(file, commit)}
        create = "create_multipart_upload"
        try:
            answer = self.call_raw(
                "begin an upload of", create, ChecksumAlgorithm="CRC32", **settings
            )
        except S3RequestError as err:
            if err.code not in ("NotImplemented", "InvalidArgument", "InvalidRequest", "400"):
                raise err.error from err
            answer = self.call("begin an upload of", create, **settings)
        kept = answer.get("ChecksumAlgorithm") == "CRC32"
        return str(answer["UploadId"]), CRC32 if kept else MD5

    def upload_part(
        self, key: str, upload: str, number: int, body: BytesLike, crc: str = ""
    ) -> UploadedPart:
        """Upload a part (numbers count from 0), checked by the store: by its CRC-32, else by MD5.

        Raises:
            NoSuchUploadError: the upload is not there any more.
        """
        checksum: dict[str, Any] = (
            {"ChecksumCRC32": crc} if crc else {"ContentMD5": content_md5(body)}
        )
        try:
            answer = self.call_raw(
                "upload a part of",
                "upload_part",
                Key=key,
                UploadId=upload,
                PartNumber=number + 1,
                Body=body,
                probe=lambda: self._require_upload(key, upload),
                **checksum,
            )
        except S3RequestError as err:
            raise _upload_error(err) from err
        return UploadedPart(_unquoted_etag(answer["ETag"]), len(body), crc)

    def _require_upload(
        self, key: str, upload: str, parts: Mapping[int, UploadedPart] | None = None
    ) -> None:
        """Ask for an upload and these of its parts, as far as one may.

        Where two runs stage one file, or somebody aborts, a part that arrives at that moment may
        leave an upload that has lost its other parts, or how parts are checked. A store then
        answers InternalError to whoever completes it, as often as it is asked (versitygw 1.8).

        Raises:
            Gone: it is not there any more, or not whole.
        """
        with suppress(OperationUnavailableError):
            held = self.list_parts(key, upload)
            if any(held.get(number) != part for number, part in (parts or {}).items()):
                raise NoSuchUploadError("InvalidPart")

    def list_parts(self, key: str, upload: str) -> dict[int, UploadedPart]:
        """What the store holds of an upload.

        Raises:
            NoSuchUploadError: the upload is not there any more.
            OperationUnavailableError: the parts may not be listed
                (s3:ListMultipartUploadParts), or the store cannot do it.
        """
        held: dict[int, UploadedPart] = {}
        token: dict[str, Any] = {}
        while True:
            try:
                page = self.call_raw(
                    "list the parts of", "list_parts", Key=key, UploadId=upload, **token
                )
            except S3RequestError as err:
                if err.is_unavailable:
                    raise OperationUnavailableError(err.error.reason) from err
                raise _upload_error(err) from err
            for each in page.get("Parts") or []:
                held[int(each["PartNumber"]) - 1] = UploadedPart(
                    _unquoted_etag(each["ETag"]),
                    int(each["Size"]),
                    str(each.get("ChecksumCRC32", "")),
                )
            if not page.get("IsTruncated"):
                return held
            token = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def complete_multipart_upload(
        self, key: str, upload: str, parts: dict[int, UploadedPart], assembly_timeout: float
    ) -> None:
        """Make the object of its parts, for which the store may take `joins` seconds.

        Raises:
            NoSuchUploadError: the upload is not there any more; it may be that an answer was lost.
        """
        listed = []
        for number, part in sorted(parts.items()):
            each: dict[str, Any] = {"PartNumber": number + 1, "ETag": f'"{part.etag}"'}
            if part.checksum:
                each["ChecksumCRC32"] = part.checksum
            listed.append(each)
        try:
            self.call_raw(
                "complete the upload of",
                "complete_multipart_upload",
                joins=assembly_timeout,
                probe=lambda: self._require_upload(key, upload, parts),
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": listed},
            )
        except S3RequestError as err:
            raise _upload_error(err) from err

    def abort_multipart_upload(self, key: str, upload: str) -> bool:
        """Drop an upload with its parts, as far as one may; False where one may not.

        Its parts then stay until the bucket's lifecycle rule for incomplete uploads drops them.
        """
        try:
            return self._try_cleanup("abort", "abort_multipart_upload", Key=key, UploadId=upload)
        except S3RequestError as err:
            if isinstance(_upload_error(err), NoSuchUploadError):
                return True
            raise err.error from err


def _upload_error(err: S3RequestError) -> Exception:
    """Gone, where that is what the refusal means; else the refusal.

    Parts that are missing at the end are a sign of it, too: some stores keep what arrives while
    an upload is being aborted.
    """
    codes = ("NoSuchUpload", "404", "NoSuchKey", "InvalidPart")
    return NoSuchUploadError(err.code) if err.code in codes else err.error


def _read_body(answer: Any) -> bytes:
    return bytes(answer["Body"].read())


def _metadata(file: PlanFile, commit: str) -> dict[str, str]:
    return {CONTENT_METADATA: file.identity, COMMIT_METADATA: commit}


def _unquoted_etag(etag: str) -> str:
    return str(etag).strip('"')
