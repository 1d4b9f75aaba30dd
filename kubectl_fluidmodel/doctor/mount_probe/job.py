"""Probe a mount from inside the cluster: a short-lived Job, and the code that its pod runs.

A Job, not a bare pod, so that the cluster ends and removes it even if doctor is killed. The pod
gets the keys as the cache's own pods do, by reference to the Secret.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import field

from kubectl_fluidmodel.errors import FluidModelError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.mount_target import MountTarget, SecretKeyRef, target_from_json
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.job_run import JobTimeouts, PodCannotStartError, run_job
from kubectl_fluidmodel.objects import plugin_pod as pods
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objects.plugin_pod import IMAGE_ENV, PodNetwork, SecretKey
from kubectl_fluidmodel.objectstore.s3_credentials import ACCESS_KEY, SECRET_KEY, S3Credentials
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.probe_result import (
    ProbeOrigin,
    ProbeResult,
    ProbeState,
    from_json,
    to_json,
)

PROBE_TIMEOUT = 120.0
"""Seconds for pulling the image, starting the pod and probing together."""
CONTAINER = "probe"
PROBE_LABEL = "fluidmodel.io/probe"
"""Label of the Job and pod of `doctor --probe`."""
_TARGET_VARIABLE = "FLUIDMODEL_QUESTION"
_RESULT_PREFIX = "answer: "


@dataclass(frozen=True)
class PodProbe:
    """How the pod of `doctor --probe` runs."""

    image: str = ""
    """An image that has this plugin; without one nothing is probed."""
    network: PodNetwork = field(default_factory=PodNetwork)


def build_probe_job(target: MountTarget, name: str, probe: PodProbe) -> Object:
    """The Job that probes a mount of the cache `name` and removes itself."""
    suffix = hashlib.sha256(f"{target.to_json()}{time.time_ns()}".encode()).hexdigest()[:8]
    labels = {**names.managed_labels(name), PROBE_LABEL: "true"}
    env = [{"name": _TARGET_VARIABLE, "value": target.to_json()}]
    for variable, ref in ((ACCESS_KEY, target.access), (SECRET_KEY, target.hidden)):
        if ref is not None:
            env.append(SecretKey(ref.secret, ref.key).env_var(variable))
    network = probe.network.with_default_no_proxy(target.endpoint)
    container = pods.build_container(
        CONTAINER,
        probe.image,
        "kubectl_fluidmodel.doctor.mount_probe.job",
        env=env,
        network=network,
    )
    container["resources"] = {
        "requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "256Mi"},
        "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name[:40]}-probe-{suffix}",
            "namespace": target.namespace,
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(PROBE_TIMEOUT),
            "ttlSecondsAfterFinished": 60,
            "template": {
                "metadata": {"labels": labels},
                "spec": pods.build_pod(container, network),
            },
        },
    }


def run_probe_job(
    client: Client, target: MountTarget, name: str, probe: PodProbe, timeout: float = PROBE_TIMEOUT
) -> ProbeResult:
    """Run the Job, and return the result of its pod."""
    if not probe.image:
        return _skipped_result(
            target, f"the probe needs an image: --image or {IMAGE_ENV} (docs/stage.md)"
        )
    lines: list[str] = []
    waiting_for = ""

    def on_wait(reason: str) -> None:
        nonlocal waiting_for
        waiting_for = reason

    # The program prints nothing before its result.
    timeouts = JobTimeouts(schedule=timeout, start=timeout, stall=math.inf, total=timeout)
    try:
        run_job(client, build_probe_job(target, name, probe), timeouts, lines.append, on_wait)
    except PodCannotStartError as err:
        return start_failure(target, err.reason)
    except WaitTimeoutError:
        waited = f": {waiting_for}" if waiting_for else ""
        return _skipped_result(target, f"the probe's pod did not finish{waited}")
    except FluidModelError as err:
        return _skipped_result(target, f"the probe failed: {err.reason or err.message}")
    return _result_from_log(target, lines)


def start_failure(target: MountTarget, reason: str) -> ProbeResult:
    """The result of a pod that does not start: a missing Secret or key, or SKIPPED."""
    if reason.startswith("CreateContainerConfigError: "):
        lacks_key = "couldn't find key" in reason
        refs = [ref for ref in (target.access, target.hidden) if ref]
        reason_words = reason.replace('"', " ").split()
        named = [ref for ref in refs if (ref.key if lacks_key else ref.secret) in reason_words]
        missing = (named or refs or [SecretKeyRef("", "")])[0]
        state = ProbeState.NO_KEY if lacks_key else ProbeState.NO_SECRET
        if lacks_key or "not found" in reason:
            return _secret_result(target, state, reason.partition(": ")[2], missing)
    return _skipped_result(target, f"the probe's pod does not start: {reason}")


def _result_from_log(target: MountTarget, lines: Sequence[str]) -> ProbeResult:
    for line in lines:
        if line.startswith(_RESULT_PREFIX):
            try:
                return from_json(line.removeprefix(_RESULT_PREFIX))
            except ValueError as err:
                return _skipped_result(target, f"cannot read the probe's result: {err}")
    last = next((line for line in reversed(lines) if line.strip()), "its log is empty")
    return _skipped_result(target, f"the probe printed no result: {last[:200]}")


def _skipped_result(target: MountTarget, reason: str) -> ProbeResult:
    return ProbeResult(
        target.mount, ProbeState.SKIPPED, target.endpoint, ProbeOrigin.POD, message=reason
    )


def _secret_result(
    target: MountTarget, state: ProbeState, message: str, ref: SecretKeyRef
) -> ProbeResult:
    return ProbeResult(
        target.mount,
        state,
        target.endpoint,
        ProbeOrigin.POD,
        message=message,
        secret_name=ref.secret,
        secret_key=ref.key,
    )


def main() -> int:
    """Run in the pod: read target and keys from the environment, probe, print the result."""
    from kubectl_fluidmodel.doctor.mount_probe.attempt import probe_mount, validate_keys

    target = target_from_json(os.environ[_TARGET_VARIABLE])
    keys = None
    if target.access and target.hidden:
        values = {SECRET_KEY: os.environ[SECRET_KEY], ACCESS_KEY: os.environ[ACCESS_KEY]}
        bad = validate_keys(target, values[ACCESS_KEY], values[SECRET_KEY], ProbeOrigin.POD)
        if bad is not None:
            return _print_result(bad)
        keys = S3Credentials(values[ACCESS_KEY], values[SECRET_KEY])
    return _print_result(probe_mount(target, keys, origin=ProbeOrigin.POD))


def _print_result(result: ProbeResult) -> int:
    sys.stdout.write(f"{_RESULT_PREFIX}{to_json(result)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
