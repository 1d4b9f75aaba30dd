"""Killed at any moment, and run again, here or elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import threading

import pytest

from kubectl_fluidmodel.stage import buffer_pool, resumable_sha256
from kubectl_fluidmodel.stage.engine import stage_plan
from kubectl_fluidmodel.stage.events import TransferProgress
from kubectl_fluidmodel.stage.file_hasher import FileHasher
from kubectl_fluidmodel.stage.status import read_status
from tests import interrupts
from tests.stage.harness import PART, StagingHarness, random_bytes, wait_until_threads_end

BIG = "model.safetensors"
SIZE = 12 * PART
WORKERS = 3
FEW = (f"--stage-workers={WORKERS}",)


@pytest.fixture
def half_staged(harness: StagingHarness) -> StagingHarness:
    """A staging that was killed with -9 at about half of its way."""
    harness.add_model({BIG: random_bytes(SIZE), "config.json": b"{}"})
    # Half is six parts, of which three workers hold less than three.
    harness.kill_at(0.5, *FEW, stored=4 * PART)
    harness.hub.clear_requests()
    assert harness.layout.object_key(BIG) not in harness.objects()
    assert harness.manifest() is None
    return harness


def record_of(harness: StagingHarness) -> dict[str, object]:
    return dict(json.loads(harness.get(harness.layout.checkpoint_key(BIG))))


def test_a_run_that_was_killed_resumes_on_another_machine(half_staged: StagingHarness) -> None:
    done = half_staged.run("--output=json", *FEW, machine="elsewhere")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)["bytesRead"]
    # At most 2% again, and the parts in flight; about half of it was there.
    assert read <= 0.5 * SIZE + 0.02 * SIZE + WORKERS * PART
    assert "are already in the store" in done.stderr
    half_staged.assert_staged()


def test_a_part_is_in_the_store_before_it_is_hashed(
    harness: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hashes goes on with the parts of others: its own must not wait for that."""
    harness.add_model({BIG: random_bytes(SIZE)})
    stored: list[int] = []
    hash_one = FileHasher.update

    def update(self: FileHasher, data: memoryview) -> None:
        stored.append(harness.stored_part_bytes() // PART)
        hash_one(self, data)

    monkeypatch.setattr(FileHasher, "update", update)
    harness.stage()
    assert len(stored) == SIZE // PART
    assert all(count > number for number, count in enumerate(stored))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.75])
def test_runs_that_are_killed_again_and_again_complete_in_the_end(
    harness: StagingHarness, share: float
) -> None:
    harness.add_model(
        {BIG: random_bytes(SIZE), "other.safetensors": random_bytes(2 * PART), "config.json": b"{}"}
    )
    harness.kill_at(share)
    harness.kill_at(0.2)
    assert harness.run().returncode == 0
    harness.assert_staged()


def test_an_upload_with_a_replaced_part_restarts(half_staged: StagingHarness) -> None:
    upload = half_staged.uploads()[0]
    client = half_staged.s3.client()
    import base64
    import struct
    import zlib

    body = b"\0" * PART
    client.upload_part(
        Bucket=half_staged.bucket,
        Key=upload["Key"],
        UploadId=upload["UploadId"],
        PartNumber=2,
        Body=body,
        ChecksumCRC32=base64.b64encode(struct.pack(">I", zlib.crc32(body))).decode(),
    )
    run = half_staged.stage()
    assert run.outcomes[BIG] == "staged"
    half_staged.assert_staged()


def test_an_upload_that_was_aborted_restarts(half_staged: StagingHarness) -> None:
    upload = half_staged.uploads()[0]
    half_staged.s3.client().abort_multipart_upload(
        Bucket=half_staged.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
    )
    assert half_staged.stage().outcomes[BIG] == "staged"
    half_staged.assert_staged()


@pytest.mark.parametrize("damage", ["cut", "state", "done", "identity", "version"])
def test_a_damaged_checkpoint_restarts_the_upload(half_staged: StagingHarness, damage: str) -> None:
    record = record_of(half_staged)
    if damage == "state":
        record["state"] = "00" * 32
    elif damage == "done":
        record["done"] = int(str(record["done"])) - 1
    elif damage == "identity":
        record["identity"] = "sha256:" + "0" * 64
    elif damage == "version":
        record["version"] = 99
    body = json.dumps(record).encode()
    half_staged.s3.client().put_object(
        Bucket=half_staged.bucket,
        Key=half_staged.layout.checkpoint_key(BIG),
        Body=body[:40] if damage == "cut" else body,
    )
    run = half_staged.stage()
    assert run.outcomes[BIG] == "staged"
    keys = half_staged.objects()
    assert half_staged.layout.object_key(BIG) in keys and half_staged.layout.manifest_key in keys
    assert (
        half_staged.get(half_staged.layout.object_key(BIG))
        == half_staged.hub.repos["acme/model"].files[BIG].data
    )


def test_an_upload_with_parts_larger_than_the_memory_restarts(
    half_staged: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(half_staged)
    half_staged.s3.client().put_object(
        Bucket=half_staged.bucket,
        Key=half_staged.layout.checkpoint_key(BIG),
        Body=json.dumps({**record, "part_size": 1 << 30, "done": 0, "proof": ""}).encode(),
    )
    monkeypatch.setattr(buffer_pool, "buffer_budget", lambda _: 8 * PART)
    run = half_staged.stage()
    assert run.outcomes[BIG] == "staged"
    assert (
        f"restarting {BIG}: the parts of its upload are larger than --memory allows" in run.messages
    )
    half_staged.assert_staged()


def test_without_libcrypto_stored_parts_are_not_uploaded_again(
    half_staged: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_sha256, "_library", None)
    monkeypatch.setattr(resumable_sha256, "_tried", True)
    run = half_staged.stage()
    assert run.outcomes[BIG] == "resumed"
    assert run.completed.read == SIZE
    assert run.completed.sent < run.completed.bytes * 0.6 + WORKERS * PART
    half_staged.assert_staged()


def test_a_run_with_libcrypto_resumes_one_without(
    harness: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_model({BIG: random_bytes(SIZE)})
    harness.hub.pause_after = SIZE * 3 // 4
    with monkeypatch.context() as bare:
        bare.setattr(resumable_sha256, "_library", None)
        bare.setattr(resumable_sha256, "_tried", True)
        run = stage_plan(
            harness.plan(),
            harness.s3.store(),
            harness.destination,
            harness.options,
            harness.client(),
        )
        for event in run:
            if isinstance(event, TransferProgress) and event.done >= 2 * PART:
                break
        run.close()  # type: ignore[attr-defined]
        harness.hub.pause_after = None
        wait_until_threads_end()
    assert harness.stage().outcomes[BIG] == "resumed"
    harness.assert_staged()


def test_an_interrupted_run_prints_the_command_that_resumes(harness: StagingHarness) -> None:
    harness.add_model({BIG: random_bytes(SIZE)})
    harness.hub.pause_after = SIZE * 3 // 4
    with interrupts.interrupts_enabled():
        process = subprocess.Popen(
            harness.command("--log=json"),
            env=harness.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stdout is not None and process.stderr is not None
    with process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "Progress" and event["done"] >= 2 * PART:
                break
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in stderr and "resumes" in stderr
    assert json.loads(rest.splitlines()[-1])["exitCode"] == 130
    harness.hub.pause_after = None
    assert harness.stage().outcomes[BIG] == "resumed"
    harness.assert_staged()


def test_two_runs_at_the_same_time_do_no_harm(harness: StagingHarness) -> None:
    harness.add_model()
    harness.hub.total.rate = 30e6
    plan = harness.plan()
    errors: list[BaseException] = []

    def one() -> None:
        try:
            harness.stage(plan)
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    harness.stage()
    marked = harness.manifest()
    assert marked is not None
    for path, blob in harness.hub.repos["acme/model"].files.items():
        assert harness.get(harness.layout.object_key(path)) == blob.data


def test_the_status_is_what_a_run_resumes_from(
    half_staged: StagingHarness,
) -> None:
    before = half_staged.objects()
    status = read_status(half_staged.s3.store(), half_staged.plan(), half_staged.destination)
    assert status.bucket_exists and not status.has_manifest and status.resumable_bytes >= 3 * PART
    assert (
        status.bytes + status.resumable_bytes + status.remaining_bytes == half_staged.plan().bytes
    )
    assert half_staged.objects() == before and len(half_staged.uploads()) == 1
    run = half_staged.stage()
    assert run.completed.read == status.remaining_bytes
