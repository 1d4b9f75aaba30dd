"""What no waiting mends, by doctor's own checks: for the verbs that wait.

A wait that knows why it is in vain says so and ends, with the cause and the fix that `doctor` has,
instead of running out of time. A finding has to last for a moment, as each may pass by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kubectl_fluidmodel.doctor.check import Finding, Severity, select_checks
from kubectl_fluidmodel.doctor.collect import collector
from kubectl_fluidmodel.doctor.diagnosis import Diagnosis, Problem, diagnose
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client

CACHE_FAILURES: Mapping[str, float] = {
    "FM301": 45.0,  # what ends on the node may leave room
    "FM302": 20.0,
    "FM303": 25.0,
    "FM304": 10.0,
    "FM305": 8.0,  # of a cache that was just removed, until its pods are gone
    "FM306": 30.0,
    "FM307": 10.0,
    "FM311": 15.0,
    "FM313": 15.0,
    "FM320": 15.0,
}
"""Codes that end the wait for a cache, and the seconds for which each has to last."""
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
"""As that, of the roll-out of a graph that reads a cache."""
_STORE_CAUSES = (
    "key is wrong",
    "know the access key",
    "bucket does not exist",
    "credentials have expired",
)
"""Of a master that does not serve: causes that stay until somebody mends them."""
_REQUIRED_CAUSES: Mapping[str, tuple[str, ...]] = {"FM311": _STORE_CAUSES, "FM313": _STORE_CAUSES}


def persistent_failures(diagnosis: Diagnosis, durations: Mapping[str, float]) -> Iterator[Problem]:
    """The failures among the roots that no waiting mends. Pure."""
    for problem in diagnosis.roots:
        code = problem.check.code
        words = _REQUIRED_CAUSES.get(code)
        own = problem.finding.severity or problem.check.severity
        if code not in durations or own is not Severity.ERROR:
            continue
        if words is None or any(each in problem.finding.cause for each in words):
            yield problem


def failure_error(message: str, problem: Problem, hint: str) -> FluidModelError:
    """What a wait ends with; `command` is what to try where the fix is no command."""
    finding: Finding = problem.finding
    fix = finding.fix
    return FluidModelError(
        message,
        f"{finding.about}: {finding.cause} ({problem.check.code})",
        fix.text if fix is not None and fix.how == "command" else hint,
    )


@dataclass
class FailureMonitor:
    """Looks at one cache now and then, beside a wait, and keeps what lasts."""

    client: Client
    namespace: str
    name: str
    durations: Mapping[str, float]
    interval: float = 4.0
    """Seconds between two looks, and before the first."""
    _first_seen: dict[tuple[str, str], float] = field(default_factory=dict)
    _failures: list[Problem] = field(default_factory=list)
    _diagnosed_at: float = field(init=False)
    _thread: threading.Thread = field(default_factory=threading.Thread)

    def __post_init__(self) -> None:
        self._diagnosed_at = time.monotonic()

    def poll(self) -> Problem | None:
        """What has lasted for long enough; begins the next look where it is time.

        Looks go on in a thread of their own: they take seconds, and the view must not stand still.
        """
        now = time.monotonic()
        if not self._thread.is_alive():
            for problem in self._failures:
                key = (problem.check.code, problem.finding.about)
                seen = self._first_seen.get(key)
                if (
                    seen is not None
                    and self._diagnosed_at - seen >= self.durations[problem.check.code]
                ):
                    return problem
            if now - self._diagnosed_at >= self.interval:
                self._thread = threading.Thread(target=self._diagnose, name="judge", daemon=True)
                self._thread.start()
        return None

    def _diagnose(self) -> None:
        import kubectl_fluidmodel.doctor.checks  # noqa: F401 - registers them

        try:
            snapshot = collector.collect_snapshot(
                self.client, self.namespace, self.name, probe_stores=False
            )
        except FluidModelError:
            self._diagnosed_at = time.monotonic()  # the wait itself says that the cluster is away
            return
        found = diagnose(
            snapshot, select_checks(self.durations, ()), namespace=self.namespace, name=self.name
        )
        self._failures = list(persistent_failures(found, self.durations))
        self._diagnosed_at = time.monotonic()
        keys = {(each.check.code, each.finding.about) for each in self._failures}
        self._first_seen = {key: self._first_seen.get(key, self._diagnosed_at) for key in keys}
