"""One operation of the store at a time: told apart, tried again, and told in our words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, PermanentlyUnreachableError, UnreachableError
from kubectl_fluidmodel.net.retry_budget import (
    RetryBudget,
    TransientError,
    is_transient_status,
    requested_delay,
)
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.s3 import S3Store

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
"""Codes that pass whatever their status is: those of botocore's retries, and what a body that
was damaged on its way is answered with."""
_FULL_CODES = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "507", "NotEnoughSpace"}
_EXPIRED_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "InvalidToken",
    "InvalidAccessKeyId",
    "400",  # of HEAD, whose answers have no body to say it in
}
"""What keys that are over are answered with, be it that they expired or that others replaced
them."""
_DENIED_CODES = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
_MIN_ASSEMBLY_TIMEOUT = 120.0
"""Seconds of silence that a store is allowed that joins parts: some do it before they answer."""
_UNSUPPORTED_CODES = {"NotImplemented", "501", "MethodNotAllowed", "405", "XNotImplemented"}


class S3RequestError(Exception):
    """The store said no: its code, and the error that tells it."""

    def __init__(self, code: str, error: FluidModelError) -> None:
        super().__init__(code)
        self.code, self.error = code, error

    @property
    def is_unavailable(self) -> bool:
        """Whether the credentials may not do it, or the store cannot: what can be done without."""
        return self.code in _DENIED_CODES or self.code in _UNSUPPORTED_CODES


class RetryingS3Client:
    """The way to one bucket. Safe to share between threads."""

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
        """`patience` and `silent` are those of Patience; `settings` go to botocore's Config."""
        self.store, self.name = store, name
        self.retry_timeout, self.no_answer_timeout = retry_timeout, no_answer_timeout
        self._stop = stop or threading.Event()
        self._on_retry = on_retry or (lambda _: None)
        self._settings = settings
        self._client = self._create_client(store)
        self._renewal_lock = threading.Lock()

    def call(self, verb: str, operation: str, **settings: Any) -> Any:
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
        then: Callable[[Any], Any] | None = None,
        joins: float = 0.0,
        **settings: Any,
    ) -> Any:
        """One operation of boto3's client, tried again while that may help.

        `probe` is asked after a second failure whether trying makes sense at all: a server that
        knows before the end of a body that it does not want it may just close the connection.
        `then` reads the answer's body as part of the attempt. `joins` are the seconds that the
        store may be at it, where it has something to put together.

        Raises:
            S3RequestError: with the store's code, and the error to raise for it.
            UnreachableError: the store does not answer.
        """
        key = settings.get("Key") or settings.get("Prefix")
        action = f"cannot {verb} s3://{self.name}" + (f"/{key}" if key else "")
        budget = RetryBudget(max(self.retry_timeout, joins), self._stop, self.no_answer_timeout)
        failures = 0
        while True:
            try:
                answer = self._attempt(action, operation, settings, then)
                self.no_answer_timeout = (
                    None  # somebody is there: from now on it is waited for in full
                )
                return answer
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
        then: Callable[[Any], Any] | None,
    ) -> Any:
        from botocore import exceptions as boto

        client = self._client
        try:
            with stores.translate_errors(self.store, action, self.name):
                answer = getattr(client, operation)(Bucket=self.name, **settings)
                return then(answer) if then is not None else answer
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

    def _classify_error(self, client: Any, err: FluidModelError, answer: Any) -> Exception:
        """What an error document of the store means for the attempt."""
        code = str(answer.get("Error", {}).get("Code", ""))
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _FULL_CODES or status == 507:
            full = FluidModelError("the store is full", err.reason, "make room, and run it again")
            return S3RequestError("Full", full)
        if code in _EXPIRED_CODES and self._renew_credentials(client):
            return TransientError("the credentials have expired: renewing them", err, answered=True)
        if code in _TRANSIENT_CODES or is_transient_status(status):
            final = UnreachableError(
                err.message, err.reason or code, "the same command again goes on"
            )
            wait = requested_delay(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
            return TransientError(f"the store answers {code or status}", final, wait, answered=True)
        return S3RequestError(code, err)

    def _create_client(self, store: S3Store) -> Any:
        client = store.client(**self._settings)
        client.meta.events.register("before-send.s3.CompleteMultipartUpload", _extend_read_timeout)
        return client

    def _renew_credentials(self, client: Any) -> bool:
        """Whether there are newer credentials than those that a client was refused with."""
        with self._renewal_lock:
            if self._client is client:
                fresh = self.store.with_renewed_credentials()
                if fresh is None:
                    return False
                self.store, self._client = fresh, self._create_client(fresh)
            return True


def _extend_read_timeout(request: Any, **_: Any) -> None:
    """botocore's event before a request: some stores join parts before they answer.

    Where botocore has no timeout of a request (before 1.44), the usual one is kept, and a store
    that is still at it is asked again.
    """
    context = getattr(request, "context", None)
    if isinstance(context, dict):
        context["read_timeout"] = max(_MIN_ASSEMBLY_TIMEOUT, context["client_config"].read_timeout)
