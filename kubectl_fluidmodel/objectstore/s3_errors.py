"""Translates botocore's errors to ours, with the reasons of `error_codes` and a hint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError, UsageError
from kubectl_fluidmodel.net.connection_errors import explain_connection_error
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.error_codes import NotS3StoreError, S3ErrorDetails
from kubectl_fluidmodel.output.shell import command

if TYPE_CHECKING:
    from kubectl_fluidmodel.objectstore.s3 import S3Store

_TLS_ALERT = ("\\x15\\x03", "\x15\x03")
"""Prefix of a TLS alert, as quoted by a client that expected HTTP."""


@contextmanager
def translate_errors(store: S3Store, message: str, bucket: str = "") -> Iterator[None]:
    """Translate errors that botocore raises.

    Args:
        store: where the requests go.
        message: what failed, such as `cannot list s3://bucket`.
        bucket: the bucket of the requests, if there is one.

    Raises:
        FluidModelError: the store refused the request, or the server is not an S3 store.
        UnreachableError: there was no response.
        UsageError: the configuration is invalid.
    """
    from botocore import exceptions as boto

    try:
        yield
    except (
        boto.ClientError,
        boto.BotoCoreError,
        NotS3StoreError,
        RecursionError,
        ValueError,
    ) as err:
        raise _translate(err, store, message, bucket) from err


def _translate(err: Exception, store: S3Store, message: str, bucket: str) -> FluidModelError:
    from botocore import exceptions as boto

    at = store.endpoint or "AWS"
    if isinstance(err, boto.ClientError):
        details = error_codes.parse_error(err.response, err.operation_name)
        has_credentials = store.credentials is not None
        explained = error_codes.explain_error(details, at, bucket, has_credentials=has_credentials)
        return FluidModelError(message, *explained)
    if isinstance(err, NotS3StoreError):
        right = error_codes.endpoint_without_bucket(at, bucket)
        reason, hint = error_codes.explain_not_s3(at, err.message)
        return FluidModelError(message, reason, command("--endpoint", right) if right else hint)
    if isinstance(err, boto.ProfileNotFound):
        return UsageError(message, str(err), "check AWS_PROFILE")
    if isinstance(err, boto.BotoCoreError):
        return _translate_connection_error(err, store, message, bucket)
    if isinstance(err, RecursionError):  # botocore follows redirects without limit
        reason = "it redirects in a loop"
        details = S3ErrorDetails(error_codes.REGION, "PermanentRedirect", reason, "")
        explained = error_codes.explain_error(details, at, bucket, has_credentials=True)
        return FluidModelError(message, *explained)
    # botocore raises ValueError for an endpoint that it cannot parse
    return UsageError(message, str(err), "check --endpoint and --region")


def _translate_connection_error(
    err: Exception, store: S3Store, message: str, bucket: str
) -> FluidModelError:
    from botocore import exceptions as boto

    at, url = store.endpoint or "AWS", store.request_url
    if isinstance(err, boto.SSLError | boto.ProxyConnectionError):
        return explain_connection_error(err, url, "--endpoint").to_error(message)
    no_answer = boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ReadTimeoutError
    if isinstance(err, no_answer):
        failure = explain_connection_error(err, url, "--endpoint")
        reason = failure.reason
        if "no response" in reason:
            detail = reason.partition(" (")[2].rpartition(")")[0]
            reason = f"the endpoint {at} does not respond ({detail})"
        right = error_codes.endpoint_without_bucket(at, bucket)
        return UnreachableError(
            message, reason, command("--endpoint", right) if right else failure.hint
        )
    if url.startswith("http://") and any(mark in str(err) for mark in _TLS_ALERT):
        return FluidModelError(message, *error_codes.explain_not_s3(at, error_codes.PORT_USES_TLS))
    return UnreachableError(message, f"{at}: {' '.join(str(err).split())[:300]}")
