"""One operation of the store at a time: told apart, tried again, and told in our words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from kubectl_fluidmodel.errors import FluidModelError, Unreachable
from kubectl_fluidmodel.model import store as stores
from kubectl_fluidmodel.model.hubhttp import Passing, Patience
from kubectl_fluidmodel.model.store import Store

T = TypeVar("T")

_PASSING = {
    "InternalError",
    "SlowDown",
    "ServiceUnavailable",
    "RequestTimeout",
    "OperationAborted",
    "Throttling",
    "TooManyRequests",
    "IncompleteBody",
    "BadDigest",
}
_FULL = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "507", "NotEnoughSpace"}


class Refused(Exception):
    """The store said no: its code, and the error that tells it."""

    def __init__(self, code: str, error: FluidModelError) -> None:
        super().__init__(code)
        self.code, self.error = code, error


class Door:
    """The way to one bucket. Safe to share between threads."""

    def __init__(
        self,
        store: Store,
        name: str,
        patience: float,
        stop: threading.Event | None,
        on_retry: Callable[[str], None] | None,
    ) -> None:
        self.store, self.name = store, name
        self.patience, self._stop = patience, stop or threading.Event()
        self._on_retry = on_retry or (lambda _: None)

    def do(self, verb: str, call: Callable[..., T], **settings: Any) -> T:
        try:
            return self.call(verb, call, **settings)
        except Refused as err:
            raise err.error from err

    def call(
        self,
        verb: str,
        call: Callable[..., T],
        *,
        probe: Callable[[], object] | None = None,
        **settings: Any,
    ) -> T:
        """One operation, tried again while that may help.

        `probe` is asked after a second failure whether trying makes sense at all: a server that
        knows before the end of a body that it does not want it may just close the connection.

        Raises:
            Refused: with the store's code, and the error to raise for it.
            Unreachable: the store does not answer.
        """
        key = settings.get("Key") or settings.get("Prefix")
        what = f"cannot {verb} s3://{self.name}" + (f"/{key}" if key else "")
        patience = Patience(self.patience, self._stop)
        failures = 0
        while True:
            try:
                return self._once(what, call, settings)
            except Passing as err:
                self._on_retry(err.why)
                patience.pause(err)
                failures += 1
                if probe is not None and failures >= 2:
                    probe()

    def _once(self, what: str, call: Callable[..., T], settings: dict[str, Any]) -> T:
        from botocore import exceptions as boto

        try:
            with stores.explained(self.store, what, self.name):
                return call(Bucket=self.name, **settings)
        except Unreachable as err:
            if isinstance(err.__cause__, boto.NoCredentialsError | boto.PartialCredentialsError):
                raise
            raise Passing(err.why, err) from err
        except FluidModelError as err:
            cause = err.__cause__
            if not isinstance(cause, boto.ClientError):
                raise
            code = str(cause.response.get("Error", {}).get("Code", ""))
            status = int(cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in _FULL or status == 507:
                full = FluidModelError("the store is full", err.why, "make room, and run it again")
                raise Refused("Full", full) from err
            if code in _PASSING or status in (429, 500, 502, 503, 504):
                final = Unreachable(err.what, err.why or code, "the same command again goes on")
                raise Passing(f"the store answers {code or status}", final) from err
            raise Refused(code, err) from err
