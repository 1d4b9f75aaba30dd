"""3xx: Alluxio's master, which everything else waits for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import cache_commands, fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_MASTER, NOT_LOADED
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.fluid.secret import encrypt_options
from kubectl_fluidmodel.inventory.cache import MASTER, WORKER, Cache
from kubectl_fluidmodel.inventory.usage import cache_usage
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.output.shell import Operand

MASTER_START_TIMEOUT = 120.0
"""Seconds that a master may take from its pod's creation to ready: probes begin after 5 s, and
its image may have to come first."""
_MISSING_OBJECT = re.compile(
    r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found'
    r"|references non-existent (?P<keyed>secret|config) key: ?(?P<key>\S*)"
    r"|couldn't find key (?P<env>\S+) in (?P<in>Secret|ConfigMap) (?P<where>\S+)",
    re.IGNORECASE,
)
_UNKNOWN_HOST = re.compile(r"UnknownHostException:? ?(?P<host>[\w.-]+)")


@register_check(
    "FM310",
    "the objects that the cache pods mount exist",
    needs=(kinds.PODS, kinds.EVENTS),
    explains=("FM311", "FM331", *NO_MASTER),
)
def mounted_secrets_and_config_maps_exist(context: CheckContext) -> Iterator[Finding]:
    """A Secret, a key in it or a ConfigMap that a cache pod mounts does not exist.

    Fluid mounts the Secret of the Dataset's `encryptOptions` into the master. If the Secret or the
    key is missing, the kubelet cannot create the container, and the pod stays in ContainerCreating.
    It starts as soon as the Secret exists.
    """
    for _, pod in observations.cache_pods(context.cache, MASTER, WORKER):
        if pod_problems.is_ready(pod) or is_terminated(pod) or observations.scheduling_failure(pod):
            continue
        warning = observations.warning_event(context, pod, _MISSING_OBJECT, "FailedMount", "Failed")
        if warning is None:
            continue
        match = _MISSING_OBJECT.search(warning.text)
        yield Finding(
            object_reference(pod),
            _missing_object_cause(context.cache, match),
            (warning,),
            _provide_object_fix(context.cache, match),
        )


def _missing_object_cause(cache: Cache, match: re.Match[str] | None) -> str:
    if match and match["name"]:
        kind = "Secret" if match["kind"].lower() == "secret" else "ConfigMap"
        return f"{kind} {cache.namespace}/{match['name']} does not exist, and the pod mounts it"
    key = match and (match["key"] or match["env"])
    secrets = (
        ", ".join(dict.fromkeys(secret for secret, _ in _referenced_secret_keys(cache)))
        or "it mounts"
    )
    return f"the Secret {secrets} has no key {key or 'that the Dataset names'}"


def _referenced_secret_keys(cache: Cache) -> list[tuple[str, str]]:
    """(Secret, key) pairs that the Dataset's mounts refer to."""
    references = [
        get_path(option, "valueFrom", "secretKeyRef", default={})
        for option in encrypt_options(cache.dataset)
    ]
    return [
        (str(reference.get("name", "")), str(reference.get("key", ""))) for reference in references
    ]


def _provide_object_fix(cache: Cache, match: re.Match[str] | None) -> Fix:
    if match and match["name"] and match["kind"].lower() == "configmap":
        return observations.advice(cache, "get", "configmap", Operand(match["name"]))
    secret = match["name"] if match and match["name"] else ""
    secret = secret or next((name for name, _ in _referenced_secret_keys(cache)), "SECRET")
    keys = [key for name, key in _referenced_secret_keys(cache) if name == secret] or ["KEY"]
    exists = not (match and match["name"])  # only a key is missing
    return Fix(fix_commands.set_secret_keys(cache.namespace, secret, keys, exists=exists))


@register_check("FM311", "the master is ready", needs=(kinds.PODS,), explains=("FM323", *NO_MASTER))
def master_is_ready(context: CheckContext) -> Iterator[Finding]:
    """The master of the cache is not ready.

    Everything else in the cache waits for the master. If it mounts the store at startup and that
    fails, its startup probe fails too, and the kubelet restarts it again and again. Its log has the
    reason; once that is fixed, the master comes up at its next restart. FM313 covers a master that
    starts without its store.
    """
    cache = context.cache
    pods = [pod for _, pod in observations.cache_pods(cache, MASTER)]
    if (
        not pods
        and cache.workloads.get(MASTER)
        and context.snapshot.was_read(kinds.PODS, cache.namespace)
    ):
        yield _no_master_pod(context, cache.workloads[MASTER])
    for pod in pods:
        if pod_problems.is_ready(pod) or observations.scheduling_failure(pod):
            continue
        cause, line = observations.find_log_cause(context, pod)
        probe = observations.warning_event(context, pod, "probe failed", "Unhealthy")
        stuck = observations.stuck_container(pod)
        restarts = sum(
            pod_problems.restart_count(pod, c) for c in ("alluxio-master", "alluxio-job-master")
        )
        is_recent = context.age(pod) < MASTER_START_TIMEOUT and not (restarts or cause or stuck)
        evidence = [
            *observations.as_tuple(line),
            *observations.as_tuple(probe),
            *observations.as_tuple(stuck),
        ]
        evidence = evidence or [_container_state(pod)]
        restarted = f" and was restarted {restarts} times" if restarts else ""
        text = f": {cause}" if cause else ("; it is still starting" if is_recent else "")
        yield Finding(
            object_reference(pod),
            f"the master is not ready{restarted}{text}",
            tuple(evidence),
            None if is_recent else _not_ready_fix(cache, pod, cause),
            Severity.WARNING if is_recent else None,
        )


def _no_master_pod(context: CheckContext, owner: Object) -> Finding:
    warning = observations.warning_event(context, owner, "", "FailedCreate")
    return Finding(
        object_reference(owner),
        "the master has no pod",
        (*observations.as_tuple(warning), observations.field_evidence(owner, "status", "replicas")),
        observations.describe(owner),
    )


def _container_state(pod: Object) -> Evidence:
    for status in observations.container_statuses(pod):
        if not status.get("ready"):
            state: dict[str, object] = status.get("state") or {}
            message = next(iter(state), "not started")
            reason = get_path(state, message, "reason", default="")
            location = f"status of container {status.get('name')}"
            return Evidence(
                object_reference(pod), location, f"not ready, {message} {reason}".rstrip()
            )
    return observations.field_evidence(pod, "status", "phase")


def _not_ready_fix(cache: Cache, pod: Object, cause: str) -> Fix:
    if "key" in cause and names.has_own_spec(cache.dataset or {}):
        return Fix(cache_commands.cache_command(cache))
    if cause:
        arguments = ("doctor", Operand(cache.name))
        return Fix(
            cache_commands.plugin_command(cache, *arguments, flags=("--only", "5xx", "--probe")),
            "advice",
        )
    return observations.advice(pod, "logs", Operand(name_of(pod)), "--all-containers", "--tail=50")


@register_check(
    "FM313",
    "the cache's pods can read the store",
    needs=(kinds.PODS,),
    explains=("FM208", "FM221", *NOT_LOADED),
)
def cache_pods_can_read_store(context: CheckContext) -> Iterator[Finding]:
    """A pod of the cache is ready but cannot read its store.

    Alluxio's master also starts, and becomes Ready, with wrong credentials, a wrong endpoint or a
    missing bucket. Whatever needs the store then fails: listing, counting, loading. The reason is
    in the logs of master and workers, which are checked while the cache is not complete.
    """
    cache = context.cache
    if cache_usage(cache).is_complete:
        return
    for part, pod in observations.cache_pods(cache, MASTER, WORKER):
        cause, line = observations.find_log_cause(context, pod)
        if pod_problems.is_ready(pod) and line and pod_problems.is_store_error(cause):
            yield Finding(
                object_reference(pod),
                f"the {part} is ready and cannot read the store: {cause}",
                (line,),
                _not_ready_fix(cache, pod, cause),
            )


@register_check(
    "FM312",
    "the host names of the nodes resolve",
    needs=(kinds.PODS,),
    explains=("FM311", "FM331", *NO_MASTER),
)
def host_names_resolve(context: CheckContext) -> Iterator[Finding]:
    """A process of the cache cannot resolve the name of its own host.

    Alluxio looks up its own host name at startup. On the host network this is the node's name. If
    neither DNS nor /etc/hosts has it, the process exits with UnknownHostException. Add the name to
    the node's /etc/hosts, or run the component in the container network.
    """
    cache = context.cache
    for part, pod in observations.cache_pods(cache, MASTER, WORKER):
        own_names = {str(get_path(pod, "spec", "nodeName", default="")), name_of(pod)}
        own_names |= {name.partition(".")[0] for name in own_names}
        if pod_problems.is_ready(pod):
            continue
        for host, line in _unknown_hosts(context, pod):
            if host.partition(".")[0] in own_names:
                yield Finding(
                    object_reference(pod),
                    f"the {part} cannot resolve the name of its own host, {host}",
                    (line,),
                    Fix(
                        fix_commands.patch_and_recreate_runtime(
                            cache, {part: {"networkMode": "ContainerNetwork"}}
                        )
                    )
                    if cache.runtime
                    else None,
                )
                break


def _unknown_hosts(context: CheckContext, pod: Object) -> Iterator[tuple[str, Evidence]]:
    """The host names that a pod's logs say are unknown, with the line."""
    for log in observations.pod_logs(context, pod):
        for line in log.text.splitlines():
            match = _UNKNOWN_HOST.search(line)
            if match:
                yield match["host"], log.line_evidence(line)
