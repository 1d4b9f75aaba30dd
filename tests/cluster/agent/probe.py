"""Startup probes, run for real: an Alluxio master is ready when Fluid's own script says so."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from ..api import Object
from .container import Log


class StartupProbe:
    """One container's startup probe; its periods are shortened by ``scale``."""

    def __init__(self, container: Object, scale: float) -> None:
        probe = container["startupProbe"]
        self.argv: list[str] = list(probe["exec"]["command"])
        self.delay = float(probe.get("initialDelaySeconds", 0)) * scale
        self.period = max(0.3, float(probe.get("periodSeconds", 10)) * scale)
        self.timeout = float(probe.get("timeoutSeconds", 1))
        self.threshold = int(probe.get("failureThreshold", 3))
        self.reset()

    def reset(self) -> None:
        """For a container that has just been started (again)."""
        self.passed = False
        self.failures, self.code, self.said = 0, 0, ""
        self.due = time.monotonic() + self.delay

    def step(self, enter: Path, env: dict[str, str], log: Log) -> str:
        """Run the probe when it is due: "", "passed", "failed" or "exhausted"."""
        if self.passed or time.monotonic() < self.due:
            return ""
        self._run(enter, env, log)
        self.due = time.monotonic() + self.period
        if self.code == 0:
            self.passed = True
            return "passed"
        self.failures += 1
        return "exhausted" if self.failures >= self.threshold else "failed"

    def _run(self, enter: Path, env: dict[str, str], log: Log) -> None:
        # Process 1 of the sandbox is the host's: what the probe writes to its output is the log's.
        to_log = any("/proc/1/fd/1" in word for word in self.argv)
        argv = [word.replace("/proc/1/fd/1", "/dev/stdout") for word in self.argv]
        try:
            done = subprocess.run(
                [str(enter), *argv],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self.timeout,
                check=False,
            )
            self.code, output = done.returncode, done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as error:
            self.code, output = 1, (error.stdout or b"").decode(errors="replace")
            line = " ".join(self.argv)
            self.said = f'command timed out: "{line}" timed out after {self.timeout}s'
        else:
            self.said = "" if to_log else output.strip()
        if to_log:
            for line in output.splitlines():
                log.line(line)
