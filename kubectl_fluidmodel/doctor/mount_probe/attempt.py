"""Probe one mount as its scheme requires, within a time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from kubectl_fluidmodel.doctor.mount_probe import http
from kubectl_fluidmodel.doctor.mount_probe.s3 import S3Probe
from kubectl_fluidmodel.inventory.mount_target import MountTarget, SecretKeyRef
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.snapshot.probe_result import (
    EMPTY_VALUE,
    MISSING_SESSION_TOKEN,
    ProbeOrigin,
    ProbeResult,
    ProbeState,
)

DEFAULT_TIMEOUT = 10.0
_GRACE_PERIOD = 4.0
"""Seconds beyond the probe's own limit, for the request in flight."""


def probe_mount(
    target: MountTarget,
    credentials: S3Credentials | None,
    *,
    origin: ProbeOrigin = ProbeOrigin.CLIENT,
    reach_url: str = "",
    timeout: float = DEFAULT_TIMEOUT,
) -> ProbeResult:
    """Probe a mount; a probe that exceeds its time is abandoned and gives TIMEOUT."""

    def work() -> ProbeResult:
        if target.scheme in ("http", "https"):
            return http.probe_http(target, origin)
        trial = S3Probe(target, credentials, origin=origin, reach_url=reach_url, timeout=timeout)
        return trial.run()

    on_timeout = ProbeResult(
        target.mount,
        ProbeState.TIMEOUT,
        target.endpoint,
        origin,
        message=f"it took longer than {timeout:.0f} s",
        seconds=timeout,
    )
    return run_with_timeout(work, on_timeout, timeout + _GRACE_PERIOD)


def run_with_timeout(
    work: Callable[[], ProbeResult], on_timeout: ProbeResult, timeout: float
) -> ProbeResult:
    """Run `work` in a thread; return `on_timeout` if it takes longer than `timeout` seconds.

    The thread is a daemon: a hanging resolver must not keep the process from exiting.
    """
    results: list[ProbeResult] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as err:  # noqa: BLE001 - carried over to the caller
            errors.append(err)

    thread = threading.Thread(target=run, name="store", daemon=True)
    thread.start()
    thread.join(timeout)
    if errors:
        raise errors[0]
    return results[0] if results else on_timeout


def validate_keys(
    target: MountTarget, access_key: str, secret_key: str, origin: ProbeOrigin
) -> ProbeResult | None:
    """The result for key values that cannot be keys; None if they can."""
    for ref, value in ((target.access, access_key), (target.hidden, secret_key)):
        problem = EMPTY_VALUE if not value.strip() else ""
        if value and value != value.strip():
            problem = "begins or ends with whitespace, such as a newline"
        if problem and ref is not None:
            return bad_key_result(target, ref, problem, origin)
    if error_codes.lacks_token(access_key, ""):
        result = bad_key_result(
            target, target.access or SecretKeyRef("", ""), MISSING_SESSION_TOKEN, origin
        )
        return replace(result, state=ProbeState.EXPIRED)
    return None


def bad_key_result(
    target: MountTarget, ref: SecretKeyRef, problem: str, origin: ProbeOrigin
) -> ProbeResult:
    return ProbeResult(
        target.mount,
        ProbeState.BAD_KEY,
        target.endpoint,
        origin,
        message=problem,
        secret_name=ref.secret,
        secret_key=ref.key,
    )
