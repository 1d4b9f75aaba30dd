"""What staging does in a bucket: low-level boto3, with our own retries.

Settings that make it fast and portable: path style where there is an endpoint, no checksums
beyond what we send, and unsigned payloads. Each part carries a checksum that the store
verifies, so signing it too would only hash it once more, which on plain HTTP costs more than
all the rest. Which checksum: CRC-32 where the store says that it keeps it, else MD5, which all
stores have known from the beginning.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.model.hubhttp import Cancelled
from kubectl_fluidmodel.model.plan import PlanFile
from kubectl_fluidmodel.model.store import Store
from kubectl_fluidmodel.staging.digest import Bytes, md5
from kubectl_fluidmodel.staging.door import Door, Refused
from kubectl_fluidmodel.staging.record import CRC32, MD5, Part

IDENTITY = "fluidmodel-content"
COMMIT = "fluidmodel-commit"
"""Metadata of each object. An upload is completed only after its hash was proven, and only then
has an object with this metadata, so what it says holds."""


class Gone(Exception):
    """The upload is not there any more: completed by somebody, or aborted."""


@dataclass(frozen=True)
class Found:
    """An object as HEAD tells it."""

    size: int
    etag: str
    identity: str

    def holds(self, file: PlanFile) -> bool:
        """Whether it is this file, by what an object of ours says of itself."""
        return (self.size, self.identity) == (file.size, file.identity)


class Bucket(Door):
    """One bucket. Safe to share between threads."""

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        connections: int = 10,
        patience: float = 60.0,
        stop: threading.Event | None = None,
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(store, name, patience, stop, on_retry)
        style = {"addressing_style": "path"} if store.endpoint else {}
        self._client = store.client(
            s3={**style, "payload_signing_enabled": False},
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": 1},
            read_timeout=120,
            parameter_validation=False,
            tcp_keepalive=True,
        )

    # -- the bucket --------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the bucket is there, as far as one may know."""
        try:
            self.call("look at the bucket", self._client.head_bucket)
        except Refused as err:
            if err.code in ("404", "NoSuchBucket"):
                return False
            if err.code not in ("403", "AccessDenied", "Forbidden"):
                raise err.error from err
            # One may be allowed to write and not to look; listing tells.
        return True

    def ensure(self) -> bool:
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
            self.call("make the bucket", self._client.create_bucket, **settings)
        except Refused as err:
            if err.code == "BucketAlreadyOwnedByYou":
                return False
            raise FluidModelError(
                f"bucket '{self.name}' does not exist and cannot be made",
                err.error.why or err.error.what,
                f"make it, or give the credentials s3:CreateBucket on {self.name}",
            ) from err
        return True

    def list(self, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Key, size and ETag of every object below a prefix."""
        token: dict[str, Any] = {}
        while True:
            page = self.do("list", self._client.list_objects_v2, Prefix=prefix, **token)
            for each in page.get("Contents") or []:
                yield str(each["Key"]), int(each["Size"]), _bare(each.get("ETag", ""))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        """Key and age in seconds of every object below a prefix, by the store's own clock."""
        from email.utils import parsedate_to_datetime

        token: dict[str, Any] = {}
        while True:
            page = self.do("list", self._client.list_objects_v2, Prefix=prefix, **token)
            told = page["ResponseMetadata"]["HTTPHeaders"].get("date", "")
            for each in page.get("Contents") or []:
                at = each["LastModified"].timestamp()
                yield str(each["Key"]), parsedate_to_datetime(told).timestamp() - at if told else 0
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    # -- objects -----------------------------------------------------------------------------

    def head(self, key: str) -> Found | None:
        """An object, or None where there is none."""
        try:
            answer = self.call("look at", self._client.head_object, Key=key)
        except Refused as err:
            if err.code in ("404", "NoSuchKey", "NotFound"):
                return None
            raise err.error from err
        kept = {str(name).lower(): value for name, value in (answer.get("Metadata") or {}).items()}
        return Found(int(answer["ContentLength"]), _bare(answer["ETag"]), kept.get(IDENTITY, ""))

    def appears(self, key: str, file: PlanFile, seconds: float) -> Found | None:
        """A whole file that the store may still be putting together: waited for so long.

        Returns what is there at the end, if anything; it may be another file's.

        Raises:
            Cancelled: stopped.
        """
        until, pause = time.monotonic() + seconds, 0.1
        while True:
            found = self.head(key)
            if found is not None and found.identity == file.identity:
                return found
            if time.monotonic() >= until:
                return found
            if pause > 0.5:
                self._on_retry(f"the store still puts {file.path} together")
            if self._stop.wait(pause):
                raise Cancelled
            pause = min(2.0, pause * 2)

    def read(self, key: str) -> bytes | None:
        """A small object of ours, or None where there is none."""
        try:
            return self.call("read", self._fetch, Key=key)
        except Refused as err:
            if err.code in ("404", "NoSuchKey", "NotFound"):
                return None
            if err.code == "NoSuchBucket":
                return None
            raise err.error from err

    def stream(self, key: str, size: int = 1 << 20) -> Iterator[bytes]:
        """The bytes of an object, for `--verify --read`."""
        answer = self.do("read", self._client.get_object, Key=key)
        yield from answer["Body"].iter_chunks(size)

    def write(self, key: str, body: bytes) -> None:
        """A small object of ours."""
        self.do(
            "write",
            self._client.put_object,
            Key=key,
            Body=body,
            ContentMD5=md5(body),
            ContentType="application/json",
        )

    def put(self, key: str, body: Bytes, file: PlanFile, commit: str) -> str:
        """A whole small file; returns its ETag."""
        answer = self.do(
            "write",
            self._client.put_object,
            Key=key,
            Body=body,
            ContentMD5=md5(body),
            Metadata=_metadata(file, commit),
        )
        return _bare(answer["ETag"])

    def delete(self, key: str) -> None:
        self.do("delete", self._client.delete_object, Key=key)

    # -- multipart uploads -------------------------------------------------------------------

    def begin(self, key: str, file: PlanFile, commit: str) -> tuple[str, str]:
        """Begin an upload; returns its id and the checksum that its parts shall carry."""
        settings: dict[str, Any] = {"Key": key, "Metadata": _metadata(file, commit)}
        create = self._client.create_multipart_upload
        try:
            answer = self.call("begin an upload of", create, ChecksumAlgorithm="CRC32", **settings)
        except Refused as err:
            if err.code not in ("NotImplemented", "InvalidArgument", "InvalidRequest", "400"):
                raise err.error from err
            answer = self.do("begin an upload of", create, **settings)
        kept = answer.get("ChecksumAlgorithm") == "CRC32"
        return str(answer["UploadId"]), CRC32 if kept else MD5

    def part(self, key: str, upload: str, number: int, body: Bytes, crc: str = "") -> Part:
        """Upload a part (numbers count from 0), checked by the store: by its CRC-32, else by MD5.

        Raises:
            Gone: the upload is not there any more.
        """
        how = {"ChecksumCRC32": crc} if crc else {"ContentMD5": md5(body)}
        try:
            answer = self.call(
                "upload a part of",
                self._client.upload_part,
                Key=key,
                UploadId=upload,
                PartNumber=number + 1,
                Body=body,
                probe=lambda: self.parts(key, upload),
                **how,
            )
        except Refused as err:
            raise _gone(err) from err
        return Part(_bare(answer["ETag"]), len(body), crc)

    def parts(self, key: str, upload: str) -> dict[int, Part]:
        """What the store holds of an upload.

        Raises:
            Gone: the upload is not there any more.
        """
        held: dict[int, Part] = {}
        token: dict[str, Any] = {}
        while True:
            try:
                page = self.call(
                    "list the parts of", self._client.list_parts, Key=key, UploadId=upload, **token
                )
            except Refused as err:
                raise _gone(err) from err
            for each in page.get("Parts") or []:
                held[int(each["PartNumber"]) - 1] = Part(
                    _bare(each["ETag"]), int(each["Size"]), str(each.get("ChecksumCRC32", ""))
                )
            if not page.get("IsTruncated"):
                return held
            token = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def complete(self, key: str, upload: str, parts: dict[int, Part]) -> None:
        """Make the object of its parts.

        Raises:
            Gone: the upload is not there any more; it may be that an answer was lost.
        """
        listed = []
        for number, part in sorted(parts.items()):
            each: dict[str, Any] = {"PartNumber": number + 1, "ETag": f'"{part.etag}"'}
            if part.checksum:
                each["ChecksumCRC32"] = part.checksum
            listed.append(each)
        try:
            self.call(
                "complete the upload of",
                self._client.complete_multipart_upload,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": listed},
            )
        except Refused as err:
            raise _gone(err) from err

    def abort(self, key: str, upload: str) -> bool:
        """Drop an upload with its parts; False where it was not there."""
        try:
            self.call("abort", self._client.abort_multipart_upload, Key=key, UploadId=upload)
        except Refused as err:
            if isinstance(_gone(err), Gone):
                return False
            raise err.error from err
        return True

    def _fetch(self, **where: Any) -> bytes:
        return bytes(self._client.get_object(**where)["Body"].read())


def _gone(err: Refused) -> Exception:
    """Gone, where that is what the refusal means; else the refusal.

    Parts that are missing at the end are a sign of it, too: some stores keep what arrives while
    an upload is being aborted.
    """
    lost = ("NoSuchUpload", "404", "NoSuchKey", "InvalidPart")
    return Gone(err.code) if err.code in lost else err.error


def _metadata(file: PlanFile, commit: str) -> dict[str, str]:
    return {IDENTITY: file.identity, COMMIT: commit}


def _bare(etag: str) -> str:
    return str(etag).strip('"')
