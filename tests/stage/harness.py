"""A workbench: a hub, a bucket, and one call to stage between them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kubectl_fluidmodel.hub.client import HubClient as Client
from kubectl_fluidmodel.hub.http import HubCredentials
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.stage import manifest
from kubectl_fluidmodel.stage.engine import stage_plan
from kubectl_fluidmodel.stage.events import Completed, Event, FileDone, Message, TransferProgress
from kubectl_fluidmodel.stage.options import TransferOptions
from tests.hub import FakeHub, Repo
from tests.stage.s3server import S3Server

MIB = 1 << 20
PART = 5 * MIB
"""The smallest part that S3 allows: files of tests need not be large to have several."""
MODEL = "acme/model"


def random_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something to hold, however slow the machine is."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.02)


def wait_until_threads_end() -> None:
    """Wait until no thread of a staging is left in this process."""
    wait_until(lambda: not any(t.name.startswith("stage-") for t in threading.enumerate()))


class StagingHarness:
    """What a test of staging needs."""

    def __init__(self, s3: S3Server, hub: FakeHub, bucket: str, home: Path) -> None:
        self.s3, self.hub, self.bucket, self.home = s3, hub, bucket, home
        self.endpoint = s3.endpoint
        self.destination = BucketPrefix(bucket, "models")
        # This process holds the files too, so the budget is not what it would be by itself.
        self.options = TransferOptions(
            part_size=PART,
            stall_timeout=10.0,
            retry_timeout=40.0,
            progress_interval=0.05,
            workers=6,
            memory=1 << 30,
        )

    # -- the hub -----------------------------------------------------------------------------

    def add_model(self, files: Mapping[str, bytes] | None = None, name: str = MODEL) -> Repo:
        """A repository; by default one file of four parts, one of one, and small ones."""
        content = files or {
            "config.json": b'{"model_type": "tiny"}',
            "empty.txt": b"",
            "model-00001.safetensors": random_bytes(3 * PART + 12345),
            "model-00002.safetensors": random_bytes(MIB, 2),
            "sub/dir/tokenizer.json": random_bytes(3000, 3),
        }
        repo = Repo(name, content)
        self.hub.repos[name] = repo
        return repo

    def client(self, token: str = "") -> Client:
        return Client(
            HubCredentials(self.hub.endpoint, token),
            stall_timeout=self.options.stall_timeout,
            retry_timeout=20.0,
        )

    def plan(self, token: str = "", revision: str = "", **filters: Any) -> StagingPlan:
        return self.client(token).plan(MODEL, revision, **filters)

    # -- staging -----------------------------------------------------------------------------

    def stage(
        self,
        plan: StagingPlan | None = None,
        options: TransferOptions | None = None,
        token: str = "",
    ) -> StagingRun:
        run = StagingRun()
        store = self.s3.store(self.endpoint)
        events = stage_plan(
            plan or self.plan(token),
            store,
            self.destination,
            options or self.options,
            self.client(token),
        )
        for event in events:
            run.events.append(event)
        return run

    def command(self, *arguments: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "kubectl_fluidmodel",
            "stage",
            MODEL,
            f"--to={self.destination.uri}",
            f"--endpoint={self.endpoint}",
            f"--endpoint-hub={self.hub.endpoint}",
            "--part-size=5Mi",
            *arguments,
        ]

    def env(self, machine: str = "here") -> dict[str, str]:
        """An environment with a home directory of its own: another machine."""
        home = self.home / machine
        home.mkdir(exist_ok=True)
        path = str(Path(__file__).parents[2])
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": path,
            **self.s3.env(),
        }

    def run(self, *arguments: str, machine: str = "here") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.env(machine),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def kill_at(self, share: float, *arguments: str, stored: int = 0) -> None:
        """Run it, and kill -9 it when the hub has sent that share of the bytes.

        What was sent is in flight on up to `--stage-workers` parts; `stored` is how many bytes of
        whole parts to wait for besides.
        """
        total = sum(blob.size for blob in self.hub.repos[MODEL].files.values())
        self.hub.pause_after = self.hub.body_bytes + int(total * share)
        process = subprocess.Popen(
            self.command(*arguments),
            env=self.env("victim"),
            cwd=self.home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with process:
            deadline = time.monotonic() + 60
            while self.hub.body_bytes < self.hub.pause_after and time.monotonic() < deadline:
                assert process.poll() is None, "it was done before it could be killed"
                time.sleep(0.01)
            while stored and self.stored_part_bytes() < stored:
                assert time.monotonic() < deadline, "the parts were not stored in time"
                time.sleep(0.05)
            self._wait_until_idle()
            process.kill()
        self.hub.pause_after = None

    def _held(self) -> bool:
        """Whether the hub has sent all that it sends for now."""
        return self.hub.pause_after is not None and self.hub.body_bytes >= self.hub.pause_after

    def _wait_until_idle(self) -> None:
        """Wait until what has come is stored: the records do not change for a moment."""
        last, since = "", time.monotonic()
        while time.monotonic() - since < 0.7:
            now = "".join(
                self.get(key).decode() for key in self.objects(self.layout.checkpoints_prefix)
            )
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.1)

    # -- the bucket --------------------------------------------------------------------------

    @property
    def layout(self) -> StagingLayout:
        return StagingLayout(self.destination, MODEL, self.hub.repos[MODEL].head)

    def objects(self, prefix: str = "") -> dict[str, int]:
        pages = self.s3.client().get_paginator("list_objects_v2")
        return {
            entry["Key"]: entry["Size"]
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix)
            for entry in page.get("Contents", [])
        }

    def uploads(self) -> list[dict[str, Any]]:
        answer = self.s3.client().list_multipart_uploads(Bucket=self.bucket)
        uploads: list[dict[str, Any]] = answer.get("Uploads") or []
        return uploads

    def stored_part_bytes(self) -> int:
        """Bytes of whole parts that unfinished uploads hold."""
        client = self.s3.client()
        held = [
            client.list_parts(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            for upload in self.uploads()
        ]
        return sum(part["Size"] for answer in held for part in answer.get("Parts") or [])

    def get(self, key: str) -> bytes:
        return bytes(self.s3.client().get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def manifest(self) -> manifest.Manifest | None:
        return manifest.read_manifest(self.s3.store(), self.layout)

    def assert_staged(self) -> None:
        """Every byte of the head commit is there, with its marks, and nothing is left over."""
        repo = self.hub.repos[MODEL]
        inside = self.objects(f"{self.layout.files_prefix}/")
        for path, blob in repo.files.items():
            assert self.get(self.layout.object_key(path)) == blob.data, path
        assert len(inside) == len(repo.files)
        marked = self.manifest()
        assert marked is not None and len(marked.entries) == len(repo.files)
        assert not self.uploads()
        assert not self.objects(self.layout.checkpoints_prefix)


class StagingRun:
    """The events of one run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @property
    def completed(self) -> Completed:
        return next(event for event in self.events if isinstance(event, Completed))

    @property
    def outcomes(self) -> dict[str, str]:
        return {event.path: event.outcome for event in self.events if isinstance(event, FileDone)}

    @property
    def messages(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Message))

    @property
    def retries(self) -> set[str]:
        reasons = {event.last_retry for event in self.events if isinstance(event, TransferProgress)}
        return reasons - {""}
