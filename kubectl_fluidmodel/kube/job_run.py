"""Runs a Job with one pod: creates it, follows its log, and always deletes it.

The Job also has a deadline and a time to live, so the cluster removes it even if this program is
killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError, WaitTimeoutError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import KubeError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.kube.wait import read_until
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import EVENTS, JOBS, PODS
from kubectl_fluidmodel.output.shell import Operand, command, kubectl
from kubectl_fluidmodel.records import dataclass

_POLL_INTERVAL = 0.5
_LOG_LINES = 5000
_FATAL_REASONS = ("ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
"""Permanent reasons of a waiting container. ErrImagePull comes first, and may be transient."""


@dataclass(frozen=True)
class JobTimeouts:
    """Limits of a wait, in seconds."""

    schedule: float
    """Until the pod has a node; if no node fits, that is known immediately."""
    start: float
    """Until the pod runs."""
    stall: float
    """Without a new line in its log."""
    total: float


class PodCannotStartError(FluidModelError):
    """The pod of a Job does not start; `reason` is from the cluster."""


class PodStalledError(FluidModelError):
    """The pod of a Job is running, but has printed nothing for too long."""


def job_permissions(namespace: str) -> list[Permission]:
    """The permissions that `run_job` needs."""
    return [
        Permission("create", JOBS, namespace),
        Permission("delete", JOBS, namespace),
        Permission("list", PODS, namespace),
        Permission("get", PODS, namespace, "log"),
    ]


def run_job(
    client: Client,
    job: Object,
    timeouts: JobTimeouts,
    on_line: Callable[[str], None],
    on_wait: Callable[[str], None] = lambda _: None,
) -> bool:
    """Run a Job of one pod with one container, and delete it.

    Args:
        client: The cluster.
        job: The Job; it must not exist yet.
        timeouts: The limits of the waits.
        on_line: Receives each line of the log once.
        on_wait: Receives what the pod is waiting for, at every check before it runs.

    Returns:
        Whether the pod succeeded.

    Raises:
        PodCannotStartError: the pod did not start in time, or cannot start.
        PodStalledError: its log has not grown for too long.
        WaitTimeoutError: it was still running after the total time.
        FluidModelError: the API server refused.
    """
    client.create(JOBS, job)
    try:
        return _JobRun(client, job, timeouts, on_line, on_wait).wait()
    finally:
        client.delete(JOBS, name_of(job), namespace_of(job))


class _JobRun:
    """Checks a Job that was created."""

    def __init__(
        self,
        client: Client,
        job: Object,
        timeouts: JobTimeouts,
        on_line: Callable[[str], None],
        on_wait: Callable[[str], None],
    ) -> None:
        self.client, self.timeouts = client, timeouts
        self.on_line, self.on_wait = on_line, on_wait
        self.name, self.namespace = name_of(job), namespace_of(job)
        spec = get_path(job, "spec", "template", "spec", default={})
        self.container = str(get_path(spec, "containers", 0, "name", default=""))
        self._started = time.monotonic()
        self._last_line_at = 0.0
        """The time.monotonic() of the newest line; 0.0 until the pod runs."""
        self._lines = 0
        self._waiting_for = "no pod was created"

    def wait(self) -> bool:
        """Wait for the end of the pod; see `run_job`."""
        phase = read_until(
            self._read_phase,
            _has_ended,
            self._started + self.timeouts.total,
            interval=_POLL_INTERVAL,
        )
        if not _has_ended(phase):
            raise WaitTimeoutError(
                f"Job {self.name} did not finish within {self.timeouts.total:.0f} s",
                "it was deleted",
                "a longer --timeout",
            )
        return phase == "Succeeded"

    def _read_phase(self) -> str:
        """Return the phase of the pod, after its log was passed on.

        Raises:
            PodCannotStartError: the pod did not start in time, or cannot start.
            PodStalledError: its log has not grown for too long.
        """
        pod = self._find_pod()
        phase = str(get_path(pod, "status", "phase", default="Pending"))
        if pod is None or phase == "Pending":
            self._check_start(pod, time.monotonic() - self._started)
            return phase
        self._last_line_at = self._last_line_at or time.monotonic()
        if self._read_log(pod, required=_has_ended(phase)):
            self._last_line_at = time.monotonic()
        elif not _has_ended(phase) and time.monotonic() - self._last_line_at > self.timeouts.stall:
            raise PodStalledError(
                f"pod {name_of(pod)} has printed nothing for {self.timeouts.stall:.0f} s",
                "",
                kubectl("describe", "pod", Operand(name_of(pod)), namespace=self.namespace),
            )
        return phase

    def _find_pod(self) -> Object | None:
        pods = self.client.list_objects(PODS, self.namespace, labels=f"job-name={self.name}")
        return pods[0] if pods else None

    def _check_start(self, pod: Object | None, waited: float) -> None:
        """Report what a pod is waiting for.

        Raises:
            PodCannotStartError: it waits for something that cannot happen, or for too long.
        """
        fatal, has_node = False, False
        if pod is not None:
            fatal, self._waiting_for = _start_problem(pod)
            has_node = bool(get_path(pod, "spec", "nodeName"))
        self.on_wait(self._waiting_for)
        if not fatal and waited < (self.timeouts.start if has_node else self.timeouts.schedule):
            return
        problem = self._waiting_for
        if pod is not None and has_node and not fatal:
            problem = self._last_warning(pod) or problem
        selector = f"involvedObject.name={name_of(pod) if pod else self.name}"
        raise PodCannotStartError(
            f"the pod of Job {self.name} does not start",
            problem,
            command("kubectl", "get", "events", "-n", self.namespace, "--field-selector", selector),
        )

    def _last_warning(self, pod: Object) -> str:
        """Return the newest warning about a pod, for example that its volume cannot be mounted."""
        try:
            events = self.client.list_objects(
                EVENTS, self.namespace, fields=f"involvedObject.name={name_of(pod)},type=Warning"
            )
        except KubeError:
            return ""  # the pod's own status has been reported already
        texts = [" ".join(str(event.get("message") or "").split()) for event in events]
        return texts[-1] if texts else ""

    def _read_log(self, pod: Object, *, required: bool) -> bool:
        """Pass on new lines of the log; return whether there were any."""
        try:
            text = self.client.pod_logs(
                self.namespace, name_of(pod), self.container, tail=_LOG_LINES
            )
        except (KubeError, UnreachableError):
            if required:
                raise
            return False  # the next check tries again, until the log has stalled for too long
        lines = text.splitlines()
        for line in lines[self._lines :]:
            self.on_line(line)
        grown = len(lines) > self._lines
        self._lines = len(lines)
        return grown


def _has_ended(phase: str) -> bool:
    return phase in ("Succeeded", "Failed")


def _start_problem(pod: Object) -> tuple[bool, str]:
    """Return whether a pending pod can never start, and what it is waiting for."""
    for status in get_list(pod, "status", "containerStatuses"):
        reason = str(get_path(status, "state", "waiting", "reason", default=""))
        message = str(get_path(status, "state", "waiting", "message", default=""))
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            return reason in _FATAL_REASONS, ": ".join(filter(None, (reason, message)))
    for condition in get_list(pod, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return False, str(condition.get("message") or condition.get("reason") or "")
    return False, "its container is being created"
