"""Explains a store's error responses: one table for `cache`, `stage` and `doctor`.

Codes are those of S3's REST API. Responses without a code (to a HEAD, or from a console, an ingress
or a proxy) are classified by status and headers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass

TLS, NOT_S3 = "tls", "foreign"
"""TLS on a plain port or the reverse; a server that is not a store."""
SKEW, UNKNOWN_KEY, WRONG_SECRET, EXPIRED, DENIED = (
    "skew",
    "unknown-key",
    "wrong-secret",
    "expired",
    "denied",
)
"""Rejected credentials."""
REGION, NO_BUCKET, ERROR = "region", "no-bucket", "error"
"""The bucket is elsewhere or does not exist; other errors."""

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
"""Errors by the status of a HEAD, whose response has no code."""
_TLS_PORT_MARKERS = (b"HTTP request to an HTTPS server", b"HTTP request was sent to HTTPS port")
PORT_USES_TLS = "this port uses TLS, but the endpoint says http"
PORT_USES_PLAIN_HTTP = "this port uses plain HTTP, but the endpoint says https"
_LIST_ROOT_ELEMENTS = {
    "ListObjectsV2": b"ListBucketResult",
    "ListObjects": b"ListBucketResult",
    "ListBuckets": b"ListAllMyBucketsResult",
    "ListMultipartUploads": b"ListMultipartUploadsResult",
    "ListParts": b"ListPartsResult",
}
"""The root element of a list; a server that responds 200 without it is not a store."""
_RETRYABLE_STATUSES = (408, 425, 429)
"""Statuses below 500 that may be transient."""
TEMPORARY_KEY_PREFIX = "ASIA"
"""Prefix of AWS keys that are invalid without a session token (IAM, unique IDs)."""


class NotS3StoreError(Exception):
    """A response that no S3 store sends."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state, self.message = state, message


@dataclass(frozen=True)
class S3ErrorDetails:
    """A store's error and its classification."""

    state: str
    code: str
    message: str
    """The store's own message."""
    operation: str
    region: str = ""
    """The bucket's region, if known."""
    skew: float = 0.0
    """Seconds that the store's clock is ahead of ours, if its response has the time."""


def parse_error(response: Mapping[str, Any], operation: str) -> S3ErrorDetails:
    """Classify an error from botocore's response."""
    error = response.get("Error") or {}
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    meta = response.get("ResponseMetadata") or {}
    headers = {str(name).lower(): str(value) for name, value in meta.get("HTTPHeaders", {}).items()}
    state = _STATE_BY_CODE.get(code, ERROR)
    if code.isdigit():  # botocore found no XML
        status, head = int(code), operation.startswith("Head")
        state = _STATE_BY_HEAD_STATUS.get(status, ERROR) if head else NOT_S3
        if status >= 500 or status in _RETRYABLE_STATUSES:
            state = ERROR
        if head:
            message = f"HTTP {status} without a reason, because it is a response to HEAD"
        else:
            message = describe_response(status, headers)
        if headers.get("x-amz-bucket-region") and status in (301, 307, 308, 400):
            state = REGION
    elif code == "NoSuchKey" and operation in _LIST_ROOT_ELEMENTS:
        # A list request is about the bucket: a server that looks for a file of that name has read
        # the bucket's name as a part of the path.
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
    """Return the bucket's region from the error document, the headers or the message."""
    region = str(error.get("Region") or headers.get("x-amz-bucket-region") or "")
    if region:
        return region
    match = re.search(r"expecting '([a-z0-9-]+)'", str(error.get("Message", "")))
    host = urlsplit(f"//{error.get('Endpoint') or ''}").hostname or ""
    of_host = re.search(r"\bs3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.", host)
    return match[1] if match else of_host[1] if of_host else ""


def parse_clock_skew(headers: Mapping[str, str]) -> float:
    """Return the seconds that the server's clock is ahead; 0 if it sends no time."""
    try:
        server_time = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return 0.0
    return round(server_time - time.time(), 1)


def require_s3_response(
    operation: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Check that a response comes from a store before it is parsed.

    Raises:
        NotS3StoreError: it is an HTML page, an unknown XML document, or a TLS alert.
    """
    start = body[:2048] if isinstance(body, bytes) else b""
    kind = headers.get("content-type", "no type").partition(";")[0]
    if any(mark in start for mark in _TLS_PORT_MARKERS):
        raise NotS3StoreError(TLS, PORT_USES_TLS)
    if (
        status >= 500
        or status in _RETRYABLE_STATUSES
        or (operation == "GetObject" and status < 300)
    ):
        return
    html = kind.endswith("html") or start.lstrip()[:14].lower().startswith((b"<!doctype", b"<html"))
    if html and status >= 300:
        to = headers.get("location", "")
        redirect = f", which redirects to {_without_secrets(to)}" if to else ""
        raise NotS3StoreError(NOT_S3, describe_response(status, headers, redirect))
    root_element = _LIST_ROOT_ELEMENTS.get(operation)
    if status < 300 and (html or (root_element is not None and root_element not in start)):
        raise NotS3StoreError(NOT_S3, describe_response(status, headers))


def describe_response(status: int, headers: Mapping[str, str], redirect: str = "") -> str:
    """Describe a response that no store sends."""
    kind = headers.get("content-type", "no type").partition(";")[0]
    return f"it responds with HTTP {status} and {kind}{redirect}, unlike S3"


def _without_secrets(url: str) -> str:
    """Return a URL without credentials and without possible secrets."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"[:120]


def endpoint_without_bucket(endpoint: str, bucket: str) -> str:
    """Return the endpoint without the bucket's name; empty if it does not contain it.

    `https://BUCKET.s3.amazonaws.com` and `http://minio:9000/BUCKET` are URLs of a bucket.
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
"""Hosts of providers: a prefix that equals the bucket's name can only be the bucket."""


def find_bucket_in_endpoint(endpoint: str, bucket: str) -> str:
    """Like `endpoint_without_bucket`, only if certain: a Service may have the bucket's name."""
    right = endpoint_without_bucket(endpoint, bucket)
    by_path = urlsplit(endpoint).path.strip("/") == bucket
    return right if right and (by_path or _PROVIDER_HOSTS.match(urlsplit(right).netloc)) else ""


def explain_error(
    details: S3ErrorDetails, endpoint: str, bucket: str, *, has_credentials: bool
) -> tuple[str, str]:
    """Return the reason and the hint; `at` is the endpoint as users know it."""
    code, message, state = details.code, details.message or details.code, details.state
    right = endpoint_without_bucket(endpoint, bucket)
    if right and state in (NO_BUCKET, NOT_S3, ERROR):
        return f"the endpoint {endpoint} contains the bucket's name", command("--endpoint", right)
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
        region = details.region
        return f"the bucket is in another region: it is in {region}", command("--region", region)
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
            f"bucket {bucket} is a requester-pays bucket, which Alluxio does not support",
            "copy the model to your own bucket",
        )
    bare = " (the response to HEAD has no reason)" if details.code.isdigit() else ""
    return (
        f"access denied: the credentials may not {details.operation}{bare}",
        "check the bucket's policy",
    )


def explain_not_s3(endpoint: str, message: str) -> tuple[str, str]:
    """Return the reason and the hint for a server that is not a store."""
    if message == PORT_USES_TLS:
        secure = endpoint.replace("http://", "https://", 1)
        return f"{endpoint}: {message}", command("--endpoint", secure)
    return (
        f"{endpoint} does not respond like an S3 store: {message}",
        "--endpoint with the port of the S3 API (MinIO: 9000), not the console's (9001)",
    )


def lacks_token(access_key: str, token: str) -> bool:
    """Return whether a key is temporary but has no session token, so that no store accepts it."""
    return access_key.startswith(TEMPORARY_KEY_PREFIX) and len(access_key) >= 16 and not token
