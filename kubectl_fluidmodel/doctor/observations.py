"""What objects, events and logs say, as evidence. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Fix,
    event_evidence,
    object_reference,
)
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.inventory.cache import FUSE, MASTER, WORKER, Cache
from kubectl_fluidmodel.objects import kinds, time
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.output.shell import Word, command
from kubectl_fluidmodel.records import dataclass

COMPONENTS = (MASTER, WORKER, FUSE)


def cache_reference(cache: Cache) -> str:
    """The Dataset, or the runtime if there is none, as findings name objects."""
    obj = cache.dataset or cache.runtime
    return object_reference(obj) if obj else f"cache {cache.namespace}/{cache.name}"


def events_with_reason(context: CheckContext, obj: Object | None, reason: str) -> list[Object]:
    """The events of an object with a given reason, oldest first."""
    events = context.snapshot.events_about(obj) if obj else []
    return [event for event in events if event.get("reason") == reason]


def field_evidence(obj: Mapping[str, Any], *path: str | int, text: str = "") -> Evidence:
    """A field of an object with its value, or with `text` instead of the value."""
    value = get_path(obj, *path)
    value_text = text or ("not set" if value is None else str(value))
    return Evidence(object_reference(obj), ".".join(str(step) for step in path), value_text)


def label_evidence(obj: Mapping[str, Any], key: str) -> Evidence:
    """A label of an object; `not set` if it has none of the key."""
    return field_evidence(obj, "metadata", "labels", key)


def warning_event(
    context: CheckContext, obj: Mapping[str, Any], pattern: str | re.Pattern[str], *reasons: str
) -> Evidence | None:
    """The newest warning event of an object that matches a pattern and one of the reasons."""
    return latest_event(context.snapshot.events_about(obj), pattern, *reasons)


def latest_event(
    events: Iterable[Object], pattern: str | re.Pattern[str], *reasons: str
) -> Evidence | None:
    """The newest of some events that matches a pattern and one of the reasons."""
    latest: Object | None = None
    for event in events:
        if reasons and event.get("reason") not in reasons:
            continue
        if not re.search(pattern, str(event.get("message") or "")):
            continue
        if latest is None or time.event_time(event) >= time.event_time(latest):
            latest = event
    return event_evidence(latest) if latest else None


def creation_failures(context: CheckContext) -> list[Object]:
    """The events of pods that could not be created."""
    return context.cached(
        "refusals",
        lambda: [
            e for e in context.snapshot.of_kind(kinds.EVENTS) if e.get("reason") == "FailedCreate"
        ],
    )


def container_statuses(pod: Mapping[str, Any]) -> list[Object]:
    """The statuses of a pod's containers, init containers first."""
    return get_list(pod, "status", "initContainerStatuses") + get_list(
        pod, "status", "containerStatuses"
    )


def waiting_containers(
    pod: Mapping[str, Any], reasons: Iterable[str]
) -> Iterator[tuple[Object, Evidence]]:
    """Containers that wait for one of the reasons, with the kubelet's message."""
    expected = set(reasons)
    for status in container_statuses(pod):
        reason = str(get_path(status, "state", "waiting", "reason", default=""))
        if reason in expected:
            message = " ".join(
                str(get_path(status, "state", "waiting", "message", default="")).split()
            )
            location = f"status of container {status.get('name')}"
            yield (
                status,
                Evidence(object_reference(pod), location, f"{reason}: {message}".rstrip(": ")),
            )


def stuck_container(
    pod: Mapping[str, Any], reasons: Iterable[str] = ("CrashLoopBackOff", "CreateContainerError")
) -> Evidence | None:
    """The status of the first container that waits for one of the reasons."""
    return next((evidence for _, evidence in waiting_containers(pod, reasons)), None)


def condition_of(obj: Mapping[str, Any], kind: str) -> Object:
    """The condition of a type (`Ready`) in an object's status; empty if there is none."""
    conditions = get_list(obj, "status", "conditions")
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def scheduling_failure(pod: Mapping[str, Any]) -> str:
    """The scheduler's message about an unschedulable pod; empty if the pod has a node."""
    if get_path(pod, "spec", "nodeName"):
        return ""
    for condition in get_list(pod, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return " ".join(str(condition.get("message") or "no node yet").split())
    return ""


@dataclass(frozen=True)
class ContainerLog:
    """The last lines of one container's log."""

    pod: Mapping[str, Any]
    container: str
    text: str
    """Empty if it was not read."""
    previous: bool = False
    """Whether it is that of the container before its last restart."""

    def line_evidence(self, line: str) -> Evidence:
        """A line of the log as evidence."""
        location = f"{'previous ' if self.previous else ''}log of {self.container}"
        return Evidence(object_reference(self.pod), location, " ".join(line.split()))

    def matching_lines(self, pattern: str | re.Pattern[str]) -> list[str]:
        """The lines that match a pattern, oldest first."""
        return [line for line in self.text.splitlines() if re.search(pattern, line)]


def pod_logs(context: CheckContext, pod: Mapping[str, Any]) -> Iterator[ContainerLog]:
    """The logs of a pod's containers, each followed by that from before its last restart."""
    for status in get_list(pod, "status", "containerStatuses"):
        name = str(status.get("name", ""))
        for previous in (False, True):
            text = context.container_log(pod, name, previous=previous)
            yield ContainerLog(pod, name, text, previous)


def last_matching_line(
    context: CheckContext, pod: Mapping[str, Any], container: str, pattern: str | re.Pattern[str]
) -> Evidence | None:
    """The last line of a container's log that matches a pattern."""
    log = ContainerLog(pod, container, context.container_log(pod, container))
    lines = log.matching_lines(pattern)
    return log.line_evidence(lines[-1]) if lines else None


def find_log_cause(context: CheckContext, pod: Mapping[str, Any]) -> tuple[str, Evidence | None]:
    """The cause of a failure that a pod's logs show, also those of restarted containers.

    The cause is the part before the log line of `pod_problems.find_log_error`.
    """
    for log in pod_logs(context, pod):
        cause, _, line = pod_problems.find_log_error(log.text).partition(": ")
        if cause:
            return cause, log.line_evidence(line)
    return "", None


def assigned_node(pod: Mapping[str, Any]) -> str:
    """The pod's node, or the one that its DaemonSet created it for; empty if there is none."""
    bound = get_path(pod, "spec", "nodeName")
    if bound:
        return str(bound)
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = get_list(pod, "spec", "affinity", "nodeAffinity", required, "nodeSelectorTerms")
    for field in (field for term in terms for field in get_list(term, "matchFields")):
        if field.get("key") == "metadata.name":
            return str(get_path(field, "values", 0, default=""))
    return ""


def visible_cache_nodes(context: CheckContext) -> list[Object]:
    """The nodes with a worker of the cache, as far as they were read."""
    nodes = (context.snapshot.get(kinds.NODES, name) for name in context.cache.node_names)
    return [node for node in nodes if node is not None]


def seconds_since(context: CheckContext, stamp: Any) -> float | None:
    """Seconds from an RFC 3339 time to the snapshot; None if it is not a time."""
    when = time.parse_time(stamp)
    return context.snapshot.taken_at - when if when else None


def cache_pods(cache: Cache, *components: str) -> Iterator[tuple[str, Object]]:
    """(component, pod) of a cache, without terminating pods."""
    for part in components or COMPONENTS:
        for pod in cache.pods.get(part, []):
            if not is_terminating(pod):
                yield part, pod


def as_tuple(evidence: Evidence | None) -> tuple[Evidence, ...]:
    return (evidence,) if evidence else ()


def advice(about: Object | Cache, *words: Word) -> Fix:
    """A kubectl command that shows more and fixes nothing."""
    return Fix(fix_commands.kubectl_command(about, *words), "advice")


def describe(obj: Object) -> Fix:
    """`kubectl describe` of an object, as advice."""
    return advice(obj, "describe", *fix_commands.object_operands(obj))


def require_fluid(context: CheckContext) -> None:
    """Skip a check without Fluid; FM101 reports that.

    Raises:
        CheckSkippedError: the API server does not serve Datasets.
    """
    if not context.snapshot.is_served(names.DATASETS):
        raise CheckSkippedError("Fluid is not installed")


def fluid_advice(*words: Word) -> Fix:
    """As `advice`, in Fluid's namespace."""
    return Fix(command("kubectl", *words, "-n", names.SYSTEM_NAMESPACE), "advice")
