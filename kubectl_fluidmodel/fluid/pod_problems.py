"""What pods, events and logs say is wrong with a cache, in one line each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kubectl_fluidmodel.objects.access import get_list, get_path, name_of
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.time import event_time

# Alluxio 2.9 prints `CODE:message` on a shell's stdout, `AlluxioS3Exception: CODE:message` in its
# logs; the SDK's own exceptions have `Error Code: CODE`.
_ERROR_PREFIX = r"(?:Error Code: |AlluxioS3Exception: |^)"
# Words of Alluxio's and the S3 client's logs, and what they mean. First match wins.
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
    (r"(connect timed out|ConnectTimeoutException)", "the store's endpoint does not answer"),
    (r"(SSLHandshakeException|PKIX path building failed)", "TLS to the store fails"),
    (r"No space left on device", "the cache's disk is full"),
    (r"WorkerOutOfSpaceException", "the quota is full"),
    (r"java\.lang\.OutOfMemoryError", "the JVM ran out of memory"),
)
_NODE_ERRORS = ("the cache's disk", "the quota", "the JVM")
"""Causes that have nothing to do with a store."""
_KEY_IN_LOG = re.compile(
    r"""((?:access|secret)[-.\w]*key[-.\w]*["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|\S+)""", re.IGNORECASE
)
_EXPECTED_WAITING = {"ContainerCreating", "PodInitializing"}
# Fluid's runtime controller says so when its cache has not seen a new Dataset yet; it tries again.
_TRANSIENT_MESSAGES = ("No dataset can be bound to the runtime, waiting",)
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
"""Kinds whose events tell about a cache; those of Endpoints and the like only add noise."""


def is_store_error(cause: str) -> bool:
    """Whether a cause that `log_cause` gave, without the log's own words, is the store's."""
    return bool(cause) and not cause.startswith(_NODE_ERRORS)


def find_log_error(log: str) -> str:
    """The cause that a log names, with the line's own words; empty where it names none."""
    for line in reversed(log.splitlines()):
        for pattern, meaning in _LOG_ERRORS:
            match = re.search(pattern, line)
            if match:
                detail = match.groupdict().get("detail") or ""
                return f"{meaning}{f' ({detail})' if detail else ''}: {_redact_log_line(line)}"
    return ""


def _redact_log_line(line: str) -> str:
    """A log line without what could be a key: anything assigned to a credential option."""
    hidden = _KEY_IN_LOG.sub(r"\1…", line)
    return " ".join(hidden.split())[:240]


def find_pod_problems(obj: Mapping[str, Any]) -> list[str]:
    """What keeps a pod from being ready, if it says."""
    name = name_of(obj)
    found = []
    for condition in get_list(obj, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            found.append(f"pod {name} is not scheduled: {condition.get('message') or ''}")
    if get_path(obj, "status", "phase") == "Failed":
        why = get_path(obj, "status", "reason", default="") or get_path(
            obj, "status", "message", default=""
        )
        found.append(f"pod {name} failed{f': {why}' if why else ''}")
    if is_terminating(obj):
        found.append(f"pod {name} is being deleted")
    statuses = get_list(obj, "status", "initContainerStatuses")
    statuses += get_list(obj, "status", "containerStatuses")
    for status in statuses:
        reason = str(get_path(status, "state", "waiting", "reason", default=""))
        if reason and reason not in _EXPECTED_WAITING:
            message = get_path(status, "state", "waiting", "message", default="")
            found.append(f"{name}/{status.get('name')}: {reason}: {message}")
        if get_path(status, "lastState", "terminated", "reason") == "OOMKilled":
            found.append(f"{name}/{status.get('name')} was killed for using too much memory")
    return [" ".join(text.split()).rstrip(": ") for text in found]


def restart_count(obj: Mapping[str, Any], container: str) -> int:
    """How often a container of a pod was started again."""
    for status in get_list(obj, "status", "containerStatuses"):
        if status.get("name") == container:
            count = status.get("restartCount")
            return count if isinstance(count, int) else 0
    return 0


def is_terminated(obj: Mapping[str, Any]) -> bool:
    """Whether a pod holds nothing any more: it has ended, or is being deleted."""
    return is_terminating(obj) or get_path(obj, "status", "phase") in ("Succeeded", "Failed")


def is_ready(obj: Mapping[str, Any]) -> bool:
    """Whether a pod or node is Ready, and stays: one that is being deleted still says Ready."""
    if is_terminating(obj):
        return False
    conditions = get_list(obj, "status", "conditions")
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def warning_events(events: Iterable[Mapping[str, Any]], cache: str, since: float) -> list[str]:
    """The newest warning event per object and reason, of a cache's own objects.

    Those bear its name or `<name>-master…`, `-worker…`, `-fuse…`, `-loader…`; another cache may be
    called `<name>-2`. `since` is a Unix time in seconds; older events are left out.
    """
    own = re.compile(rf"{re.escape(cache)}(-(master|worker|fuse|loader)(-.*)?)?")
    newest: dict[tuple[str, str], tuple[float, str]] = {}
    for event in events:
        name = str(get_path(event, "involvedObject", "name", default=""))
        kind = str(get_path(event, "involvedObject", "kind", default=""))
        if event.get("type") != "Warning" or kind not in _EVENT_KINDS:
            continue
        if not own.fullmatch(name):
            continue
        if any(harmless in str(event.get("message")) for harmless in _TRANSIENT_MESSAGES):
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
