"""What a store's answer means: one table for `cache`, `stage` and `doctor`.

Codes are those of S3's REST API. What has no code in it (the answer to a HEAD, a page of a console,
an ingress or a proxy) is told by its status and its headers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

TLS, NOT_S3 = "tls", "foreign"
"""TLS where there should be none, or the other way round; somebody who is no store."""
SKEW, UNKNOWN_KEY, WRONG_SECRET, EXPIRED, DENIED = (
    "skew",
    "unknown-key",
    "wrong-secret",
    "expired",
    "denied",
)
"""How a store refuses credentials."""
REGION, NO_BUCKET, ERROR = "region", "no-bucket", "error"
"""The bucket is elsewhere, or not there; any other error."""

_STATE_BY_CODE = {
    "InvalidAccessKeyId": UNKNOWN_KEY,
    "SignatureDoesNotMatch": WRONG_SECRET,
    "RequestTimeTooSkewed": SKEW,
    "RequestExpired": SKEW,
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "InvalidToken": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "NoSuchBucket": NO_BUCKET,
    "InvalidBucketName": NO_BUCKET,
    "PermanentRedirect": REGION,
    "TemporaryRedirect": REGION,
    "AuthorizationHeaderMalformed": REGION,
    "IllegalLocationConstraintException": REGION,
    "AccessDenied": DENIED,
    "AllAccessDisabled": DENIED,
    "AccountProblem": DENIED,
    "Forbidden": DENIED,
    "InvalidRequest": ERROR,
}
_STATE_BY_HEAD_STATUS = {
    301: REGION,
    307: REGION,
    308: REGION,
    401: DENIED,
    403: DENIED,
    404: NO_BUCKET,
}
"""By the status of a HEAD, whose answer has no room for a code."""
_TLS_PORT_MARKERS = (b"HTTP request to an HTTPS server", b"HTTP request was sent to HTTPS port")
SPEAKS_TLS = "it speaks TLS on this port, and the endpoint says http"
SPEAKS_HTTP = "it speaks plain HTTP on this port, and the endpoint says https"
_LIST_ROOT_ELEMENTS = {
    "ListObjectsV2": b"ListBucketResult",
    "ListObjects": b"ListBucketResult",
    "ListBuckets": b"ListAllMyBucketsResult",
    "ListMultipartUploads": b"ListMultipartUploadsResult",
    "ListParts": b"ListPartsResult",
}
"""The element that a list begins with; whoever answers 200 without it is no store."""
_RETRYABLE_STATUSES = (408, 425, 429)
"""Statuses below 500 that may be others the next time."""
TEMPORARY_KEY_PREFIX = "ASIA"
"""How keys of AWS begin that are worth nothing without a session token (IAM, unique IDs)."""


class NotS3StoreError(Exception):
    """An answer that no S3 store gives."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state, self.message = state, message


@dataclass(frozen=True)
class S3ErrorDetails:
    """What a store said, and what it means."""

    state: str
    code: str
    message: str
    """The store's own words."""
    operation: str
    region: str = ""
    """Where the bucket is, where that is told."""
    skew: float = 0.0
    """Seconds that the store's clock is ahead of ours, where it gives the time."""


def parse_error(answer: Mapping[str, Any], operation: str) -> S3ErrorDetails:
    """The refusal in what botocore made of an answer."""
    error = answer.get("Error") or {}
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    meta = answer.get("ResponseMetadata") or {}
    headers = {str(name).lower(): str(each) for name, each in meta.get("HTTPHeaders", {}).items()}
    state = _STATE_BY_CODE.get(code, ERROR)
    if code.isdigit():  # botocore found no XML
        status, head = int(code), operation.startswith("Head")
        state = _STATE_BY_HEAD_STATUS.get(status, ERROR) if head else NOT_S3
        if status >= 500 or status in _RETRYABLE_STATUSES:
            state = ERROR
        if head:
            message = f"HTTP {status}, and the answer to a HEAD gives no reason"
        else:
            message = describe_response(status, headers)
        if headers.get("x-amz-bucket-region") and status in (301, 307, 308, 400):
            state = REGION
    elif code == "NoSuchKey" and operation in _LIST_ROOT_ELEMENTS:
        # A list is asked of a bucket: whoever looks for a file of that name has taken the
        # bucket's name for a part of the path.
        state = NO_BUCKET
    return S3ErrorDetails(
        state,
        code,
        message,
        operation,
        parse_bucket_region(error, headers) if state == REGION else "",
        parse_clock_skew(headers),
    )


def parse_bucket_region(error: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """The bucket's region, by the error document, the headers or the words."""
    told = str(error.get("Region") or headers.get("x-amz-bucket-region") or "")
    if told:
        return told
    match = re.search(r"expecting '([a-z0-9-]+)'", str(error.get("Message", "")))
    host = urlsplit(f"//{error.get('Endpoint') or ''}").hostname or ""
    of_host = re.search(r"\bs3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.", host)
    return match[1] if match else of_host[1] if of_host else ""


def parse_clock_skew(headers: Mapping[str, str]) -> float:
    """Seconds that the server's clock is ahead; 0 where it gives no time."""
    try:
        theirs = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return 0.0
    return round(theirs - time.time(), 1)


def require_s3_response(
    operation: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """See that an answer is a store's, before it is read as one.

    Raises:
        NotS3StoreError: it is a page of HTML, a list of nothing that S3 knows, or a word of TLS.
    """
    start = body[:2048] if isinstance(body, bytes) else b""
    kind = headers.get("content-type", "no type").partition(";")[0]
    if any(mark in start for mark in _TLS_PORT_MARKERS):
        raise NotS3StoreError(TLS, SPEAKS_TLS)
    if (
        status >= 500
        or status in _RETRYABLE_STATUSES
        or (operation == "GetObject" and status < 300)
    ):
        return
    html = kind.endswith("html") or start.lstrip()[:14].lower().startswith((b"<!doctype", b"<html"))
    if html and status >= 300:
        to = headers.get("location", "")
        where = f", which leads to {_without_secrets(to)}" if to else ""
        raise NotS3StoreError(NOT_S3, describe_response(status, headers, where))
    wanted = _LIST_ROOT_ELEMENTS.get(operation)
    if status < 300 and (html or (wanted is not None and wanted not in start)):
        raise NotS3StoreError(NOT_S3, describe_response(status, headers))


def describe_response(status: int, headers: Mapping[str, str], where: str = "") -> str:
    """The words for an answer that no store gives."""
    kind = headers.get("content-type", "no type").partition(";")[0]
    return f"it answers with HTTP {status} and {kind}{where}, not as S3 does"


def _without_secrets(url: str) -> str:
    """A URL without who logs in and without what may be a secret in it."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"[:120]


def endpoint_without_bucket(endpoint: str, bucket: str) -> str:
    """The endpoint without the bucket's name in it; empty where it has none.

    `https://BUCKET.s3.amazonaws.com` and `http://minio:9000/BUCKET` are addresses of a bucket.
    """
    split = urlsplit(endpoint)
    if not bucket or not split.hostname:
        return ""
    if split.path.strip("/") == bucket:
        return f"{split.scheme}://{split.netloc}"
    if split.hostname.startswith(f"{bucket.lower()}."):
        return f"{split.scheme}://{split.netloc[len(bucket) + 1 :]}"
    return ""


_PROVIDER_HOSTS = re.compile(
    r"(?:s3[.-]|storage\.googleapis|r2\.cloudflarestorage|digitaloceanspaces|backblazeb2"
    r"|aliyuncs|wasabisys|linodeobjects)"
)
"""Hosts of providers, under which a bucket's name in front can only be a bucket's."""


def find_bucket_in_endpoint(endpoint: str, bucket: str) -> str:
    """As `endpoint_without`, only where it is certain: a Service may be called like a bucket."""
    right = endpoint_without_bucket(endpoint, bucket)
    by_path = urlsplit(endpoint).path.strip("/") == bucket
    return right if right and (by_path or _PROVIDER_HOSTS.match(urlsplit(right).netloc)) else ""


def explain_error(
    details: S3ErrorDetails, endpoint: str, bucket: str, *, has_credentials: bool
) -> tuple[str, str]:
    """Why, and what to do; `at` is the endpoint as people know it."""
    code, message, state = details.code, details.message or details.code, details.state
    right = endpoint_without_bucket(endpoint, bucket)
    if right and state in (NO_BUCKET, NOT_S3, ERROR):
        return f"the endpoint {endpoint} has the bucket's name in it", f"--endpoint {right}"
    if state == NO_BUCKET:
        return f"bucket '{bucket}' does not exist at {endpoint}", "check SOURCE and --endpoint"
    if state == UNKNOWN_KEY:
        return f"{endpoint} does not know this access key", "check AWS_ACCESS_KEY_ID"
    if state == WRONG_SECRET:
        return "the secret key is wrong", "check AWS_SECRET_ACCESS_KEY"
    if state == SKEW:
        by = f" by {abs(details.skew):.0f} s" if abs(details.skew) > 1 else ""
        return f"this machine's clock is off{by}", "sudo timedatectl set-ntp true"
    if state == EXPIRED:
        return f"the session has expired ({code})", "log in again"
    if state == REGION and details.region:
        where = details.region
        return f"the bucket is in another region: it is in {where}", f"--region {where}"
    if state == REGION:
        return f"the bucket is in another region ({message})", "--region REGION of the bucket"
    if state == DENIED:
        return _explain_access_denied(details, bucket, has_credentials)
    if state == NOT_S3:
        return explain_not_s3(endpoint, message)
    return (f"{code}: {message}" if message != code else code), ""


def _explain_access_denied(
    details: S3ErrorDetails, bucket: str, has_credentials: bool
) -> tuple[str, str]:
    if not has_credentials:
        return (
            f"access denied: no S3 credentials were found, and bucket {bucket} is not public",
            "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…, or --s3-secret NAME",
        )
    if re.search(r"requester.?pays", details.message, re.IGNORECASE):
        return (
            f"bucket {bucket} lets whoever reads pay (requester pays), which Alluxio cannot",
            "copy the model into a bucket of your own",
        )
    bare = " (the answer to a HEAD gives no reason)" if details.code.isdigit() else ""
    return (
        f"access denied: the credentials may not {details.operation}{bare}",
        "check the bucket's policy",
    )


def explain_not_s3(endpoint: str, message: str) -> tuple[str, str]:
    """Of a server that is no store."""
    if message == SPEAKS_TLS:
        return f"{endpoint}: {message}", f"--endpoint {endpoint.replace('http://', 'https://', 1)}"
    return (
        f"{endpoint} does not answer as an S3 store: {message}",
        "--endpoint with the port of the S3 API (9000 of MinIO), not of the console (9001)",
    )


def lacks_token(access_key: str, token: str) -> bool:
    """Whether a key is a temporary one without what makes it one: no store takes it."""
    return access_key.startswith(TEMPORARY_KEY_PREFIX) and len(access_key) >= 16 and not token
