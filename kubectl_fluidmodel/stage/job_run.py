"""Run the staging Job and follow it: one progress over all shards, read from the pods' logs.

The pods log one JSON object per line. Whoever follows reads the ends of the logs about once a
second, so it does not matter when it began to, or whether it was here before: detach and attach
again as you like.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ConflictError, KubeError
from kubectl_fluidmodel.kube.watch import Informer
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    get_list,
    get_path,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.plugin_pod import no_image_error
from kubectl_fluidmodel.stage.events import Note, event_from_document
from kubectl_fluidmodel.stage.job import (
    INDEX_ANNOTATION,
    STAGE_CONTAINER,
    job_selector,
    staged_source,
)
from kubectl_fluidmodel.stage.progress import ProgressAggregator, ProgressSnapshot

_LOG_INTERVAL = 1.0
"""Seconds between looks at the logs."""
_LOG_TAIL_LINES = 40
"""Lines of a log's end that are read each time."""
_DELETE_TIMEOUT = 60.0
"""Seconds to wait for an old Job to go before a new one is made."""
_POD_SHUTDOWN_TIMEOUT = 20.0
"""Seconds that the pods of a replaced Job may take to go, twice what they are given to end."""
_STUCK = 180.0
"""Seconds without a pod that runs, and with one that cannot start, before waiting is pointless."""
_FATAL_WAITING_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
}
"""Reasons of waiting containers that time alone does not mend."""
_MISSING_PACKAGE_MESSAGES = (
    "No module named",
    "executable file not found",
    "no such file or directory",
)
"""Words of an image that is not ours."""
_SETTLE = 10.0
"""Seconds that a Job which is at its end may take to say so of its pods."""


def ensure_job(client: Client, job: Object) -> str:
    """Have the Job run in the cluster; returns `started`, in place of which, or `found running`.

    Call it where there is no valid manifest. A Job of the same name that is over, well or not,
    is made anew: it goes on from what the store holds. One that is at the same commit of the same
    source and has other settings makes way: it would do the same work a second time, or never
    start. No other Job is touched, whatever its name.

    Raises:
        FluidModelError: the API server refuses it.
    """
    name, namespace = name_of(job), namespace_of(job)
    replaced = [
        _replace_job(client, other)
        for other in active_jobs(client, labels_of(job).get(names.MODEL_LABEL, ""), namespace)
        if name_of(other) != name and staged_source(other) == staged_source(job)
    ]
    existing = client.get_or_none(kinds.JOBS, name, namespace)
    if existing is not None and not (_is_finished(existing) or is_terminating(existing)):
        return "found running"
    if existing is not None:
        delete_job(client, name, namespace)
    client.apply(kinds.JOBS, job)
    return f"started in place of {', '.join(replaced)}" if replaced else "started"


def active_jobs(client: Client, cache: str, namespace: str) -> list[Object]:
    """The staging Jobs of a cache that are not over, of whatever source and commit."""
    found = client.list_objects(kinds.JOBS, namespace, labels=job_selector(cache))
    return [each for each in found if not (_is_finished(each) or is_terminating(each))]


def _replace_job(client: Client, job: Object) -> str:
    """Delete a Job, and give its pods the time to put down what they have; its name."""
    name, namespace = name_of(job), namespace_of(job)
    delete_job(client, name, namespace)
    deadline = time.monotonic() + _POD_SHUTDOWN_TIMEOUT
    while client.list_objects(kinds.PODS, namespace, labels=f"job-name={name}", metadata_only=True):
        if time.monotonic() > deadline:  # its node may be gone
            break
        time.sleep(0.2)
    return name


def delete_job(client: Client, name: str, namespace: str) -> None:
    """Delete a Job with its pods, and wait until it is gone.

    Somebody else may make it anew meanwhile: that one is left alone.

    Raises:
        WaitTimeoutError: it does not go.
    """
    existing = client.get_or_none(kinds.JOBS, name, namespace)
    if existing is None:
        return
    uid = names.uid_of(existing)
    try:
        client.delete(kinds.JOBS, name, namespace, uid=uid)
    except ConflictError:
        return
    deadline = time.monotonic() + _DELETE_TIMEOUT
    while (existing := client.get_or_none(kinds.JOBS, name, namespace)) and names.uid_of(
        existing
    ) == uid:
        if time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"Job {name} does not go away", "", f"kubectl delete job {name} -n {namespace}"
            )
        time.sleep(0.2)


def wait_for_job(
    client: Client,
    job: Object,
    show: Callable[[ProgressSnapshot], None],
    *,
    deadline: float,
    log: Callable[[str], None] = lambda _: None,
) -> ProgressAggregator:
    """Follow a Job to its end; `show` gets what `ui.live` draws, at least every second.

    `deadline` is a time.monotonic(). `say` gets lines that are worth keeping.

    Raises:
        FluidModelError: it failed; with the pod's own error where it told one.
        WaitTimeoutError: it goes on, but nobody waits for it any longer.
    """
    with _JobWatcher(client, job, show, log) as watcher:
        return watcher.run(deadline)


@dataclass
class _PodLog:
    """What is known of one pod's log."""

    seen_lines: set[str] = field(default_factory=set)
    last_lines: list[str] = field(default_factory=list)
    error: FluidModelError | None = None
    complete: bool = False


class _JobWatcher:
    def __init__(
        self,
        client: Client,
        job: Object,
        show: Callable[[ProgressSnapshot], None],
        log: Callable[[str], None],
    ) -> None:
        self.client, self.show, self.log = client, show, log
        self.name, self.namespace = name_of(job), namespace_of(job)
        notes = annotations_of(job)
        self.aggregator = ProgressAggregator(
            int(notes.get("fluidmodel.io/bytes") or 0),
            int(notes.get("fluidmodel.io/files") or 0),
            int(get_path(job, "spec", "completions", default=1)),
        )
        self._started_at = time.time() - 2
        self._logs: dict[str, _PodLog] = {}
        self._logged: set[str] = set()
        self._logs_read_at = 0.0
        self._job_was_seen = False
        self._finished_at = 0.0
        self._log_error = ""
        self._stuck_since = 0.0
        self.informer = Informer(client)
        self.informer.start(kinds.JOBS, self.namespace, fields=f"metadata.name={self.name}")
        self.informer.start(kinds.PODS, self.namespace, labels=f"job-name={self.name}")
        self.informer.start(kinds.EVENTS, self.namespace, fields="type=Warning")

    def __enter__(self) -> _JobWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.informer.close()

    def run(self, deadline: float) -> ProgressAggregator:
        while True:
            job = self.informer.get(kinds.JOBS, self.name)
            self._job_was_seen = self._job_was_seen or job is not None
            if time.monotonic() - self._logs_read_at >= _LOG_INTERVAL or (
                job and _is_finished(job)
            ):
                self._read_logs()
            self.show(self._snapshot())
            if job is not None and _has_condition(job, "Complete") and self._logs_are_complete():
                return self.aggregator
            if job is not None and _has_condition(job, "Failed") and self._logs_are_complete():
                raise self._failure_error(job)
            if job is None and self._job_was_seen:
                raise FluidModelError(
                    f"the staging Job {self.name} was deleted",
                    "somebody or its time to live removed it",
                    "the same command again, which goes on from what the store holds",
                )
            self._raise_if_cannot_start(job)
            if kinds.JOBS in self.informer.denied:
                raise FluidModelError(
                    f"cannot watch Job {self.name}", self.informer.denied[kinds.JOBS]
                )
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._timeout_error()
            self.informer.next_event(min(_LOG_INTERVAL, left))

    # -- looking -----------------------------------------------------------------------------

    def _read_logs(self) -> None:
        """Read the ends of the logs that may have something new."""
        self._logs_read_at = time.monotonic()
        for pod in sorted(self.informer.list_objects(kinds.PODS), key=_created_at):
            phase = get_path(pod, "status", "phase")
            log = self._logs.setdefault(name_of(pod), _PodLog())
            if log.complete or phase not in ("Running", "Succeeded", "Failed"):
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
            log.complete = phase in ("Succeeded", "Failed")

    def _handle_log(self, pod: Object, log: _PodLog, text: str) -> None:
        shard = _shard_index(pod)
        for line in text.splitlines():
            document = _parse_event_line(line)
            if document is None:
                log.last_lines = [*log.last_lines, line][-5:]
                continue
            if document.get("event") == "Error":
                log.error = _parse_error(document)
                continue
            event = event_from_document(document)
            if event is None or line in log.seen_lines:
                continue
            log.seen_lines.add(line)
            self.aggregator.handle(event, shard)
            if isinstance(event, Note) and event.text not in self._logged:
                self._logged.add(event.text)
                prefix = f"shard {shard}: " if self.aggregator.shard_count > 1 else ""
                self.log(f"{prefix}{event.text}")
        log.seen_lines &= set(
            text.splitlines()
        )  # what scrolled out of the tail does not come again

    def _snapshot(self) -> ProgressSnapshot:
        problems = [self.informer.last_error] if self.informer.last_error else []
        if self._log_error:
            problems.append(f"the logs cannot be read: {self._log_error}")
        pods = self.informer.list_objects(kinds.PODS)
        job = self.informer.get(kinds.JOBS, self.name)
        if get_path(job, "spec", "suspend"):
            problems.append(f"Job {self.name} is suspended: its pods are made when it is resumed")
        for pod in pods:
            if get_path(pod, "status", "phase") == "Pending":
                problems += pod_problems.find_pod_problems(pod)
        problems += pod_problems.warning_events(
            self.informer.list_objects(kinds.EVENTS), self.name, self._started_at
        )
        for log in self._logs.values():
            if log.error is not None:
                problems.append(f"a pod failed and is made anew: {log.error}")
        self.aggregator.external_problems = tuple(dict.fromkeys(problems))
        phases = [str(get_path(pod, "status", "phase", default="")) for pod in pods]
        self.aggregator.waiting_reason = (
            "its pods start" if phases else f"Job {self.name} makes its pods"
        )
        return self.aggregator.snapshot()

    def _logs_are_complete(self) -> bool:
        """Whether every pod's log was read to its end; not waited for beyond a moment."""
        self._finished_at = self._finished_at or time.monotonic()
        unread = [
            pod
            for pod in self.informer.list_objects(kinds.PODS)
            if not self._logs.get(name_of(pod), _PodLog()).complete
        ]
        is_complete = self.informer.is_watching(kinds.PODS) and not unread
        return is_complete or time.monotonic() - self._finished_at > _SETTLE

    def _raise_if_cannot_start(self, job: Object | None) -> None:
        """Raises: FluidModelError: no pod runs, and one cannot start, for longer than passes."""
        pods = self.informer.list_objects(kinds.PODS)
        problem = (
            ""
            if any(_has_started(pod) for pod in pods)
            else _start_problem(pods, self.aggregator.external_problems)
        )
        if not problem or job is None or get_path(job, "spec", "suspend"):
            self._stuck_since = 0.0
            return
        self._stuck_since = self._stuck_since or time.monotonic()
        if time.monotonic() - self._stuck_since < _STUCK:
            return
        image = get_path(job, "spec", "template", "spec", "containers", 0, "image", default="")
        is_image_problem = "mage" in problem
        raise FluidModelError(
            f"the staging Job {self.name} cannot start",
            problem,
            f"--image with an image that nodes can pull ({image} is none), or --image-pull-secret"
            if is_image_problem
            else f"kubectl describe pods -n {self.namespace} -l job-name={self.name}",
        )

    # -- ends --------------------------------------------------------------------------------

    def _failure_error(self, job: Object) -> FluidModelError:
        if _condition_reason(job, "Failed") == "DeadlineExceeded":
            hours = int(get_path(job, "spec", "activeDeadlineSeconds", default=0)) / 3600
            return FluidModelError(
                f"the staging Job {self.name} was ended",
                f"it was not done after {hours:.1f} h, the most that it may take",
                "the same command again, which goes on from what the store holds",
            )
        for log in self._logs.values():
            if log.error is not None:
                return log.error
        messages = [line for log in self._logs.values() for line in log.last_lines]
        messages = messages or [
            text
            for pod in self.informer.list_objects(kinds.PODS)
            for text in _termination_messages(pod)
        ]
        if messages:
            why = " ".join(messages[-1].split())[:300]
            if any(mark in why for mark in _MISSING_PACKAGE_MESSAGES):
                return FluidModelError(
                    f"the image of the staging Job {self.name} does not have this plugin",
                    why,
                    no_image_error().hint,
                )
        else:
            told = next(iter(self.aggregator.external_problems), "")
            why = told or _condition_message(job, "Failed")
        return FluidModelError(
            f"the staging Job {self.name} failed",
            why,
            f"kubectl logs -n {self.namespace} -l job-name={self.name}",
        )

    def _timeout_error(self) -> WaitTimeoutError:
        view = self.aggregator.snapshot()
        why = f"still at it: {view.steps[0].detail or view.steps[0].state}"
        if view.problems:
            why += f"; {view.problems[0]}"
        return WaitTimeoutError(
            f"Job {self.name} has not staged the model in time",
            why,
            "the same command again, which goes on following it",
        )


def _is_finished(job: Object) -> bool:
    return _has_condition(job, "Complete") or _has_condition(job, "Failed")


def _has_condition(job: Object, condition: str) -> bool:
    return any(
        each.get("type") == condition and each.get("status") == "True"
        for each in get_path(job, "status", "conditions", default=[])
    )


def _condition_message(job: Object, kind: str) -> str:
    for each in get_path(job, "status", "conditions", default=[]):
        if each.get("type") == kind:
            return str(each.get("message") or each.get("reason") or "")
    return ""


def _condition_reason(job: Object, kind: str) -> str:
    for each in get_path(job, "status", "conditions", default=[]):
        if each.get("type") == kind and each.get("status") == "True":
            return str(each.get("reason") or "")
    return ""


def _has_started(pod: Object) -> bool:
    return get_path(pod, "status", "phase") in ("Running", "Succeeded", "Failed")


def _start_problem(pods: list[Object], problems: tuple[str, ...]) -> str:
    """What keeps pods from starting, where time alone does not mend it; empty where it may."""
    if not pods:
        return next((text for text in problems if "FailedCreate" in text), "")
    for pod in pods:
        for status in get_list(pod, "status", "containerStatuses"):
            if get_path(status, "state", "waiting", "reason") in _FATAL_WAITING_REASONS:
                return next(iter(pod_problems.find_pod_problems(pod)), "")
    return ""


def _termination_messages(pod: Object) -> list[str]:
    """What a container that ended without a word in its log was ended by."""
    found = []
    for status in get_list(pod, "status", "containerStatuses"):
        ended = get_path(status, "state", "terminated", default={})
        if ended.get("exitCode") and (ended.get("message") or ended.get("reason")):
            found.append(str(ended.get("message") or ended.get("reason")))
    return found


def _shard_index(pod: Object) -> int:
    text = annotations_of(pod).get(INDEX_ANNOTATION, "0")
    return int(text) if text.isdigit() else 0


def _created_at(pod: Object) -> str:
    return str(get_path(pod, "metadata", "creationTimestamp", default=""))


def _parse_event_line(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _parse_error(document: dict[str, Any]) -> FluidModelError:
    what, why = str(document.get("what", "")), str(document.get("why", ""))
    try_ = str(document.get("try", ""))
    if document.get("exitCode") == UnreachableError.exit_code:
        return UnreachableError(what, why, try_)
    return FluidModelError(what, why, try_)
