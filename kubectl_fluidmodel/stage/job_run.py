"""Waits for the staging Job: one progress over all shards, read from the pods' logs.

The pods log one JSON object per line. The ends of the logs are read about once a second, so it does
not matter when a command starts to wait, or whether it waited before: detach and attach again at
any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import field
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import KubeError
from kubectl_fluidmodel.kube.wait import wait_until
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    get_list,
    get_path,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.jobs import COMPLETE, RUNNING, end_condition, job_state
from kubectl_fluidmodel.objects.plugin_pod import no_image_error
from kubectl_fluidmodel.objects.pods import is_terminated
from kubectl_fluidmodel.output.event_log import parse_document
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage.events import EVENTS, Message
from kubectl_fluidmodel.stage.job import INDEX_ANNOTATION
from kubectl_fluidmodel.stage.job_description import STAGE_CONTAINER
from kubectl_fluidmodel.stage.progress import ProgressAggregator, ProgressSnapshot

_LOG_INTERVAL = 1.0
"""Seconds between two reads of the logs."""
_LOG_TAIL_LINES = 40
_START_TIMEOUT = 180.0
"""Seconds without a running pod, and with one that cannot start, before the wait fails."""
_FATAL_WAITING_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
}
"""Reasons of waiting containers that do not go away by themselves."""
_MISSING_PACKAGE_MESSAGES = (
    "No module named",
    "executable file not found",
    "no such file or directory",
)
"""Messages of a container whose image does not have this package."""
_LOG_TIMEOUT = 10.0
"""Seconds to wait for the last logs of a Job that has finished."""
_STARTED_PHASES = ("Running", "Succeeded", "Failed")
_RESUME_HINT = "the same command again, which resumes from what is in the store"


def wait_for_job(
    client: Client,
    job: Object,
    show: Callable[[ProgressSnapshot], None],
    *,
    deadline: float,
    log: Callable[[str], None] = lambda _: None,
) -> ProgressAggregator:
    """Wait until a Job is complete.

    Args:
        client: the cluster.
        job: the Job.
        show: receives the progress, at least every second.
        deadline: when to give up, by time.monotonic().
        log: receives lines that should stay visible.

    Returns:
        The final progress.

    Raises:
        FluidModelError: the Job failed; with its pod's own error if the pod logged one.
        WaitTimeoutError: the Job is still running at the deadline.
    """
    with _JobWatcher(client, job, show, log) as watcher:
        return watcher.run(deadline)


@dataclass
class _PodLog:
    """What is known of one pod's log."""

    seen_lines: set[str] = field(default_factory=set)
    last_lines: list[str] = field(default_factory=list)
    """The last lines that are no events."""
    error: FluidModelError | None = None
    complete: bool = False


class _JobWatcher:
    """Watches a Job, its pods and their events; a context manager."""

    def __init__(
        self,
        client: Client,
        job: Object,
        show: Callable[[ProgressSnapshot], None],
        log: Callable[[str], None],
    ) -> None:
        self.client, self.show, self.log = client, show, log
        self.name, self.namespace = name_of(job), namespace_of(job)
        annotations = annotations_of(job)
        self.aggregator = ProgressAggregator(
            int(annotations.get(names.BYTES_ANNOTATION) or 0),
            int(annotations.get(names.FILES_ANNOTATION) or 0),
            int(get_path(job, "spec", "completions", default=1)),
        )
        self.informer = Informer(client)
        self._started_at = time.time() - 2
        self._logs: dict[str, _PodLog] = {}
        self._logged: set[str] = set()
        self._logs_read_at = 0.0
        self._log_error = ""
        self._job_was_seen = False
        self._finished_at = 0.0
        self._stuck_since = 0.0

    def __enter__(self) -> _JobWatcher:
        self.informer.start(kinds.JOBS, self.namespace, fields=f"metadata.name={self.name}")
        self.informer.start(kinds.PODS, self.namespace, labels=f"job-name={self.name}")
        self.informer.start(kinds.EVENTS, self.namespace, fields="type=Warning")
        return self

    def __exit__(self, *_: object) -> None:
        self.informer.close()

    def run(self, deadline: float) -> ProgressAggregator:
        watched = (kinds.JOBS,)
        if not wait_until(
            self.informer, self._is_done, deadline, interval=_LOG_INTERVAL, required=watched
        ):
            raise self._timeout_error()
        return self.aggregator

    def _is_done(self) -> bool:
        """Check the Job once, and show the progress.

        Raises:
            FluidModelError: the Job failed, was deleted or cannot start.
        """
        job = self.informer.get(kinds.JOBS, self.name)
        is_finished = job is not None and job_state(job) != RUNNING
        if is_finished or time.monotonic() - self._logs_read_at >= _LOG_INTERVAL:
            self._read_logs()
        self.show(self._snapshot())
        if job is not None:
            self._job_was_seen = True
            if is_finished and self._logs_are_complete():
                if job_state(job) == COMPLETE:
                    return True
                raise self._failure_error(job)
        elif self._job_was_seen:
            reason = "by another command or after its time to live"
            raise FluidModelError(f"the staging Job {self.name} was deleted", reason, _RESUME_HINT)
        self._raise_if_cannot_start(job)
        return False

    # -- state -------------------------------------------------------------------------------

    def _read_logs(self) -> None:
        """Read the ends of the logs that may have new lines."""
        self._logs_read_at = time.monotonic()
        for pod in sorted(self.informer.list_objects(kinds.PODS), key=_created_at):
            log = self._logs.setdefault(name_of(pod), _PodLog())
            if log.complete or not _has_started(pod):
                continue
            try:
                text = self.client.pod_logs(
                    self.namespace, name_of(pod), STAGE_CONTAINER, tail=_LOG_TAIL_LINES
                )
            except (KubeError, UnreachableError) as err:
                self._log_error = err.reason or err.message
                continue
            self._log_error = ""
            self._handle_log(pod, log, text)
            log.complete = is_terminated(pod)

    def _handle_log(self, pod: Object, log: _PodLog, text: str) -> None:
        shard = _shard_index(pod)
        lines = text.splitlines()
        for line in lines:
            document = parse_document(line)
            if document is None:
                log.last_lines = [*log.last_lines, line][-5:]
                continue
            if document.get("event") == "Error":
                log.error = _parse_error(document)
                continue
            event = EVENTS.from_document(document)
            if event is None or line in log.seen_lines:
                continue
            log.seen_lines.add(line)
            self.aggregator.handle(event, shard)
            if isinstance(event, Message) and event.text not in self._logged:
                self._logged.add(event.text)
                prefix = f"shard {shard}: " if self.aggregator.shard_count > 1 else ""
                self.log(f"{prefix}{event.text}")
        log.seen_lines &= set(lines)  # lines that left the tail do not come again

    def _snapshot(self) -> ProgressSnapshot:
        pods = self.informer.list_objects(kinds.PODS)
        self.aggregator.external_problems = tuple(dict.fromkeys(self._external_problems(pods)))
        self.aggregator.waiting_reason = (
            "its pods are starting" if pods else f"Job {self.name} is creating its pods"
        )
        return self.aggregator.snapshot()

    def _external_problems(self, pods: list[Object]) -> list[str]:
        problems = [self.informer.last_error] if self.informer.last_error else []
        if self._log_error:
            problems.append(f"cannot read the logs: {self._log_error}")
        if get_path(self.informer.get(kinds.JOBS, self.name), "spec", "suspend"):
            problems.append(f"Job {self.name} is suspended: it creates its pods when it is resumed")
        for pod in pods:
            if get_path(pod, "status", "phase") == "Pending":
                problems += pod_problems.find_pod_problems(pod)
        events = self.informer.list_objects(kinds.EVENTS)
        problems += pod_problems.warning_events(events, self.name, self._started_at)
        for log in self._logs.values():
            if log.error is not None:
                problems.append(f"a pod failed and is being replaced: {log.error}")
        return problems

    def _logs_are_complete(self) -> bool:
        """Whether every pod's log was read to its end, or has been waited for long enough."""
        self._finished_at = self._finished_at or time.monotonic()
        pods = self.informer.list_objects(kinds.PODS)
        unread = [pod for pod in pods if not self._logs.get(name_of(pod), _PodLog()).complete]
        if self.informer.is_watching(kinds.PODS) and not unread:
            return True
        return time.monotonic() - self._finished_at > _LOG_TIMEOUT

    def _raise_if_cannot_start(self, job: Object | None) -> None:
        """Raises: FluidModelError: no pod runs, and one cannot start, for too long."""
        pods = self.informer.list_objects(kinds.PODS)
        problem = "" if any(map(_has_started, pods)) else self._start_problem(pods)
        if not problem or job is None or get_path(job, "spec", "suspend"):
            self._stuck_since = 0.0
            return
        self._stuck_since = self._stuck_since or time.monotonic()
        if time.monotonic() - self._stuck_since < _START_TIMEOUT:
            return
        hint: str = command(
            *("kubectl", "describe", "pods", "-n", self.namespace, "-l", f"job-name={self.name}")
        )
        if "image" in problem.lower():
            path = ("spec", "template", "spec", "containers", 0, "image")
            image = get_path(job, *path, default="")
            hint = f"--image with an image that nodes can pull instead of {image}, or "
            hint += "--image-pull-secret"
        raise FluidModelError(f"the staging Job {self.name} cannot start", problem, hint)

    def _start_problem(self, pods: list[Object]) -> str:
        """Return the permanent problem that keeps pods from starting, or empty."""
        if not pods:
            problems = self.aggregator.external_problems
            return next((text for text in problems if "FailedCreate" in text), "")
        for pod in pods:
            for status in get_list(pod, "status", "containerStatuses"):
                if get_path(status, "state", "waiting", "reason") in _FATAL_WAITING_REASONS:
                    return next(iter(pod_problems.find_pod_problems(pod)), "")
        return ""

    # -- errors ------------------------------------------------------------------------------

    def _failure_error(self, job: Object) -> FluidModelError:
        condition = end_condition(job)
        if condition.get("reason") == "DeadlineExceeded":
            hours = int(get_path(job, "spec", "activeDeadlineSeconds", default=0)) / 3600
            return FluidModelError(
                f"the staging Job {self.name} was stopped",
                f"it exceeded its deadline of {hours:.1f} h",
                _RESUME_HINT,
            )
        for log in self._logs.values():
            if log.error is not None:
                return log.error
        reason = self._last_message()
        if any(message in reason for message in _MISSING_PACKAGE_MESSAGES):
            return FluidModelError(
                f"the image of the staging Job {self.name} does not have this plugin",
                reason,
                no_image_error().hint,
            )
        problems = self.aggregator.external_problems
        if not reason:
            reason = problems[0] if problems else str(condition.get("message") or "")
        return FluidModelError(
            f"the staging Job {self.name} failed",
            reason,
            command("kubectl", "logs", "-n", self.namespace, "-l", f"job-name={self.name}"),
        )

    def _last_message(self) -> str:
        """The last line of a pod's log that is no event, or else how its container ended."""
        messages = [line for log in self._logs.values() for line in log.last_lines]
        if not messages:
            pods = self.informer.list_objects(kinds.PODS)
            messages = [text for pod in pods for text in _termination_messages(pod)]
        return " ".join(messages[-1].split())[:300] if messages else ""

    def _timeout_error(self) -> WaitTimeoutError:
        snapshot = self.aggregator.snapshot()
        reason = f"it is still running: {snapshot.steps[0].detail or snapshot.steps[0].state}"
        if snapshot.problems:
            reason += f"; {snapshot.problems[0]}"
        return WaitTimeoutError(
            f"Job {self.name} did not finish in time",
            reason,
            "the same command again, which continues to wait",
        )


def _has_started(pod: Object) -> bool:
    return get_path(pod, "status", "phase") in _STARTED_PHASES


def _termination_messages(pod: Object) -> list[str]:
    """How containers ended that did not log anything."""
    messages = []
    for status in get_list(pod, "status", "containerStatuses"):
        state = get_path(status, "state", "terminated", default={})
        message = state.get("message") or state.get("reason")
        if state.get("exitCode") and message:
            messages.append(str(message))
    return messages


def _shard_index(pod: Object) -> int:
    text = annotations_of(pod).get(INDEX_ANNOTATION, "0")
    return int(text) if text.isdigit() else 0


def _created_at(pod: Object) -> str:
    return str(get_path(pod, "metadata", "creationTimestamp", default=""))


def _parse_error(document: dict[str, Any]) -> FluidModelError:
    message, reason = str(document.get("what", "")), str(document.get("why", ""))
    hint = str(document.get("try", ""))
    if document.get("exitCode") == UnreachableError.exit_code:
        return UnreachableError(message, reason, hint)
    return FluidModelError(message, reason, hint)
