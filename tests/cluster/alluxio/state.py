"""What one Alluxio cluster knows, as a JSON file, and the knobs by which tests bend it.

``<state>/alluxio/<namespace>/<name>.json`` is written by the stand-in and the node agent only,
under a lock; ``<name>.knobs.json`` beside it is written by tests only, so that the two never race.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Of the Alluxio that this one is like.
VERSION = "2.9.3"
#: What a test may set, with the value that means "behave".
KNOBS: dict[str, Any] = {
    # Bytes per second that a load copies into the cache; 0 is as fast as it can.
    "load_bytes_per_second": 0,
    # {glob of the path in Alluxio: how many times distributedLoad silently leaves it out}
    "skip_files": {},
    # {start of the command line: {"times": N, "message": text, "exit": code}}
    "fail": {},
    # Seconds that a command takes, by the start of its command line.
    "delay": {},
    # Names of worker pods that are gone for Alluxio although their pods run.
    "lost_workers": [],
    # Capacity of each worker in bytes, whatever the tiered store says; 0 is what it says.
    "capacity": 0,
    # A root mount with wrong credentials keeps the master from starting, unlike Alluxio 2.9.3.
    "check_root": False,
    # Ask the store for the first bytes of each file when it is loaded.
    "read_files": True,
    # Bytes that were read since the master started, by where from: Local, Remote, UfsAll.
    "reads": {},
}


class Failure(Exception):
    """A command that fails: what it prints, and its exit code."""

    def __init__(self, message: str, code: int = 255) -> None:
        super().__init__(message)
        self.message, self.code = message, code


class State:
    """The files of one dataset's Alluxio."""

    def __init__(self, root: Path, namespace: str, name: str) -> None:
        self.namespace, self.name = namespace, name
        folder = root / "alluxio" / namespace
        self.path = folder / f"{name}.json"
        self.knobs_path = folder / f"{name}.knobs.json"
        self._lock = folder / f".{name}.lock"

    def read(self) -> dict[str, Any]:
        """The state as it is now; empty sections for a cluster that never ran."""
        value = _read(self.path)
        for section in ("mounts", "files", "blocks", "workers", "counters", "replication"):
            value.setdefault(section, {})
        value.setdefault("up", False)
        return value

    @contextlib.contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """The state, to be changed in place; written whole when the block ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            value = self.read()
            before = json.dumps(value, sort_keys=True)
            yield value
            after = json.dumps(value, sort_keys=True)
            if after != before or not self.path.exists():
                _write(self.path, after)

    def workers_log(self) -> Path:
        """The log of all its workers, which are no processes of their own."""
        return self.path.with_name(f"{self.name}.workers.log")

    def log_of_workers(self, error: str) -> None:
        """Let the workers log what the store, or Alluxio, said of a file."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S,000", time.gmtime())
        with self.workers_log().open("a") as log:
            log.write(f"{stamp} WARN  LoadDefinition - alluxio.underfs.s3a.AlluxioS3Exception: ")
            log.write(f"{error}\n")

    def knobs(self) -> dict[str, Any]:
        return {**KNOBS, **_read(self.knobs_path)}

    def apply_knobs(self, line: str) -> None:
        """Take the time that the knobs give to a command line.

        Raises:
            Failure: by the knobs, it fails.
        """
        knobs = self.knobs()
        for start, seconds in knobs["delay"].items():
            if line.startswith(start):
                time.sleep(float(seconds))
        for start, failure in knobs["fail"].items():
            if not line.startswith(start):
                continue
            with self.change() as value:
                key = f"{knobs.get('generation', 0)} fail {start}"
                times = int(value["counters"].get(key, 0))
                value["counters"][key] = times + 1
            if times < int(failure.get("times", 1 << 30)):
                raise Failure(
                    str(failure.get("message", "forced failure")), int(failure.get("exit", 255))
                )

    def set_knobs(self, **knobs: Any) -> None:
        """Set some knobs; a value of None puts one back to its default."""
        unknown = set(knobs) - set(KNOBS)
        if unknown:
            raise ValueError(f"no such knob: {', '.join(sorted(unknown))}")
        value = {**_read(self.knobs_path), **knobs}
        value = {key: each for key, each in value.items() if each is not None}
        # What was counted under earlier knobs does not count under these.
        value["generation"] = int(value.get("generation", 0)) + 1
        self.knobs_path.parent.mkdir(parents=True, exist_ok=True)
        _write(self.knobs_path, json.dumps(value, sort_keys=True, indent=1))

    def forget(self) -> None:
        """Remove the state (and with it the cache) of a dataset that is gone."""
        self.path.unlink(missing_ok=True)
        self.knobs_path.unlink(missing_ok=True)


def all_workers(value: dict[str, Any], knobs: dict[str, Any]) -> dict[str, int]:
    """The capacity in bytes of each worker that Alluxio knows, the lost ones too."""
    return {
        name: int(knobs["capacity"] or worker["capacity"])
        for name, worker in sorted(value["workers"].items())
    }


def live_workers(value: dict[str, Any], knobs: dict[str, Any]) -> dict[str, int]:
    """The capacity in bytes of each worker that Alluxio has."""
    lost = set(knobs["lost_workers"])
    return {
        name: room
        for name, room in all_workers(value, knobs).items()
        if value["workers"][name].get("running") and name not in lost
    }


def used(value: dict[str, Any], worker: str) -> int:
    """Bytes that one worker holds."""
    return sum(int(blocks.get(worker, 0)) for blocks in value["blocks"].values())


def in_alluxio(value: dict[str, Any], path: str, live: dict[str, int]) -> int:
    """Bytes of a file that at least one live worker holds: copies of it do not add up."""
    blocks = value["blocks"].get(path, {})
    return max((int(size) for worker, size in blocks.items() if worker in live), default=0)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return value if isinstance(value, dict) else {}


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    temporary.write_text(text)
    temporary.chmod(0o600)
    temporary.replace(path)
