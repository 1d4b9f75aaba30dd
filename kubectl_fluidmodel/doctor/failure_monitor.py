"""Failures that end a wait early, found by doctor's checks.

`cache` and `pin` wait for a cache or a roll-out. If a check finds a permanent failure, they end
with its cause and fix instead of a timeout. A failure has to last for some seconds, because it may
be transient.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import field

from kubectl_fluidmodel.doctor.check import Finding, Severity, select_checks
from kubectl_fluidmodel.doctor.collect import collector
from kubectl_fluidmodel.doctor.diagnosis import Diagnosis, Problem, diagnose
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.records import dataclass

CACHE_FAILURES: Mapping[str, float] = {
    "FM301": 45.0,  # pods that end may free resources
    "FM302": 20.0,
    "FM303": 25.0,
    "FM304": 10.0,
    "FM305": 8.0,  # a cache that was just removed may still hold the ports
    "FM306": 30.0,
    "FM307": 10.0,
    "FM311": 15.0,
    "FM313": 15.0,
    "FM320": 15.0,
}
"""Codes that end the wait for a cache, with the seconds that each has to last."""
GRAPH_FAILURES: Mapping[str, float] = {
    "FM217": 0.0,
    "FM406": 0.0,
    "FM420": 20.0,
    "FM421": 30.0,
    "FM424": 30.0,
    "FM432": 20.0,
    "FM433": 20.0,
    "FM434": 30.0,
    "FM440": 20.0,
    "FM441": 20.0,
    "FM704": 10.0,
    "FM726": 20.0,
    "FM727": 20.0,
    "FM731": 20.0,
    "FM735": 20.0,
}
"""The same for the roll-out of a graph that reads a cache."""
_STORE_CAUSES = (
    "key is wrong",
    "know the access key",
    "bucket does not exist",
    "credentials have expired",
)
"""Permanent causes of a master that does not serve."""
_REQUIRED_CAUSES: Mapping[str, tuple[str, ...]] = {"FM311": _STORE_CAUSES, "FM313": _STORE_CAUSES}


def persistent_failures(diagnosis: Diagnosis, durations: Mapping[str, float]) -> Iterator[Problem]:
    """The root failures that do not go away by themselves. Pure."""
    for problem in diagnosis.roots:
        code = problem.check.code
        required_causes = _REQUIRED_CAUSES.get(code)
        severity = problem.finding.severity or problem.check.severity
        if code not in durations or severity is not Severity.ERROR:
            continue
        if required_causes is None or any(
            cause in problem.finding.cause for cause in required_causes
        ):
            yield problem


def failure_error(message: str, problem: Problem, hint: str) -> FluidModelError:
    """The error that ends a wait; `hint` is used where the fix is not a command."""
    finding: Finding = problem.finding
    fix = finding.fix
    return FluidModelError(
        message,
        f"{finding.about}: {finding.cause} ({problem.check.code})",
        fix.text if fix is not None and fix.how == "command" else hint,
    )


@dataclass
class FailureMonitor:
    """Diagnoses one cache periodically during a wait, and reports failures that last."""

    client: Client
    namespace: str
    name: str
    durations: Mapping[str, float]
    interval: float = 4.0
    """Seconds between two diagnoses, and before the first."""
    _first_seen: dict[tuple[str, str], float] = field(default_factory=dict)
    _failures: list[Problem] = field(default_factory=list)
    _diagnosed_at: float = field(init=False)
    _thread: threading.Thread = field(default_factory=threading.Thread)

    def __post_init__(self) -> None:
        self._diagnosed_at = time.monotonic()

    def poll(self) -> Problem | None:
        """The failure that has lasted long enough, or None; starts the next diagnosis when due.

        A diagnosis takes seconds, so it runs in a thread and does not block the progress view.
        """
        now = time.monotonic()
        if not self._thread.is_alive():
            for problem in self._failures:
                key = (problem.check.code, problem.finding.about)
                first_seen = self._first_seen.get(key)
                if (
                    first_seen is not None
                    and self._diagnosed_at - first_seen >= self.durations[problem.check.code]
                ):
                    return problem
            if now - self._diagnosed_at >= self.interval:
                self._thread = threading.Thread(target=self._diagnose, name="doctor", daemon=True)
                self._thread.start()
        return None

    def _diagnose(self) -> None:
        import kubectl_fluidmodel.doctor.checks  # noqa: F401 - registers them

        try:
            snapshot = collector.collect_snapshot(
                self.client, self.namespace, self.name, probe_stores=False
            )
        except FluidModelError:
            self._diagnosed_at = time.monotonic()  # the wait itself reports an unreachable cluster
            return
        diagnosis = diagnose(
            snapshot, select_checks(self.durations, ()), namespace=self.namespace, name=self.name
        )
        self._failures = list(persistent_failures(diagnosis, self.durations))
        self._diagnosed_at = time.monotonic()
        keys = {(problem.check.code, problem.finding.about) for problem in self._failures}
        self._first_seen = {key: self._first_seen.get(key, self._diagnosed_at) for key in keys}
