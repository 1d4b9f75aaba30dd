"""Summarizes problems in pods, events and logs of a cache, in one line each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.fluid import status
from kubectl_fluidmodel.objects.access import get_int, get_list, get_path, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.pods import has_ready_condition
from kubectl_fluidmodel.objects.time import event_time

# On a shell's stdout, Alluxio 2.9 prints `CODE:message`, in its logs `AlluxioS3Exception:
# CODE:message`; the SDK's own exceptions have `Error Code: CODE`.
_ERROR_PREFIX = r"(?:Error Code: |AlluxioS3Exception: |^)"
NOT_MOUNTED = "libfuse does not mount"
"""The cause of a FUSE client that ends at once, whose log does not say which option it is."""
# Patterns in the logs of Alluxio and its S3 client, and their meaning. The first match wins.
_LOG_ERRORS: tuple[tuple[str, str], ...] = (
    (
        rf"{_ERROR_PREFIX}(InvalidAccessKeyId|XAdminUserNotFound)",
        "the store does not know the access key",
    ),
    (rf"{_ERROR_PREFIX}SignatureDoesNotMatch", "the secret key is wrong"),
    (rf"{_ERROR_PREFIX}(ExpiredToken|InvalidToken)", "the temporary credentials have expired"),
    (rf"{_ERROR_PREFIX}(AuthorizationHeaderMalformed|PermanentRedirect)", "the region is wrong"),
    (rf"{_ERROR_PREFIX}NoSuchBucket|bucket does not exist", "the bucket does not exist"),
    (rf"{_ERROR_PREFIX}NoSuchKey", "a file of the source is gone"),
    (
        rf"{_ERROR_PREFIX}(AccessDenied|AccessForbidden|403)|403 Forbidden",
        "the store denies access",
    ),
    (rf"{_ERROR_PREFIX}RequestTimeTooSkewed", "the node's clock is off"),
    (r"UnknownHostException:? ?(?P<detail>[\w.-]*)", "the host name does not resolve in the pod"),
    (r"(Connection refused|ConnectException)", "the store's endpoint refuses connections"),
    (r"(connect timed out|ConnectTimeoutException)", "the store's endpoint does not respond"),
    (r"(SSLHandshakeException|PKIX path building failed)", "TLS to the store fails"),
    (r"No space left on device", "the cache's disk is full"),
    (r"WorkerOutOfSpaceException", "the quota is full"),
    (r"java\.lang\.OutOfMemoryError", "the JVM ran out of memory"),
    (
        r"UnsatisfiedLinkError:.*libfuse\.so\.2",
        "the image has no libfuse 2, which --high-concurrency needs",
    ),
    (r"FuseException: Unable to mount FS", NOT_MOUNTED),
)
# Lines about connections between Alluxio's processes, which use gRPC over netty; stores use
# HTTP. Stack frames say nothing by themselves.
_NOT_THE_STORE = re.compile(r"io\.netty|io\.grpc|finishConnect|GrpcServerAddress|^\s*at ")
_NODE_ERRORS = ("the cache's disk", "the quota", "the JVM", "the image", "libfuse")
"""Causes that are unrelated to a store."""
_KEY_IN_LOG = re.compile(
    r"""((?:access|secret)[-.\w]*key[-.\w]*["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|\S+)""", re.IGNORECASE
)
_EXPECTED_WAITING = {"ContainerCreating", "PodInitializing"}
_EVENT_KINDS = {
    "Dataset",
    "AlluxioRuntime",
    "DataLoad",
    "Pod",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "PersistentVolumeClaim",
}
"""Kinds whose events concern a cache; those of Endpoints and others are noise."""


def is_store_error(cause: str) -> bool:
    """Return whether a cause from `find_log_error`, without the log line, concerns the store."""
    return bool(cause) and not cause.startswith(_NODE_ERRORS)


def find_log_error(log: str) -> str:
    """Return the cause that a log shows, with its line; empty if it shows none."""
    for line in reversed(log.splitlines()):
        if _NOT_THE_STORE.search(line):
            continue
        for pattern, meaning in _LOG_ERRORS:
            match = re.search(pattern, line)
            if match:
                detail = match.groupdict().get("detail") or ""
                return f"{meaning}{f' ({detail})' if detail else ''}: {_redact_log_line(line)}"
    return ""


def _redact_log_line(line: str) -> str:
    """Redact a log line: anything that is assigned to a credential option."""
    hidden = _KEY_IN_LOG.sub(r"\1…", line)
    return " ".join(hidden.split())[:240]


def find_pod_problems(obj: Mapping[str, Any]) -> list[str]:
    """Return what keeps a pod from being ready, if it is known."""
    name = name_of(obj)
    problems = []
    for condition in get_list(obj, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            problems.append(f"pod {name} is not scheduled: {condition.get('message') or ''}")
    if get_path(obj, "status", "phase") == "Failed":
        detail = get_path(obj, "status", "reason", default="") or get_path(
            obj, "status", "message", default=""
        )
        problems.append(f"pod {name} failed{f': {detail}' if detail else ''}")
    if is_terminating(obj):
        problems.append(f"pod {name} is being deleted")
    containers = get_list(obj, "status", "initContainerStatuses")
    containers += get_list(obj, "status", "containerStatuses")
    for container in containers:
        reason = str(get_path(container, "state", "waiting", "reason", default=""))
        if reason and reason not in _EXPECTED_WAITING:
            message = get_path(container, "state", "waiting", "message", default="")
            problems.append(f"{name}/{container.get('name')}: {reason}: {message}")
        if get_path(container, "lastState", "terminated", "reason") == "OOMKilled":
            problems.append(f"{name}/{container.get('name')} was killed for using too much memory")
    return [" ".join(text.split()).rstrip(": ") for text in problems]


def restart_count(obj: Mapping[str, Any], container: str) -> int:
    """Return the number of restarts of a container of a pod."""
    for container_status in get_list(obj, "status", "containerStatuses"):
        if container_status.get("name") == container:
            return get_int(container_status, "restartCount")
    return 0


def is_ready(obj: Mapping[str, Any]) -> bool:
    """Return whether a pod or node is Ready and not being deleted; its status stays Ready then."""
    return has_ready_condition(obj) and not is_terminating(obj)


def warning_events(events: Iterable[Mapping[str, Any]], cache: str, since: float) -> list[str]:
    """Return the newest warning event per object and reason, for a cache's own objects.

    Their names are the cache's name or `<name>-master…`, `-worker…`, `-fuse…` or `-loader…`;
    another cache may be called `<name>-2`. `since` is a Unix time in seconds; older events are
    excluded.
    """
    pod_names = re.compile(rf"{re.escape(cache)}(-(master|worker|fuse|loader)(-.*)?)?")
    newest: dict[tuple[str, str], tuple[float, str]] = {}
    for event in events:
        name = str(get_path(event, "involvedObject", "name", default=""))
        kind = str(get_path(event, "involvedObject", "kind", default=""))
        if event.get("type") != "Warning" or kind not in _EVENT_KINDS:
            continue
        if not pod_names.fullmatch(name):
            continue
        if status.is_transient(str(event.get("message"))):
            continue
        when = event_time(event)
        if when < since:
            continue
        reason = str(event.get("reason", ""))
        text = f"{kind} {name}: {reason}: {event.get('message') or ''}"
        key = (name, reason)
        if key not in newest or newest[key][0] <= when:
            newest[key] = (when, " ".join(text.split()))
    return [text for _, text in sorted(newest.values())]
