"""Probe the mounts of caches against their stores. Only reads, except for the Job of --probe."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from kubectl_fluidmodel.doctor.mount_probe import endpoint
from kubectl_fluidmodel.doctor.mount_probe.attempt import bad_key_result, probe_mount, validate_keys
from kubectl_fluidmodel.doctor.mount_probe.job import PodProbe, run_probe_job
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import MountTarget, SecretKeyRef, mount_targets
from kubectl_fluidmodel.kube import port_forward
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, NotFoundError
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.objects.kinds import PVCS, SECRETS
from kubectl_fluidmodel.objects.service_host import parse_service_host
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.snapshot.probe_result import ProbeOrigin, ProbeResult, ProbeState
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

STORE_TIMEOUT = 10.0
"""Seconds that one store may take, from here."""
_MAX_PARALLEL = 8


def probe_mounts(
    client: Client,
    caches: Sequence[Cache],
    snapshot: Snapshot,
    *,
    pod_probe: PodProbe | None = None,
    timeout: float = STORE_TIMEOUT,
) -> None:
    """Probe the mounts of all caches in parallel, each distinct mount once.

    With `pod_probe` a short-lived Job in the cache's namespace probes them, with the Secret that
    the cache uses. A store or a permission that fails raises nothing: the results say so.
    """
    targets_by_cache = {(cache.namespace, cache.name): mount_targets(cache) for cache in caches}
    cache_names = {
        target: name for (_, name), targets in targets_by_cache.items() for target in targets
    }

    def probe(target: MountTarget) -> ProbeResult:
        if pod_probe and _can_run_in_cluster(target):
            return run_probe_job(client, target, cache_names[target], pod_probe)
        try:
            return _probe_from_client(client, target, timeout)
        except FluidModelError as err:
            return _skipped_result(target, err.reason or err.message)

    results = _probe_all(list(cache_names), probe)
    for key, targets in targets_by_cache.items():
        snapshot.probe_results[key] = tuple(results[target] for target in targets)


def _probe_all(
    targets: Sequence[MountTarget], probe: Callable[[MountTarget], ProbeResult]
) -> dict[MountTarget, ProbeResult]:
    """Probe targets in parallel; an endpoint that fails is tried once for all its mounts."""
    first = {_endpoint_key(target): target for target in reversed(targets)}
    results: dict[MountTarget, ProbeResult] = {}
    with ThreadPoolExecutor(_MAX_PARALLEL) as pool:
        results.update(zip(first.values(), pool.map(probe, first.values()), strict=True))
        remaining = []
        for target in targets:
            result = results[first[_endpoint_key(target)]]
            if target in results:
                continue
            if result.is_endpoint_failure and not target.skip:
                results[target] = replace(result, mount=target.mount)
            else:
                remaining.append(target)
        results.update(zip(remaining, pool.map(probe, remaining), strict=True))
    return results


def _endpoint_key(target: MountTarget) -> tuple[str, ...] | MountTarget:
    """Key of targets that share endpoint failures; a Service is in the target's namespace."""
    return (target.namespace, target.endpoint) if target.endpoint else target


def _can_run_in_cluster(target: MountTarget) -> bool:
    """Whether a pod may probe it; plain-text keys would end up in the Job."""
    return (
        not target.skip
        and target.scheme in ("s3", "gs", "http", "https")
        and target.plain is None
        and target.account is None
    )


def _skipped_result(target: MountTarget, reason: str) -> ProbeResult:
    return ProbeResult(target.mount, ProbeState.SKIPPED, target.endpoint, message=reason)


def _probe_from_client(client: Client, target: MountTarget, timeout: float) -> ProbeResult:
    if target.skip:
        return _skipped_result(target, target.skip)
    if target.scheme == "pvc":
        return _check_claim(client, target)
    if target.scheme in ("http", "https"):
        return probe_mount(target, None, timeout=timeout)
    if target.account is not None:
        return _check_gcs_key(client, target, target.account)
    credentials = _resolve_credentials(client, target)
    if isinstance(credentials, ProbeResult):
        return credentials
    if credentials is None and not target.endpoint:
        return _skipped_result(
            target, "the Dataset names no keys, so the pods use their node's IAM role"
        )
    return _probe_endpoint(client, target, credentials, timeout)


def _probe_endpoint(
    client: Client, target: MountTarget, credentials: S3Credentials | None, timeout: float
) -> ProbeResult:
    """Probe directly, or through a port-forward where the endpoint is a Service's name."""
    url = urlsplit(target.endpoint)
    host = url.hostname or ""
    service = parse_service_host(host, target.namespace) if target.endpoint else None
    if service is None or endpoint.resolves_host(host):
        return probe_mount(target, credentials, timeout=timeout)
    namespace, name = service
    if url.scheme != "http":
        reason = (
            f"the certificate of Service {namespace}/{name} can only be checked inside the cluster"
        )
        return _skipped_result(target, f"{reason}: --probe")
    try:
        with port_forward.forwarded_port(client, namespace, name, url.port or 80) as port:
            return probe_mount(
                target,
                credentials,
                origin=ProbeOrigin.PORT_FORWARD,
                reach_url=f"http://127.0.0.1:{port}",
                timeout=timeout,
            )
    except ForbiddenError as err:
        action = "forward ports to" if "portforward" in str(err) else "look up"
        return _skipped_result(
            target, f"no permission to {action} Service {namespace}/{name}: --probe"
        )
    except NotFoundError:
        reason = f"there is no Service {name} in namespace {namespace}"
        return _service_failure(target, reason)
    except FluidModelError as err:
        return _service_failure(
            target, ": ".join(part for part in (err.message, err.reason) if part)
        )


def _service_failure(target: MountTarget, reason: str) -> ProbeResult:
    return ProbeResult(
        target.mount, ProbeState.SERVICE, target.endpoint, ProbeOrigin.PORT_FORWARD, message=reason
    )


# -- keys ------------------------------------------------------------------------------------


def _resolve_credentials(client: Client, target: MountTarget) -> S3Credentials | ProbeResult | None:
    """Resolve the keys of a mount.

    Returns:
        The keys, a failed result if they cannot be read, or None if the mount names none.
    """
    if target.plain is not None:
        return validate_keys(target, *target.plain, ProbeOrigin.CLIENT) or S3Credentials(
            *target.plain
        )
    if target.access is None or target.hidden is None:
        return None
    values = []
    for ref in (target.access, target.hidden):
        value = _read_key(client, target, ref)
        if isinstance(value, ProbeResult):
            return value
        values.append(value)
    access, hidden = values
    return validate_keys(target, access, hidden, ProbeOrigin.CLIENT) or S3Credentials(
        access, hidden
    )


def _read_key(client: Client, target: MountTarget, ref: SecretKeyRef) -> str | ProbeResult:
    """The value of a Secret's key, or a failed result."""
    try:
        data: Mapping[str, str] = (
            client.get(SECRETS, ref.secret, target.namespace).get("data") or {}
        )
    except ForbiddenError:
        return _skipped_result(target, f"no permission to read Secret {ref.secret}: --probe")
    except NotFoundError:
        return _secret_failure(target, ProbeState.NO_SECRET, ref)
    if ref.key not in data:
        return _secret_failure(target, ProbeState.NO_KEY, ref, tuple(sorted(data)))
    try:
        return base64.b64decode(data[ref.key]).decode()
    except ValueError:
        return bad_key_result(target, ref, "is not UTF-8 text", ProbeOrigin.CLIENT)


def _secret_failure(
    target: MountTarget, state: ProbeState, ref: SecretKeyRef, keys: tuple[str, ...] = ()
) -> ProbeResult:
    return ProbeResult(
        target.mount,
        state,
        target.endpoint,
        secret_name=ref.secret,
        secret_key=ref.key,
        secret_keys=keys,
    )


def _check_gcs_key(client: Client, target: MountTarget, ref: SecretKeyRef) -> ProbeResult:
    """Check a service account's key file; only Google's own clients can authenticate with it."""
    value = _read_key(client, target, ref)
    if isinstance(value, ProbeResult):
        return value
    try:
        email = json.loads(value).get("client_email")
    except (ValueError, AttributeError):
        email = None
    if not email:
        return bad_key_result(
            target, ref, "is not a service account's key file", ProbeOrigin.CLIENT
        )
    return _skipped_result(target, "doctor cannot authenticate with a Google service account")


def _check_claim(client: Client, target: MountTarget) -> ProbeResult:
    """Check that a claim that serves as a source exists and is Bound."""
    try:
        claim = client.get_or_none(PVCS, target.host, target.namespace)
    except ForbiddenError:
        return _skipped_result(target, f"no permission to read claim {target.host}")
    phase = str(get_path(claim, "status", "phase", default="absent")) if claim else "absent"
    if phase != "Bound":
        message = f"claim {target.host} is {phase}"
        return ProbeResult(target.mount, ProbeState.CLAIM, code=phase, message=message)
    return _skipped_result(target, "only pods that mount the claim can see its files")
