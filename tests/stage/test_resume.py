"""Killed at any moment, and run again, here or elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import threading

import pytest

from kubectl_fluidmodel.stage import buffer_pool, resumable_sha256
from kubectl_fluidmodel.stage.engine import stage
from kubectl_fluidmodel.stage.events import Progress
from kubectl_fluidmodel.stage.file_hasher import Digest
from kubectl_fluidmodel.stage.status import survey
from tests import interrupts
from tests.stage.harness import PART, Bench, noise, until

BIG = "model.safetensors"
SIZE = 12 * PART
WORKERS = 3
FEW = (f"--stage-workers={WORKERS}",)


@pytest.fixture
def half(bench: Bench) -> Bench:
    """A staging that was killed with -9 at about half of its way."""
    bench.model({BIG: noise(SIZE), "config.json": b"{}"})
    # Half is six parts, of which three workers hold less than three.
    bench.killed_at(0.5, *FEW, stored=4 * PART)
    bench.hub.forget()
    assert bench.place.key(BIG) not in bench.objects()
    assert bench.manifest() is None
    return bench


def record_of(bench: Bench) -> dict[str, object]:
    return dict(json.loads(bench.get(bench.place.record(BIG))))


def test_killed_at_half_it_goes_on_elsewhere(half: Bench) -> None:
    done = half.run("--output=json", *FEW, machine="elsewhere")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)["bytesRead"]
    # At most 2% again, and the parts in flight; about half of it was there.
    assert read <= 0.5 * SIZE + 0.02 * SIZE + WORKERS * PART
    assert "are there already" in done.stderr
    half.assert_staged()


def test_a_part_is_in_the_store_before_it_is_hashed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hashes goes on with the parts of others: its own must not wait for that."""
    bench.model({BIG: noise(SIZE)})
    stored: list[int] = []
    hash_one = Digest.update

    def update(self: Digest, data: memoryview) -> None:
        stored.append(bench.parts() // PART)
        hash_one(self, data)

    monkeypatch.setattr(Digest, "update", update)
    bench.stage()
    assert len(stored) == SIZE // PART
    assert all(count > number for number, count in enumerate(stored))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.75])
def test_killed_again_and_again(bench: Bench, share: float) -> None:
    bench.model({BIG: noise(SIZE), "other.safetensors": noise(2 * PART), "config.json": b"{}"})
    bench.killed_at(share)
    bench.killed_at(0.2)
    assert bench.run().returncode == 0
    bench.assert_staged()


def test_a_part_that_is_not_what_was_uploaded_is_not_trusted(half: Bench) -> None:
    upload = half.uploads()[0]
    client = half.s3.client()
    import base64
    import struct
    import zlib

    body = b"\0" * PART
    client.upload_part(
        Bucket=half.bucket,
        Key=upload["Key"],
        UploadId=upload["UploadId"],
        PartNumber=2,
        Body=body,
        ChecksumCRC32=base64.b64encode(struct.pack(">I", zlib.crc32(body))).decode(),
    )
    run = half.stage()
    assert run.how[BIG] == "staged"
    half.assert_staged()


def test_an_upload_that_is_gone_starts_over(half: Bench) -> None:
    upload = half.uploads()[0]
    half.s3.client().abort_multipart_upload(
        Bucket=half.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
    )
    assert half.stage().how[BIG] == "staged"
    half.assert_staged()


@pytest.mark.parametrize("damage", ["cut", "state", "done", "identity", "version"])
def test_a_record_that_is_damaged_costs_time_and_nothing_else(half: Bench, damage: str) -> None:
    record = record_of(half)
    if damage == "state":
        record["state"] = "00" * 32
    elif damage == "done":
        record["done"] = int(str(record["done"])) - 1
    elif damage == "identity":
        record["identity"] = "sha256:" + "0" * 64
    elif damage == "version":
        record["version"] = 99
    body = json.dumps(record).encode()
    half.s3.client().put_object(
        Bucket=half.bucket,
        Key=half.place.record(BIG),
        Body=body[:40] if damage == "cut" else body,
    )
    run = half.stage()
    assert run.how[BIG] == "staged"
    keys = half.objects()
    assert half.place.key(BIG) in keys and half.place.manifest in keys
    assert half.get(half.place.key(BIG)) == half.hub.repos["acme/model"].files[BIG].data


def test_an_upload_of_parts_that_this_run_has_no_memory_for_starts_over(
    half: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(half)
    half.s3.client().put_object(
        Bucket=half.bucket,
        Key=half.place.record(BIG),
        Body=json.dumps({**record, "part_size": 1 << 30, "done": 0, "proof": ""}).encode(),
    )
    monkeypatch.setattr(buffer_pool, "room", lambda _: 8 * PART)
    run = half.stage()
    assert run.how[BIG] == "staged"
    assert f"{BIG} starts over: it was begun with parts that --memory has no room for" in run.notes
    half.assert_staged()


def test_without_libcrypto_only_the_hub_is_read_again(
    half: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable_sha256, "_library", None)
    monkeypatch.setattr(resumable_sha256, "_tried", True)
    run = half.stage()
    assert run.how[BIG] == "resumed"
    assert run.ended.read == SIZE
    assert run.ended.sent < run.ended.bytes * 0.6 + WORKERS * PART
    half.assert_staged()


def test_begun_without_libcrypto_and_ended_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.model({BIG: noise(SIZE)})
    bench.hub.hold_at = SIZE * 3 // 4
    with monkeypatch.context() as bare:
        bare.setattr(resumable_sha256, "_library", None)
        bare.setattr(resumable_sha256, "_tried", True)
        run = stage(bench.plan(), bench.s3.store(), bench.to, bench.options, bench.client())
        for event in run:
            if isinstance(event, Progress) and event.done >= 2 * PART:
                break
        run.close()  # type: ignore[attr-defined]
        bench.hub.hold_at = None
        until(lambda: not any(each.name.startswith("stage-") for each in threading.enumerate()))
    assert bench.stage().how[BIG] == "resumed"
    bench.assert_staged()


def test_interrupted_it_says_how_to_go_on(bench: Bench) -> None:
    bench.model({BIG: noise(SIZE)})
    bench.hub.hold_at = SIZE * 3 // 4
    with interrupts.heard():
        process = subprocess.Popen(
            bench.command("--log=json"),
            env=bench.env(),
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
        rest, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in said and "goes on" in said
    assert json.loads(rest.splitlines()[-1])["exitCode"] == 130
    bench.hub.hold_at = None
    assert bench.stage().how[BIG] == "resumed"
    bench.assert_staged()


def test_two_at_once_do_no_harm(bench: Bench) -> None:
    bench.model()
    bench.hub.total.rate = 30e6
    plan = bench.plan()
    errors: list[BaseException] = []

    def one() -> None:
        try:
            bench.stage(plan)
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    bench.stage()
    marked = bench.manifest()
    assert marked is not None
    for path, blob in bench.hub.repos["acme/model"].files.items():
        assert bench.get(bench.place.key(path)) == blob.data


def test_a_look_tells_what_a_run_would_go_on_from_and_changes_nothing(half: Bench) -> None:
    before = half.objects()
    found = survey(half.s3.store(), half.plan(), half.to)
    assert found.bucket and not found.manifest and found.begun >= 3 * PART
    assert found.bytes + found.begun + found.left == half.plan().bytes
    assert half.objects() == before and len(half.uploads()) == 1
    run = half.stage()
    assert run.ended.read == found.left
