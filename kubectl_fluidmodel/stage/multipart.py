"""Multipart uploads to a bucket: their operations, and what their errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.objectstore.retry import RetryingS3Client, S3RequestError
from kubectl_fluidmodel.stage.checkpoint import CRC32, MD5, UploadedPart
from kubectl_fluidmodel.stage.file_hasher import BytesLike, content_md5

CONTENT_METADATA = "fluidmodel-content"
COMMIT_METADATA = "fluidmodel-commit"
"""Metadata of each object. An upload is completed only after its hash is verified, and only then
there is an object with this metadata. So the metadata can be trusted."""
_MISSING_UPLOAD_CODES = ("NoSuchUpload", "404", "NoSuchKey", "InvalidPart")
"""Missing parts at the end are a sign of an aborted upload, too: some stores keep parts that arrive
while an upload is being aborted."""


class NoSuchUploadError(Exception):
    """The upload does not exist any more: another run completed it, or it was aborted."""


class OperationUnavailableError(Exception):
    """The credentials may not use the operation, or the store does not support it."""


class MultipartUploads(RetryingS3Client):
    """The multipart uploads of one bucket. Safe to share between threads."""

    def try_cleanup(self, verb: str, operation: str, **settings: Any) -> bool:
        """Call an operation that only cleans up; False if it is unavailable."""
        try:
            self.call_raw(verb, operation, **settings)
        except S3RequestError as err:
            if not err.is_unavailable:
                raise
            return False
        return True

    def create_multipart_upload(self, key: str, file: PlanFile, commit: str) -> tuple[str, str]:
        """Start an upload.

        Returns:
            Its ID, and the checksum that its parts have to carry: CRC32 or MD5.
        """
        settings: dict[str, Any] = {"Key": key, "Metadata": object_metadata(file, commit)}
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
        return UploadedPart(unquoted_etag(response["ETag"]), len(body), crc32)

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
                    unquoted_etag(entry["ETag"]),
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
            return self.try_cleanup("abort", operation, Key=key, UploadId=upload_id)
        except S3RequestError as err:
            if isinstance(_upload_error(err), NoSuchUploadError):
                return True
            raise err.error from err


def _upload_error(err: S3RequestError) -> Exception:
    """NoSuchUploadError if that is what the refusal means, else the refusal."""
    return NoSuchUploadError(err.code) if err.code in _MISSING_UPLOAD_CODES else err.error


def object_metadata(file: PlanFile, commit: str) -> dict[str, str]:
    return {CONTENT_METADATA: file.identity, COMMIT_METADATA: commit}


def unquoted_etag(etag: str) -> str:
    return str(etag).strip('"')
