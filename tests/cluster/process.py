"""Start processes, remember them on disk, and end exactly those again.

``down`` may run in another process than ``up``, hours later and after a crash, so each start is
written to a file with the process id *and* its start time as the kernel tells it: a process id
alone may by then belong to somebody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def start_time(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot, or None when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def free_ports(count: int) -> list[int]:
    """That many free ports of the loopback interface, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def write_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """Write whole or not at all: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    temporary.write_text(json.dumps(value, indent=1, sort_keys=True))
    temporary.chmod(mode)
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """The value of a JSON file, or None when it is not there."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` (made when missing) for the length of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


class Processes:
    """The processes of one cluster, as a directory of records."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "logs"
        self.records = directory / "procs"

    def spec(self, name: str) -> dict[str, Any] | None:
        """The record of a process, whether it runs or not."""
        value = read_json(self.records / f"{name}.json")
        return value if isinstance(value, dict) else None

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.records.glob("*.json"))

    def pid(self, name: str) -> int | None:
        """The id of the process when it runs, None otherwise."""
        record = self.spec(name)
        if not record or not record.get("pid"):
            return None
        pid = int(record["pid"])
        return pid if start_time(pid) == record["start"] else None

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start(
        self, name: str, argv: list[str], env: dict[str, str], cwd: Path | None = None
    ) -> int:
        """Start (unless it runs) and remember everything needed to start it again."""
        with locked(self.records / f".{name}.lock"):
            running = self.pid(name)
            if running:
                return running
            return self._spawn(name, argv, env, str(cwd or self.directory))

    def again(self, name: str) -> int:
        """Start a stopped process once more with the command it had."""
        with locked(self.records / f".{name}.lock"):
            running = self.pid(name)
            if running:
                return running
            record = self.spec(name)
            if record is None:
                raise RuntimeError(f"no process {name} was ever started in {self.directory}")
            return self._spawn(name, record["argv"], record["env"], record["cwd"])

    def _spawn(self, name: str, argv: list[str], env: dict[str, str], cwd: str) -> int:
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )
        record = {
            "argv": argv,
            "env": env,
            "cwd": cwd,
            "pid": process.pid,
            "start": start_time(process.pid),
        }
        write_json(self.records / f"{name}.json", record)
        return process.pid

    def stop(self, name: str, grace: float = 15.0, force: bool = False) -> None:
        """End the process: asked first, forced after ``grace`` seconds, or forced at once."""
        with locked(self.records / f".{name}.lock"):
            pid = self.pid(name)
            record = self.spec(name)
            if pid and record:
                end_process(pid, record["start"], 0 if force else grace)
            if record:
                write_json(self.records / f"{name}.json", {**record, "pid": None, "start": None})


def end_process(pid: int, start: str, grace: float) -> None:
    """End one process and its session, if it still is the one that started at ``start``."""

    def send(signum: int) -> None:
        if start_time(pid) != start:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signum)
            else:
                os.kill(pid, signum)

    def gone() -> bool:
        with contextlib.suppress(ChildProcessError, OSError):
            os.waitpid(pid, os.WNOHANG)
        return start_time(pid) != start

    if grace > 0:
        send(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if gone():
                return
            time.sleep(0.02)
    send(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not gone():
        time.sleep(0.02)
