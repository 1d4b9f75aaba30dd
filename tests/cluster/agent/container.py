"""One container as a process: started in its sandbox, logged as kwok's Logs reads it, ended."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

from ..process import start_time, write_json

PAGE = os.sysconf("SC_PAGE_SIZE")


def now() -> str:
    stamp = datetime.datetime.now(datetime.timezone.utc)
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ")


class Log:
    """A log file in the format of container runtimes: time, stream, F, text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def line(self, text: str, stream: str = "stdout") -> None:
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        with self._lock, self.path.open("a", errors="replace") as out:
            out.write(f"{stamp} {stream} F {text}\n")

    def rotate(self) -> None:
        """Keep what a container that is started again said, for ``kubectl logs --previous``."""
        with self._lock:
            self.path.replace(self.path.with_suffix(".previous.log"))
            self.path.touch()


class Container:
    """A running container."""

    def __init__(self, argv: list[str], env: dict[str, str], log: Log, memory: int = 0) -> None:
        """Start ``argv``; its id is written beside the log, so that ``down`` finds it again."""
        self.log, self.memory = log, memory
        self.started_at = now()
        self.finished_at = ""
        self.out_of_memory = False
        self.process = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            close_fds=True,
        )
        write_json(
            log.path.with_suffix(".pid.json"),
            {
                "pid": self.process.pid,
                "start": start_time(self.process.pid),
            },
        )
        self._readers = [
            threading.Thread(target=self._copy, args=(pipe, stream), daemon=True)
            for pipe, stream in ((self.process.stdout, "stdout"), (self.process.stderr, "stderr"))
        ]
        for reader in self._readers:
            reader.start()

    def _copy(self, pipe: IO[bytes] | None, stream: str) -> None:
        for line in pipe or ():
            self.log.line(line.decode(errors="replace").rstrip("\n"), stream)

    def exit_code(self) -> int | None:
        """The exit code as a runtime tells it (128 + signal), None while it runs."""
        if self.memory and self.process.poll() is None and self._resident() > self.memory:
            self.out_of_memory = True
            self.signal(signal.SIGKILL)
        code = self.process.poll()
        if code is None:
            return None
        if not self.finished_at:
            for reader in self._readers:
                reader.join(timeout=2)
            # Whatever the main process left behind goes with its container.
            self.signal(signal.SIGKILL)
            self.finished_at = now()
        return 128 - code if code < 0 else code

    def signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signum)

    def stop(self, grace: float) -> None:
        """Ask, wait, force."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            deadline = time.monotonic() + grace
            while self.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        self.signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)

    def _resident(self) -> int:
        """Resident bytes of the container's processes."""
        total, waiting = 0, [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError, ValueError, IndexError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                waiting += [int(each) for each in children.split()]
        return total
