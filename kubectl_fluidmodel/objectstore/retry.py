"""Classify, retry and translate the errors of single S3 requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kubectl_fluidmodel.errors import (
    FluidModelError,
    PermanentlyUnreachableError,
    UnreachableError,
)
from kubectl_fluidmodel.net.retry_budget import (
    RetryBudget,
    TransientError,
    is_transient_status,
    requested_delay,
)
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_errors import translate_errors

_TRANSIENT_CODES = {
    "InternalError",
    "SlowDown",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    "OperationAborted",
    "ConditionalRequestConflict",
    "PriorRequestNotComplete",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequests",
    "TooManyRequestsException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "IncompleteBody",
    "BadDigest",
}
"""Error codes that are retried regardless of their status: those that botocore retries, and those
for a body that was damaged in transit."""
_FULL_CODES = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "507", "NotEnoughSpace"}
_EXPIRED_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "InvalidToken",
    "InvalidAccessKeyId",
    "400",  # from HEAD, whose responses have no body with a code
}
"""Error codes for keys that are no longer valid: expired or replaced."""
_DENIED_CODES = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
_UNSUPPORTED_CODES = {"NotImplemented", "501", "MethodNotAllowed", "405", "XNotImplemented"}
_MIN_ASSEMBLY_TIMEOUT = 120.0
"""Read timeout in seconds of CompleteMultipartUpload: some stores assemble the object before they
respond."""


class S3RequestError(Exception):
    """The store refused a request; `error` is the translated error to raise."""

    def __init__(self, code: str, error: FluidModelError) -> None:
        super().__init__(code)
        self.code, self.error = code, error

    @property
    def is_unavailable(self) -> bool:
        """Whether the credentials may not use the operation, or the store does not support it."""
        return self.code in _DENIED_CODES or self.code in _UNSUPPORTED_CODES


class RetryingS3Client:
    """Sends requests about one bucket. Safe to share between threads."""

    def __init__(
        self,
        store: S3Store,
        name: str,
        retry_timeout: float,
        stop: threading.Event | None,
        on_retry: Callable[[str], None] | None,
        no_answer_timeout: float | None = None,
        **settings: Any,
    ) -> None:
        """Create the boto3 client; nothing is sent.

        Args:
            store: the endpoint with its credentials.
            name: the bucket.
            retry_timeout: seconds to retry a request, as in RetryBudget.
            stop: ends waits when it is set.
            on_retry: receives the reason of each retry.
            no_answer_timeout: the same for a store that does not respond; it applies until
                the store has responded once.
            settings: further settings of botocore's Config.
        """
        self.store, self.name = store, name
        self.retry_timeout, self.no_answer_timeout = retry_timeout, no_answer_timeout
        self._stop = stop or threading.Event()
        self._on_retry = on_retry or (lambda _: None)
        self._settings = settings
        self._client = self._create_client(store)
        self._renewal_lock = threading.Lock()
        self._unproven_client: Any = None
        """A client with renewed credentials that the store has not accepted yet."""

    def call(self, verb: str, operation: str, **settings: Any) -> Any:
        """Like `call_raw`, but raises the translated error of a refusal.

        Raises:
            FluidModelError: the store refuses the request.
            UnreachableError: the store does not respond.
        """
        try:
            return self.call_raw(verb, operation, **settings)
        except S3RequestError as err:
            raise err.error from err

    def call_raw(
        self,
        verb: str,
        operation: str,
        *,
        probe: Callable[[], object] | None = None,
        transform: Callable[[Any], Any] | None = None,
        assembly_timeout: float = 0.0,
        **settings: Any,
    ) -> Any:
        """Call an operation of boto3's client, with retries.

        Args:
            verb: what the request does, for messages: "cannot VERB s3://…".
            operation: the client's method.
            probe: called after each failure from the second on, and may raise to end the retries.
                A server that rejects a request before it has received the body may just close the
                connection, which looks like a transient error.
            transform: applied to the response as part of the attempt, to read its body.
            assembly_timeout: seconds that the store may need to assemble an object.
            settings: the operation's parameters except the bucket.

        Returns:
            boto3's response, transformed.

        Raises:
            S3RequestError: the store refuses the request.
            UnreachableError: the store does not respond.
        """
        key = settings.get("Key") or settings.get("Prefix")
        action = f"cannot {verb} s3://{self.name}" + (f"/{key}" if key else "")
        timeout = max(self.retry_timeout, assembly_timeout)
        budget = RetryBudget(timeout, self._stop, self.no_answer_timeout)
        failures = 0
        while True:
            try:
                result = self._attempt(action, operation, settings, transform)
                self.no_answer_timeout = None  # the store is reachable: use the whole retry timeout
                self._unproven_client = None
                return result
            except TransientError as err:
                self._on_retry(err.reason)
                budget.wait(err)
                failures += 1
                if probe is not None and failures >= 2:
                    probe()

    def _attempt(
        self,
        action: str,
        operation: str,
        settings: dict[str, Any],
        transform: Callable[[Any], Any] | None,
    ) -> Any:
        from botocore import exceptions as boto

        client = self._client
        try:
            with translate_errors(self.store, action, self.name):
                response = getattr(client, operation)(Bucket=self.name, **settings)
                return transform(response) if transform is not None else response
        except UnreachableError as err:
            no_keys = boto.NoCredentialsError | boto.PartialCredentialsError
            if isinstance(err, PermanentlyUnreachableError) or isinstance(err.__cause__, no_keys):
                raise
            raise TransientError(err.reason, err) from err
        except FluidModelError as err:
            cause = err.__cause__
            if not isinstance(cause, boto.ClientError):
                raise
            raise self._classify_error(client, err, cause.response) from err

    def _classify_error(self, client: Any, err: FluidModelError, response: Any) -> Exception:
        """Decide what an error response means for the attempt: a retry or a refusal."""
        code = str(response.get("Error", {}).get("Code", ""))
        metadata = response.get("ResponseMetadata", {})
        status = int(metadata.get("HTTPStatusCode", 0))
        if code in _FULL_CODES or status == 507:
            hint = "free some space, then the same command again"
            return S3RequestError("Full", FluidModelError("the store is full", err.reason, hint))
        if code in _EXPIRED_CODES and self._renew_credentials(client):
            return TransientError("the credentials have expired: renewing them", err, answered=True)
        if code in _TRANSIENT_CODES or is_transient_status(status):
            final_error = UnreachableError(
                err.message, err.reason or code, "the same command again; it resumes"
            )
            delay = requested_delay(metadata.get("HTTPHeaders", {}))
            reason = f"the store responds with {code or status}"
            return TransientError(reason, final_error, delay, answered=True)
        return S3RequestError(code, err)

    def _create_client(self, store: S3Store) -> Any:
        client = store.client(**self._settings)
        client.meta.events.register("before-send.s3.CompleteMultipartUpload", _extend_read_timeout)
        return client

    def _renew_credentials(self, client: Any) -> bool:
        """Replace the client whose credentials were refused.

        A store that refuses renewed credentials from the first request on does not refuse them for
        their age: they are not renewed again.

        Returns:
            Whether there is a client with newer credentials now.
        """
        with self._renewal_lock:
            if client is self._unproven_client:
                return False
            if self._client is client:
                renewed = self.store.with_renewed_credentials()
                if renewed is None:
                    return False
                self.store, self._client = renewed, self._create_client(renewed)
                self._unproven_client = self._client
            return True


def _extend_read_timeout(request: Any, **_: Any) -> None:
    """Handle botocore's event before a request is sent.

    botocore before 1.44 has no timeout per request. The usual timeout then applies, and the request
    is retried while the store assembles the object.
    """
    context = getattr(request, "context", None)
    if isinstance(context, dict):
        usual = context["client_config"].read_timeout
        context["read_timeout"] = max(_MIN_ASSEMBLY_TIMEOUT, usual)
